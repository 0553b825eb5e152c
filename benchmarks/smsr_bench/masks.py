"""Networks with another active share: the real mask branches, their margins shifted.

A module's margin minus its own quantile is active on exactly the given share of pixels, which are clustered as the
trained network clusters them: its mask, at another threshold. The mask branches cost what they always cost.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from smsr_export.records import FoldedNetwork

ALWAYS = 1e6
"""Larger than any margin: added, every pixel is active; subtracted, none is."""

Margins = Callable[[FoldedNetwork], list[NDArray[np.float32]]]


def with_active_share(network: FoldedNetwork, share: float, margins: Margins) -> FoldedNetwork:
    """Every module active on `share` (0..1) of the pixels of the picture that `margins` (network -> K margins) is for.

    Module by module, since each one's features depend on the masks before. Where many margins are equal (flat
    regions) the resulting share differs from `share`; callers report the resulting one.
    """
    if share in (0.0, 1.0):
        for index in range(len(network.modules)):
            network = _shifted(network, index, ALWAYS if share else -ALWAYS)
        return network
    for index in range(len(network.modules)):
        threshold = float(np.quantile(margins(network)[index], 1.0 - share))
        network = _shifted(network, index, -threshold)
    return network


def _shifted(network: FoldedNetwork, index: int, amount: float) -> FoldedNetwork:
    """Module `index`'s margin plus `amount`."""
    modules = list(network.modules)
    branch = modules[index].branch
    bias = branch.phases.bias + branch.phases.bias.dtype.type(amount)
    phases = dataclasses.replace(branch.phases, bias=bias)
    modules[index] = dataclasses.replace(modules[index], branch=dataclasses.replace(branch, phases=phases))
    return dataclasses.replace(network, modules=tuple(modules))
