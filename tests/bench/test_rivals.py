"""Rivals that are not our network in float: int8 on pictures given, and SPAN; PSNR beside the times."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from onnx import numpy_helper
from torch import Tensor

from smsr.evaluation import cli as evaluation
from smsr.network import NetworkConfig
from smsr_bench import calibration, cli, inputs, quantised, report, span
from smsr_bench.calibration import Calibration
from smsr_bench.runs import onnxruntime_run, openvino_run
from smsr_bench.subject import Subject
from smsr_export.parity.pictures import own_pictures
from smsr_export.rival import build_rival
from smsr_export.writing import ExportRequest, export
from smsr_runtime.errors import UsageError
from tests.helpers import random_network
from tests.training.helpers import picture, write_pictures


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    folder = tmp_path_factory.mktemp("rivals")
    splits = [[(5, 0), (0, 3), (16, 0)], [(0, 0), (9, 7), (1, 2)]]
    network = random_network(NetworkConfig(2, 16, 2, 3), seed=3, splits=splits)
    torch.save(network.state_dict(), folder / "small.pt")
    export(network, ExportRequest(folder / "small.pt", folder / "small.smsr", own_pictures(2)))
    return Subject.open(folder / "small.smsr")


@pytest.fixture
def data_set(tmp_path: Path) -> Path:
    """SET/HR and SET/LR_bicubic/X2, the low side of other content, so that only the file can be what is upscaled."""
    home = tmp_path / "data" / "SET"
    write_pictures(home / "HR", 2, (41, 52))
    lows = home / "LR_bicubic" / "X2"
    lows.mkdir(parents=True)
    for index in range(2):
        cv2.imwrite(str(lows / f"p{index}.png"), picture(20, 26, seed=9 + index))
    return home


def test_the_multiply_adds_of_span_are_those_of_its_convolutions() -> None:
    blocks, body, mix = 18 * 9 * 48 * 48, 9 * 48 * 48, 4 * 48 * 48
    assert span.macs_per_pixel(2) == 9 * 3 * 48 + blocks + body + mix + 9 * 48 * 12 == 409_680
    assert span.macs_per_pixel(4) == 409_680 + 9 * 48 * (48 - 12)


@pytest.mark.parametrize("scale", [2, 3])
def test_span_is_the_network_of_its_paper(scale: int) -> None:
    model = span.build_span(scale)
    weights = {item.name: torch.tensor(numpy_helper.to_array(item)) for item in model.graph.initializer}

    def conv(x: Tensor, name: str) -> Tensor:
        return F.conv2d(x, weights[f"{name}.weight"], padding="same")

    image = np.random.default_rng(0).integers(0, 256, (1, 3, 17, 22)).astype(np.float32)
    first = conv(torch.tensor(image) - 255 * torch.tensor([0.4488, 0.4371, 0.4040]).view(1, 3, 1, 1), "head")
    x, outputs = first, []
    for number in range(1, 7):
        inner = conv(x, f"block_{number}.1")
        third = conv(F.silu(conv(F.silu(inner), f"block_{number}.2")), f"block_{number}.3")
        x = (third + x) * (torch.sigmoid(third) - 0.5)
        outputs.append(x)
    joined = torch.cat([first, conv(x, "body"), outputs[0], inner], dim=1)
    expected = F.pixel_shuffle(conv(conv(joined, "mix"), "tail"), scale).numpy()

    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    upscaled = session.run(["upscaled"], {"image": image})[0]
    assert upscaled.shape == (1, 3, scale * 17, scale * 22)
    assert np.abs(upscaled - expected).max() < 1e-3 * np.abs(expected).max(), "float32's rounding grows to 3e-4"
    assert 1 < np.abs(expected).mean() < 1000, "values that vanish or overflow would change the time"
    assert model.SerializeToString() == span.build_span(scale).SerializeToString()


def test_int8_quantises_all_layers_but_the_bicubic_the_mask_branches_and_attention(subject: Subject) -> None:
    pytest.importorskip("nncf")
    model: onnx.ModelProto = build_rival(subject.network)
    image = np.random.default_rng(1).uniform(0, 255, (1, 3, 32, 40)).astype(np.float32)
    made = quantised.quantise(model.SerializeToString(), Calibration("noise", (image,)), quantised.RIVAL_IN_FLOAT)
    kinds: dict[str, bool] = {}
    for operation in made.get_ops():
        if operation.get_type_name() == "Convolution":
            source = operation.input_value(1).get_node()
            kinds[operation.get_friendly_name()] = source.get_type_name() != "Constant"
    in_float = sorted(name.split("/")[0] for name, quantised_ in kinds.items() if not quantised_)
    parts = ["mask.full", "mask.half", "mask.phases", "squeeze", "excite"]  # the last two by NNCF itself
    assert in_float == sorted(["bicubic", *(f"module_{index}.{part}" for index in (1, 2) for part in parts)])
    assert len(kinds) == sum(node.op_type == "Conv" for node in model.graph.node)
    exact = onnxruntime_run(model.SerializeToString(), 1)(image)
    lost = np.std(openvino_run(made, "f32", 1)(image) - exact) / np.std(exact)
    assert 1e-3 < lost < 0.15


def test_calibration_takes_pictures_spread_over_the_folder_and_cuts_their_middle(tmp_path: Path) -> None:
    folder = tmp_path / "set" / "train"
    folder.mkdir(parents=True)
    for index in range(64):
        wide = np.full((20, 600, 3), index, np.uint8)
        wide[:, 200:400] = 4 * index  # the middle, 128 of 300 pixels once it is shrunk
        cv2.imwrite(str(folder / f"{index:02d}.png"), wide)
    read = calibration.read(folder, 2)
    assert read.origin == "32 pictures of set/train"
    assert {image.shape for image in read.images} == {(1, 3, 10, 128)}
    assert [float(image[0, 0, 5, 64]) for image in read.images] == [4.0 * index for index in range(0, 64, 2)]


def test_calibration_says_when_its_pictures_are_timed_too(data_set: Path) -> None:
    lows = sorted((data_set / "LR_bicubic" / "X2").iterdir())
    assert calibration.read(data_set, 2, lows).origin == "2 pictures of data/SET, timed here as well"
    assert calibration.read(data_set, 2, [data_set / "HR" / "elsewhere.png"]).origin == "2 pictures of data/SET"


def test_calibration_finds_the_training_pictures_beside_the_data_set(data_set: Path) -> None:
    pictures = data_set / "LR_bicubic" / "X2"
    assert calibration.beside([pictures], 2) is None
    (data_set.parent / "train" / "a_empty").mkdir(parents=True)
    assert calibration.beside([pictures], 2) is None
    training = write_pictures(data_set.parent / "train" / "b", 1)
    assert calibration.beside([pictures / "p0.png"], 2) == training


def test_a_picture_has_a_high_resolution_side_only_in_a_data_set_of_that_scale(data_set: Path, tmp_path: Path) -> None:
    read = inputs.read([data_set / "LR_bicubic" / "X2"], [], 2)
    highs = sorted((data_set / "HR").iterdir())
    for item, file in zip(read, highs, strict=True):
        assert item.high is not None
        stored = cv2.imread(str(file))
        assert stored is not None and np.array_equal(item.high, stored[:40, :52, ::-1])
    assert [item.high for item in inputs.read([data_set / "LR_bicubic" / "X2"], [], 3)] == [None, None]
    alone = write_pictures(tmp_path / "alone", 1)
    assert inputs.read([alone], [], 2)[0].high is None
    assert read[0].mirrored_to(30, 30).high is None


def test_the_report_has_the_psnr_that_smsr_eval_measures(subject: Subject, data_set: Path, tmp_path: Path) -> None:
    words = [subject.bundle.path, data_set / "LR_bicubic" / "X2", "--engines", "rival,span", "--rounds", "1"]
    assert cli.main([*map(str, words), "--no-memory", "--threads", "1", "-o", str(tmp_path / "out")]) == 0
    rows = json.loads((tmp_path / "out" / "bench.json").read_text())["pictures"]
    assert evaluation.main([str(subject.bundle.path), "--data", str(data_set), "-o", str(tmp_path / "eval")]) == 0
    expected = json.loads((tmp_path / "eval" / "results.json").read_text())[0]["pictures"]
    assert [row["psnr"]["native"] for row in rows] == pytest.approx([row["psnr_y"] for row in expected], abs=1e-3)
    assert set(rows[0]["psnr"]) == {"native", "rival"}, "SPAN's weights are random"
    text = (tmp_path / "out" / "bench.md").read_text()
    assert "## Quality" in text and "410 thousand multiply-adds" in text and "Rivals faster than smsr: " in text


def test_int8_without_pictures_is_left_out_with_a_note_or_refused_by_name(
    subject: Subject, data_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("nncf")
    timed = str(data_set / "LR_bicubic" / "X2" / "p0.png")
    options = cli._parser().parse_args([str(subject.bundle.path), timed])
    names = ["native", "rival", "openvino-int8", "span-int8"]
    assert cli._calibrated(subject, options, names, named=False)[1] == ["native", "rival"]
    line = capsys.readouterr().err
    assert line.startswith("smsr-bench: openvino-int8, span-int8 left out: no pictures") and line.count("\n") == 1
    with pytest.raises(UsageError, match="--engines openvino-int8: expected pictures to calibrate on, got none"):
        cli._calibrated(subject, options, names, named=True)
    given = write_pictures(tmp_path / "given", 3)
    options.calibrate = given
    calibrated, kept = cli._calibrated(subject, options, names, named=True)
    assert kept == names and calibrated.calibration is not None
    assert calibrated.calibration.origin == f"3 pictures of {'/'.join(given.parts[-2:])}"
    cli._calibrated(subject, options, ["native", "rival"], named=True)
    assert "--calibrate is not used" in capsys.readouterr().err


def test_the_report_names_the_rivals_that_are_faster() -> None:
    def row(**ratios: float) -> report.Row:
        named = {name.replace("_", "-"): ratio for name, ratio in ratios.items()}
        return report.Row("p", 8, 8, 1, [0.5], 1.0, 2.0, 1e9, dict.fromkeys(named, 0.1), {"native": 1.0, **named})

    rows = [row(native_bf16=0.5, rival=3.0, span=0.8, openvino_int8=0.4), row(native_bf16=0.5, rival=2.0, span=0.9)]
    names = ["native", "native-bf16", "rival", "openvino-int8", "span"]
    assert report.faster(rows, names) == (
        "Rivals faster than smsr: rival, OpenVINO int8 (0.40x); SPAN, ONNX Runtime (0.85x). "
        "Rivals faster than smsr, bf16: rival, OpenVINO int8 (0.80x)."
    )
    assert report.faster([dataclasses.replace(rows[1])], ["native", "rival"]) == "Rivals faster than smsr: none."


def test_the_quality_table_leaves_blank_what_was_not_run() -> None:
    def row(**psnr: float) -> report.Row:
        return report.Row("p", 8, 8, 1, [0.5], 1.0, 2.0, 1e9, {"native": 0.1}, {"native": 1.0}, psnr=psnr)

    rows = [row(native=30.0, rival=29.0, torch=30.0), row(native=32.0, rival=32.5)]
    table = [line.strip("|").split("|")[1:] for line in report.quality(rows, ["native", "rival", "torch"]).splitlines()]
    assert [[cell.strip() for cell in line] for line in table[2:]] == [
        ["30.00", "29.00", "30.00"], ["32.00", "32.50", ""], ["31.000", "30.750", ""], ["+0.000", "-0.250", ""],
    ]  # fmt: skip
    assert report.quality([row()], ["native"]) == ""
