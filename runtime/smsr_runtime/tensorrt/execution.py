"""One engine's execution, picture by picture: a context, a stream, and buffers kept while the size stays the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Sequence

import numpy as np

from smsr_runtime.errors import BackendError, MemoryLimitError
from smsr_runtime.tensorrt.cuda_graph import CudaGraph, graphs_wanted
from smsr_runtime.tensorrt.log import Log, shared_logger
from smsr_runtime.tensorrt.machine import Machine

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Buffer:
    """float32 memory of CPU and GPU. Discrete GPU: pinned and device memory, copied; Jetson: one mapped piece."""

    def __init__(self, machine: Machine, shape: Sequence[int]) -> None:
        cuda = machine.cuda
        self._cuda = cuda
        self.shape = tuple(shape)
        elements = max(1, int(np.prod(self.shape)))
        # GPU memory runs out first, so it is allocated first: a failure leaves nothing behind in this object.
        self._device = None if machine.integrated else cuda.mem_alloc(elements * np.float32().nbytes)
        flags = cuda.host_alloc_flags.DEVICEMAP if machine.integrated else 0
        self._pinned = cuda.pagelocked_empty(elements, np.float32, mem_flags=flags)
        self.address = int(self._pinned.base.get_device_pointer() if self._device is None else self._device)

    @property
    def host(self) -> NDArray[np.float32]:
        view: NDArray[np.float32] = self._pinned.reshape(self.shape)
        return view

    def to_device(self, stream: Any) -> None:
        if self._device is not None:
            self._cuda.memcpy_htod_async(self._device, self._pinned, stream)

    def to_host(self, stream: Any) -> None:
        if self._device is not None:
            self._cuda.memcpy_dtoh_async(self._pinned, self._device, stream)


class Execution:
    """outputs: names of all the engine's outputs, float32. Owns the engine from now on."""

    def __init__(self, machine: Machine, engine: Any, outputs: Sequence[str]) -> None:
        """Raises MemoryLimitError where there is no memory for the largest picture, BackendError."""
        self._machine, self._engine = machine, engine
        self._log = Log()
        shared_logger(machine.trt, self._log)
        self._context = engine.create_execution_context()
        if self._context is None:
            todo = "free GPU memory, or --rebuild with a smaller --max-shape"
            kind = MemoryLimitError if self._log.out_of_memory else BackendError
            raise kind("TensorRT", "memory for the engine's largest picture", self._log.summary(), todo)
        self._stream = machine.cuda.Stream()
        self._outputs = list(outputs)
        self._buffers: dict[str, Buffer] = {}
        self._graphs = graphs_wanted()
        self._graph: CudaGraph | None = None
        self._recorded: tuple[Any, ...] | None = None
        self._last: tuple[Any, ...] | None = None

    def run(self, image: NDArray[np.float32], theta: float, names: Sequence[str]) -> list[NDArray[np.float32]]:
        """image (1, 3, H, W), within the profile -> the outputs of these names, copies of their own."""
        self._log = Log()
        shared_logger(self._machine.trt, self._log)  # another engine's log may have been set meanwhile
        self._prepare(image.shape)
        self._buffers["image"].host[...] = image
        self._buffers["theta"].host[...] = theta
        try:
            self._execute(tuple(names))
        finally:
            self._stream.synchronize()  # after Ctrl-C too: memory that the GPU still uses must not be freed
        return [self._buffers[name].host.copy() for name in names]

    def close(self) -> None:
        """Frees everything while the CUDA context is alive; the object must not be used afterwards."""
        self._forget_graph()
        self._buffers.clear()
        self._context = None
        self._stream = None
        self._engine = None

    def _prepare(self, shape: tuple[int, ...]) -> None:
        """Buffers for this size; those of the size before are freed first, for they may take the memory needed."""
        if self._buffers and self._buffers["image"].shape == shape:
            return
        self._forget_graph()
        self._last = None
        self._buffers.clear()
        if not self._context.set_input_shape("image", shape):
            raise BackendError("TensorRT", f"to take an image of {shape}", self._log.summary(), "run --selftest")
        try:
            self._allocate(shape)
        except BaseException:
            self._buffers.clear()  # here, where the CUDA context is current
            raise

    def _allocate(self, shape: tuple[int, ...]) -> None:
        shapes = {"image": shape, "theta": ()}
        shapes.update((name, tuple(self._context.get_tensor_shape(name))) for name in self._outputs)
        for name, tensor_shape in shapes.items():
            self._buffers[name] = Buffer(self._machine, tensor_shape)  # in no local: an exception keeps those alive
            if not self._context.set_tensor_address(name, self._buffers[name].address):
                raise BackendError("TensorRT", f"to take a buffer for {name}", self._log.summary(), "run --selftest")

    def _execute(self, names: tuple[str, ...]) -> None:
        """The first picture of a size runs without a graph: TensorRT prepares itself then, outside of any capture."""
        if not self._graphs or self._last != names:
            self._queue(names)
            self._last = names
            return
        if self._graph is None or self._recorded != names:
            self._forget_graph()
            self._graph = CudaGraph(self._stream, lambda: self._queue(names))
            self._recorded = names
        self._graph.launch(self._stream)

    def _queue(self, names: Sequence[str]) -> None:
        for name in ("image", "theta"):
            self._buffers[name].to_device(self._stream)
        if not self._context.execute_async_v3(self._stream.handle):
            got = f"a failed execution ({self._log.summary()})"
            raise BackendError("TensorRT", "a result", got, "run --selftest to see if the bundle works")
        for name in names:
            self._buffers[name].to_host(self._stream)

    def _forget_graph(self) -> None:
        if self._graph is not None:
            self._graph.close()
        self._graph = self._recorded = None
