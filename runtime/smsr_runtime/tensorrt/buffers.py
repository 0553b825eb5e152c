"""Memory of CPU and GPU in pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Sequence

import numpy as np

from smsr_runtime.tensorrt.machine import Machine

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Buffer:
    """Memory of CPU and GPU. Discrete GPU: device memory, and pinned memory once `host` is used; copied. Jetson: one
    mapped piece."""

    def __init__(self, machine: Machine, shape: Sequence[int], dtype: Any = np.float32) -> None:
        self._machine = machine
        self.shape, self.dtype = tuple(shape), np.dtype(dtype)
        self._elements = max(1, int(np.prod(self.shape)))
        self._pinned: NDArray[Any] | None = None
        self._device = None if machine.integrated else machine.cuda.mem_alloc(self.nbytes)
        at: Any = self._pinned_memory().base.get_device_pointer() if machine.integrated else self._device
        self.address = int(at)

    @property
    def nbytes(self) -> int:
        return int(self._elements * self.dtype.itemsize)

    @property
    def host(self) -> NDArray[Any]:
        view: NDArray[Any] = self._pinned_memory().reshape(self.shape)
        return view

    def to_device(self, stream: Any) -> None:
        if self._device is not None:
            self._machine.cuda.memcpy_htod_async(self._device, self._pinned_memory(), stream)

    def to_host(self, stream: Any) -> None:
        if self._device is not None:
            self._machine.cuda.memcpy_dtoh_async(self._pinned_memory(), self._device, stream)

    def copy_from(self, other: Buffer, stream: Any) -> None:
        """On the GPU; both of one size."""
        self._machine.cuda.memcpy_dtod_async(self.address, other.address, self.nbytes, stream)

    def _pinned_memory(self) -> Any:
        if self._pinned is None:
            cuda = self._machine.cuda
            flags = cuda.host_alloc_flags.DEVICEMAP if self._machine.integrated else 0
            self._pinned = cuda.pagelocked_empty(self._elements, self.dtype, mem_flags=flags)
        return self._pinned
