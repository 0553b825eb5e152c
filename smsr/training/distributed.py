"""Processes of a run, as torchrun starts them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist

from smsr_runtime.errors import UsageError

T = TypeVar("T")


@dataclass(frozen=True)
class World:
    """This process: rank 0..size - 1, and its number on its machine."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def leads(self) -> bool:
        """Whether this process writes, prints and validates."""
        return self.rank == 0

    def samples(self, batch: int) -> range:
        """This process's samples of a batch; all processes together have each once. Raises UsageError."""
        if batch % self.size:
            raise UsageError("--batch", f"a multiple of the {self.size} processes", str(batch), "change one of them")
        share = batch // self.size
        return range(self.rank * share, (self.rank + 1) * share)

    def from_leader(self, value: T) -> T:
        """The leading process's value, everywhere."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def largest(self, value: int, device: torch.device) -> int:
        """The largest of all processes' values, everywhere."""
        if self.size == 1:
            return value
        tensor = torch.tensor(value, device=device)
        dist.all_reduce(tensor, op=dist.ReduceOp.MAX)
        return int(tensor)

    def mean(self, tensor: torch.Tensor) -> torch.Tensor:
        """Mean of a tensor over all processes, in place."""
        if self.size > 1:
            dist.all_reduce(tensor)
            tensor /= self.size
        return tensor

    def wait(self) -> None:
        if self.size > 1:
            dist.barrier()


@contextlib.contextmanager
def world(device: str) -> Iterator[tuple[World, torch.device]]:
    """Joins the processes that torchrun started, if any; with the device of this process. Raises UsageError."""
    here = World(*(int(os.environ.get(name, default)) for name, default in _VARIABLES))
    chosen = choose_device(device, here.local_rank)
    if here.size == 1:
        yield here, chosen
        return
    cuda = chosen.type == "cuda"
    if cuda:
        torch.cuda.set_device(chosen)
    dist.init_process_group("nccl" if cuda else "gloo", device_id=chosen if cuda else None)
    try:
        yield here, chosen
    finally:
        dist.destroy_process_group()


_VARIABLES = (("RANK", "0"), ("WORLD_SIZE", "1"), ("LOCAL_RANK", "0"))
"""Of torchrun, with their values without it, in the order of World's fields."""


def choose_device(name: str, local_rank: int = 0) -> torch.device:
    """`auto`: a GPU where there is one. Raises UsageError for a device that torch does not have."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        if device.type == "cuda" and device.index is None:
            device = torch.device("cuda", local_rank)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        first = str(error).splitlines()[0][:120]
        raise UsageError("--device", "a device torch can use", f"{name} ({first})", "use --device cpu") from error
    return device
