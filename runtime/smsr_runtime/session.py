"""The plain Python call: `load(bundle)` gives a callable that upscales arrays."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from smsr_runtime.arrays import to_pixels, to_planes
from smsr_runtime.backend import Backend
from smsr_runtime.bundle import ENGINE, Bundle, read_bundle
from smsr_runtime.errors import BackendError, InputError, UsageError
from smsr_runtime.opening import make_backend
from smsr_runtime.ort.native import Library, LibraryChoice
from smsr_runtime.tensorrt.options import EngineOptions

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PER_UNIT = {np.dtype(np.uint8): 1.0, np.dtype(np.uint16): 257.0}
"""Steps of each pixel type per step of the network's range 0..255."""


def load(
    path: str | Path,
    threads: int | None = None,
    backend: str = "auto",
    theta: float = 0.0,
    engine: EngineOptions | None = None,
    library: LibraryChoice = Library.ENVIRONMENT,
) -> Upscaler:
    """Opens a bundle directory.

    threads: None for all; backend: auto, ort or trt; theta: the quality dial, 0 as trained, higher is
    faster and less sharp; engine: whether and how a TensorRT engine is built here; library: the native library of
    backend ort, as the environment says, another file, or `Library.NONE` for the function body.
    Raises BundleError, NativeLibraryError, BackendError, UsageError.
    """
    if not math.isfinite(theta):
        raise UsageError("theta", "a finite number", str(theta), "0 is the trained value")
    bundle = read_bundle(path, unchecked=[ENGINE] if engine and engine.rebuild else [])
    return Upscaler(bundle, make_backend(bundle, backend, threads, engine, library), theta)


class Upscaler:
    """Callable: (H, W, 3) or gray (H, W), uint8 or uint16 RGB -> scale times as high and wide, same type.

    scale: int; theta: float, may be set; backend: name of what computes ("ort" or "trt"), opened: the backend itself;
    path: what the sparse modules run on ("native avx512", "function body" or "TensorRT 10.3.0 fp16"), compute_path:
    the same, typed.
    """

    def __init__(self, bundle: Bundle, backend: Backend, theta: float = 0.0) -> None:
        self.bundle = bundle
        self.scale = bundle.scale
        self.theta = theta
        self.opened = backend
        self.backend: str = backend.name
        self.compute_path = backend.path
        self.path: str = str(backend.path)

    def __call__(self, image: NDArray[Any]) -> NDArray[Any]:
        """Raises InputError for another shape or type, MemoryLimitError, BackendError."""
        return self._upscaled(image, margins=False)[0]

    def with_margins(self, image: NDArray[Any]) -> tuple[NDArray[Any], list[NDArray[np.float32]]]:
        """As the call, and per module its margin (H, W): a pixel was active where margin - theta > 0."""
        return self._upscaled(image, margins=True)

    def _upscaled(self, image: NDArray[Any], *, margins: bool) -> tuple[NDArray[Any], list[NDArray[np.float32]]]:
        per_unit = _check_image(image)
        rgb = image if image.ndim == 3 else np.repeat(image[:, :, None], 3, axis=2)
        upscaled, per_module = self.upscale_float(to_planes(rgb) / np.float32(per_unit), margins=margins)
        pixels = _rounded(to_pixels(upscaled), per_unit, image.dtype, gray=image.ndim == 2)
        return pixels, [margin[0, 0] for margin in per_module]

    def upscale_float(
        self, image: NDArray[np.float32], *, margins: bool = False
    ) -> tuple[NDArray[np.float32], list[NDArray[np.float32]]]:
        """The network's own output: (N, 3, H, W) float32 0..255 -> (N, 3, sH, sW), not clamped, and margins.

        The margins are K arrays (N, 1, H, W), or an empty list where not asked for.
        """
        if image.ndim != 4 or image.shape[1] != 3 or 0 in image.shape:
            raise InputError("image", "shape (N, 3, H, W), none of them 0", str(image.shape), "transpose it first")
        return self.opened.run(image, self.theta, margins=margins)

    def active_shares(self, margins: list[NDArray[np.float32]]) -> list[float]:
        """Share of active pixels per module, 0..1."""
        return [float((margin - self.theta > 0).mean()) for margin in margins]


def _check_image(image: NDArray[Any]) -> float:
    if not isinstance(image, np.ndarray):
        raise InputError("image", "a numpy array", type(image).__name__, "convert it with numpy.asarray")
    if image.dtype not in _PER_UNIT:
        raise InputError("image", "uint8 or uint16", str(image.dtype), "convert it, or use upscale_float")
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3) or 0 in image.shape:
        raise InputError("image", "shape (H, W, 3) or (H, W)", str(image.shape), "split an alpha channel off")
    return _PER_UNIT[image.dtype]


def _rounded(upscaled: NDArray[np.float32], per_unit: float, dtype: Any, *, gray: bool) -> NDArray[Any]:
    """(H, W, 3) float 0..255 -> the same in `dtype`, or (H, W) as the mean of the three, rounded and clamped."""
    values = upscaled.mean(axis=2) if gray else upscaled
    if not np.isfinite([values.min(), values.max()]).all():
        raise BackendError("network", "finite numbers", "NaN or infinity", "run --selftest to see if the bundle works")
    pixels: NDArray[Any] = np.rint(np.clip(values, 0, 255) * np.float32(per_unit)).astype(dtype)
    return pixels
