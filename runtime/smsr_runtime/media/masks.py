"""A picture of the spatial masks: one tile per module, active pixels tinted over the gray input."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Sequence

import cv2
import numpy as np

from smsr_runtime.media.picture import Picture, eight_bit

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ACTIVE = np.array([255, 120, 0], np.float32)
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


def _tile(gray: NDArray[Any], mask: NDArray[np.bool_], label: str) -> NDArray[Any]:
    """Input pixels with the mask over them, enlarged by a whole number where too small to carry a label."""
    color = np.repeat(gray[:, :, None], 3, axis=2).astype(np.float32) * 0.7
    color[mask] = 0.45 * color[mask] + 0.55 * _ACTIVE
    factor = max(1, math.ceil(_SMALLEST / gray.shape[1]))
    pixels = np.rint(color).astype(np.uint8).repeat(factor, axis=0).repeat(factor, axis=1)
    strip = np.full((_LABEL_HEIGHT, pixels.shape[1], 3), 255, np.uint8)
    cv2.putText(strip, label, (4, 17), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
    return np.pad(np.vstack([strip, pixels]), ((0, _GAP), (0, _GAP), (0, 0)), constant_values=255)
