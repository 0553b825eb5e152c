"""smsr-export --inline: one file in standard operators, exact, that other engines read."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import openvino
import pytest
import torch
import tract
from onnxconverter_common import float16

from smsr.network import InferenceResult, Network
from smsr_export.fold import fold
from smsr_export.freeze import freeze
from smsr_export.inlined import build_inlined
from smsr_export.parity.model_upscaler import ModelUpscaler
from smsr_export.parity.pictures import Picture
from tests.export.test_cli import assert_refused, export, tree
from tests.helpers import planes, random_image, relative_difference

SIZE = (11, 14)


@pytest.fixture(scope="module")
def inlined(small_network: Network) -> onnx.ModelProto:
    return build_inlined(fold(freeze(small_network)))


def test_a_margin_equal_to_theta_is_inactive(small_network: Network) -> None:
    network = copy.deepcopy(small_network)
    for module in network.sparse_mask_modules:
        for parameter in module.spa_mask[5].parameters():
            torch.nn.init.zeros_(parameter)  # every margin is 0
    upscaler = ModelUpscaler(build_inlined(fold(freeze(network))))
    image = random_image(1, 6, 7, dtype=torch.float32).numpy()
    equal, never, always = (upscaler.upscale_float(image, theta=theta)[0] for theta in (0.0, 1.0, -1.0))
    assert np.array_equal(equal, never) and not np.array_equal(equal, always)


def feeds(image: np.ndarray, theta: float = 0.0) -> dict[str, np.ndarray]:
    return {"image": image, "theta": np.array(theta, np.float32)}


def expected(network: Network, image: torch.Tensor, theta: float = 0.0) -> InferenceResult:
    with torch.inference_mode():
        return network.infer(image, theta)


def test_it_has_standard_operators_alone_and_theta_is_a_required_input(inlined: onnx.ModelProto) -> None:
    assert not inlined.functions and {node.domain for node in inlined.graph.node} == {""}
    assert [item.domain for item in inlined.opset_import] == [""]
    assert [item.name for item in inlined.graph.input] == ["image", "theta"]
    assert not {"image", "theta"} & {item.name for item in inlined.graph.initializer}
    onnx.checker.check_model(inlined, full_check=True)


@pytest.mark.parametrize("size", [(1, 1), (7, 4), (12, 13)])
@pytest.mark.parametrize("theta", [0.0, 0.7, -1e6, 1e6])
def test_it_equals_the_network(
    small_network: Network, inlined: onnx.ModelProto, size: tuple[int, int], theta: float
) -> None:
    image = random_image(2, *size, dtype=torch.float32)
    upscaled, margins = ModelUpscaler(inlined).upscale_float(image.numpy(), margins=True, theta=theta)
    reference = expected(small_network, image, theta)
    assert relative_difference(upscaled, reference.upscaled) < 1e-5
    for ours, theirs in zip(margins, reference.margins, strict=True):
        assert relative_difference(ours, theirs) < 1e-5


def test_openvino_reads_it(small_network: Network, inlined: onnx.ModelProto, tmp_path: Path) -> None:
    onnx.save_model(inlined, tmp_path / "net.onnx")
    image = random_image(1, *SIZE, dtype=torch.float32)
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(tmp_path / "net.onnx"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    assert (
        relative_difference(compiled(feeds(image.numpy()))["upscaled"], expected(small_network, image).upscaled) < 1e-5
    )


def test_tract_reads_it(small_network: Network, inlined: onnx.ModelProto, tmp_path: Path) -> None:
    onnx.save_model(inlined, tmp_path / "net.onnx")
    image = random_image(1, *SIZE, dtype=torch.float32)
    model = tract.onnx().load(str(tmp_path / "net.onnx"))
    model.set_input_fact(0, f"1,3,{SIZE[0]},{SIZE[1]},f32")
    model.set_input_fact(1, "f32")
    upscaled = model.into_model().into_runnable().run([image.numpy(), np.zeros((), np.float32)])[0].to_numpy()
    assert relative_difference(upscaled, expected(small_network, image).upscaled) < 1e-5


@pytest.mark.filterwarnings("ignore:the float32 number:UserWarning")  # the converter names each tiny weight it rounds
def test_the_float16_converter_makes_a_model_that_runs(
    x2_network: Network, set5_x2: list[tuple[Picture, InferenceResult]]
) -> None:
    model = float16.convert_float_to_float16(build_inlined(fold(freeze(x2_network))), keep_io_types=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    picture, reference = set5_x2[2]
    upscaled = session.run(["upscaled"], feeds(planes(picture.low).numpy()))[0]
    rmse = float(np.sqrt(np.mean((upscaled - reference.upscaled.numpy()) ** 2)))
    assert 0.001 < rmse < 0.15


def test_the_command_writes_one_verified_file(small_checkpoint: Path, tmp_path: Path) -> None:
    done = export(small_checkpoint, "--inline", "--accept-parity-failure", cwd=tmp_path)
    assert done.returncode == 0 and "standard operators" in done.stdout and done.stdout.endswith("wrote small.onnx\n")
    assert set(tree(tmp_path)) == {"small.onnx"}
    assert not onnx.load(tmp_path / "small.onnx").functions


def test_a_name_ending_in_onnx_gives_the_model_of_a_bundle_as_one_file(small_checkpoint: Path, tmp_path: Path) -> None:
    for output in ("one.onnx", "two.smsr"):
        assert export(small_checkpoint, "-o", output, "--accept-parity-failure", cwd=tmp_path).returncode == 0
    assert (tmp_path / "one.onnx").read_bytes() == (tmp_path / "two.smsr" / "model.onnx").read_bytes()
    again = export(small_checkpoint, "-o", "one.onnx", cwd=tmp_path)
    assert_refused(again, 2, "one.onnx: expected a name not taken", "--force")
    assert (
        export(small_checkpoint, "-o", "one.onnx", "--force", "--accept-parity-failure", cwd=tmp_path).returncode == 0
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--inline", "-o", "net.smsr"), ("a name ending in .onnx with --inline", "'.smsr'")),
        (("--inline", "--precision", "bf16"), ("fp32 with --inline", "bf16")),
        (("--target", "trt", "-o", "net.onnx"), ("a bundle with --target trt", "a single file")),
        (("--inline", "--target", "trt"), ("a bundle with --target trt",)),
        (("--pending",), ("--pending", "--target trt with it")),
    ],
    ids=["a bundle's name", "precision", "an engine in a file", "inline for an engine", "pending without an engine"],
)
def test_what_contradicts_one_file_is_wrong_usage(
    small_checkpoint: Path, tmp_path: Path, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    assert_refused(export(small_checkpoint, *arguments, cwd=tmp_path), 2, *words)
    assert not tree(tmp_path)


def test_a_folder_or_bundle_of_that_name_is_never_replaced_by_a_file(small_checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "net.onnx").mkdir()
    (tmp_path / "net.onnx" / "precious").write_text("mine")
    done = export(small_checkpoint, "--inline", "-o", "net.onnx", "--force", cwd=tmp_path)
    assert_refused(done, 2, "net.onnx: expected an ONNX file to replace, got something else")
    assert (tmp_path / "net.onnx" / "precious").read_text() == "mine"


def weight(model: Path, name: str) -> np.ndarray:
    (tensor,) = (item for item in onnx.load(model).graph.initializer if item.name == name)
    return onnx.numpy_helper.to_array(tensor)


def test_a_set_of_weights_can_be_named(small_network: Network, tmp_path: Path) -> None:
    state = small_network.state_dict()
    raw = {name: 2 * value for name, value in state.items()}
    torch.save({"params": raw, "params_ema": state}, tmp_path / "net.pt")
    options = ("--inline", "--accept-parity-failure")
    done = export("net.pt", *options, "-o", "ema.onnx", cwd=tmp_path)
    assert done.returncode == 0 and "the averaged one is taken, params_ema" in done.stderr
    done = export(
        "net.pt", "--inline", "-o", "raw.onnx", "--weights", "params", "--accept-parity-failure", cwd=tmp_path
    )
    assert done.returncode == 0 and "averaged" not in done.stderr
    head = [weight(tmp_path / name, "head.0.weight") for name in ("ema.onnx", "raw.onnx")]
    assert np.array_equal(head[0], state["head.0.weight"].numpy()) and np.array_equal(head[1], 2 * head[0])


def test_pending_leaves_the_engine_to_the_device_and_is_no_failure(small_checkpoint: Path, tmp_path: Path) -> None:
    options = ("--target", "trt", "--precision", "fp32", "--accept-parity-failure")
    done = export(small_checkpoint, *options, "--pending", "-o", "net.smsr", cwd=tmp_path)
    assert done.returncode == 0 and (tmp_path / "net.smsr" / "model.trt.onnx").is_file()
    finish = export("net.smsr", "--target", "trt", cwd=tmp_path)
    assert_refused(finish, 1, "backend trt: expected")
    assert "use smsr-run --backend ort" in finish.stderr
