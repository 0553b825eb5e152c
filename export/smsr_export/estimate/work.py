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


@dataclass(frozen=True)
class Measured:
    """One sample: its active pixels per module, (K, H, W) bool."""

    sample: Sample
    active: NDArray[np.bool_]

    @property
    def shares(self) -> list[float]:
        """Active share of each module, 0..1."""
        return [float(module.mean()) for module in self.active]


def measure(upscaler: Upscaler, sample: Sample) -> Measured:
    """Raises MemoryLimitError naming the sample."""
    try:
        margins = upscaler.with_margins(sample.pixels)[1]
    except MemoryLimitError as error:
        raise MemoryLimitError(sample.name, error.expected, error.got, error.todo) from error
    return Measured(sample, np.stack([margin - upscaler.theta > 0 for margin in margins]))


def together(bundle: Bundle, samples: Sequence[Measured]) -> Work:
    """Shares and MACs over all pixels of all samples."""
    pixels = sum(one.active[0].size for one in samples)
    active = sum(one.active.sum(axis=(1, 2), dtype=np.int64) for one in samples)
    shares = [float(count / pixels) for count in np.atleast_1d(active)]
    return complexity.work(config_of(bundle), bundle.manifest["dense_channels"], shares)


def config_of(bundle: Bundle) -> NetworkConfig:
    return NetworkConfig(bundle.scale, bundle.features, bundle.modules, bundle.manifest["layers"])
