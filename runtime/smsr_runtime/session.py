"""The plain Python call: `load(bundle)` gives a callable that upscales arrays."""

from __future__ import annotations

import math
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Iterable, Iterator

import numpy as np

from smsr_runtime.arrays import to_pixels, to_planes
from smsr_runtime.backend import Backend, Pending, Queue, failed, not_finite
from smsr_runtime.bundle import ENGINE, Bundle, read_bundle
from smsr_runtime.errors import SmsrError, UsageError
from smsr_runtime.inputs import check_pixels, check_planes
from smsr_runtime.opening import make_backend
from smsr_runtime.ort.native import Library, LibraryChoice
from smsr_runtime.resources import limited, parse_memory
from smsr_runtime.strips import StripJob, Strips
from smsr_runtime.tensorrt.options import EngineOptions

if TYPE_CHECKING:
    from numpy.typing import NDArray


def load(  # noqa: PLR0913, PLR0917  each has a default
    path: str | Path,
    threads: int | None = None,
    backend: str = "auto",
    theta: float = 0.0,
    engine: EngineOptions | None = None,
    library: LibraryChoice = Library.ENVIRONMENT,
    memory: int | str | None = None,
) -> Upscaler:
    """Opens a bundle directory.

    threads: None for all; backend: auto, ort or trt; theta: the quality dial, 0 as trained, higher is
    faster and less sharp; engine: whether and how a TensorRT engine is built here; library: the native library of
    backend ort, as the environment says, another file, or `Library.NONE` for the function body; memory: what the
    process may hold, in bytes or like "2G", None for all that is free: larger pictures are computed in strips.
    Raises BundleError, NativeLibraryError, BackendError, UsageError.
    """
    check_theta(theta)
    bundle = read_bundle(path, unchecked=[ENGINE] if engine and engine.rebuild else [])
    limit = None if memory is None else parse_memory(memory)
    upscaler = Upscaler(bundle, make_backend(bundle, backend, threads, engine, library), theta, limit)
    upscaler.reopening = (str(bundle.path.absolute()), threads, backend, library)
    return upscaler


