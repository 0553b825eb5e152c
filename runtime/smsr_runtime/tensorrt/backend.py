"""TensorRT on an NVIDIA GPU. The only file to import tensorrt and pycuda."""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from typing import TYPE_CHECKING, Any, Iterator

import numpy as np

from smsr_runtime.bundle import ENGINE, REBUILD, Bundle
from smsr_runtime.errors import BackendError, InputError, MemoryLimitError, MissingPackageError, reason
from smsr_runtime.sizes import Profile, text
from smsr_runtime.tensorrt.execution import Execution, graphs_wanted
from smsr_runtime.tensorrt.finish import EngineOptions, check_has_model, finish_engine
from smsr_runtime.tensorrt.log import Log, opened, shared_logger
from smsr_runtime.tensorrt.machine import Machine, check_version
from smsr_runtime.tensorrt.plugin import load_plugin
from smsr_runtime.tensorrt.publish import check_here
from smsr_runtime.tensorrt.signals import held_signals

if TYPE_CHECKING:
    from numpy.typing import NDArray


def open_machine() -> Machine:
    """TensorRT, CUDA and the GPU of CUDA_DEVICE (default 0).

    Raises MissingPackageError or BackendError: what is missing, in one line; UsageError for an environment variable
    that would be refused only after an engine is built.
    """
    trt = _import_tensorrt()
    check_version(trt.__version__)
    cuda, device, context = _import_pycuda()
    major, minor = device.compute_capability()
    graphs_wanted()
    integrated = bool(device.get_attribute(cuda.device_attribute.INTEGRATED))
    return Machine(trt, cuda, context, device.name(), f"{major}.{minor}", integrated)


def _import_tensorrt() -> Any:
    todo = "install TensorRT with its Python package (docs/jetson.md), or run with --backend ort"
    try:
        import tensorrt
    except ModuleNotFoundError as error:
        raise MissingPackageError("backend trt", "the package tensorrt", "not installed", todo) from error
    except (ImportError, OSError, RuntimeError) as error:
        raise BackendError("backend trt", "a TensorRT that loads", reason(error), todo) from error
    return tensorrt


def _import_pycuda() -> tuple[Any, Any, Any]:
    """The driver's module, the GPU and its primary context, current in no thread.

    Not pycuda.autoprimaryctx: it leaves the context current in the thread that imports it, and pycuda aborts the
    process when such a thread ends.
    """
    try:
        import pycuda.driver
    except ModuleNotFoundError as error:
        todo = "pip install pycuda"
        raise MissingPackageError("backend trt", "the package pycuda", "not installed", todo) from error
    except (ImportError, OSError) as error:
        raise _no_gpu(error) from error
    try:
        pycuda.driver.init()
        device = pycuda.driver.Device(int(os.environ.get("CUDA_DEVICE", "0")))
        context = device.retain_primary_context()
    except Exception as error:  # pycuda's own errors where no driver or no GPU answers
        raise _no_gpu(error) from error
    return pycuda.driver, device, context


def _no_gpu(error: BaseException) -> BackendError:
    todo = "run on a machine with an NVIDIA GPU and its driver, or with --backend ort"
    return BackendError("backend trt", "an NVIDIA GPU", reason(error), todo)


def finish_bundle(bundle: Bundle, options: EngineOptions) -> Bundle:
    """Builds the engine of a bundle on this machine and proves it by the golden output."""
    return _finish(bundle, open_machine(), options)


def _finish(bundle: Bundle, machine: Machine, options: EngineOptions) -> Bundle:
    def prove(data: bytes, profile: Profile) -> None:
        from smsr_runtime.selftest import self_test
        from smsr_runtime.session import Upscaler

        backend = TrtBackend(bundle, machine, data, profile)
        try:
            found = self_test(Upscaler(bundle, backend))
        except InputError as error:
            options.say(f"note: no self-test, its picture is outside the profile ({error.got})")
        else:
            options.say(f"self-test passed: {found}")
        finally:
            backend.close()

    return finish_engine(bundle, machine, options, prove)


def open_backend(bundle: Bundle, options: EngineOptions, machine: Machine | None = None) -> TrtBackend:
    """The backend of a bundle, its engine built first where it is pending or `options.rebuild`.

    Raises BundleError for an engine of another GPU, TensorRT or contract.
    """
    check_has_model(bundle)
    machine = machine or open_machine()
    record = None if options.rebuild else bundle.engine()
    if record is None:
        if not options.rebuild:
            options.say("the engine of this bundle is pending: it is built for this machine now, once")
        bundle = _finish(bundle, machine, options)
        record = bundle.engine()
        assert record is not None
    check_here(bundle, record, machine)
    return TrtBackend(bundle, machine, (bundle.path / ENGINE).read_bytes(), record.profile)


