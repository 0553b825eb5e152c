"""What the passes hand on: plain frozen records of numpy arrays, before folding and after.

    Network (torch) --freeze--> FrozenNetwork --fold--> FoldedNetwork --onnx_model, trt_model--> ONNX

Convolution weights are (out, in, kh, kw) as in torch unless a docstring says else. All arrays of a
record have one floating-point type; the exporter uses float32, the tests float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


@dataclass(frozen=True)
class Convolution:
    """weight (O, I, kh, kw), bias (O,)."""

    weight: Array
    bias: Array


@dataclass(frozen=True)
class ChannelClasses:
    """Output channels of one masked convolution, by class; together a permutation of 0 .. C - 1."""

    dense: tuple[int, ...]
    sparse: tuple[int, ...]
    dead: tuple[int, ...]

    @property
    def order(self) -> list[int]:
        return [*self.dense, *self.sparse, *self.dead]


@dataclass(frozen=True)
class FrozenBranch:
    """Mask branch: two convolutions and the stride-2 transposed one, weight (I, 2, 3, 3)."""

    full: Convolution
    half: Convolution
    transposed: Convolution


@dataclass(frozen=True)
class FrozenModule:
    """A sparse mask module whose channel masks are index lists; convs: L weights (C, C, 3, 3)."""

    branch: FrozenBranch
    convs: tuple[Array, ...]
    classes: tuple[ChannelClasses, ...]
    collect: Convolution
    squeeze: Convolution
    excite: Convolution


@dataclass(frozen=True)
class FrozenNetwork:
    """The trained network with hard channel masks; mean: (3,) RGB in 0..255."""

    scale: int
    mean: Array
    head: tuple[Convolution, Convolution]
    modules: tuple[FrozenModule, ...]
    collect: tuple[Convolution, Convolution]
    tail: Convolution


@dataclass(frozen=True)
class FoldedBranch:
    """Mask branch that ends in one margin: phases (4, I, 2, 2) in row-major order of (y, x), pads [0, 0, 1, 1]."""

    full: Convolution
    half: Convolution
    phases: Convolution


@dataclass(frozen=True)
class FoldedModule:
    """Inputs and attributes of one operator node, packed as the contract says, and its mask branch."""

    branch: FoldedBranch
    dense_channels: tuple[int, ...]
    conv_weights: Array
    collect_weight: Array
    collect_bias: Array
    squeeze_weight: Array
    squeeze_bias: Array
    excite_weight: Array
    excite_bias: Array


@dataclass(frozen=True)
class FoldedNetwork:
    """Ready for the ONNX builder. collect: K (in, out) matrices, then their bias, then the 3x3.

    bicubic: (3*s*s, 3, 5, 5), no bias, on the image repeated by two pixels at its edges.
    """

    scale: int
    mean: Array
    head: tuple[Convolution, Convolution]
    modules: tuple[FoldedModule, ...]
    collect_parts: tuple[Array, ...]
    collect_bias: Array
    collect: Convolution
    tail: Convolution
    bicubic: Array

    @property
    def features(self) -> int:
        return len(self.collect_bias)

    @property
    def layers(self) -> int:
        return len(self.modules[0].dense_channels)
