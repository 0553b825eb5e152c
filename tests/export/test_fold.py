"""Every export pass, alone and together, against PyTorch in float64.

Differences are relative to the largest value of what is compared (values reach some hundreds): 1e-13 of it.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from smsr import masks
from smsr.network import Network, NetworkConfig
from smsr_export.fold import bicubic_kernel, fold, fold_channel_masks, fold_collect, fold_logits
from smsr_export.freeze import channel_classes, freeze
from smsr_export.records import Convolution, FoldedModule, FrozenBranch
from tests.export import evaluator
from tests.helpers import Split, channel_mask, random_image, random_network, random_splits, relative_difference

EXACT = 1e-13
C = 16
SPLITS: list[list[Split]] = [
    [(0, 0)] * 4,
    [(C, 0)] * 4,
    [(0, C)] * 2,
    [(5, 3), (0, 0), (C, 0), (1, 14)],
    [(8, 0), (4, 4), (0, 5)],
    [(7, 2)],
]
SIZES = [(8, 10), (7, 9), (8, 5), (1, 1), (1, 6), (2, 1)]


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.parametrize("splits", SPLITS, ids=str)
def test_freeze_sorts_every_channel_into_the_class_that_inference_gives_it(splits: list[Split]) -> None:
    mask = channel_mask(splits, C, torch.Generator().manual_seed(0))
    gates = masks.hard_channel_gates(mask)
    for layer, (classes, split) in enumerate(zip(channel_classes(mask), splits, strict=True)):
        assert sorted(classes.order) == list(range(C)) and (len(classes.dense), len(classes.dead)) == split
        assert all(gates.dense[layer, c] == 1 for c in classes.dense)
        assert all(gates.sparse[layer, c] == 1 for c in classes.sparse)
        assert all(gates.dense[layer, c] == gates.sparse[layer, c] == 0 for c in classes.dead)


def test_freeze_keeps_every_weight() -> None:
    network = random_network(NetworkConfig(3, C, 2, 3), dtype=torch.float64)
    frozen = freeze(network, np.float64)
    state = {name: value.numpy() for name, value in network.state_dict().items()}
    assert np.array_equal(frozen.head[0].weight, state["head.0.weight"])
    assert np.array_equal(frozen.collect[1].bias, state["collect.2.bias"])
    for k, module in enumerate(frozen.modules):
        assert np.array_equal(module.branch.transposed.weight, state[f"body.{k}.spa_mask.5.weight"])
        assert np.array_equal(module.convs[2], state[f"body.{k}.body.body.2.weight"])
        assert np.array_equal(module.excite.weight, state[f"body.{k}.ca.conv_du.2.weight"])


@pytest.mark.parametrize("splits", SPLITS, ids=str)
def test_fold_channel_masks_alone(splits: list[Split]) -> None:
    """Channel attention switched off by zeros: the operator then gives half the block's output plus its input."""
    config = NetworkConfig(2, C, 1, len(splits))
    network = random_network(config, 1, [splits], torch.float64)
    frozen = freeze(network, np.float64).modules[0]
    packed, collect = fold_channel_masks(frozen.convs, frozen.classes, frozen.collect.weight)
    assert packed.shape == (len(splits), 9, C, C) and collect.shape == (len(splits) * C, C)
    for layer, (_, dead) in enumerate(splits):
        assert not packed[layer, :, :, C - dead :].any(), "a dead channel's row"
        assert not packed[layer + 1 : layer + 2, :, C - dead :].any(), "a dead channel's column in the next layer"
    x, mask_margin = torch.from_numpy(random(2, C, 6, 7)), torch.from_numpy(random(2, 1, 6, 7, seed=1))
    zeros = np.zeros((C, 1)), np.zeros(1), np.zeros((1, C)), np.zeros(C)
    folded = FoldedModule(fold_logits(frozen.branch), tuple(d for d, _ in splits), packed, collect,
                          frozen.collect.bias, *zeros)  # fmt: skip
    with torch.inference_mode():
        expected = 0.5 * network.sparse_mask_modules[0].body.hard(x, mask_margin > 0) + x
    assert relative_difference(evaluator.module(folded, x, mask_margin, 0.0), expected) < EXACT


