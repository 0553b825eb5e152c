"""The plain Python call: shapes, types, values, errors."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import smsr_runtime
from smsr_runtime import resources
from tests.runtime.helpers import MODULES, nearest

SIZES = st.integers(1, 24)


@pytest.fixture(scope="module")
def upscaler(bundle: Path) -> smsr_runtime.Upscaler:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SMSR_ORT_LIBRARY", "none")
        return smsr_runtime.load(bundle, threads=1)


@settings(max_examples=40, deadline=None)
@given(
    height=SIZES, width=SIZES, gray=st.booleans(), dtype=st.sampled_from(["uint8", "uint16"]), seed=st.integers(0, 9)
)
def test_any_size_keeps_type_and_pixels(
    upscaler: smsr_runtime.Upscaler, height: int, width: int, gray: bool, dtype: str, seed: int
) -> None:
    shape = (height, width) if gray else (height, width, 3)
    image = np.random.default_rng(seed).integers(0, 101, shape).astype(dtype) * (257 if dtype == "uint16" else 1)
    image = image.astype(dtype)
    result = upscaler(image)
    assert result.dtype == image.dtype
    assert np.array_equal(result, nearest(image))


def test_result_is_clamped_and_rounded(upscaler: smsr_runtime.Upscaler) -> None:
    """Active pixels (red above 100) are 1 lower here; black stays black, white is not overflowed."""
    image = np.array([[[255, 255, 255], [0, 0, 0], [101, 0, 7]]], np.uint8)
    assert upscaler(image)[0, ::2].tolist() == [[254, 254, 254], [0, 0, 0], [100, 0, 6]]


def test_views_and_fortran_order_work(upscaler: smsr_runtime.Upscaler) -> None:
    image = np.random.default_rng(2).integers(0, 101, (8, 10, 3), dtype=np.uint8)
    for view in (image[::2, ::-1], np.asfortranarray(image)):
        assert np.array_equal(upscaler(view), nearest(view))


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((1, 4, 4, 3), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4,), np.uint8),
        [[1, 2], [3, 4]],
    ],
    ids=["four channels", "batch", "empty", "float", "vector", "list"],
)
def test_wrong_array_is_an_input_error(upscaler: smsr_runtime.Upscaler, image: object) -> None:
    with pytest.raises(smsr_runtime.InputError, match=r"image: expected .*, got .*; "):
        upscaler(image)  # type: ignore[arg-type]


def test_float_call_takes_a_batch_and_gives_margins(upscaler: smsr_runtime.Upscaler) -> None:
    image = np.full((2, 3, 5, 4), 90.5, np.float32)
    upscaled, margins = upscaler.upscale_float(image, margins=True)
    assert upscaled.shape == (2, 3, 10, 8)
    assert [margin.shape for margin in margins] == [(2, 1, 5, 4)] * MODULES
    assert upscaler.upscale_float(image)[1] == []


def test_theta_is_the_threshold(bundle: Path) -> None:
    image = np.full((2, 2, 3), 150, np.uint8)
    shares = [smsr_runtime.load(bundle, theta=theta).active_shares(_margins(bundle, image)) for theta in (0, 49, 50)]
    assert shares == [[1.0, 0.0], [1.0, 0.0], [0.0, 0.0]]
    assert smsr_runtime.load(bundle, theta=50)(image).max() == 150
    assert smsr_runtime.load(bundle, theta=0)(image).max() == 149


def _margins(bundle: Path, image: np.ndarray) -> list[np.ndarray]:
    return smsr_runtime.load(bundle).with_margins(image)[1]


@pytest.mark.parametrize(
    "options", [{"theta": math.nan}, {"threads": 0}, {"backend": "cuda"}], ids=["theta", "threads", "backend"]
)
def test_wrong_option_is_a_usage_error(bundle: Path, options: dict[str, object]) -> None:
    with pytest.raises(smsr_runtime.UsageError):
        smsr_runtime.load(bundle, **options)  # type: ignore[arg-type]


def test_tensorrt_for_an_onnx_only_bundle_is_wrong_usage(bundle: Path) -> None:
    with pytest.raises(smsr_runtime.UsageError, match=r"model\.trt\.onnx.*ONNX Runtime only"):
        smsr_runtime.load(bundle, backend="trt")


def test_too_large_a_picture_is_refused_before_running(upscaler: smsr_runtime.Upscaler) -> None:
    free = resources.available_memory()
    if free is None:
        pytest.skip("the system does not say how much memory is free")
    side = int(math.sqrt(free / resources.bytes_per_pixel(upscaler.compute_path, 16))) + 200
    huge = np.broadcast_to(np.float32(0), (1, 3, side, side))
    with pytest.raises(smsr_runtime.MemoryLimitError, match=r"GiB of memory free.*cut the picture"):
        upscaler.upscale_float(huge)
