"""Stand-ins for `pycuda.driver`: its names and its rules, as of pycuda 2026.1 (wrap_cudadrv.cpp, cuda.hpp).

Work on a stream runs as late as the rules of streams and events allow: only when somebody waits for it, or for what
waits for it. A copy or a kernel that is not ordered behind what it needs therefore meets old memory, every time.
"""

from __future__ import annotations

import ctypes
import itertools
import threading
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from tests.runtime.fake_tensorrt import World


class CudaError(Exception):
    pass


class CudaMemoryError(CudaError):
    pass


@dataclass
class Context:
    world: World

    def push(self) -> None:
        self.world.pushed += 1

    def pop(self) -> None:
        self.world.pushed -= 1


class Owned:
    """Without a current context pycuda frees it only in the thread that made that context: here, the main one."""

    world: World

    def __del__(self) -> None:
        if not self.world.pushed and threading.current_thread() is not threading.main_thread():
            self.world.stray.append(type(self).__name__)


class Pinned(Owned, np.ndarray):
    """What pagelocked_empty's arrays have as their base."""

    def get_device_pointer(self) -> int:
        assert getattr(self, "mapped", False), "memory without DEVICEMAP has no device pointer"
        return int(self.__array_interface__["data"][0])


class Allocation(Owned, int):
    """A DeviceAllocation: int() of it is its address. Once it is gone nothing can be copied to it."""

    def __del__(self) -> None:
        super().__del__()
        self.world.memory.pop(int(self), None)


Work = Callable[[], None]
_handles = itertools.count(7)
STREAMS: weakref.WeakValueDictionary[int, Stream] = weakref.WeakValueDictionary()
"""By handle, as C functions get them."""


class Stream(Owned):
    def __init__(self, world: World) -> None:
        self.world, self.handle = world, next(_handles)
        self.queued: deque[Work] = deque()
        self.captured: list[Work] | None = None
        STREAMS[self.handle] = self

    def add(self, work: Work) -> None:
        (self.queued if self.captured is None else self.captured).append(work)

    def synchronize(self) -> None:
        self.world.synchronized += 1
        self.run_until(None)

    def run_until(self, last: Work | None) -> None:
        """Up to this piece of work and with it; None: everything."""
        while self.queued:
            if self.world.fault:
                raise CudaError(self.world.fault)
            work = self.queued.popleft()
            work()
            if work is last:
                return

    def wait_for_event(self, event: Event) -> None:
        assert event.stream is not None, "a wait for an event that was never recorded"
        stream, mark = event.stream, event.mark
        self.add(lambda: stream.run_until(mark) if mark in stream.queued else None)


class Event(Owned):
    def __init__(self, world: World) -> None:
        self.world = world
        self.stream: Stream | None = None
        self.mark: Work = lambda: None

    def record(self, stream: Stream) -> None:
        self.stream, self.mark = stream, lambda: None
        stream.add(self.mark)

    def synchronize(self) -> None:
        assert self.stream is not None, "a wait for an event that was never recorded"
        self.world.synchronized += 1
        if self.world.fault:
            raise CudaError(self.world.fault)
        if self.mark in self.stream.queued:
            self.stream.run_until(self.mark)


def _convert(pixels: Any, planes: Any, not_finite: Any, size: tuple[int, int, int], handle: int) -> None:
    """Queues what the plugin library's kernels do; not_finite: None for pixels to planes. Addresses are integers."""
    stream, (height, width, count) = STREAMS[handle], size
    memory, number = stream.world.memory, np.dtype(f"u{count}")
    units = np.float32(257 if count == 2 else 1)

    def to_planes() -> None:
        given = memory[pixels].view(number).reshape(height, width, 3)
        memory[planes].view(np.float32)[:] = (given.transpose(2, 0, 1).astype(np.float32) / units).ravel()

    def to_pixels() -> None:
        levels = memory[planes].view(np.float32).reshape(3, height, width).transpose(1, 2, 0)
        if not np.isfinite(levels).all():
            memory[not_finite].view(np.uint32)[0] = 1
        rounded = np.rint(np.clip(np.nan_to_num(levels), 0, 255) * units) + stream.world.wrong_pixels
        memory[pixels].view(number)[:] = np.minimum(rounded, np.iinfo(number).max).astype(number).ravel()

    stream.add(to_planes if not_finite is None else to_pixels)


