"""Models to evaluate: checkpoints in PyTorch, and bundles run by `smsr_runtime`, as they ship."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

import smsr_runtime
from smsr.images import Image
from smsr.network_config import NetworkConfig
from smsr_runtime.bundle import MANIFEST, SUFFIX, is_bundle
from smsr_runtime.errors import BundleError

Margins = list[NDArray[np.float32]]
"""Per module (H, W), theta subtracted: a pixel is active where its margin is above 0."""


class Model(Protocol):
    """name: for tables; backend: what computes; dense: dense channels per module and layer."""

    name: str
    backend: str
    config: NetworkConfig
    dense: list[list[int]]

    def upscale(self, low: Image) -> tuple[Image, Margins]:
        """(H, W, 3) -> (sH, sW, 3), and the K margins."""


@dataclass(frozen=True)
class Opening:
    """How models are opened. theta: threshold on the margins; backend: of bundles; threads: None for its own choice."""

    theta: float = 0.0
    backend: str = "auto"
    threads: int | None = None


def open_model(path: Path, opening: Opening) -> Model:
    """A bundle (directory) or a checkpoint (.pt, .safetensors). Raises SmsrError."""
    if is_bundle(path) or path.suffix == SUFFIX:
        return BundleModel(path, opening)
    from smsr.evaluation.torch_model import open_checkpoint  # bundles need no PyTorch

    return open_checkpoint(path, opening)


class BundleModel:
    """An exported bundle."""

    def __init__(self, path: Path, opening: Opening) -> None:
        self.upscaler = smsr_runtime.load(path, opening.threads, opening.backend, opening.theta)
        bundle = self.upscaler.bundle
        self.name, self.backend = path.name, f"{self.upscaler.backend}, {self.upscaler.path}"
        self.dense = [list(module) for module in bundle.dense_channels]
        try:
            self.config = NetworkConfig(bundle.scale, bundle.features, bundle.modules, bundle.layers)
        except ValueError as error:
            raise BundleError(path / MANIFEST, "the sizes of a network", str(error), "export it again") from error

    def upscale(self, low: Image) -> tuple[Image, Margins]:
        """Raises InputError, MemoryLimitError, BackendError."""
        pixels, margins = self.upscaler.with_margins(low)
        return np.asarray(pixels, np.uint8), [margin - np.float32(self.upscaler.theta) for margin in margins]
