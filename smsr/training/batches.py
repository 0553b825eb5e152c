"""Batches of patches: cut by DataLoader workers on the CPU (the reference), or by indexing on the device.

Both give uint8 (n, 3, p, p) and (n, 3, sp, sp) tensors on the device, the same values, for the samples of one process.
"""

from __future__ import annotations

import signal
import warnings
from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from smsr.images import Image
from smsr.training.plan import Patches, Planner
from smsr.training.store import Store


class Batch(NamedTuple):
    """low (n, 3, p, p) and high (n, 3, sp, sp), uint8 RGB."""

    low: Tensor
    high: Tensor


class Batches(Protocol):
    def run(self, first: int, stop: int) -> Iterator[Batch]:
        """The batches of steps first..stop - 1."""


class HostBatches(Dataset[Batch]):
    """Item number `step` is this process's part of that step's batch."""

    def __init__(self, store: Store, planner: Planner, samples: range, device: torch.device, workers: int) -> None:
        self.store, self.planner, self.samples = store, planner, samples
        self.device, self.workers = device, workers

    def __getitem__(self, step: int) -> Batch:
        patches = self.planner.patches(step).part(self.samples)
        pairs = [
            [_turn(side, patches, index) for side in self.store.patch(image, y, x, patches.size)]
            for index, (image, y, x) in enumerate(
                zip(patches.image.tolist(), patches.y.tolist(), patches.x.tolist(), strict=True)
            )
        ]
        # in C order whatever the flips: the order in memory decides how sums are rounded
        sides = [np.ascontiguousarray(np.stack([pair[side] for pair in pairs])) for side in (0, 1)]
        low, high = map(torch.from_numpy, sides)
        return Batch(low.permute(0, 3, 1, 2), high.permute(0, 3, 1, 2))

    def run(self, first: int, stop: int) -> Iterator[Batch]:
        for batch in self._batches(range(first, stop)):
            yield Batch(*(side.to(self.device, non_blocking=True) for side in batch))

    def _batches(self, steps: range) -> Iterator[Batch]:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "This DataLoader will create")  # more workers than processors: no harm
            loader: DataLoader[Batch] = DataLoader(
                self,
                batch_size=None,
                sampler=steps,
                num_workers=self.workers,
                pin_memory=self.device.type == "cuda",
                worker_init_fn=_leave_signals_to_the_parent if self.workers else None,
                prefetch_factor=4 if self.workers else None,
                # draws the workers' base seed, which nothing uses, so that torch's own generator stays untouched
                generator=torch.Generator(),
            )
            return iter(loader)


class DeviceBatches:
    """All pictures are on the device; a batch is two gathers."""

    def __init__(self, store: Store, planner: Planner, samples: range, device: torch.device) -> None:
        assert store.pixels is not None
        self.planner, self.samples, self.scale, self.device = planner, samples, store.scale, device
        self.low, self.high = (side.to(device) for side in store.pixels)
        self.starts, self.widths = store.starts, store.sizes[:, 1]

    def run(self, first: int, stop: int) -> Iterator[Batch]:
        for step in range(first, stop):
            patches = self.planner.patches(step).part(self.samples)
            yield Batch(self._gather(self.low, patches, 1), self._gather(self.high, patches, self.scale))

    def _gather(self, pixels: Tensor, patches: Patches, scale: int) -> Tensor:
        """(n, 3, side, side), channels last in memory; scale: side is this multiple of the planned patches'."""
        width = self.widths[patches.image] * scale
        corner = self.starts[patches.image] * scale**2 + patches.y * scale * width + patches.x * scale
        numbers = np.stack([corner, width, patches.flip_y, patches.flip_x, patches.transpose])
        table = torch.from_numpy(numbers)
        if self.device.type == "cuda":
            table = table.pin_memory()
        corners, widths, flip_y, flip_x, transpose = table.to(self.device, non_blocking=True)[:, :, None, None]
        side = torch.arange(patches.size * scale, device=self.device)
        rows, columns = side[None, :, None], side[None, None, :]
        y = torch.where(transpose > 0, columns, rows)
        x = torch.where(transpose > 0, rows, columns)
        y = torch.where(flip_y > 0, len(side) - 1 - y, y)
        x = torch.where(flip_x > 0, len(side) - 1 - x, x)
        return pixels[corners + y * widths + x].permute(0, 3, 1, 2)


def _turn(side: Image, patches: Patches, index: int) -> Image:
    if patches.flip_y[index]:
        side = side[::-1]
    if patches.flip_x[index]:
        side = side[:, ::-1]
    return side.swapaxes(0, 1) if patches.transpose[index] else side


def _leave_signals_to_the_parent(worker: int) -> None:
    """Ctrl-C reaches the whole process group; the parent alone decides when a worker ends."""
    del worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
