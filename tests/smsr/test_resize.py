"""Low-resolution pictures: bit for bit those the literature uses."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from smsr import resize


def read(file: Path) -> np.ndarray:
    return cv2.imread(str(file), cv2.IMREAD_COLOR)[..., ::-1]


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