@pytest.mark.parametrize(("h", "w"), SIZES)
def test_fold_logits_alone(h: int, w: int) -> None:
    network = random_network(NetworkConfig(2, 32, 1, 1), 2, dtype=torch.float64)
    branch = network.sparse_mask_modules[0].spa_mask
    x = torch.from_numpy(random(2, 32, h, w))
    with torch.inference_mode():
        expected = masks.spatial_margin(branch(x))
    folded = fold_logits(freeze(network, np.float64).modules[0].branch)
    assert folded.phases.weight.shape == (4, 8, 2, 2)
    assert relative_difference(evaluator.margin(folded, x), expected) < EXACT


def test_phases_equal_the_transposed_convolution_with_unequal_taps() -> None:
    """Each tap its own value: a swap of rows and columns would show."""
    weight, bias = random(3, 2, 3, 3), random(2)
    unused = Convolution(random(1, 1, 1, 1), random(1))
    phases = fold_logits(FrozenBranch(unused, unused, Convolution(weight, bias))).phases
    x = torch.from_numpy(random(1, 3, 4, 5))
    logits = F.conv_transpose2d(x, torch.from_numpy(weight), torch.from_numpy(bias), 2, 1, 1)
    margin = F.pixel_shuffle(evaluator.conv(F.pad(x, (0, 1, 0, 1)), phases, 0), 2)
    assert relative_difference(margin, logits[:, 1:] - logits[:, :1]) < EXACT


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize(("h", "w"), SIZES)
def test_bicubic_kernel_alone(scale: int, h: int, w: int) -> None:
    image = random_image(2, h, w)
    expected = F.interpolate(image, scale_factor=scale, mode="bicubic", align_corners=False)
    upscaled = F.pixel_shuffle(evaluator.bicubic(image, bicubic_kernel(scale)), scale)
    assert relative_difference(upscaled, expected) < EXACT


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_bicubic_weights_sum_to_1_so_the_mean_cancels(scale: int) -> None:
    sums = bicubic_kernel(scale).reshape(3, scale * scale, 3, 25).sum(-1)
    assert np.allclose(sums, np.eye(3)[:, None, :].repeat(scale * scale, 1), rtol=0, atol=EXACT)


@pytest.mark.parametrize("modules", [1, 2, 5])
def test_fold_collect_alone(modules: int) -> None:
    collect = Convolution(random(C, modules * C, 1, 1), random(C))
    features = [torch.from_numpy(random(2, C, 4, 5, seed=k)) for k in range(modules)]
    parts, bias = fold_collect(collect, modules)
    products = [torch.einsum("nchw,cd->ndhw", x, torch.from_numpy(p)) for x, p in zip(features, parts, strict=True)]
    collected = sum(products) + torch.from_numpy(bias).view(1, -1, 1, 1)
    assert relative_difference(collected, evaluator.conv(torch.cat(features, 1), collect, 0)) < EXACT


@pytest.mark.parametrize("seed", range(10))
def test_all_passes_together(seed: int) -> None:
    config = NetworkConfig(2 + seed % 3, [16, 32][seed % 2], 1 + seed % 4, 1 + seed % 5)
    network = random_network(config, seed, random_splits(config, seed), torch.float64)
    folded = fold(freeze(network, np.float64))
    h, w = SIZES[seed % len(SIZES)]
    image, theta = random_image(2, h, w, seed), [0.0, 0.25, -0.25][seed % 3]
    with torch.inference_mode():
        expected = network.infer(image, theta)
        upscaled, margins = evaluator.evaluate(folded, image, theta)
    assert relative_difference(upscaled, expected.upscaled) < EXACT
    for ours, theirs in zip(margins, expected.margins, strict=True):
        assert relative_difference(ours, theirs) < 1e-12
        assert torch.equal(ours > theta, theirs > theta)


def test_all_passes_together_on_the_published_weights(x2_network: Network) -> None:
    folded = fold(freeze(x2_network, np.float64))
    assert folded.modules[0].dense_channels == (24, 9, 3, 0)
    image = random_image(1, 13, 18)
    double = Network(x2_network.config).eval().double()
    double.load_state_dict(x2_network.state_dict())
    double.mean = torch.from_numpy(folded.mean).view(1, 3, 1, 1)
    with torch.inference_mode():
        upscaled, expected = evaluator.evaluate(folded, image)[0], double.infer(image).upscaled
    assert relative_difference(upscaled, expected) < EXACT
