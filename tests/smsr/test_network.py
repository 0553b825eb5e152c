"""The network: training and inference forward agree, any size and split runs, gradients arrive."""

from __future__ import annotations

import functools

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from smsr import masks
from smsr.masks import ChannelGates
from smsr.network import Network, NetworkConfig, Relaxation, SparseMaskConvolutions, TrainingResult
from tests.helpers import Split, channel_mask, random_image, random_network, relative_difference

C = 16
SMALL = NetworkConfig(scale=2, features=C, modules=2, layers=3)
SPLITS: list[list[Split]] = [
    [(0, 0)] * 3,
    [(C, 0)] * 3,
    [(0, 0), (C, 0), (0, 0)],
    [(C, 0), (0, 0), (C, 0)],
    [(5, 0), (1, 0), (15, 0)],
    [(5, 4), (0, 7), (9, 7)],
    [(0, C), (3, 2), (4, 0)],
    [(6, 1), (2, 14), (0, C)],
    [(7, 0), (2, 3), (1, 0), (0, 1), (8, 8)],
    [(6, 2)],
]


@pytest.mark.parametrize("splits", SPLITS, ids=str)
@pytest.mark.parametrize("active", [0.0, 0.4, 1.0])
def test_training_forward_with_hard_masks_equals_inference(splits: list[Split], active: float) -> None:
    generator = torch.Generator().manual_seed(len(splits))
    block = SparseMaskConvolutions(C, len(splits)).double()
    with torch.no_grad():
        block.ch_mask.copy_(channel_mask(splits, C, generator))
    x = torch.randn(2, C, 7, 9, generator=generator, dtype=torch.float64)
    mask = torch.rand(2, 1, 7, 9, generator=generator) < active
    hard = masks.hard_channel_gates(block.ch_mask)
    gates = ChannelGates(hard.dense.double(), hard.sparse.double())
    with torch.inference_mode():
        assert relative_difference(block.soft(x, mask.double(), gates), block.hard(x, mask)) < 1e-12


def as_published(
    block: SparseMaskConvolutions, x: torch.Tensor, mask: torch.Tensor, gates: ChannelGates
) -> torch.Tensor:
    """The training forward with every gate where the paper has it: on features, each convolution done twice."""
    dense_before, sparse_before = torch.ones_like(gates.dense[0]), torch.zeros_like(gates.dense[0])
    outputs = []
    for layer, dense, sparse in zip(block.convolutions, gates.dense, gates.sparse, strict=True):
        d, s = dense.view(1, -1, 1, 1), sparse.view(1, -1, 1, 1)
        from_dense = layer(x * dense_before.view(1, -1, 1, 1))
        from_sparse = layer(x * sparse_before.view(1, -1, 1, 1))
        x = F.relu(d * (from_dense + mask * from_sparse) + s * mask * (from_dense + from_sparse))
        outputs.append(x)
        dense_before, sparse_before = dense, sparse
    return block.collect(torch.cat(outputs, dim=1))  # type: ignore[no-any-return]


@pytest.mark.parametrize("hard", [False, True])
def test_gates_folded_into_the_weights_change_neither_outputs_nor_gradients(hard: bool) -> None:
    generator = torch.Generator().manual_seed(5)
    block = SparseMaskConvolutions(C, 3).double()
    with torch.no_grad():
        block.ch_mask.copy_(channel_mask([(5, 4), (3, 0), (0, 7)], C, generator))
    x = torch.randn(2, C, 7, 9, generator=generator, dtype=torch.float64, requires_grad=True)
    mask = torch.rand(2, 1, 7, 9, generator=generator, dtype=torch.float64)
    dense, sparse = torch.rand(2, 3, C, generator=generator, dtype=torch.float64)
    if hard:
        sharp = masks.hard_channel_gates(block.ch_mask)
        mask, dense, sparse = (mask > 0.5).double(), sharp.dense.double(), sharp.sparse.double()
    leaves = [x, *(parameter for name, parameter in block.named_parameters() if name != "ch_mask")]
    if not hard:
        leaves += [leaf.requires_grad_() for leaf in (mask, dense, sparse)]
    ours = block.hard(x, mask > 0) if hard else block.soft(x, mask, ChannelGates(dense, sparse))
    theirs = as_published(block, x, mask, ChannelGates(dense, sparse))
    upstream = torch.randn(ours.shape, generator=generator, dtype=torch.float64)
    pairs = zip(torch.autograd.grad(ours, leaves, upstream), torch.autograd.grad(theirs, leaves, upstream), strict=True)
    assert relative_difference(ours.detach(), theirs.detach()) < 1e-13
    assert max(relative_difference(mine, other) for mine, other in pairs) < 1e-12