class TrtBackend:
    """One engine and its execution. `path` says what computes: "TensorRT 10.3.0 fp16".

    `close()` frees the GPU's memory; a second call does nothing.
    """

    name = "trt"

    def __init__(self, bundle: Bundle, machine: Machine, data: bytes, profile: Profile) -> None:
        """data: a serialized engine for `machine`. Raises NativeLibraryError, BackendError, MemoryLimitError."""
        self.path = f"TensorRT {machine.tensorrt} {bundle.precision}"
        self._where = str(bundle.path / ENGINE)
        self._machine, self._profile = machine, profile
        self._lock = threading.Lock()
        self._margins = [f"margin_{k}" for k in range(1, bundle.modules + 1)]
        load_plugin(machine.trt, machine.major, bundle.interface_hash)
        log = Log()
        with held_signals(), machine.current(), self._cuda_errors():
            runtime = opened(machine.trt.Runtime, shared_logger(machine.trt, log), log)
            engine = runtime.deserialize_cuda_engine(data)
            if engine is None:
                raise self._not_read(log)
            self._check_tensors(engine)
            self._execution = Execution(machine, engine, ["upscaled", *self._margins])
            # When this object goes, in whichever thread, and before Python ends: while pycuda and the driver are there.
            self.close = weakref.finalize(self, _close, self._lock, machine, self._execution)

    def run(
        self, image: NDArray[np.float32], theta: float = 0.0, margins: bool = False
    ) -> tuple[NDArray[np.float32], list[NDArray[np.float32]]]:
        """As OrtBackend.run. Raises InputError for a size outside the engine's profile."""
        self._check_size((int(image.shape[2]), int(image.shape[3])))
        names = ["upscaled", *(self._margins if margins else [])]
        pictures = np.ascontiguousarray(image, dtype=np.float32)
        with self._lock, self._machine.current(), self._cuda_errors():
            results = [self._execution.run(pictures[n : n + 1], theta, names) for n in range(len(pictures))]
        upscaled, *found = [np.concatenate(parts) if len(parts) > 1 else parts[0] for parts in zip(*results)]
        return upscaled, found

    def _not_read(self, log: Log) -> BackendError | MemoryLimitError:
        if log.out_of_memory:
            todo = "close other programs, or --rebuild with a smaller --max-shape"
            return MemoryLimitError(self._where, "enough GPU memory to load it", log.summary(), todo)
        return BackendError(self._where, "an engine TensorRT can read", log.summary(), REBUILD)

    def _check_tensors(self, engine: Any) -> None:
        found = {engine.get_tensor_name(index) for index in range(engine.num_io_tensors)}
        expected = {"image", "theta", "upscaled", *self._margins}
        types = {engine.get_tensor_dtype(name) for name in found}
        if found != expected or types != {self._machine.trt.float32}:
            got = f"{', '.join(sorted(found))} in {' and '.join(sorted(map(str, types)))}"
            raise BackendError(self._where, f"tensors {', '.join(sorted(expected))} in float32", got, REBUILD)

    def _check_size(self, size: tuple[int, int]) -> None:
        if not self._profile.holds(size):
            low, high = self._profile.min, self._profile.max
            wider_low = text((min(low[0], size[0]), min(low[1], size[1])))
            wider_high = text((max(high[0], size[0]), max(high[1], size[1])))
            todo = f"widen it with --rebuild --min-shape {wider_low} --max-shape {wider_high}, or use --backend ort"
            expected = f"height x width from {text(low)} to {text(high)}, the engine's profile"
            raise InputError("picture", expected, text(size), todo)

    @contextlib.contextmanager
    def _cuda_errors(self) -> Iterator[None]:
        cuda = self._machine.cuda
        try:
            yield
        except cuda.MemoryError as error:
            free = f"{self._machine.free_memory() / 2**30:.1f} GiB free"
            todo = "close other programs, cut the picture, or --rebuild with a smaller --max-shape"
            raise MemoryLimitError("GPU", "memory for this picture", free, todo) from error
        except cuda.Error as error:
            todo = "run --selftest to see if the bundle works"
            raise BackendError(self._where, "a result", reason(error), todo) from error


def _close(lock: threading.Lock, machine: Machine, execution: Execution) -> None:
    """Frees the GPU's memory with the CUDA context current: without, pycuda refuses in all threads but one."""
    with lock, machine.current():
        execution.close()
