"""Runs a TensorRT engine on an NVIDIA GPU."""

from __future__ import annotations

import contextlib
import functools
import threading
import weakref
from typing import TYPE_CHECKING, Any, Iterator, NoReturn

import numpy as np

from smsr_runtime.backend import TENSORRT, ComputePath, Pending, check_outputs, failed
from smsr_runtime.bundle import ENGINE, REBUILD, Bundle
from smsr_runtime.errors import BackendError, InputError, MemoryLimitError, SmsrError, reason
from smsr_runtime.resources import in_units
from smsr_runtime.signals import held_signals
from smsr_runtime.sizes import Profile, text
from smsr_runtime.tensorrt.execution import Execution
from smsr_runtime.tensorrt.frames import SLOTS, Frame
from smsr_runtime.tensorrt.log import Log, opened, shared_logger
from smsr_runtime.tensorrt.machine import Machine
from smsr_runtime.tensorrt.pixels import PixelKernels
from smsr_runtime.tensorrt.plugin import load_plugin

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from smsr_runtime.backend import Result
    from smsr_runtime.strips import StripJob, Strips


class TrtBackend:
    """One engine and its execution: a `smsr_runtime.backend.Backend`, and a `Queue`.

    `close()` frees the GPU's memory; a second call does nothing.
    """

    name = "trt"
    cuts = False
    ahead = SLOTS - 1

    def __init__(self, bundle: Bundle, machine: Machine, data: bytes, profile: Profile) -> None:
        """data: a serialized engine for `machine`. Raises NativeLibraryError, BackendError, MemoryLimitError."""
        self.path = compute_path(bundle, machine)
        self._where = str(bundle.path / ENGINE)
        self._machine, self._profile, self._scale = machine, profile, bundle.scale
        self._lock = threading.Lock()
        self._margins = [f"margin_{k}" for k in range(1, bundle.modules + 1)]
        kernels = PixelKernels(load_plugin(machine.trt, machine.major, bundle.interface_hash))
        log = Log()
        with held_signals(), machine.current(), self._cuda_errors():
            runtime = opened(machine.trt.Runtime, shared_logger(machine.trt, log), log)
            engine = runtime.deserialize_cuda_engine(data)
            if engine is None:
                raise self._not_read(log)
            self._check_tensors(engine)
            self._execution = Execution(machine, engine, bundle.scale, self._margins, kernels)
            # Runs when this object goes, in whichever thread, and before Python ends: pycuda and the driver still work.
            self.close = weakref.finalize(self, _close, self._lock, machine, self._execution)

    def run(
        self, image: NDArray[np.float32], theta: float = 0.0, *, margins: bool = False
    ) -> tuple[NDArray[np.float32], list[NDArray[np.float32]]]:
        """As `Backend.run`. Raises InputError for a size outside the engine's profile."""
        self._check_size((int(image.shape[2]), int(image.shape[3])))
        names = ["upscaled", *(self._margins if margins else [])]
        pictures = np.ascontiguousarray(image, dtype=np.float32)
        with self._lock, self._machine.current(), self._cuda_errors():
            results = [self._execution.run(pictures[n : n + 1], theta, names) for n in range(len(pictures))]
        upscaled, *asked_for = [np.concatenate(parts) if len(parts) > 1 else parts[0] for parts in zip(*results)]
        check_outputs(self._where, (image.shape, self._scale), upscaled, asked_for)
        return upscaled, asked_for

    def begin(self, pixels: NDArray[Any], theta: float = 0.0, *, margins: bool = False) -> Pending:
        """As `Queue.begin`."""
        height, width, _ = pixels.shape
        try:
            self._check_size((height, width))
            with self._lock, self._machine.current(), self._cuda_errors():
                frame = self._execution.begin(pixels, theta, self._margins if margins else [])
        except SmsrError as error:
            return failed(error)
        return Pending(functools.partial(self._finish, frame))

    def _finish(self, frame: Frame) -> Result:
        with self._lock, self._machine.current(), self._cuda_errors():
            upscaled, *margins = self._execution.finish(frame)
        return upscaled, [margin[0, 0] for margin in margins]

    def strips(self, height: int, width: int, beside: int = 0) -> None:
        """None: an engine takes a picture whole or not at all. Raises InputError for a size outside its profile."""
        self._check_size((height, width))

    def run_strips(self, job: StripJob, strips: Strips) -> NoReturn:
        todo = "use smsr-run --backend ort"
        raise BackendError(self._where, "a whole picture", f"{strips.count} strips of {job.width} pixels", todo)

    def _not_read(self, log: Log) -> BackendError | MemoryLimitError:
        if log.out_of_memory:
            todo = "close other programs, or --rebuild with a smaller --max-shape"
            return MemoryLimitError(self._where, "enough GPU memory to load it", log.summary(), todo)
        return BackendError(self._where, "an engine TensorRT can read", log.summary(), REBUILD)

    def _check_tensors(self, engine: Any) -> None:
        names = {engine.get_tensor_name(index) for index in range(engine.num_io_tensors)}
        expected = {"image", "theta", "upscaled", *self._margins}
        types = {engine.get_tensor_dtype(name) for name in names}
        if names != expected or types != {self._machine.trt.float32}:
            got = f"{', '.join(sorted(names))} in {' and '.join(sorted(map(str, types)))}"
            raise BackendError(self._where, f"tensors {', '.join(sorted(expected))} in float32", got, REBUILD)

    def _check_size(self, size: tuple[int, int]) -> None:
        if not self._profile.holds(size):
            low, high = self._profile.min, self._profile.max
            wider_low = text((min(low[0], size[0]), min(low[1], size[1])))
            wider_high = text((max(high[0], size[0]), max(high[1], size[1])))
            todo = f"--rebuild --min-shape {wider_low} --max-shape {wider_high}, or use smsr-run --backend ort"
            expected = f"height x width from {text(low)} to {text(high)}, the engine's profile"
            raise InputError("picture", expected, text(size), todo)

    @contextlib.contextmanager
    def _cuda_errors(self) -> Iterator[None]:
        cuda = self._machine.cuda
        try:
            yield
        except cuda.MemoryError as error:
            free = f"{in_units(self._machine.free_memory())} free"
            todo = "close other programs, cut the picture, or --rebuild with a smaller --max-shape"
            raise MemoryLimitError("GPU", "memory for this picture", free, todo) from error
        except cuda.Error as error:
            todo = "run --selftest to see if the bundle works"
            raise BackendError(self._where, "a result", reason(error), todo) from error


def compute_path(bundle: Bundle, machine: Machine) -> ComputePath:
    return ComputePath(TENSORRT, bundle.precision, machine.tensorrt)


def _close(lock: threading.Lock, machine: Machine, execution: Execution) -> None:
    """Frees the GPU's memory with the CUDA context current: without, pycuda refuses in all threads but one."""
    with lock, machine.current():
        execution.close()
