"""Pictures as data URIs, so that a page needs no other file."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from smsr_runtime.media.masks import ACTIVE, BUSY, QUIET

_QUALITY = 86
"""Of WebP; a 720x720 photograph then has about 120 KB."""
_QUIET_ALPHA, _BUSY_ALPHA = 110, 215
_MOST_LEVELS = 255
"""Of a palette, besides transparent."""
_MASK_ALPHA = 150


def webp(pixels: NDArray[np.uint8]) -> str:
    """(H, W, 3) RGB."""
    return _uri(Image.fromarray(pixels), "WEBP", quality=_QUALITY, method=4)


def mask_layer(mask: NDArray[np.bool_]) -> str:
    """(H, W): tinted where True, transparent elsewhere."""
    return _layer(mask.astype(np.uint8), [ACTIVE], [0, _MASK_ALPHA])


def heat_layer(masks: NDArray[np.bool_]) -> str:
    """masks (K, H, W): the more of them are True at a pixel, the deeper its colour; transparent where none is."""
    levels = min(len(masks), _MOST_LEVELS)
    worked = -(-masks.sum(axis=0, dtype=np.int64) * levels // len(masks))
    steps = np.linspace(0, 1, levels) if levels > 1 else np.ones(1)
    colours = [tuple(round(a + (b - a) * step) for a, b in zip(QUIET, BUSY, strict=True)) for step in steps]
    alphas = [0, *(round(_QUIET_ALPHA + (_BUSY_ALPHA - _QUIET_ALPHA) * step) for step in steps)]
    return _layer(worked.astype(np.uint8), colours, alphas)


def _layer(levels: NDArray[np.uint8], colours: list[Any], alphas: list[int]) -> str:
    """levels (H, W): 0 for transparent, else a place in `colours`, counted from 1; alphas: of each level."""
    image = Image.fromarray(levels, "P")
    image.putpalette([value for colour in [(0, 0, 0), *colours] for value in colour])
    return _uri(image, "PNG", optimize=True, transparency=bytes(alphas))


def _uri(image: Image.Image, kind: str, **options: Any) -> str:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(stream.getvalue()).decode()}"
