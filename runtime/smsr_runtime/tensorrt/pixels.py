"""Pixels to an engine's planes and back on the GPU, by two functions of the plugin library."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smsr_runtime.errors import BackendError, NativeLibraryError
from smsr_runtime.tensorrt.plugin import BUILD, opened

if TYPE_CHECKING:
    from smsr_runtime.tensorrt.buffers import Buffer

_SIZES = [ctypes.c_int32] * 3
"""Height, width, bytes of a number."""


class PixelKernels:
    """Clamps and rounds as `smsr_runtime.session` does: half to even; a number of 16 bits is 257 for each of 255."""

    def __init__(self, library: Path) -> None:
        """Raises NativeLibraryError for a library without them."""
        loaded, pointer = opened(library), ctypes.c_void_p
        self._to_planes = _function(loaded, library, "smsr_pixels_to_planes", [pointer] * 2)
        self._to_pixels = _function(loaded, library, "smsr_planes_to_pixels", [pointer] * 3)

    def to_planes(self, pixels: Buffer, planes: Buffer, stream: Any) -> None:
        """(H, W, 3), uint8 or uint16 -> (1, 3, H, W) float32 0..255. Raises BackendError, as `to_pixels`."""
        height, width, _ = pixels.shape
        _check(self._to_planes(pixels.address, planes.address, height, width, pixels.dtype.itemsize, stream.handle))

    def to_pixels(self, planes: Buffer, pixels: Buffer, not_finite: Buffer, stream: Any) -> None:
        """The other way. not_finite: one uint32, which becomes 1 where a number is NaN or infinite."""
        height, width, _ = pixels.shape
        sizes = (height, width, pixels.dtype.itemsize)
        _check(self._to_pixels(planes.address, pixels.address, not_finite.address, *sizes, stream.handle))


def _function(loaded: Any, library: Path, name: str, pointers: list[Any]) -> Any:
    function = getattr(loaded, name, None)
    if function is None:
        raise NativeLibraryError(library, "this release's plugin library", f"one without {name}", BUILD)
    function.restype, function.argtypes = ctypes.c_char_p, [*pointers, *_SIZES, ctypes.c_void_p]
    return function


def _check(refusal: bytes | None) -> None:
    if refusal is not None:
        todo = "run --selftest to see if the bundle works"
        raise BackendError("pixels on the GPU", "a launch that succeeds", refusal.decode(), todo)
