"""Which pixels a flipped mask pixel excuses: those that it can reach, and no others."""

from __future__ import annotations

import copy
import functools

import numpy as np
import pytest
import torch

from smsr.network import InferenceResult, Network, NetworkConfig
from smsr_export.parity.comparison import compare
from smsr_export.parity.pictures import Picture
from tests.helpers import random_network

SIZE = (44, 46)
PLACE = (21, 23)


class Altered:
    """What PyTorch computed, with one mask pixel of module `flipped` flipped and one output pixel 1 off."""

    def __init__(self, reference: InferenceResult, flipped: int | None, wrong: tuple[int, int]) -> None:
        self.reference, self.flipped, self.wrong = reference, flipped, wrong

    def upscale_float(self, image: object, *, margins: bool) -> tuple[np.ndarray, list[np.ndarray]]:
        upscaled = self.reference.upscaled.numpy().copy()
        upscaled[0, 1, self.wrong[0], self.wrong[1]] += 1.0
        masks = [margin.numpy().copy() for margin in self.reference.margins]
        if self.flipped is not None:
            masks[self.flipped][0, 0, PLACE[0], PLACE[1]] *= -1
        return upscaled, masks


@functools.cache
def network_of(layers: int) -> Network:
    return random_network(NetworkConfig(2, 16, 2, layers), seed=1, dtype=torch.float64)


def largest(flipped: int | None, wrong: tuple[int, int], layers: int = 2) -> float:
    shape = (1, 1, *SIZE)
    upscaled = torch.full((1, 3, 2 * SIZE[0], 2 * SIZE[1]), 100.0)
    reference = InferenceResult(upscaled, [torch.ones(shape), torch.ones(shape)])
    picture = Picture("p", np.zeros((*SIZE, 3), np.uint8))
    row = compare(network_of(layers), picture, reference, Altered(reference, flipped, wrong), "path")
    assert row.flips == int(flipped is not None) and row.mask_pixels == 2 * SIZE[0] * SIZE[1]
    return row.max_abs


@pytest.mark.parametrize(
    ("flipped", "layers", "reach"),
    [(1, 2, 4), (0, 2, 13), (1, 4, 6), (0, 4, 17)],
    ids=["last module", "first module", "last of four layers", "first of four layers"],
)
def test_a_flip_excuses_what_it_can_reach_and_nothing_beyond(flipped: int, layers: int, reach: int) -> None:
    """A layer sees 1 pixel further, so does each of the two 3x3 behind the modules (collect, tail); a mask branch 7.
    Module 2 of 2: its layers + 2. Module 1: its layers, module 2's branch and layers, + 2."""
    y, x = PLACE
    for row, column in ((y + reach, x), (y, x - reach), (y - reach, x + reach)):
        assert largest(flipped, (2 * row, 2 * column), layers) == 0.0
    for row, column in ((y - reach - 1, x), (y + reach + 1, x), (y, x - reach - 1), (y, x + reach + 1)):
        assert largest(flipped, (2 * row, 2 * column), layers) == 1.0


def test_without_a_flip_every_difference_counts() -> None:
    assert largest(None, (2 * PLACE[0], 2 * PLACE[1])) == 1.0


def test_that_reach_is_the_networks_own() -> None:
    """Which outputs change when one pixel of module 1 is switched, in the network itself, but for what channel
    attention spreads over the whole picture: it is held at 1/2 here."""
    network = copy.deepcopy(network_of(2))
    for module in network.sparse_mask_modules:
        for parameter in module.ca.conv_du[2].parameters():
            torch.nn.init.zeros_(parameter)
    image = torch.rand(1, 3, *SIZE, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 255
    branch = network.sparse_mask_modules[0].spa_mask

    def outputs(change: float) -> torch.Tensor:
        def altered(_module: object, _inputs: object, logits: torch.Tensor) -> torch.Tensor:
            logits = logits.clone()
            logits[0, 1, PLACE[0], PLACE[1]] = logits[0, 0, PLACE[0], PLACE[1]] + change
            return logits

        handle = branch.register_forward_hook(altered)
        with torch.no_grad():
            upscaled = network.infer(image).upscaled
        handle.remove()
        return upscaled

    changed = (outputs(1.0) - outputs(-1.0)).abs().amax(dim=(0, 1)) > 1e-9
    rows, columns = (side.nonzero()[:, 0] // 2 for side in (changed.any(dim=1), changed.any(dim=0)))
    distance = max((rows - PLACE[0]).abs().max().item(), (columns - PLACE[1]).abs().max().item())
    assert 2 < distance <= 13