def test_masked_outputs_alone_would_be_another_block() -> None:
    """On inactive pixels sparse inputs must not reach dense outputs."""
    generator = torch.Generator().manual_seed(0)
    block = SparseMaskConvolutions(C, 2).double()
    block.ch_mask.data = channel_mask([(8, 0), (8, 0)], C, generator).double()
    x, mask = torch.randn(1, C, 6, 6, generator=generator, dtype=torch.float64), torch.zeros(1, 1, 6, 6).bool()
    mask[..., 3] = True
    before = block.hard(x, mask)
    first = masks.hard_channel_gates(block.ch_mask).sparse[0].bool()
    with torch.no_grad():
        block.convolutions[1].weight[:, first] = 0.0
    changed = (block.hard(x, mask) != before).any(dim=1)[0]
    assert changed[:, 3].all() and not changed[:, :3].any() and not changed[:, 4:].any()


small_network = functools.lru_cache(lambda seed: random_network(SMALL, seed, dtype=torch.float64))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(n=st.integers(1, 3), h=st.integers(1, 11), w=st.integers(1, 11), seed=st.integers(0, 3))
def test_any_batch_and_any_size_from_1x1_up_runs(n: int, h: int, w: int, seed: int) -> None:
    network = small_network(seed)
    images = random_image(n, h, w, seed)
    with torch.inference_mode():
        upscaled, margins = network.infer(images)
        singles = [network.infer(image[None]) for image in images]
    assert upscaled.shape == (n, 3, 2 * h, 2 * w) and torch.isfinite(upscaled).all()
    assert [tuple(margin.shape) for margin in margins] == [(n, 1, h, w)] * 2
    assert relative_difference(upscaled, torch.cat([single.upscaled for single in singles])) < 1e-12


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("features", [16, 32, 48, 64])
def test_every_scale_and_width_runs_in_both_modes(scale: int, features: int) -> None:
    network = random_network(NetworkConfig(scale, features, modules=2, layers=2), seed=scale)
    image = random_image(2, 5, 7, dtype=torch.float32)
    trained = network.train()(image)
    assert isinstance(trained, TrainingResult) and trained.upscaled.shape == (2, 3, 5 * scale, 7 * scale)
    assert network.eval()(image).shape == (2, 3, 5 * scale, 7 * scale)


@pytest.mark.parametrize(("modules", "layers"), [(1, 1), (1, 4), (3, 6)])
def test_any_number_of_modules_and_layers_runs(modules: int, layers: int) -> None:
    network = random_network(NetworkConfig(2, C, modules, layers))
    assert len(network.infer(random_image(1, 4, 5, dtype=torch.float32)).margins) == modules


