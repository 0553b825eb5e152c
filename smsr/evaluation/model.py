"""What evaluation asks of a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from smsr.images import Image
from smsr.network_config import NetworkConfig

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
    """How models are opened. theta: threshold on the margins; backend: of bundles; threads: None for its own choice.

    weights: the set to take where a checkpoint has several, None: the averaged one; say: takes notes on that, None: a
    warning each.
    """

    theta: float = 0.0
    backend: str = "auto"
    threads: int | None = None
    weights: str | None = None
    say: Callable[[str], None] | None = None