def _reopened(
    path: str, threads: int | None, backend: str, library: LibraryChoice, theta: float, memory: int | None
) -> Upscaler:
    """A pickled or copied Upscaler: sessions and engines do not travel, so the bundle is opened again."""
    return load(path, threads, backend, theta, library=library, memory=memory)


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
    memory: bytes that the process may hold, or None; strips: how the last picture was cut, None for whole.
    folder: for the temporary file of a large picture's features, None for TMPDIR or the system's; step: called with
    the number of strips done and of all of them.
    """

    def __init__(self, bundle: Bundle, backend: Backend, theta: float = 0.0, memory: int | None = None) -> None:
        self.bundle = bundle
        self.scale = bundle.scale
        self.theta = theta  # checked by its setter
        self.opened = backend
        self.backend: str = backend.name
        self.compute_path = backend.path
        self.path: str = str(backend.path)
        self.memory = memory
        self.strips: Strips | None = None
        self.folder: Path | None = None
        self.step: Callable[[int, int], None] = lambda done, total: None
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
        return _reopened, (*self.reopening, self.theta, self.memory)

    def __call__(self, image: NDArray[Any]) -> NDArray[Any]:
        """Raises InputError for another shape or type, MemoryLimitError, BackendError."""
        return self._upscaled(image, margins=False)[0]

    def with_margins(self, image: NDArray[Any]) -> tuple[NDArray[Any], list[NDArray[np.float32]]]:
        """As the call, and per module its margin (H, W) or (N, H, W): a pixel was active where margin - theta > 0."""
        return self._upscaled(image, margins=True)

    def begin(self, image: NDArray[Any], *, margins: bool = False) -> Pending:
        """Begins one picture, (H, W, 3) or (H, W); `result()` of what it returns gives what `with_margins` gives.

        On a GPU it only queues the work: begin up to `ahead` pictures more before you wait for the first. On the CPU it
        computes. Raises InputError for another shape or type; all else `result()` raises.
        """
        check_pixels(image)
        if isinstance(self.opened, Queue) and image.ndim == 3:
            self.strips = None
            return self.opened.begin(image, self.theta, margins=margins)
        try:
            result = self._upscaled(image, margins=margins)
        except SmsrError as error:
            return failed(error)
        return Pending(lambda: result)

    @property
    def ahead(self) -> int:
        """How many pictures it pays to begin ahead of the one whose result is waited for: 0 on the CPU."""
        return self.opened.ahead if isinstance(self.opened, Queue) else 0

    def upscale_all(
        self, images: Iterable[NDArray[Any]], *, margins: bool = False
    ) -> Iterator[tuple[NDArray[Any], list[NDArray[np.float32]]]]:
        """Each picture's `with_margins`, in their order; on a GPU copies and computing overlap."""
        begun: deque[Pending] = deque()
        for image in images:
            begun.append(self.begin(image, margins=margins))
            if len(begun) > self.ahead:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()

    def _upscaled(self, image: NDArray[Any], *, margins: bool) -> tuple[NDArray[Any], list[NDArray[np.float32]]]:
        per_unit = check_pixels(image)
        if image.ndim == 4:  # one by one: a batch must not take N times the memory
            results = list(self.upscale_all(image, margins=margins))
            per_module = [np.stack(parts) for parts in zip(*(result[1] for result in results))]
            return np.stack([result[0] for result in results]), per_module
        if isinstance(self.opened, Queue) and image.ndim == 3:
            return self.begin(image, margins=margins).result()
        height, width = image.shape[:2]
        upscaled = np.empty((self.scale * height, self.scale * width, *image.shape[2:]), image.dtype)

        def read(first: int, end: int) -> NDArray[np.float32]:
            rows = image[first:end]
            rgb = rows if rows.ndim == 3 else np.repeat(rows[:, :, None], 3, axis=2)
            planes: NDArray[np.float32] = to_planes(rgb) / np.float32(per_unit)
            return planes

        def write(first: int, rows: NDArray[np.float32]) -> None:
            pixels = _rounded(to_pixels(rows), per_unit, image.dtype, gray=image.ndim == 2)
            upscaled[first : first + len(pixels)] = pixels

        job = StripJob(height, width, self.theta, read, write, margins, self.step, self.folder)
        return upscaled, [margin[0, 0] for margin in self._run(job, upscaled.nbytes)]

    def _run(self, job: StripJob, result_bytes: int) -> list[NDArray[np.float32]]:
        """Whole or in strips; the margins."""
        margin_bytes = 4 * self.bundle.modules * job.height * job.width if job.margins else 0
        with limited(self.memory):
            self.strips = self.opened.strips(job.height, job.width, result_bytes + margin_bytes)
            if self.strips is not None:
                return self.opened.run_strips(job, self.strips)
            upscaled, margins = self.opened.run(job.read(0, job.height), self.theta, margins=job.margins)
        job.write(0, upscaled)
        return margins

    def upscale_float(
        self, image: NDArray[np.float32], *, margins: bool = False
    ) -> tuple[NDArray[np.float32], list[NDArray[np.float32]]]:
        """The network's own output: (N, 3, H, W) float32 0..255 -> (N, 3, sH, sW), not clamped, and margins.

        The margins are K arrays (N, 1, H, W), or an empty list where not asked for.
        """
        check_planes(image)
        batch, _, height, width = image.shape
        with limited(self.memory):
            self.strips = self.opened.strips(batch * height, width)
            if self.strips is None:
                return self.opened.run(image, self.theta, margins=margins)
        upscaled = np.empty((batch, 3, self.scale * height, self.scale * width), np.float32)
        results = [self._run(self._float_job(*pair, margins=margins), upscaled.nbytes) for pair in zip(image, upscaled)]
        return upscaled, [np.concatenate(parts) for parts in zip(*results)]

    def _float_job(self, image: NDArray[np.float32], upscaled: NDArray[np.float32], *, margins: bool) -> StripJob:
        """From (3, H, W) into (3, sH, sW)."""

        def read(first: int, end: int) -> NDArray[np.float32]:
            return np.ascontiguousarray(image[None, :, first:end], np.float32)

        def write(first: int, rows: NDArray[np.float32]) -> None:
            upscaled[:, first : first + rows.shape[2]] = rows[0]

        _, height, width = image.shape
        return StripJob(height, width, self.theta, read, write, margins, self.step, self.folder)

    def check_size(self, height: int, width: int, beside: int = 0) -> None:
        """Raises MemoryLimitError, InputError for a size that cannot be computed beside so many other bytes."""
        with limited(self.memory):
            self.opened.strips(height, width, beside)

    def active_shares(self, margins: list[NDArray[np.float32]]) -> list[float]:
        """Share of active pixels per module, 0..1."""
        return [float((margin - self.theta > 0).mean()) for margin in margins]


def _rounded(upscaled: NDArray[np.float32], per_unit: float, dtype: Any, *, gray: bool) -> NDArray[Any]:
    """(H, W, 3) float 0..255 -> the same in `dtype`, or (H, W) as the mean of the three, rounded and clamped."""
    values = upscaled.mean(axis=2) if gray else upscaled
    if not np.isfinite([values.min(), values.max()]).all():
        raise not_finite()
    pixels: NDArray[Any] = np.rint(np.clip(values, 0, 255) * np.float32(per_unit)).astype(dtype)
    return pixels
