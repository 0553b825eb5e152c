"""Low-resolution pictures: bit for bit those the literature uses. Upscaling: exact however wide the picture."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from smsr import resize


def read(file: Path) -> np.ndarray:
    image = cv2.imread(str(file), cv2.IMREAD_COLOR)
    assert image is not None
    return np.asarray(image[..., ::-1], np.uint8)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize(("name", "count"), [("Set5", 5), ("Set14", 14)])
def test_every_published_low_resolution_file_comes_out_bit_for_bit(
    shared: Path, name: str, count: int, scale: int
) -> None:
    originals = sorted((shared / "data" / name / "HR").glob("*.png"))
    assert len(originals) == count
    for original in originals:
        published = original.parent.parent / "LR_bicubic" / f"X{scale}" / f"{original.stem}x{scale}.png"
        assert np.array_equal(resize.downscale(read(original), scale), read(published)), published.name


def test_sizes_that_do_not_divide_are_cut_at_the_bottom_and_right() -> None:
    image = np.random.default_rng(0).integers(0, 256, (17, 23, 3), dtype=np.uint8)
    assert resize.crop_to_multiple(image, 4).shape == (16, 20, 3)
    assert np.array_equal(resize.downscale(image, 4), resize.downscale(image[:16, :20], 4))


def test_a_picture_of_one_colour_stays_that_colour() -> None:
    assert (resize.downscale(np.full((12, 12, 3), 77, np.uint8), 3) == 77).all()


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_picture_of_exactly_the_scale_becomes_one_pixel(scale: int) -> None:
    assert resize.downscale(np.zeros((scale, scale, 3), np.uint8), scale).shape == (1, 1, 3)


def test_a_picture_below_the_scale_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 4 pixels a side, got"):
        resize.downscale(np.zeros((3, 9, 3), np.uint8), 4)


def keys(distance: Fraction) -> Fraction:
    """Keys' cubic convolution kernel, a = -3/4, at a distance of 0 to 2."""
    a = Fraction(-3, 4)
    if distance <= 1:
        return (a + 2) * distance**3 - (a + 3) * distance**2 + 1
    return a * distance**3 - 5 * a * distance**2 + 8 * a * distance - 4 * a


def upscaled_row(row: list[int], scale: int) -> list[Fraction]:
    """Bicubic upscaling of one row in exact fractions, its end pixels repeated."""
    values = []
    for x in range(scale * len(row)):
        position = (Fraction(2 * x + 1, 2) / scale) - Fraction(1, 2)
        taps = range(position.__floor__() - 1, position.__floor__() + 3)
        weighted = [keys(abs(position - tap)) * row[min(max(tap, 0), len(row) - 1)] for tap in taps]
        values.append(sum(weighted, Fraction(0)))
    return values


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_upscaling_is_exact_far_from_the_corner(scale: int) -> None:
    row = np.random.default_rng(1).integers(0, 256, 700).tolist()
    expected = np.array([float(value) for value in upscaled_row(row, scale)])
    image = torch.tensor(row, dtype=torch.float32)[None, None, None, :].expand(1, 3, 2, 700)
    upscaled = resize.upscale(image, scale)
    assert upscaled.dtype == torch.float32 and upscaled.shape == (1, 3, 2 * scale, 700 * scale)
    assert np.abs(upscaled.numpy() - expected).max() < 2e-5
