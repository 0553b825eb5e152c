"""The plain Python call: `load(bundle)` gives a callable that upscales arrays."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from smsr_runtime.arrays import to_pixels, to_planes
from smsr_runtime.backend import Backend
from smsr_runtime.bundle import ENGINE, Bundle, read_bundle
from smsr_runtime.errors import BackendError, UsageError
from smsr_runtime.inputs import check_pixels, check_planes
from smsr_runtime.opening import make_backend
from smsr_runtime.ort.native import Library, LibraryChoice
from smsr_runtime.tensorrt.options import EngineOptions

if TYPE_CHECKING:
    from numpy.typing import NDArray


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
    check_theta(theta)
    bundle = read_bundle(path, unchecked=[ENGINE] if engine and engine.rebuild else [])
    upscaler = Upscaler(bundle, make_backend(bundle, backend, threads, engine, library), theta)
    upscaler.reopening = (str(bundle.path.absolute()), threads, backend, library)
    return upscaler


def _reopened(path: str, threads: int | None, backend: str, library: LibraryChoice, theta: float) -> Upscaler:
    """A pickled or copied Upscaler: sessions and engines do not travel, so the bundle is opened again."""
    return load(path, threads, backend, theta, library=library)


def check_theta(theta: Any) -> float:
    """The value itself. Raises UsageError for anything but a finite number: NaN would leave no pixel active."""
    if isinstance(theta, bool) or not isinstance(theta, (int, float, np.floating)) or not math.isfinite(theta):
        raise UsageError("theta", "a finite number", repr(theta), "0 is the trained value")
    return float(theta)


class Upscaler:
    """Callable: (H, W, 3), gray (H, W) or a batch (N, H, W, 3), uint8 or uint16 RGB -> scale times as high and wide.

    The result has the input's type. scale: int; theta: float, may be set.
    backend: name of what computes ("ort" or "trt"), opened: the backend itself.
    path: what the sparse modules run on ("native avx512", "function body" or "TensorRT 10.3.0 fp16"), compute_path:
    the same, typed. Pickled or copied, the bundle is opened again.
    """

    def __init__(self, bundle: Bundle, backend: Backend, theta: float = 0.0) -> None:
        self.bundle = bundle
        self.scale = bundle.scale
        self.theta = theta  # checked by its setter
        self.opened = backend
        self.backend: str = backend.name
        self.compute_path = backend.path
        self.path: str = str(backend.path)
        self.reopening: tuple[str, int | None, str, LibraryChoice] | None = None

    @property
    def theta(self) -> float:
        """The quality dial: a pixel is active where margin > theta."""
        return self._theta

    @theta.setter
    def theta(self, value: float) -> None:
        self._theta = check_theta(value)

    def __repr__(self) -> str:
        return f"<Upscaler {self.bundle.name}: x{self.scale}, {self.path}, theta {self.theta:g}>"

    def __reduce__(self) -> tuple[Any, ...]:
        if self.reopening is None:
            raise TypeError("Upscaler: expected one made by smsr_runtime.load() to pickle or copy, got another")
        return _reopened, (*self.reopening, self.theta)

    def __call__(self, image: NDArray[Any]) -> NDArray[Any]:
        """Raises InputError for another shape or type, MemoryLimitError, BackendError."""
        return self._upscaled(image, margins=False)[0]

    def with_margins(self, image: NDArray[Any]) -> tuple[NDArray[Any], list[NDArray[np.float32]]]:
        """As the call, and per module its margin (H, W) or (N, H, W): a pixel was active where margin - theta > 0."""
        return self._upscaled(image, margins=True)

    def _upscaled(self, image: NDArray[Any], *, margins: bool) -> tuple[NDArray[Any], list[NDArray[np.float32]]]:
        per_unit = check_pixels(image)
        if image.ndim == 4:  # one by one: a batch must not take N times the memory
            results = [self._upscaled(picture, margins=margins) for picture in image]
            per_module = [np.stack(parts) for parts in zip(*(result[1] for result in results))]
            return np.stack([result[0] for result in results]), per_module
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
        check_planes(image)
        return self.opened.run(image, self.theta, margins=margins)

    def active_shares(self, margins: list[NDArray[np.float32]]) -> list[float]:
        """Share of active pixels per module, 0..1."""
        return [float((margin - self.theta > 0).mean()) for margin in margins]


def _rounded(upscaled: NDArray[np.float32], per_unit: float, dtype: Any, *, gray: bool) -> NDArray[Any]:
    """(H, W, 3) float 0..255 -> the same in `dtype`, or (H, W) as the mean of the three, rounded and clamped."""
    values = upscaled.mean(axis=2) if gray else upscaled
    if not np.isfinite([values.min(), values.max()]).all():
        raise BackendError("network", "finite numbers", "NaN or infinity", "run --selftest to see if the bundle works")
    pixels: NDArray[Any] = np.rint(np.clip(values, 0, 255) * np.float32(per_unit)).astype(dtype)
    return pixels