@pytest.mark.parametrize("seed", range(6))
def test_whole_training_forward_with_sharp_masks_and_no_noise_equals_inference(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead_free: list[list[Split]] = [[(5, 0), (0, 0), (C, 0)], [(0, 0), (9, 0), (1, 0)]]
    network = random_network(SMALL, seed, dead_free, torch.float64)
    monkeypatch.setattr(masks, "gumbel_noise", lambda like, generator=None: torch.zeros_like(like))
    network.relaxation.tau = 1e-9
    image = random_image(1, 7, 6, seed)
    with torch.no_grad():
        assert relative_difference(network.relax(image).upscaled, network.infer(image).upscaled) < 1e-12


def test_a_higher_theta_never_makes_a_pixel_active() -> None:
    network = random_network(NetworkConfig(2, C, 1, 2), seed=4)
    image = random_image(1, 12, 12, dtype=torch.float32)
    with torch.inference_mode():
        (margin,) = network.infer(image).margins
        shares = [float((margin - theta > 0).float().mean()) for theta in (-1e9, -0.5, 0.0, 0.5, 1e9)]
        low, high = network.infer(image, -1e9).upscaled, network.infer(image, 1e9).upscaled
    assert shares == sorted(shares, reverse=True) and (shares[0], shares[-1]) == (1.0, 0.0)
    assert not torch.equal(low, high)


@pytest.mark.parametrize("training", [False, True])
def test_gradients_reach_every_weight_that_the_mode_uses(training: bool) -> None:
    network = random_network(SMALL, 2, [[(5, 0)] * 3, [(3, 0)] * 3]).train(training)
    if training:
        result = network(random_image(2, 8, 8, dtype=torch.float32))
        (result.upscaled.square().mean() + result.sparsity).backward()
    else:
        network(random_image(2, 8, 8, dtype=torch.float32)).square().mean().backward()
    without = {name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0}
    hard_only = {name for name, _ in network.named_parameters() if "mask" in name}
    assert without == (set() if training else hard_only)


def test_sparsity_is_the_share_of_work_left() -> None:
    network = random_network(SMALL, 1).train()
    assert 0.0 < network(random_image(1, 8, 8, dtype=torch.float32)).sparsity.item() < 1.0


def test_without_residual_the_network_is_bicubic_upscaling() -> None:
    for scale in (2, 3, 4):
        network = random_network(NetworkConfig(scale, C, 1, 1), dtype=torch.float64)
        for parameter in network.tail.parameters():
            torch.nn.init.zeros_(parameter)
        image = random_image(1, 5, 6)
        bicubic = F.interpolate(image, scale_factor=scale, mode="bicubic", align_corners=False)
        assert relative_difference(network.infer(image).upscaled.detach(), bicubic) < 1e-13


@pytest.mark.parametrize(("h", "w"), [(5, 6), (6, 5), (5, 5), (1, 1), (1, 4)])
def test_odd_sizes_take_the_mask_of_the_repeated_row_and_column(h: int, w: int) -> None:
    branch = random_network(SMALL, dtype=torch.float64).sparse_mask_modules[0].spa_mask
    x = torch.randn(1, C, h, w, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    hidden = F.pad(branch[1](branch[0](x)), (0, w % 2, 0, h % 2), mode="replicate")
    expected = torch.nn.Sequential(*list(branch)[2:])(hidden)[..., :h, :w]
    assert branch(x).shape == (1, 2, h, w) and torch.equal(branch(x), expected)


def published_keys() -> set[str]:
    weight_and_bias = ["head.0", "head.2", "collect.0", "collect.2", "tail.0"]
    keys = set()
    for k in range(5):
        weight_and_bias += [f"body.{k}.spa_mask.{i}" for i in (0, 3, 5)] + [f"body.{k}.body.collect"]
        weight_and_bias += [f"body.{k}.ca.conv_du.{i}" for i in (0, 2)]
        keys |= {f"body.{k}.body.ch_mask", *(f"body.{k}.body.body.{i}.weight" for i in range(4))}
    return keys | {f"{name}.{part}" for name in weight_and_bias for part in ("weight", "bias")}


def test_state_dict_keys_are_the_published_ones() -> None:
    assert set(Network().state_dict()) == published_keys()


@pytest.mark.parametrize(
    "wrong", [{"scale": 1}, {"scale": 5}, {"features": 24}, {"features": 0}, {"modules": 0}, {"layers": 0}], ids=str
)
def test_a_configuration_that_cannot_be_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        NetworkConfig(**wrong)


def test_sparsity_is_the_mean_share_of_work_over_all_modules() -> None:
    """With hard masks: dense channels count in full, sparse ones by the active share, dead ones not at all."""
    splits: list[list[Split]] = [[(5, 1), (0, 2), (C, 0)], [(0, 0), (9, 3), (1, 0)]]
    network = random_network(SMALL, 1, splits, torch.float64)
    image = random_image(2, 8, 9, seed=5)
    with torch.no_grad():
        found = network.relax(image, Relaxation(hard=True)).sparsity.item()
        first, second = (float((margin > 0).double().mean()) for margin in network.infer(image).margins)
    assert 0.05 < first < 0.95 and 0.05 < second < 0.95 and first != second
    # 5 + 0 + 16 dense and 10 + 14 + 0 sparse of 3 x 16 channels; then 0 + 9 + 1 and 16 + 4 + 15
    shares = [(21 + 24 * first) / 48, (10 + 35 * second) / 48]
    assert found == pytest.approx(sum(shares) / 2, abs=1e-7)


def test_a_margin_equal_to_theta_is_inactive() -> None:
    network = random_network(SMALL, 2, [[(5, 0)] * 3, [(3, 0)] * 3], torch.float64)
    for module in network.sparse_mask_modules:
        for parameter in module.spa_mask[5].parameters():
            torch.nn.init.zeros_(parameter)  # every margin is 0
    image = random_image(1, 6, 7)
    with torch.no_grad():
        never, always = (network.infer(image, theta).upscaled for theta in (1.0, -1.0))
        assert torch.equal(network.infer(image, 0.0).upscaled, never) and not torch.equal(never, always)
        assert relative_difference(network.relax(image, Relaxation(hard=True)).upscaled, never) < 1e-12
