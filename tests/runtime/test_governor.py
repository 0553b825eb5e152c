"""The controller on a plant with known times: a frame takes a + b * share seconds, and noise."""

from __future__ import annotations

import math

import numpy as np
import pytest

from smsr_runtime.errors import UsageError
from smsr_runtime.governor import Governor, Target

A, B = 0.020, 0.100
"""Seconds: with nothing active, and what everything active adds."""
MODULES = 5


def margins(busy: float, seed: int = 0) -> list[np.ndarray]:
    """Of a picture whose margins lie around `busy`, with a spread of 3: share of theta is that of a normal curve."""
    rng = np.random.default_rng(seed)
    return [(busy + 3 * rng.standard_normal((40, 50))).astype(np.float32) for _ in range(MODULES)]


def share(picture: list[np.ndarray], theta: float) -> float:
    return float(np.mean([margin > theta for margin in picture]))


def play(target: Target, pictures: list[float], noise: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Seconds and thetas of frames of these pictures."""
    governor, rng = Governor(target), np.random.default_rng(1)
    seconds, thetas = [], []
    for number, busy in enumerate(pictures):
        picture = margins(busy, number)
        thetas.append(governor.theta)
        seconds.append((A + B * share(picture, governor.theta)) * math.exp(noise * rng.standard_normal()))
        governor.see(picture, seconds[-1])
    return np.array(seconds), np.array(thetas)


@pytest.mark.parametrize("budget", [0.035, 0.050, 0.080])
def test_a_reachable_budget_is_held_within_5_percent(budget: float) -> None:
    seconds, thetas = play(Target(budget, -10, 10), [0.0] * 80)
    assert np.abs(seconds[25:] / budget - 1).max() < 0.05
    reached = -3 * np.quantile(np.random.default_rng(0).standard_normal(10**6), (budget - A) / B)
    assert abs(thetas[25:].mean() - reached) < 0.3  # the theta at which the normal curve leaves (budget - A) / B active


def test_it_is_approached_from_one_side() -> None:
    """No oscillation: from all active down to the budget, theta never turns back by more than the pictures differ."""
    _, thetas = play(Target(0.040, -10, 10), [0.0] * 60)
    assert np.diff(thetas[:15]).min() > -0.15
    assert thetas[30:].std() < 0.1


def test_noise_is_not_amplified() -> None:
    seconds, thetas = play(Target(0.050, -10, 10), [0.0] * 400, noise=0.05)
    assert abs(np.median(seconds[40:]) / 0.050 - 1) < 0.02
    assert thetas[40:].std() < 0.35


def test_from_flat_to_busy_and_back() -> None:
    """Flat: faster than the budget even at the lowest theta, which therefore is kept. Busy: the budget is held."""
    target = Target(0.050, 0, 8)
    seconds, thetas = play(target, [-6.0] * 40 + [2.0] * 60 + [-6.0] * 40)
    assert np.all(thetas[1:40] == 0)
    assert seconds[:40].max() < 0.050
    assert np.abs(seconds[55:100] / 0.050 - 1).max() < 0.05
    assert np.all(thetas[102:] == 0)
    assert seconds[102:].max() < 0.050


def test_another_picture_of_the_same_share_changes_theta_and_not_the_time() -> None:
    """From margins around 1 to such around 3: two frames later theta has followed."""
    seconds, thetas = play(Target(0.045, -10, 10), [1.0] * 40 + [3.0] * 20)
    assert np.abs(seconds[43:] / 0.045 - 1).max() < 0.06
    assert abs(thetas[43:].mean() - thetas[25:40].mean() - 2) < 0.3


def test_bounds_are_kept_and_left_at_once() -> None:
    """Out of reach for 50 frames, then easy: theta leaves its upper bound within five frames."""
    _, thetas = play(Target(0.0205, 0, 2), [4.0] * 50 + [-8.0] * 10)
    assert thetas.max() == 2
    assert np.all(thetas[10:50] == 2)
    seconds, thetas = play(Target(0.060, 0, 2), [6.0] * 50 + [1.0] * 30)
    assert np.all(thetas[15:50] == 2)
    assert np.abs(seconds[60:] / 0.060 - 1).max() < 0.05 or thetas[60:].max() == 0


def test_the_lower_bound_is_left_from_the_share_that_is_there() -> None:
    """Of ten margins three are above theta 0. A frame took 6/5 of the budget: (5/6) ** 0.4 of 0.3, so 0.279 active."""
    governor = Governor(Target(0.050, 0, 10))
    governor.see([np.array([[-1, -1, -1, 0, 0, 0, 0, 1, 2, 3]], np.float32)], 0.060)
    assert governor.theta == 1  # 0.2 are above


def test_all_rows_of_a_large_picture_count() -> None:
    """A quarter of the rows is flat. A frame far too slow: exp(-0.2) of the share 0.75, so 0.614 active."""
    picture = np.random.default_rng(0).uniform(0, 10, (400, 200)).astype(np.float32)
    picture[:100] = -5
    governor = Governor(Target(0.050, 0, 10))
    governor.see([picture], 9.0)
    assert share([picture], governor.theta) == pytest.approx(0.614, abs=0.01)


def test_one_frame_held_up_changes_little() -> None:
    governor = Governor(Target(0.050, -10, 10))
    picture = margins(0.0)
    for _ in range(40):
        governor.see(picture, A + B * share(picture, governor.theta))
    before = share(picture, governor.theta)
    governor.see(picture, 5.0)
    assert share(picture, governor.theta) > 0.8 * before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((30.0, 20.0, None), "one of the two"),
        ((0.0, None, None), "--target-fps"),
        ((None, -1.0, None), "--budget-ms"),
        ((math.nan, None, None), "--target-fps"),
        ((None, None, "0:3"), "--theta-range"),
        ((30.0, None, "3:0"), "LOW:HIGH"),
        ((30.0, None, "3"), "LOW:HIGH"),
        ((30.0, None, "0:inf"), "LOW:HIGH"),
    ],
)
def test_targets_that_mean_nothing(arguments: tuple[float | None, float | None, str | None], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Target.parse(*arguments)


def test_targets() -> None:
    assert Target.parse(25.0, None, None) == Target(0.04, 0.0, 6.0)
    assert Target.parse(None, 20.0, "-2:3.5") == Target(0.02, -2.0, 3.5)
    assert Target.parse(None, None, None) is None
