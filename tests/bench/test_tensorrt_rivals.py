"""The dense rivals for TensorRT, and the files that engine_bench reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
import torch

from smsr.network import Network
from smsr_bench import tensorrt_files, tensorrt_rivals
from smsr_bench.masks import ALWAYS, with_active_share
from smsr_export.records import FoldedNetwork
from smsr_export.rival import build_rival
from smsr_export.trt_model import build_trt_model
from smsr_runtime.errors import DataError
from smsr_runtime.ort.backend import open_session
from smsr_runtime.sizes import Profile
from smsr_runtime.tensorrt.build import BuildRequest, build_engine
from tests.bench.conftest import SIZE
from tests.conftest import missing
from tests.helpers import random_image, relative_difference

pytestmark = pytest.mark.filterwarnings("ignore:.*Timing cache operations are no-ops:DeprecationWarning")
BUILDERS = pytest.mark.parametrize("build", [tensorrt_rivals.build_dense, tensorrt_rivals.build_masked])
HALF_CLOSE = 2e-2


def outputs(model: onnx.ModelProto, image: np.ndarray) -> dict[str, np.ndarray]:
    session = open_session(model.SerializeToString())
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"image": image}), strict=True))


def test_the_masked_rival_computes_what_the_rival_for_onnx_runtime_does(folded: FoldedNetwork) -> None:
    image = random_image(2, 11, 14, dtype=torch.float32).numpy()
    expected = outputs(build_rival(folded), image)
    masked = outputs(tensorrt_rivals.build_masked(folded, half=False), image)
    assert list(masked) == ["upscaled", "margin_1", "margin_2"] == list(expected)
    assert {0 < np.mean(expected[name] > 0) < 1 for name in ("margin_1", "margin_2")} == {True}
    for name, value in expected.items():
        np.testing.assert_array_equal(masked[name], value)


def test_the_dense_rival_computes_every_pixel_with_all_channels(folded: FoldedNetwork) -> None:
    """It is the masked one whose margins are all active, and no other."""
    image = random_image(1, 9, 10, dtype=torch.float32).numpy()
    dense = outputs(tensorrt_rivals.build_dense(folded, half=False), image)
    assert list(dense) == ["upscaled"]

    def masked(share: float) -> np.ndarray:
        network = with_active_share(folded, share, lambda _: [])
        return outputs(tensorrt_rivals.build_masked(network, half=False), image)["upscaled"]

    assert relative_difference(dense["upscaled"], masked(1.0)) < 1e-6
    assert relative_difference(dense["upscaled"], masked(0.0)) > 1e-2
    assert np.abs(dense["upscaled"]).max() < ALWAYS


@BUILDERS
def test_rivals_are_float16_between_float32_ends(build: Any, folded: FoldedNetwork) -> None:
    model = build(folded)
    kinds = {item.data_type for item in model.graph.initializer}
    assert kinds <= {onnx.TensorProto.FLOAT16, onnx.TensorProto.INT64}
    ends = [*model.graph.input, *model.graph.output]
    assert {end.type.tensor_type.elem_type for end in ends} == {onnx.TensorProto.FLOAT}
    assert {node.domain for node in model.graph.node} == {""}
    assert len({node.name for node in model.graph.node}) == len(model.graph.node)
    image = random_image(1, 8, 9, dtype=torch.float32).numpy()
    half, full = outputs(model, image), outputs(build(folded, half=False), image)
    difference = relative_difference(half["upscaled"], full["upscaled"])
    assert 1e-5 < difference < HALF_CLOSE  # it rounds


@BUILDERS
def test_tensorrt_s_own_builder_takes_the_rivals(build: Any, folded: FoldedNetwork, tmp_path: Path) -> None:
    """TensorRT-RTX, whose builder needs no GPU."""
    try:
        import tensorrt_rtx_bindings as trt
    except ImportError as error:
        missing(f"tensorrt_rtx_cu13_bindings or _libs: {error}; pip install 'smsr[trt-check]'")
    onnx.save_model(build(folded), tmp_path / "rival.onnx")
    request = BuildRequest(tmp_path / "rival.onnx", "fp16", plugins=False)
    engine = build_engine(trt, request, [Profile((16, 16), (20, 30), (64, 64))], lambda _: None)
    assert len(engine.data) > 10_000


def test_files_hold_the_models_and_what_they_compute(
    data: Path, small_network: Network, folded: FoldedNetwork, pictures: list[tensorrt_files.Picture]
) -> None:
    assert (data / "pictures.txt").read_text() == "plain 13 18 1\ngraded 13 18 1\n"
    models = dict(line.split(maxsplit=1) for line in (data / "models.txt").read_text().splitlines())
    float32 = "centred/Sub,image_padded/Pad,bicubic/Conv,phases/Add,upscaled/DepthToSpace"
    assert models == {
        "smsr": f"plugin smsr 65.0 {float32}", "smsr-branch": f"plugin smsr 65.0 {float32}",
        "smsr-half": "plugin smsr 60.0 centred/Sub,phases/Add,upscaled/DepthToSpace",
        "dense": "- dense 50.0 -", "masked": "- masked 50.0 -",
    }  # fmt: skip
    assert (data / "smsr.onnx").read_bytes() == build_trt_model(folded, "fp16").SerializeToString(deterministic=True)
    image = np.fromfile(data / "plain.image.u8", np.uint8).reshape(3, *SIZE).astype(np.float32)
    np.testing.assert_array_equal(image, pictures[0].low.transpose(2, 0, 1))
    with torch.inference_mode():
        expected = small_network.infer(torch.from_numpy(image[None]))
    upscaled = np.fromfile(data / "smsr" / "plain.upscaled.f32", np.float32).reshape(expected.upscaled.shape)
    np.testing.assert_array_equal(upscaled, expected.upscaled.numpy())
    margin = np.fromfile(data / "smsr" / "plain.margin_2.f32", np.float32).reshape(expected.margins[1].shape)
    np.testing.assert_array_equal(margin, expected.margins[1].numpy())
    assert not list((data / "dense").glob("*margin*")) and (data / "masked" / "graded.margin_1.f32").is_file()


def test_large_references_hold_every_so_manieth_row(tmp_path: Path) -> None:
    large = tensorrt_files.Picture("large", np.zeros((512, 512, 3), np.uint8))
    rows = np.arange(1024, dtype=np.float32)[None, None, :, None].repeat(3, 1).repeat(1024, 3)
    model = tensorrt_files.Model("m", onnx.ModelProto(), lambda _: {"upscaled": rows}, False, "m", 1.0)
    tensorrt_files.write(tmp_path, [large], [model])
    assert (tmp_path / "pictures.txt").read_text() == "large 512 512 17\n"
    stored = np.fromfile(tmp_path / "m" / "large.upscaled.f32", np.float32).reshape(3, 61, 1024)
    np.testing.assert_array_equal(stored[2, :, 5], np.arange(0, 1024, 17))


def test_frames_are_a_crop_a_mosaic_and_a_calm_picture() -> None:
    photographs = [np.full((400, 700, 3), value, np.uint8) for value in (10, 20, 30, 40)]
    crop, calm, mosaic = tensorrt_files.frames([np.zeros((8, 8, 3), np.uint8), *photographs], Path("photos"))
    assert (crop.low.shape, calm.low.shape, mosaic.low.shape) == ((360, 640, 3), (720, 1280, 3), (720, 1280, 3))
    assert [int(mosaic.low[y, x, 0]) for y, x in ((0, 0), (0, 1279), (719, 0), (719, 1279))] == [10, 20, 30, 40]
    assert set(np.unique(calm.low)) == {10}
    noise = np.random.default_rng(0).integers(0, 256, (360, 640, 3), np.uint8)
    calm = tensorrt_files.frames([noise, *photographs], Path("photos"))[1]
    np.testing.assert_array_equal(calm.low[:360, :640], noise)
    steps = np.abs(np.diff(calm.low.astype(int), axis=1)).mean(axis=(1, 2))
    assert steps[360:].mean() < 0.5 * np.abs(np.diff(noise.astype(int), axis=1)).mean()  # smooth elsewhere
    with pytest.raises(DataError, match=r"photos: expected 4 pictures of at least 640x360, got 3"):
        tensorrt_files.frames(photographs[1:], Path("photos"))


def test_the_command_writes_a_folder_or_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    high = tmp_path / "HR"
    high.mkdir()
    assert cv2.imwrite(str(high / "one.png"), np.zeros((8, 12, 3), np.uint8))
    arguments = ["x2", "-o", str(tmp_path / "out")]
    assert tensorrt_files.main(arguments) == 1
    assert "expected --evaluation or --photographs, got neither" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert tensorrt_files.main([*arguments, "--evaluation", str(tmp_path)]) == 0
    assert (tmp_path / "out" / "pictures.txt").read_text() == "one 4 6 1\n"
