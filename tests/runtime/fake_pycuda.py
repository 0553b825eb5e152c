"""Stand-ins for `pycuda.driver`: its names and its rules, as of pycuda 2026.1 (wrap_cudadrv.cpp, cuda.hpp)."""

from __future__ import annotations

import threading
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
    """A DeviceAllocation: int() of it is its address."""


class Stream(Owned):
    handle = 7

    def __init__(self, world: World) -> None:
        self.world = world

    def synchronize(self) -> None:
        self.world.synchronized += 1


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
        owner[...] = np.nan
        if mem_flags:
            world.memory[owner.get_device_pointer()] = owner.view(np.ndarray)
        return np.asarray(owner.view(np.ndarray))

    def mem_alloc(size: int) -> Allocation:
        assert world.pushed > 0, "no context is current"
        if size > world.too_large:
            raise CudaMemoryError("cuMemAlloc failed: out of memory")
        memory = np.full(size // 4, np.nan, np.float32)
        allocation = Allocation(memory.__array_interface__["data"][0])
        allocation.world = world
        world.memory[int(allocation)] = memory
        return allocation

    def memcpy_htod_async(device: Allocation, host: np.ndarray, stream: Stream) -> None:
        world.copies += 1
        world.memory[device][:] = host

    def memcpy_dtoh_async(host: np.ndarray, device: Allocation, stream: Stream) -> None:
        world.copies += 1
        host[:] = world.memory[device]

    def mem_get_info() -> tuple[int, int]:
        assert world.pushed > 0, "no context is current"
        return world.free, 16 << 30

    for function in (init, pagelocked_empty, mem_alloc, memcpy_htod_async, memcpy_dtoh_async, mem_get_info):
        setattr(module, function.__name__, function)
    module.__dict__.update(
        Device=make_device,
        Error=CudaError,
        MemoryError=CudaMemoryError,
        Stream=lambda: Stream(world),
        device_attribute=SimpleNamespace(INTEGRATED="INTEGRATED"),
        host_alloc_flags=SimpleNamespace(DEVICEMAP=2),
    )
    return module
