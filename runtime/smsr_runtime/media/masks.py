"""Pictures of the spatial masks: one tile per module for a still picture, one heat map for moving ones."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Sequence

import cv2
import numpy as np

from smsr_runtime.media.picture import Picture, eight_bit

if TYPE_CHECKING:
    from numpy.typing import NDArray

ACTIVE = (255, 120, 0)
"""RGB of a module's active pixels."""
QUIET, BUSY = (255, 190, 60), (214, 40, 0)
"""RGB where one module worked, and where all did; those between lie between."""
_LEAST, _MOST = 0.4, 0.85
"""Opacity of these two."""
_LABEL_HEIGHT, _SMALLEST, _GAP = 24, 200, 4


def mosaic(picture: Picture, masks: Sequence[NDArray[np.bool_]]) -> Picture:
    """`picture`: the input (H, W). masks: per module (H, W). Returns an RGB picture, tiles left to right, labelled."""
    base = eight_bit(picture).color
    gray: NDArray[Any] = base if base.ndim == 2 else cv2.cvtColor(base, cv2.COLOR_RGB2GRAY)
    tiles = [_tile(gray, mask, f"module {k}: {mask.mean():.0%} active") for k, mask in enumerate(masks, 1)]
    columns = math.ceil(math.sqrt(len(tiles)))
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % columns)
    rows: list[NDArray[Any]] = [np.hstack(tiles[start : start + columns]) for start in range(0, len(tiles), columns)]
    return Picture(np.vstack(rows))


def heat(upscaled: NDArray[Any], masks: Sequence[NDArray[np.bool_]]) -> NDArray[np.uint8]:
    """upscaled: (sH, sW, 3) or with alpha, uint8 or uint16; masks: per module (H, W) -> (sH, sW, 3) uint8.

    The picture in gray, the more modules worked at a pixel the deeper tinted.
    """
    gray = cv2.cvtColor(eight_bit(Picture(np.ascontiguousarray(upscaled[..., :3]))).color, cv2.COLOR_RGB2GRAY)
    scale = upscaled.shape[0] // masks[0].shape[0]
    worked = np.sum(masks, axis=0).repeat(scale, axis=0).repeat(scale, axis=1)
    kept, added = _heat_table(len(masks))
    shown: NDArray[np.uint16] = (gray[..., None] * kept[worked][..., None] + added[worked]) >> 8
    return shown.astype(np.uint8)


def _heat_table(modules: int) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """By the number of modules that worked: how much of the gray stays, of 256, and 256 times the colour over it.

    The colour has half a unit more, which rounds; sums stay below 2^16.
    """
    steps = np.linspace(0, 1, modules)[:, None] if modules > 1 else np.ones((1, 1))
    opacity = _LEAST + (_MOST - _LEAST) * steps
    colours = np.array(QUIET) + (np.array(BUSY) - np.array(QUIET)) * steps
    kept = np.concatenate([[256], np.rint(256 * (1 - opacity[:, 0]))])
    added = np.concatenate([np.zeros((1, 3)), np.rint(256 * opacity * colours)]) + 127
    return np.asarray(kept, np.uint16), np.asarray(added, np.uint16)


def _tile(gray: NDArray[Any], mask: NDArray[np.bool_], label: str) -> NDArray[Any]:
    """Input pixels with the mask over them, enlarged by a whole number where too small to carry a label."""
    color = np.repeat(gray[:, :, None], 3, axis=2).astype(np.float32) * 0.7
    color[mask] = 0.45 * color[mask] + 0.55 * np.array(ACTIVE, np.float32)
    factor = max(1, math.ceil(_SMALLEST / gray.shape[1]))
    pixels = np.rint(color).astype(np.uint8).repeat(factor, axis=0).repeat(factor, axis=1)
    strip = np.full((_LABEL_HEIGHT, pixels.shape[1], 3), 255, np.uint8)
    cv2.putText(strip, label, (4, 17), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
    return np.pad(np.vstack([strip, pixels]), ((0, _GAP), (0, _GAP), (0, 0)), constant_values=255)