_Hook = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 3, *[ctypes.c_int32] * 3, ctypes.c_void_p)
_hook = _Hook(lambda pixels, planes, flag, h, w, count, handle: _convert(pixels, planes, flag, (h, w, count), handle))
HOOK = str(ctypes.cast(_hook, ctypes.c_void_p).value)
"""The address of a C function by which the test's plugin library queues its kernels."""


def driver(world: World) -> ModuleType:
    module = ModuleType("pycuda.driver")

    def make_device(ordinal: int) -> Any:
        if ordinal != 0:
            raise CudaError("cuDeviceGet failed: invalid device ordinal")
        return SimpleNamespace(
            name=lambda: world.gpu,
            compute_capability=lambda: world.capability,
            get_attribute=lambda attribute: {"INTEGRATED": int(world.integrated)}[attribute],
            retain_primary_context=lambda: Context(world),
        )

    def init() -> None:
        if world.no_device:
            raise CudaError("cuInit failed: no CUDA-capable device is detected")

    def pagelocked_empty(shape: int, dtype: Any, order: str = "C", mem_flags: int = 0) -> np.ndarray:
        owner = Pinned(shape, dtype)
        owner.world, owner.mapped = world, bool(mem_flags)
        owner.view(np.ndarray).view(np.uint8)[:] = 0xFF  # NaN, as pixels white
        if mem_flags:
            world.memory[owner.get_device_pointer()] = owner.view(np.ndarray).view(np.uint8)
        return np.asarray(owner.view(np.ndarray))

    def mem_alloc(size: int) -> Allocation:
        assert world.pushed > 0, "no context is current"
        if size > world.too_large or size + sum(map(len, world.memory.values())) > world.most:
            raise CudaMemoryError("cuMemAlloc failed: out of memory")
        memory = np.full(size, 0xFF, np.uint8)
        allocation = Allocation(memory.__array_interface__["data"][0])
        allocation.world = world
        world.memory[int(allocation)] = memory
        return allocation

    def memcpy_htod_async(device: Allocation, host: np.ndarray, stream: Stream) -> None:
        world.copies += 1
        assert isinstance(host.base, Pinned), "a copy of memory that is not pinned is not asynchronous"
        stream.add(lambda: np.copyto(world.memory[device], host.view(np.uint8)))

    def memcpy_dtoh_async(host: np.ndarray, device: Allocation, stream: Stream) -> None:
        world.copies += 1
        assert isinstance(host.base, Pinned), "a copy to memory that is not pinned is not asynchronous"
        stream.add(lambda: np.copyto(host.view(np.uint8), world.memory[device]))

    def memcpy_dtod_async(to: int, source: int, size: int, stream: Stream) -> None:
        stream.add(lambda: np.copyto(world.memory[to][:size], world.memory[source][:size]))

    def mem_get_info() -> tuple[int, int]:
        assert world.pushed > 0, "no context is current"
        return world.free, 16 << 30

    copies = (memcpy_htod_async, memcpy_dtoh_async, memcpy_dtod_async)
    for function in (init, pagelocked_empty, mem_alloc, *copies, mem_get_info):
        setattr(module, function.__name__, function)
    module.__dict__.update(
        Device=make_device,
        Error=CudaError,
        MemoryError=CudaMemoryError,
        Stream=lambda: Stream(world),
        Event=lambda: Event(world),
        device_attribute=SimpleNamespace(INTEGRATED="INTEGRATED"),
        host_alloc_flags=SimpleNamespace(DEVICEMAP=2),
    )
    return module
