"""Where a network works on samples: active share per module, and the MACs that remain of a dense network's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smsr import complexity
from smsr.complexity import Work
from smsr.network_config import NetworkConfig
from smsr_export.estimate.material import Sample
from smsr_runtime.bundle import Bundle
from smsr_runtime.errors import MemoryLimitError
from smsr_runtime.session import Upscaler

SIDE = 256
"""Pixels: a crop is at most so high and wide."""
_PLACES = 8
"""Per direction, of which a crop is chosen."""

Crop = tuple[slice, slice]


@dataclass(frozen=True)
class Measured:
    """One sample. shares: active share of each module, 0..1; crops: parts of it, and the mean share of the modules."""

    sample: Sample
    shares: list[float]
    crops: list[tuple[Crop, float]]

    @classmethod
    def of(cls, sample: Sample, active: NDArray[np.bool_]) -> Measured:
        """active: (K, H, W)"""
        places = [(rows, columns) for rows in _parts(sample.size[0]) for columns in _parts(sample.size[1])]
        crops = [((rows, columns), float(active[:, rows, columns].mean())) for rows, columns in places]
        return cls(sample, [float(module.mean()) for module in active], crops)

    @property
    def pixels(self) -> int:
        return self.sample.size[0] * self.sample.size[1]


def _parts(length: int) -> list[slice]:
    """SIDE long, or all of a shorter length, at evenly spread places."""
    last = max(0, length - SIDE)
    starts = sorted({round(last * place / (_PLACES - 1)) for place in range(_PLACES)})
    return [slice(start, start + min(SIDE, length)) for start in starts]


def measure(upscaler: Upscaler, sample: Sample) -> Measured:
    """Raises MemoryLimitError naming the sample."""
    try:
        margins = upscaler.with_margins(sample.pixels)[1]
    except MemoryLimitError as error:
        raise MemoryLimitError(sample.name, error.expected, error.got, error.todo) from error
    return Measured.of(sample, np.stack([margin - upscaler.theta > 0 for margin in margins]))


def together(bundle: Bundle, samples: Sequence[Measured]) -> Work:
    """Shares and MACs over all pixels of all samples."""
    weights = [one.pixels for one in samples]
    shares = [
        float(np.average(of_module, weights=weights))
        for of_module in zip(*(one.shares for one in samples), strict=True)
    ]
    return complexity.work(config_of(bundle), bundle.manifest["dense_channels"], shares)


def config_of(bundle: Bundle) -> NetworkConfig:
    return NetworkConfig(bundle.scale, bundle.features, bundle.modules, bundle.manifest["layers"])
