"""The Python call as people use and misuse it: every usual mistake gets its own hint, nothing wrong is computed."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest

import smsr_runtime
from tests.runtime.helpers import MODULES, nearest, plain_python


@pytest.fixture
def upscaler(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> smsr_runtime.Upscaler:
    monkeypatch.setenv("SMSR_ORT_LIBRARY", "none")
    return smsr_runtime.load(bundle, threads=1)


def pixels(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 101, shape, dtype=np.uint8)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (pixels(8, 8, 3) / np.float32(255), ("float32, 0 to 0.", "scale it from 0..1")),
        (pixels(8, 8, 3).astype(np.float64), ("float64, 0 to", "round and clip", "upscale_float")),
        (pixels(8, 8, 3) > 50, ("bool", "255 * image")),
        (pixels(8, 8, 3).astype(np.int64), ("int64", "uint8")),
        (pixels(3, 8, 9), ("(3, 8, 9)", "channels come last: numpy.moveaxis(image, -3, -1)")),
        (pixels(2, 3, 8, 9), ("(2, 3, 8, 9)", "channels come last: numpy.moveaxis(image, -3, -1)")),
        (pixels(8, 9, 1), ("(8, 9, 1)", "image[..., 0]")),
        (pixels(8, 9, 4), ("(8, 9, 4)", "alpha")),
        (pixels(8, 9, 2), ("(8, 9, 2)", "alpha")),
        (pixels(5, 8, 9), ("(5, 8, 9)", "gray pictures")),
        (pixels(0, 8, 3), ("no pixels", "(0, 8, 3)")),
        (pixels(0), ("no pixels",)),
        (pixels(4), ("(4,)", "one RGB picture")),
        ([[1, 2], [3, 4]], ("list", "numpy.asarray")),
    ],
    ids=lambda value: str(getattr(value, "shape", "")) if not isinstance(value, tuple) else "",
)
def test_each_usual_mistake_has_its_own_hint(
    upscaler: smsr_runtime.Upscaler, image: np.ndarray, words: tuple[str, ...]
) -> None:
    with pytest.raises(smsr_runtime.InputError) as caught:
        upscaler(image)
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.full((1, 3, 4, 4), 0.5, np.float32), ("fractions of 0.5 to 0.5", "multiply it by 255")),
        (np.full((1, 3, 4, 4), 255.5, np.float32), ("255.5 to 255.5", "clip")),
        (np.full((1, 3, 4, 4), -1, np.float32), ("-1 to -1",)),
        (np.full((1, 3, 4, 4), np.nan, np.float32), ("nan",)),
        (np.full((1, 3, 4, 4), np.inf, np.float32), ("inf",)),
        (np.full((1, 3, 4, 4), 7, np.uint8), ("uint8", "call the upscaler itself")),
        (np.full((1, 4, 4, 3), 7, np.float32), ("(1, 4, 4, 3)", "transpose")),
    ],
    ids=["unit range", "above", "below", "nan", "infinity", "integers", "channels last"],
)
def test_the_float_call_checks_range_and_shape(
    upscaler: smsr_runtime.Upscaler, image: np.ndarray, words: tuple[str, ...]
) -> None:
    with pytest.raises(smsr_runtime.InputError) as caught:
        upscaler.upscale_float(image)
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_nearly_black_picture_of_whole_numbers_is_no_mistake(upscaler: smsr_runtime.Upscaler, value: float) -> None:
    assert upscaler.upscale_float(np.full((1, 3, 4, 4), value, np.float32))[0].shape == (1, 3, 8, 8)


def test_a_batch_gives_what_its_pictures_give_one_by_one(upscaler: smsr_runtime.Upscaler) -> None:
    batch = pixels(3, 7, 5, 3)
    result, margins = upscaler.with_margins(batch)
    assert np.array_equal(result, np.stack([nearest(picture) for picture in batch]))
    assert np.array_equal(upscaler(batch), result)
    assert [margin.shape for margin in margins] == [(3, 7, 5)] * MODULES
    assert np.array_equal(margins[0][1], upscaler.with_margins(batch[1])[1][0])


@pytest.mark.parametrize("theta", [None, float("nan"), float("inf"), -float("inf"), "2", True, [0.0]], ids=repr)
def test_theta_is_a_finite_number_or_refused(bundle: Path, upscaler: smsr_runtime.Upscaler, theta: object) -> None:
    with pytest.raises(smsr_runtime.UsageError, match="theta: expected a finite number, got"):
        upscaler.theta = theta  # type: ignore[assignment]
    with pytest.raises(smsr_runtime.UsageError, match="theta: expected a finite number, got"):
        smsr_runtime.load(bundle, theta=theta)  # type: ignore[arg-type]
    assert upscaler.theta == 0.0


@pytest.mark.parametrize("theta", [2, np.float32(1.5), -3.0])
def test_theta_takes_any_real_number_type(upscaler: smsr_runtime.Upscaler, theta: float) -> None:
    upscaler.theta = theta
    assert upscaler.theta == float(theta) and type(upscaler.theta) is float


@pytest.mark.parametrize("again", [copy.deepcopy, copy.copy, lambda one: pickle.loads(pickle.dumps(one))])
def test_a_copied_or_pickled_upscaler_opens_its_bundle_again(upscaler: smsr_runtime.Upscaler, again: object) -> None:
    upscaler.theta = 50.0
    other = again(upscaler)  # type: ignore[operator]
    assert other is not upscaler and other.opened is not upscaler.opened
    assert (other.theta, other.path, other.bundle) == (50.0, upscaler.path, upscaler.bundle)
    image = pixels(6, 5, 3)
    assert np.array_equal(other(image), upscaler(image))


def test_repr_says_what_it_is(upscaler: smsr_runtime.Upscaler) -> None:
    upscaler.theta = 2
    assert repr(upscaler) == "<Upscaler tiny: x2, function body, theta 2>"


def test_the_package_runs_as_a_module_and_is_typed() -> None:
    done = plain_python(
        "import runpy, sys; sys.argv[1:] = ['--help']; runpy.run_module('smsr_runtime', run_name='__main__')"
    )
    assert done.returncode == 0 and "BUNDLE" in done.stdout
    assert (Path(smsr_runtime.__file__).parent / "py.typed").is_file()
