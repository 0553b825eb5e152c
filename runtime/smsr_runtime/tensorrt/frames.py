"""Pictures on their way through an engine: each has memory of its own, so that copies and computing overlap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Sequence

import numpy as np

from smsr_runtime.backend import not_finite
from smsr_runtime.tensorrt.buffers import Buffer
from smsr_runtime.tensorrt.machine import Machine

if TYPE_CHECKING:
    from numpy.typing import NDArray

SLOTS = 3
"""One uploads, one computes, one downloads."""


class Frame:
    """One picture. names: of the outputs asked for beside its pixels.

    outcome: the pixels and those, or what went wrong; None: neither is known yet.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)
        self.outcome: list[NDArray[Any]] | Exception | None = None


class Slot:
    """Memory of one frame under way, and events that say how far the GPU is with it."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.buffers: dict[str, Buffer] = {}
        self.events = {name: machine.cuda.Event() for name in ("uploaded", "computed", "downloaded")}

    def allocate(self, pixels: NDArray[Any], upscaled: tuple[int, int]) -> None:
        """For pictures like `pixels`, whose results have this size. What is there of it stays where memory runs out."""
        sizes: dict[str, tuple[Any, ...]] = {
            "theta": ((), np.float32),
            "pixels": (pixels.shape, pixels.dtype),
            "result": ((*upscaled, 3), pixels.dtype),
            "not_finite": ((1,), np.uint32),
        }
        for name, (shape, dtype) in sizes.items():
            self.buffers[name] = Buffer(self._machine, shape, dtype)

    def free(self) -> None:
        """While the CUDA context is current; an exception may keep the object itself for longer."""
        self.buffers.clear()
        self.events.clear()

    def hold(self, name: str, like: Buffer) -> None:
        """Memory for the engine's output `name`, which frames ask for from now on."""
        if name not in self.buffers:
            self.buffers[name] = Buffer(self._machine, like.shape)

    def upload(self, pixels: NDArray[Any], theta: float, stream: Any) -> None:
        for name, value in (("pixels", pixels), ("theta", theta), ("not_finite", 0)):
            self.buffers[name].host[...] = value
            self.buffers[name].to_device(stream)
        self.events["uploaded"].record(stream)

    def download(self, names: Sequence[str], stream: Any) -> None:
        stream.wait_for_event(self.events["computed"])
        for name in ("result", "not_finite", *names):
            self.buffers[name].to_host(stream)
        self.events["downloaded"].record(stream)

    def results(self, names: Sequence[str]) -> list[NDArray[Any]]:
        """Waits for them; copies. Raises BackendError where the network gave no numbers."""
        self.events["downloaded"].synchronize()
        if self.buffers["not_finite"].host[0]:
            raise not_finite()
        return [self.buffers[name].host.copy() for name in ("result", *names)]
