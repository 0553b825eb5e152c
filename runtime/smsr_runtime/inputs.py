"""Checks of arrays that callers hand over, with a hint for each usual mistake."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from smsr_runtime.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

PER_UNIT = {np.dtype(np.uint8): 1.0, np.dtype(np.uint16): 257.0}
"""Steps of each pixel type per step of the network's range 0..255."""
_SHAPES = "shape (H, W, 3), (H, W) or (N, H, W, 3)"


def check_pixels(image: NDArray[Any]) -> float:
    """What one unit of 0..255 is in this picture's type. Raises InputError for another type or shape."""
    if not isinstance(image, np.ndarray):
        raise InputError("image", "a numpy array", type(image).__name__, "convert it with numpy.asarray")
    if image.dtype not in PER_UNIT:
        raise InputError("image", "uint8 (0..255) or uint16 (0..65535)", _described(image), _conversion(image))
    if image.size == 0:
        raise InputError("image", _SHAPES, f"no pixels, {image.shape}", "check how it was cut or read")
    if image.ndim == 2 or (image.ndim in (3, 4) and image.shape[-1] == 3):
        return PER_UNIT[image.dtype]
    raise InputError("image", _SHAPES, str(image.shape), _reshaping(image.shape))


def check_planes(image: NDArray[Any]) -> None:
    """Raises InputError for anything but finite floats of 0..255, (N, 3, H, W)."""
    if not isinstance(image, np.ndarray) or not np.issubdtype(image.dtype, np.floating):
        got = str(image.dtype) if isinstance(image, np.ndarray) else type(image).__name__
        raise InputError("image", "a numpy array of floats, 0..255", got, "convert it, or call the upscaler itself")
    if image.ndim != 4 or image.shape[1] != 3 or 0 in image.shape:
        raise InputError("image", "shape (N, 3, H, W), none of them 0", str(image.shape), "transpose it first")
    low, high = float(image.min()), float(image.max())
    if not 0.0 <= low <= high <= 255.0:  # NaN fails too
        raise InputError("image", "values of 0..255", f"{low:g} to {high:g}", "scale or clip it to 0..255")
    if _looks_like_unit_range(image, high):
        raise InputError("image", "values of 0..255", f"fractions of {low:g} to {high:g}", "multiply it by 255")


def _looks_like_unit_range(image: NDArray[Any], high: float) -> bool:
    """Fractions up to 1, looked for on a grid; a nearly black picture in 0..255 has whole numbers there."""
    if high > 1.0:
        return False
    height, width = image.shape[2:]
    grid = image[:, :, :: max(1, height // 512), :: max(1, width // 512)]
    return bool((grid != np.rint(grid)).any())


def _described(image: NDArray[Any]) -> str:
    if image.size == 0 or not np.issubdtype(image.dtype, np.number):
        return str(image.dtype)
    return f"{image.dtype}, {float(image.min()):g} to {float(image.max()):g}"


def _conversion(image: NDArray[Any]) -> str:
    if image.dtype == np.bool_:
        return "convert it: (255 * image).astype('uint8')"
    if np.issubdtype(image.dtype, np.floating) and image.size and image.min() >= 0.0 and image.max() <= 1.0:
        return "scale it from 0..1: (255 * image).round().astype('uint8')"
    return "round and clip it to 0..255, then .astype('uint8'); upscale_float takes floats of 0..255, (N, 3, H, W)"


def _reshaping(shape: tuple[int, ...]) -> str:
    if len(shape) not in (3, 4):
        return "hand over one RGB picture, one gray one, or a batch of RGB"
    if shape[-1] == 1:
        return "take the one channel: image[..., 0]"
    if shape[-1] in (2, 4):
        return "split the alpha channel off: image[..., :-1], and image[..., 0] of gray and alpha"
    if shape[-3] == 3:
        return "channels come last: numpy.moveaxis(image, -3, -1)"
    return "gray pictures go one by one; of other channels take three"
