"""The sizes of a network; what needs no more than these needs no PyTorch."""

from __future__ import annotations

from dataclasses import dataclass

from smsr import contract


@dataclass(frozen=True)
class NetworkConfig:
    """scale: 2, 3 or 4; features C: a multiple of 16; modules K >= 1; layers L >= 1 masked convolutions per module.

    Raises ValueError for other values.
    """

    scale: int = 2
    features: int = 64
    modules: int = 5
    layers: int = 4

    def __post_init__(self) -> None:
        if self.scale not in contract.SCALES:
            raise ValueError(f"scale: expected one of {contract.SCALES}, got {self.scale}")
        if self.features < 1 or self.features % contract.CHANNEL_ATTENTION_REDUCTION:
            multiple = contract.CHANNEL_ATTENTION_REDUCTION
            raise ValueError(f"features: expected a multiple of {multiple}, got {self.features}")
        if self.modules < 1 or self.layers < 1:
            raise ValueError(f"modules, layers: expected at least 1, got {self.modules}, {self.layers}")
