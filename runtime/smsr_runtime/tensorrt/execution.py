"""One engine's execution: a context, streams, and buffers kept while the size stays the same."""

from __future__ import annotations

import contextlib
from collections import deque
from typing import TYPE_CHECKING, Any, Sequence

from smsr_runtime.backend import OTHER_MODEL
from smsr_runtime.errors import BackendError, MemoryLimitError
from smsr_runtime.tensorrt.buffers import Buffer
from smsr_runtime.tensorrt.cuda_graph import CudaGraph, graphs_wanted
from smsr_runtime.tensorrt.frames import SLOTS, Frame, Slot
from smsr_runtime.tensorrt.log import Log, shared_logger
from smsr_runtime.tensorrt.machine import Machine
from smsr_runtime.tensorrt.pixels import PixelKernels

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Execution:
    """margins: names of all the engine's outputs but `upscaled`; all are float32. Owns the engine from now on.

    Pictures come in two ways: planes in float32, one by one (`run`), and pixels, of which up to SLOTS are under way at
    once (`begin`, `finish`): while the engine computes one on its stream, the next is uploaded on another, and the
    result of the last downloaded on a third.
    """

    def __init__(
        self, machine: Machine, engine: Any, scale: int, margins: Sequence[str], kernels: PixelKernels
    ) -> None:
        """Raises MemoryLimitError where there is no memory for the largest picture, BackendError."""
        self._machine, self._engine, self._kernels = machine, engine, kernels
        self._log = Log()
        shared_logger(machine.trt, self._log)
        self._context = engine.create_execution_context()
        if self._context is None:
            todo = "free GPU memory, or --rebuild with a smaller --max-shape"
            kind = MemoryLimitError if self._log.out_of_memory else BackendError
            raise kind("TensorRT", "memory for the engine's largest picture", self._log.summary(), todo)
        self._stream, self._uploads, self._downloads = (machine.cuda.Stream() for _ in range(3))
        self._scale, self._margins = scale, list(margins)
        self._buffers: dict[str, Buffer] = {}
        self._slots: list[Slot] = []
        self._under_way: deque[tuple[Frame, Slot]] = deque()
        self._graphs = graphs_wanted()
        self._graph: CudaGraph | None = None
        self._ran = False  # at this size

    def run(self, image: NDArray[np.float32], theta: float, names: Sequence[str]) -> list[NDArray[np.float32]]:
        """image (1, 3, H, W), within the profile -> the outputs of these names, copies of their own."""
        self._finish_all()  # on a Jetson, where they compute is where this picture is written
        self._prepare(image.shape)
        self._buffers["image"].host[...] = image
        self._buffers["theta"].host[...] = theta
        try:
            for name in ("image", "theta"):
                self._buffers[name].to_device(self._stream)
            self._execute()
            for name in names:
                self._buffers[name].to_host(self._stream)
        finally:
            self._stream.synchronize()  # after Ctrl-C too: memory that the GPU still uses must not be freed
        return [self._buffers[name].host.copy() for name in names]

    def begin(self, pixels: NDArray[Any], theta: float, names: Sequence[str]) -> Frame:
        """pixels (H, W, 3), uint8 or uint16, within the profile; names: of margins. Queues all work.

        Waits only where SLOTS are under way, or those have another size or type.
        """
        height, width, _ = pixels.shape
        self._prepare((1, 3, height, width))
        slot = self._free_slot(pixels)
        for name in names:
            slot.hold(name, self._buffers[name])
        try:
            self._queue(slot, pixels, theta, names)
        except BaseException:  # Ctrl-C too; a failed GPU's error about waiting says less than this one
            with contextlib.suppress(self._machine.cuda.Error):
                self._wait()
            raise
        frame = Frame(names)
        self._under_way.append((frame, slot))
        return frame

    def finish(self, frame: Frame) -> list[NDArray[Any]]:
        """Waits for the frame -> its pixels (sH, sW, 3) and outputs. Raises what went wrong with this one."""
        while frame.outcome is None:
            self._finish_oldest()
        if isinstance(frame.outcome, Exception):
            raise frame.outcome
        return frame.outcome

    def close(self) -> None:
        """Frees everything while the CUDA context is alive; the object must not be used afterwards but to finish."""
        self._finish_all()
        self._forget_size()
        self._context = None
        self._stream = self._uploads = self._downloads = None
        self._engine = None

    def _queue(self, slot: Slot, pixels: NDArray[Any], theta: float, names: Sequence[str]) -> None:
        slot.upload(pixels, theta, self._uploads)
        stream, buffers = self._stream, self._buffers
        stream.wait_for_event(slot.events["uploaded"])
        buffers["theta"].copy_from(slot.buffers["theta"], stream)
        self._kernels.to_planes(slot.buffers["pixels"], buffers["image"], stream)
        self._execute()
        self._kernels.to_pixels(buffers["upscaled"], slot.buffers["result"], slot.buffers["not_finite"], stream)
        for name in names:
            slot.buffers[name].copy_from(buffers[name], stream)
        slot.events["computed"].record(stream)
        slot.download(names, self._downloads)

    def _finish_oldest(self) -> None:
        frame, slot = self._under_way[0]
        try:
            frame.outcome = slot.results(frame.names)
        except Exception as error:  # for who asks for this frame, not for who needs its place
            frame.outcome = error.with_traceback(None)  # which would keep the slot
        self._under_way.popleft()

    def _finish_all(self) -> None:
        while self._under_way:
            self._finish_oldest()

    def _free_slot(self, pixels: NDArray[Any]) -> Slot:
        """One that no frame uses: a new one where memory and SLOTS allow that, else that of the oldest frame."""
        if self._slots and self._slots[0].buffers["pixels"].dtype != pixels.dtype:
            self._finish_all()
            self._free_slots()
        if len(self._under_way) == len(self._slots) < SLOTS:
            try:
                self._add_slot(pixels)
            except self._machine.cuda.MemoryError:
                if not self._slots:
                    raise
        if len(self._under_way) == len(self._slots):
            self._finish_oldest()
        used = [slot for _, slot in self._under_way]
        return next(slot for slot in self._slots if slot not in used)

    def _add_slot(self, pixels: NDArray[Any]) -> None:
        slot = Slot(self._machine)
        try:
            height, width = self._buffers["upscaled"].shape[2:]
            slot.allocate(pixels, (height, width))
        except BaseException:
            slot.free()
            raise
        self._slots.append(slot)

    def _prepare(self, shape: tuple[int, ...]) -> None:
        """Buffers for this size; those of the size before are freed first, for they may take the memory needed."""
        self._log = Log()
        shared_logger(self._machine.trt, self._log)  # another engine's log may have been set meanwhile
        if self._buffers and self._buffers["image"].shape == shape:
            return
        self._finish_all()
        self._forget_size()
        if not self._context.set_input_shape("image", shape):
            raise BackendError("TensorRT", f"to take an image of {shape}", self._log.summary(), "run --selftest")
        try:
            self._allocate(shape)
        except BaseException:
            self._buffers.clear()  # here, where the CUDA context is current
            raise

    def _allocate(self, shape: tuple[int, ...]) -> None:
        _, _, height, width = shape
        outputs = {"upscaled": (1, 3, self._scale * height, self._scale * width)}
        outputs.update((name, (1, 1, height, width)) for name in self._margins)
        for name, expected in outputs.items():
            got = tuple(self._context.get_tensor_shape(name))
            if got != expected:
                raise BackendError("TensorRT", f"{name} of shape {expected}", str(got), OTHER_MODEL)
        for name, tensor_shape in {"image": shape, "theta": (), **outputs}.items():
            self._buffers[name] = Buffer(self._machine, tensor_shape)  # in no local: an exception keeps those alive
            if not self._context.set_tensor_address(name, self._buffers[name].address):
                raise BackendError("TensorRT", f"to take a buffer for {name}", self._log.summary(), "run --selftest")

    def _execute(self) -> None:
        """The first picture of a size runs without a graph: TensorRT prepares itself then, outside of any capture."""
        if not self._graphs or not self._ran:
            self._enqueue()
            self._ran = True
            return
        if self._graph is None:
            self._graph = CudaGraph(self._stream, self._enqueue)
        self._graph.launch(self._stream)

    def _enqueue(self) -> None:
        if not self._context.execute_async_v3(self._stream.handle):
            got = f"a failed execution ({self._log.summary()})"
            raise BackendError("TensorRT", "a result", got, "run --selftest to see if the bundle works")

    def _wait(self) -> None:
        for stream in (self._uploads, self._stream, self._downloads):
            stream.synchronize()

    def _forget_size(self) -> None:
        if self._graph is not None:
            self._graph.close()
        self._graph, self._ran = None, False
        self._free_slots()
        self._buffers.clear()

    def _free_slots(self) -> None:
        for slot in self._slots:
            slot.free()
        self._slots.clear()
