"""The operator's references: numpy equals torch, and both equal the network's module after folding."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from smsr import contract, reference
from smsr.network import NetworkConfig
from smsr_export.fold import fold_module
from smsr_export.freeze import freeze
from smsr_export.records import FoldedModule
from tests.helpers import random_image, random_network, random_splits, relative_difference


@pytest.mark.parametrize("case", contract.CASES, ids=lambda case: case.name)
def test_numpy_and_torch_agree(case: contract.Case) -> None:
    inputs = reference.random_inputs(case, seed=1)
    tensors = [torch.from_numpy(array.astype(np.float64)) for array in inputs.arrays()]
    found = reference.sparse_mask_module_torch(tensors, case.dense)
    assert relative_difference(found, reference.sparse_mask_module(inputs, case.dense)) < 1e-12


def folded_inputs(
    folded: FoldedModule, features: np.ndarray, margin: np.ndarray, theta: float
) -> reference.ModuleInputs:
    weights = (getattr(folded, tensor.name) for tensor in contract.SPARSE_MASK_MODULE.inputs[3:])
    return reference.ModuleInputs(features.transpose(0, 2, 3, 1), margin, np.asarray(theta), *weights)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("theta", [0.0, 0.3])
def test_the_network_module_is_the_reference_on_folded_weights(seed: int, theta: float) -> None:
    config = NetworkConfig(2, features=16, modules=1, layers=1 + seed % 5)
    network = random_network(config, seed, random_splits(config, seed), torch.float64)
    (module,) = network.body
    x = network.head(random_image(2, 6 + seed % 2, 9, seed) - network.mean).detach()
    with torch.inference_mode():
        expected, margin = module.infer(x, theta)
    folded = fold_module(freeze(network, np.float64).modules[0])
    found = reference.sparse_mask_module(folded_inputs(folded, x.numpy(), margin.numpy(), theta), folded.dense_channels)
    assert relative_difference(found.transpose(0, 3, 1, 2), expected) < 1e-12


def test_a_margin_that_is_not_a_number_is_inactive() -> None:
    case = next(case for case in contract.CASES if case.name == "mask_off")
    off = reference.random_inputs(case)
    nan = reference.ModuleInputs(off.features, np.full_like(off.margin, np.nan), *off.arrays()[2:])
    assert np.array_equal(*(reference.sparse_mask_module(inputs, case.dense) for inputs in (off, nan)))


def test_a_margin_equal_to_theta_is_inactive() -> None:
    case = next(case for case in contract.CASES if case.name == "mask_off")
    off = reference.random_inputs(case)
    equal = reference.ModuleInputs(off.features, np.full_like(off.margin, off.theta), *off.arrays()[2:])
    assert np.array_equal(*(reference.sparse_mask_module(inputs, case.dense) for inputs in (off, equal)))


@pytest.mark.parametrize("kind", contract.MASKS)
def test_random_margins_have_the_mask_they_are_named_for(kind: str) -> None:
    inputs = reference.random_inputs(contract.Case("", (1, 9, 11), 16, (4,), kind))
    active = (inputs.margin - inputs.theta > 0)[0, 0]
    expected = {"off": (0, 0), "on": (99, 99), "one": (1, 1), "border": (36, 36)}.get(kind, (10, 90))
    assert expected[0] <= active.sum() <= expected[1]
    assert np.isnan(inputs.margin).any() == (kind == "random")
