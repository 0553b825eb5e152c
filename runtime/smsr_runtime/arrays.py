"""Pictures as files hold them, (H, W, 3), and as networks read them, (N, 3, H, W)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def to_planes(pixels: NDArray[Any]) -> NDArray[np.float32]:
    """(H, W, 3) of any type -> (1, 3, H, W) float32, values unchanged, contiguous."""
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], np.float32)


def to_pixels(planes: NDArray[Any]) -> NDArray[Any]:
    """(1, 3, H, W) or (3, H, W) -> a view (H, W, 3)."""
    pixels: NDArray[Any] = planes.reshape(planes.shape[-3:]).transpose(1, 2, 0)
    return pixels
