"""Transparent pictures through a network that overshoots and looks at neighbours: bicubic interpolation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import smsr_runtime
from smsr_runtime.media.image import decode
from smsr_runtime.media.picture import Picture
from smsr_runtime.media.transparency import spread, within_neighbours
from smsr_runtime.run.upscale import upscale_picture
from tests.runtime.helpers import SHARED, need, tiny_model, write_bundle

YELLOW = (90, 80, 60)


@pytest.fixture(scope="module")
def cubic(tmp_path_factory: pytest.TempPathFactory) -> smsr_runtime.Upscaler:
    model = tiny_model(resize={"mode": "cubic"})
    bundle = write_bundle(tmp_path_factory.mktemp("bundles") / "cubic.smsr", model)
    return smsr_runtime.load(bundle, threads=1, library=smsr_runtime.Library.NONE)


def disc(dtype: str = "uint8") -> tuple[NDArray[np.generic], NDArray[np.generic]]:
    """A yellow disc with a soft edge; black under what is wholly transparent."""
    y, x = np.mgrid[:32, :40]
    alpha = np.clip((10.5 - np.hypot(y - 15, x - 18)) * 128, 0, 255).astype(dtype)
    color = np.where(alpha[..., None] > 0, np.array(YELLOW, dtype), 0).astype(dtype)
    unit = 257 if dtype == "uint16" else 1
    return color * color.dtype.type(unit), alpha * alpha.dtype.type(unit)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_black_under_transparency_does_not_bleed(cubic: smsr_runtime.Upscaler, dtype: str) -> None:
    color, alpha = disc(dtype)
    larger, _ = upscale_picture(cubic, Picture(color, alpha), "in")
    unit = 257 if dtype == "uint16" else 1
    assert larger.alpha is not None
    off = np.abs(larger.color[larger.alpha > 0].astype(int) - np.array(YELLOW) * unit)
    assert off.max() <= unit
    bled = cubic(color)[larger.alpha > 0].astype(int) - np.array(YELLOW) * unit
    assert np.abs(bled).max() > 20 * unit  # what this network makes of black neighbours


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_alpha_is_exact_where_it_is_flat_and_never_overshoots(cubic: smsr_runtime.Upscaler, dtype: str) -> None:
    """Flat: one level in 5 x 5 pixels, all that bicubic interpolation looks at and the clamp's 3 x 3."""
    color, alpha = disc(dtype)
    most = np.iinfo(dtype).max
    steps = np.where(np.arange(40) < 20, most // 5, most // 5 * 4).astype(dtype)
    for given in (alpha, np.tile(steps, (32, 1))):
        larger, _ = upscale_picture(cubic, Picture(color, given), "in")
        assert larger.alpha is not None
        padded = np.pad(given, 1, mode="edge")
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3)).reshape(32, 40, 9)
        low, high = (side.repeat(2, 0).repeat(2, 1) for side in (windows.min(2), windows.max(2)))
        assert ((larger.alpha >= low) & (larger.alpha <= high)).all()
        assert (larger.alpha[low == high] == low[low == high]).all()
        plain = cubic(given)
        assert (plain[low == high] != low[low == high]).any()  # what the clamp is for
        inside = (plain >= low) & (plain <= high)
        assert np.array_equal(larger.alpha[inside], plain[inside])


@pytest.mark.parametrize("level", [0, 7, 255])
def test_one_level_of_alpha_stays_that_level(cubic: smsr_runtime.Upscaler, level: int) -> None:
    larger, _ = upscale_picture(cubic, Picture(disc()[0], np.full((32, 40), level, np.uint8)), "in")
    assert larger.alpha is not None
    assert np.unique(larger.alpha).tolist() == [level]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("seed", range(6))
def test_hidden_pixels_take_the_nearest_visible_colour(channels: int, seed: int) -> None:
    """Against every distance computed; cv2's masks err by a few hundredths, so nearest within a tenth."""
    random = np.random.default_rng(seed)
    alpha = (random.random((13, 17)) < 0.07).astype(np.uint8) * random.integers(1, 256, (13, 17)).astype(np.uint8)
    alpha[random.integers(13), random.integers(17)] = 1
    place = np.arange(13 * 17, dtype=np.uint16).reshape(13, 17)  # each pixel's colour says where it is from
    color = place if channels == 1 else np.dstack([place, place, place])
    filled = spread(color, alpha)
    assert np.array_equal(color, place if channels == 1 else np.dstack([place] * 3))  # not changed in place
    origin = filled if channels == 1 else filled[..., 0]
    assert np.array_equal(origin[alpha > 0], place[alpha > 0])
    ys, xs = np.nonzero(alpha)
    for y in range(13):
        for x in range(17):
            from_y, from_x = divmod(int(origin[y, x]), 17)
            assert alpha[from_y, from_x] > 0
            assert np.hypot(y - from_y, x - from_x) <= np.hypot(ys - y, xs - x).min() + 0.1


def test_nothing_visible_or_nothing_hidden_leaves_colour_as_it_is() -> None:
    color = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    for level in (0, 1):
        assert spread(color, np.full((2, 2), level, np.uint8)) is color


def test_the_clamp_takes_the_eight_neighbours_and_no_more() -> None:
    alpha = np.zeros((3, 5), np.uint8)
    alpha[1, 1] = 200
    clamped = within_neighbours(np.full((6, 10), 255, np.uint8), alpha, 2)
    assert clamped[0].tolist() == [200] * 6 + [0] * 4
    assert clamped[5].tolist() == [200] * 6 + [0] * 4


def test_trial_black_under_has_no_dark_rim(cubic: smsr_runtime.Upscaler) -> None:
    source = SHARED / "data" / "trials" / "black_under.png"
    need(source.is_file(), "shared/data/trials")
    larger, _ = upscale_picture(cubic, decode(Path(source)), "in")
    assert larger.alpha is not None
    visible = larger.color[larger.alpha > 0].astype(int)
    assert np.abs(visible - (250, 210, 60)).max() <= 2
