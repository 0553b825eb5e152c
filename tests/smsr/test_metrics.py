"""PSNR and SSIM as the literature measures them."""

from __future__ import annotations

import numpy as np
import pytest

from smsr import metrics


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (24, 30, 3), dtype=np.uint8)


def test_psnr_of_gray_levels_10_apart_is_the_value_computed_by_hand() -> None:
    # a gray step of 10 is a step of 10 * 219.859 / 256 = 8.58824 in Y; 20 log10(255 / 8.58824) = 29.4527
    first, second = np.full((20, 20, 3), 100, np.uint8), np.full((20, 20, 3), 110, np.uint8)
    assert metrics.psnr_y(first, second, 2) == pytest.approx(29.4527, abs=1e-4)


def test_y_runs_from_16_to_235() -> None:
    black_and_white = np.array([[[0, 0, 0], [255, 255, 255]]], np.uint8)
    assert metrics.luminance(black_and_white)[0] == pytest.approx([16.0, 235.0], abs=1e-2)


def test_y_weighs_red_green_blue_in_this_order() -> None:
    pure = np.eye(3)[None] * 255
    assert metrics.luminance(pure)[0] == pytest.approx([81.48, 144.55, 40.97], abs=0.01)


def test_equal_pictures_have_infinite_psnr_and_ssim_1() -> None:
    assert metrics.psnr_y(picture(), picture(), 2) == np.inf
    assert metrics.ssim_y(picture(), picture(), 2) == pytest.approx(1.0, abs=1e-12)


def test_the_border_does_not_count() -> None:
    damaged = picture()
    damaged[:3], damaged[-3:], damaged[:, :3], damaged[:, -3:] = 0, 0, 0, 0
    assert metrics.psnr_y(picture(), damaged, 3) == np.inf
    assert metrics.psnr_y(picture(), damaged, 2) < 40
    assert metrics.ssim_y(picture(), damaged, 3) == pytest.approx(1.0)


def test_border_0_is_the_whole_picture() -> None:
    damaged = picture()
    damaged[0, 0] = 255 - damaged[0, 0]
    assert np.isfinite(metrics.psnr_y(picture(), damaged, 0))


def test_ssim_equals_its_definition_at_one_window() -> None:
    first, second = (metrics.luminance(picture(seed)[:11, :11]) for seed in (1, 2))
    taps = np.exp(-((np.arange(11) - 5.0) ** 2) / (2 * 1.5**2))
    window = np.outer(taps, taps) / taps.sum() ** 2
    mx, my = (window * first).sum(), (window * second).sum()
    vx, vy = (window * first**2).sum() - mx**2, (window * second**2).sum() - my**2
    cov = (window * first * second).sum() - mx * my
    c1, c2 = 2.55**2, 7.65**2
    expected = (2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    assert metrics.ssim_y(picture(1)[:11, :11], picture(2)[:11, :11], 0) == pytest.approx(expected, rel=1e-9)


def test_quantise_clips_and_rounds_half_to_even() -> None:
    values = np.array([-3.0, 0.5, 1.5, 254.6, 300.0])
    assert metrics.quantise(values).tolist() == [0, 0, 2, 255, 255]
    assert metrics.quantise(values).dtype == np.uint8
