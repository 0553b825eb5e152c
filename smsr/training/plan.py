"""Which patches make up the batch of a step: a function of (seed, step) alone, so that a resume needs no state.

In an epoch of the data each image comes as often as patches fit into it, in an order drawn anew for each epoch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smsr.training.streams import Stream

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Patches:
    """N patches: image index; y, x of the corner and `size` in low-resolution pixels; flips, then transposition."""

    size: int
    image: Ints
    y: Ints
    x: Ints
    flip_y: Flags
    flip_x: Flags
    transpose: Flags

    def part(self, samples: range) -> Patches:
        """The patches of some samples, those of one process."""
        rows = slice(samples.start, samples.stop)
        return Patches(
            self.size, self.image[rows], self.y[rows], self.x[rows],
            self.flip_y[rows], self.flip_x[rows], self.transpose[rows],
        )  # fmt: skip


class Planner:
    """sizes: (I, 2) height and width of the low-resolution images; patch: side; batch: of all processes together."""

    def __init__(self, sizes: Ints, patch: int, batch: int, seed: int) -> None:
        self.sizes, self.patch, self.batch, self.seed = sizes, patch, batch, seed
        fitting = np.maximum(1, (sizes // patch).prod(axis=1))
        self.slots: Ints = np.repeat(np.arange(len(sizes)), fitting)
        self._epoch, self._order = -1, self.slots

    def patches(self, step: int) -> Patches:
        """The patches of a step, for all processes together."""
        images = np.array([self._image(step * self.batch + index) for index in range(self.batch)])
        random = np.random.default_rng((self.seed, Stream.CROPS, step))
        room = self.sizes[images] - self.patch + 1
        corners = np.minimum((random.random((self.batch, 2)) * room).astype(np.int64), room - 1)
        flags = random.random((self.batch, 3)) < 0.5
        return Patches(
            self.patch, images, corners[:, 0], corners[:, 1], flags[:, 0].copy(), flags[:, 1].copy(), flags[:, 2].copy()
        )

    def _image(self, sample: int) -> int:
        epoch, position = divmod(sample, len(self.slots))
        if epoch != self._epoch:
            self._epoch = epoch
            self._order = np.random.default_rng((self.seed, Stream.IMAGE_ORDER, epoch)).permutation(self.slots)
        return int(self._order[position])
