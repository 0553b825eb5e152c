"""That training trains: one batch is learned by heart, sparsity follows lambda, parts do what they say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from smsr import resize
from smsr.losses import Annealing, Objective
from smsr.network import Network, NetworkConfig, Relaxation
from smsr.training import schedules, state, tail
from smsr.training.batches import Batch
from smsr.training.config import Recipe
from smsr.training.noise import NoiseSource
from smsr.training.plan import Planner
from smsr.training.reopen import SPREAD, reopen_masks
from smsr.training.validation import held_out
from tests.helpers import random_network
from tests.training.helpers import picture

CPU = torch.device("cpu")


def fit(weight: float, steps: int, rate: float = 2e-3) -> tuple[list[float], list[float]]:
    """L1 and sparsity of each step on one batch of two patches, always the same."""
    recipe = Recipe(features=16, modules=1, layers=2, steps=steps, sparsity_weight=weight, learning_rate=rate)
    training = state.new(recipe, CPU)
    highs = [picture(32, 32, seed) for seed in (1, 2)]
    low, high = (
        torch.from_numpy(np.stack(side)).permute(0, 3, 1, 2)
        for side in ([resize.downscale(h, 2) for h in highs], highs)
    )
    objective, noise = Objective(training.network), NoiseSource(recipe.network, 0, CPU)
    l1, sparsity = [], []
    for step in range(steps):
        annealing = Annealing(torch.tensor(schedules.tau(recipe, step)), torch.tensor(weight))
        losses = objective(low, high, annealing, noise.draw(step, range(2), 16, 16))
        training.optimizer.zero_grad()
        losses.total.backward()
        training.optimizer.step()
        l1.append(losses.l1.item())
        sparsity.append(losses.sparsity.item())
    return l1, sparsity


def test_one_batch_is_learned_by_heart() -> None:
    l1, _ = fit(0.0, 300)
    assert np.mean(l1[-10:]) < 0.35 * np.mean(l1[:3])


def test_sparsity_falls_as_lambda_grows() -> None:
    ends = [float(np.mean(fit(weight, 120, rate=5e-3)[1][-10:])) for weight in (0.0, 0.02, 0.3)]
    assert ends[0] > ends[1] + 0.2 > ends[2] + 0.25


def test_noise_depends_on_step_and_sample_not_on_how_samples_are_divided() -> None:
    source = NoiseSource(NetworkConfig(features=16, modules=2, layers=3), 5, CPU)
    whole = source.draw(7, range(4), 6, 8)
    parts = [source.draw(7, samples, 6, 8) for samples in (range(3), range(3, 4))]
    assert whole.spatial.shape == (2, 4, 2, 6, 8) and whole.channel.shape == (2, 1, 16, 3, 2)
    assert torch.equal(whole.spatial, torch.cat([part.spatial for part in parts], dim=1))
    assert all(torch.equal(whole.channel, part.channel) for part in parts)
    other = source.draw(8, range(4), 6, 8)
    assert not torch.equal(whole.spatial, other.spatial) and not torch.equal(whole.spatial[:, 0], whole.spatial[:, 1])
    large = source.draw(0, range(4), 64, 64).spatial  # Gumbel: mean 0.577, variance pi^2 / 6
    assert large.mean() == pytest.approx(0.577, abs=0.02) and large.var() == pytest.approx(np.pi**2 / 6, abs=0.05)


def test_plans_repeat_by_step_stay_inside_and_take_each_image_as_often_as_patches_fit() -> None:
    sizes = np.array([[20, 20], [41, 63], [20, 90]])
    planner = Planner(sizes, 20, 3, seed=1)
    assert np.bincount(planner.slots).tolist() == [1, 6, 4]
    plans = [planner.patches(step) for step in range(110)]
    again = Planner(sizes, 20, 3, seed=1).patches(109)
    assert np.array_equal(plans[109].y, again.y) and np.array_equal(plans[109].image, again.image)
    for plan in plans:
        assert (plan.y >= 0).all() and (plan.y + 20 <= sizes[plan.image, 0]).all()
        assert (plan.x >= 0).all() and (plan.x + 20 <= sizes[plan.image, 1]).all()
    # 330 samples are 30 epochs of 11 patches
    assert np.bincount(np.concatenate([plan.image for plan in plans])).tolist() == [30, 180, 120]
    assert {bool(flag) for plan in plans for flag in plan.transpose} == {False, True}


def test_schedules_are_the_papers_at_its_length_and_scale_with_a_shorter_one() -> None:
    paper = Recipe()
    assert [schedules.learning_rate(paper, 1000 * epoch) for epoch in (0, 199, 200, 999)] == pytest.approx(
        [2e-4, 2e-4, 1e-4, 2e-4 / 16]
    )
    assert [schedules.tau(paper, 1000 * epoch) for epoch in (0, 100, 300, 999)] == pytest.approx([1.0, 0.8, 0.4, 0.4])
    assert [schedules.sparsity_weight(paper, 1000 * epoch) for epoch in (0, 25, 50, 999)] == pytest.approx(
        [0.0, 0.05, 0.1, 0.1]
    )
    short = Recipe(steps=500)
    for schedule in (schedules.learning_rate, schedules.tau, schedules.sparsity_weight):
        assert schedule(short, 333) == pytest.approx(schedule(paper, 666_000))
    assert schedules.tau(Recipe(tau_schedule="constant"), 999_999) == 1.0
    assert schedules.learning_rate(Recipe(rate_schedule="cosine"), 999_999) == pytest.approx(2e-7, rel=1e-3)


def test_hard_training_forward_equals_inference() -> None:
    torch.manual_seed(0)
    network = Network(NetworkConfig(features=16, modules=2, layers=3)).double()
    image = torch.rand(2, 3, 9, 12, dtype=torch.float64) * 255.0
    with torch.no_grad():
        hard = network.relax(image, Relaxation(hard=True)).upscaled
        assert (hard - network.infer(image).upscaled).abs().max() < 1e-10


def test_reopened_masks_have_the_given_share_and_spread_and_keep_their_order() -> None:
    network = random_network(NetworkConfig(features=16, modules=2, layers=2), seed=4, dtype=torch.float32)
    for module in network.sparse_mask_modules:
        last = module.spa_mask[5]
        assert isinstance(last, torch.nn.ConvTranspose2d) and last.bias is not None
        last.weight.data *= 300.0
        last.bias.data = torch.tensor([0.0, 20000.0])  # saturated: active everywhere
    image = torch.rand(2, 3, 24, 20) * 255.0
    before = network.infer(image).margins[0]
    assert (before > 0).all()
    reopen_masks(network, image, 0.6)
    margins = network.infer(image).margins
    for margin in margins:
        assert (margin > 0).float().mean().item() == pytest.approx(0.6, abs=0.05)
        assert margin.std().item() == pytest.approx(SPREAD, rel=0.01)
    order = margins[0].flatten()[before.flatten().argsort()]
    assert (order.diff() > -1e-3).all()


def test_a_fitted_tail_is_the_one_that_made_the_pictures() -> None:
    """Pictures made by the network itself: least squares must give its own tail back."""
    network = random_network(NetworkConfig(features=16, modules=2, layers=2, scale=3), seed=7, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    lows = [torch.rand(2, 3, 24, 20, generator=generator, dtype=torch.float64) * 255.0 for _ in range(3)]
    batches = [Batch(low, network.infer(low).upscaled.detach()) for low in lows]
    expected = {name: value.clone() for name, value in network.state_dict().items()}
    for parameter in network.tail.parameters():
        torch.nn.init.normal_(parameter)
    tail.fit_tail(network, batches)
    for low, high in batches:
        assert (network.infer(low).upscaled - high).abs().max() < 1e-2
    assert all(torch.equal(value, expected[name]) for name, value in network.state_dict().items() if "tail" not in name)


def test_held_out_images_are_spread_and_few() -> None:
    assert held_out(1241, -1) == sorted(set(held_out(1241, -1))) and len(held_out(1241, -1)) == 24
    assert len(held_out(100_000, -1)) == 100 and len(held_out(3, -1)) == 1 and held_out(10, 3) == [2, 4, 7]


def test_low_sides_of_patches_read_from_files_are_those_of_the_whole_picture(tmp_path: Path) -> None:
    from smsr import images
    from smsr.training.store import Loading, load
    from tests.training.helpers import write_pictures

    sources = images.find(write_pictures(tmp_path / "p", 2, (95, 71)), 3)
    memory, files = (load(sources, Loading(3, 8, cache, 1)) for cache in ("memory", "none"))
    for corner in ((0, 0), (9, 3), (21, 13), (5, 12)):
        for ours, theirs in zip(memory.patch(1, *corner, 10), files.patch(1, *corner, 10), strict=True):
            assert np.array_equal(ours, theirs)
    assert memory.fingerprint == files.fingerprint and memory.starts.tolist() == [0, 31 * 23]
