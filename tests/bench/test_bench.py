"""smsr-bench: every engine computes what its label says, masks and sizes are as given, the report adds up."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from smsr.complexity import network_macs
from smsr.network import Network, NetworkConfig
from smsr_bench import cli, engines, inputs, machine, masks, report
from smsr_bench.engines import ENGINES
from smsr_bench.runs import Run
from smsr_bench.subject import Subject
from smsr_export.parity.pictures import own_pictures
from smsr_export.writing import ExportRequest, export
from smsr_runtime.errors import UsageError
from tests.conftest import missing
from tests.helpers import NATIVE_LIBRARY, files_no_larger_than, random_image, random_network, run_python

SPLITS = [[(5, 0), (0, 3), (16, 0)], [(0, 0), (9, 7), (1, 2)]]


@pytest.fixture(scope="module")
def network() -> Network:
    return random_network(NetworkConfig(2, 16, 2, 3), seed=3, splits=SPLITS)


@pytest.fixture(scope="module")
def subject(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Subject:
    folder = tmp_path_factory.mktemp("bench")
    torch.save(network.state_dict(), folder / "small.pt")
    export(network, ExportRequest(folder / "small.pt", folder / "small.smsr", own_pictures(2)))
    return Subject.open(folder / "small.smsr")


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("pictures") / "noise.png"
    cv2.imwrite(str(file), np.random.default_rng(0).integers(0, 256, (18, 23, 3), np.uint8))
    return file


IMAGE = np.asarray(random_image(1, 17, 22, seed=1, dtype=torch.float32))


@pytest.mark.parametrize("name", [name for name, engine in ENGINES.items() if engine.exact])
def test_exact_engines_compute_the_network(name: str, subject: Subject, network: Network) -> None:
    with torch.inference_mode():
        expected = network.infer(torch.from_numpy(IMAGE)).upscaled.numpy()
    upscaled = ENGINES[name].make(subject, 1)(IMAGE)
    if ENGINES[name].reduced:
        assert rms(upscaled - expected) < 0.04 * rms(expected)
        assert rms(upscaled - expected) > 1e-3 or not ENGINES[name].installed
    else:
        assert np.abs(upscaled - expected).max() < 1e-3


@pytest.mark.parametrize("name", ["torch", "torch-sparse", "torch-rows"])
@pytest.mark.parametrize("share", [0.0, 1.0])
def test_exact_engines_take_pictures_without_and_with_nothing_but_active_pixels(
    name: str, share: float, subject: Subject, tmp_path: Path
) -> None:
    changed = subject.changed(masks.with_active_share(subject.network, share, _unused), tmp_path)
    expected = changed.upscaler(1).upscale_float(IMAGE)[0]
    assert np.abs(ENGINES[name].make(changed, 1)(IMAGE) - expected).max() < 1e-3


RIVALS = [name for name, engine in ENGINES.items() if not (engine.exact or engine.other_network or engine.calibrated)]


@pytest.mark.parametrize("name", RIVALS)
def test_rivals_are_the_network_where_every_pixel_is_active_and_only_there(
    name: str, subject: Subject, tmp_path: Path
) -> None:
    if importlib.util.find_spec(ENGINES[name].package) is None:
        missing(f"no package {ENGINES[name].package}")
    everywhere = subject.changed(masks.with_active_share(subject.network, 1.0, _unused), tmp_path)
    tolerance = 1.0 if ENGINES[name].reduced else 1e-3
    assert rms(ENGINES[name].make(everywhere, 1)(IMAGE) - everywhere.upscaler(1).upscale_float(IMAGE)[0]) < tolerance
    assert rms(ENGINES[name].make(subject, 1)(IMAGE) - subject.upscaler(1).upscale_float(IMAGE)[0]) > tolerance


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def _unused(_network: object) -> list[np.ndarray]:
    raise AssertionError("0 and 100 % need no margins")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.8, 1.0])
def test_masks_have_the_share_asked_for(share: float, subject: Subject, tmp_path: Path) -> None:
    def margins(network: object) -> list[np.ndarray]:
        return subject.changed(network, tmp_path).upscaler(1).upscale_float(IMAGE, margins=True)[1]  # type: ignore[arg-type]

    changed = subject.changed(masks.with_active_share(subject.network, share, margins), tmp_path)
    upscaler = changed.upscaler(1)
    shares = upscaler.active_shares(upscaler.upscale_float(IMAGE, margins=True)[1])
    assert shares == pytest.approx([share] * 2, abs=0.0 if share in (0.0, 1.0) else 0.05)


def test_a_mirrored_input_keeps_its_pixels_and_its_texture() -> None:
    item = inputs.Input("x", IMAGE)
    large = item.mirrored_to(40, 50)
    assert large.size == (40, 50)
    assert np.array_equal(large.image[:, :, :17, :22], IMAGE)
    assert np.array_equal(large.image[:, :, 17:34, :22], IMAGE[:, :, ::-1])
    assert np.array_equal(item.mirrored_to(5, 6).image, IMAGE[:, :, :5, :6])


def test_frames_of_a_video_come_at_the_sizes_asked_for(shared: Path) -> None:
    small, large = inputs.read([shared / "data" / "video" / "bikes.mp4"], [(360, 640), (720, 1280)], 2)
    assert [small.size, large.size] == [(360, 640), (720, 1280)]
    assert np.array_equal(small.image, large.image[:, :, :360, :640])


def test_the_peak_is_above_what_any_cpu_does_without_vectors() -> None:
    assert machine.peak_probe(NATIVE_LIBRARY, 1)() > 1e9


def test_the_report_is_complete_and_adds_up(subject: Subject, picture: Path, tmp_path: Path) -> None:
    words = [subject.bundle.path, picture, picture, "--engines", "body,rival", "--rounds", "2", "--threads", "1"]
    assert cli.main([*map(str, words), "--series", "shares", "-o", str(tmp_path / "out")]) == 0
    written = json.loads((tmp_path / "out" / "bench.json").read_text())
    row = written["pictures"][0]
    counts = [module.dense_channels for module in subject.network.modules]
    macs = network_macs(NetworkConfig(2, 16, 2, 3), counts)
    assert row["gmacs"] == pytest.approx(macs.remaining(row["active_shares"]) * 18 * 23 / 1e9)
    assert set(row["seconds"]) == set(row["memory"]) == {"native", "body", "rival"}
    assert written["pictures"][1]["memory"] == {}
    assert min(row["memory"].values()) > 2**24
    assert row["ratios"]["native"] == 1.0
    assert [np.mean(other["active_shares"]) for other in written["shares"]][:: len(written["shares"]) - 1] == [0.0, 1.0]
    text = (tmp_path / "out" / "bench.md").read_text()
    assert report.NOT_EXACT in text
    assert "geometric mean" in text
    assert (tmp_path / "out" / "bench.svg").read_text().count("<svg") == 1


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        (["BUNDLE", "PICTURE", "--engines", "magic"], 2, "--engines: expected native, native-bf16, body"),
        (["BUNDLE", "PICTURE", "--frame-sizes", "0x5"], 2, "--frame-sizes: expected WIDTHxHEIGHT"),
        (["BUNDLE", "PICTURE", "--rounds", "0"], 2, "--rounds: expected 1 or more"),
        (["BUNDLE", "PICTURE", "--threads", "-1"], 2, "threads: expected 1 or more"),
        (
            ["BUNDLE", "PICTURE", "--submit", "x.json", "-o", "x"],
            2,
            "--submit: expected neither -o nor --series beside it",
        ),
        (["BUNDLE", "nothing.png"], 1, "nothing.png: expected a readable picture, got No such file"),
        (["PICTURE", "PICTURE"], 1, "noise.png: expected a bundle"),
    ],
)
def test_bad_input_is_one_line(
    words: list[str], code: int, line: str, subject: Subject, picture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = {"BUNDLE": str(subject.bundle.path), "PICTURE": str(picture)}
    assert cli.main([known.get(word, word) for word in words]) == code
    error = capsys.readouterr().err
    assert line in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "content", "got"),
    [
        ("text.mp4", b"no video", "got Invalid data found"),
        ("text.png", b"no picture", "expected a picture, got a broken one (no format that is known)"),
        ("folder", None, "expected pictures, got none"),
    ],
)
def test_unreadable_inputs_are_named_in_words(
    name: str, content: bytes | None, got: str, subject: Subject, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is None:
        (tmp_path / name).mkdir()
    else:
        (tmp_path / name).write_bytes(content)
    assert cli.main([str(subject.bundle.path), str(tmp_path / name)]) == 1
    line = capsys.readouterr().err
    assert name in line and got in line and line.count("\n") == 1


def test_an_engine_that_fails_is_named_and_the_old_report_stays(
    subject: Subject, picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(subject: Subject, threads: int) -> Run:
        raise RuntimeError("no kernel\nfor this")

    (tmp_path / "bench.json").write_text("old")
    monkeypatch.setattr(engines, "ENGINES", {**ENGINES, "body": dataclasses.replace(ENGINES["body"], make=broken)})
    words = [str(subject.bundle.path), str(picture), "--engines", "body", "-o", str(tmp_path)]
    assert cli.main(words) == 1
    assert (
        "engine body: expected a result, got RuntimeError: no kernel for this; leave it out" in capsys.readouterr().err
    )
    assert (tmp_path / "bench.json").read_text() == "old"


def test_where_no_report_can_be_written_nothing_is_measured(
    subject: Subject, picture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([str(subject.bundle.path), str(picture), "-o", str(picture)]) == 1
    captured = capsys.readouterr()
    assert f"{picture}: expected a folder to write to" in captured.err and not captured.out


def test_a_report_that_cannot_be_written_whole_leaves_the_old_one(
    subject: Subject, picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bench.json").write_text("old")
    words = [str(subject.bundle.path), str(picture), "--engines", "body", "--rounds", "1", "--no-memory"]
    with files_no_larger_than(64):
        assert cli.main([*words, "-o", str(tmp_path)]) == 1
    assert "bench.json: expected to write the result" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["bench.json"]
    assert (tmp_path / "bench.json").read_text() == "old"


def test_a_bundle_with_a_damaged_model_is_one_line(
    subject: Subject, picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = Path(shutil.copytree(subject.bundle.path, tmp_path / "damaged.smsr"))
    damaged = subject.bundle.model.read_bytes()[:5000]
    (bundle / "model.onnx").write_bytes(damaged)
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["files"]["model.onnx"] = {"sha256": hashlib.sha256(damaged).hexdigest(), "bytes": len(damaged)}
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    assert cli.main([str(bundle), str(picture)]) == 1
    assert "model.onnx: expected a model made by smsr-export, got DecodeError" in capsys.readouterr().err


def test_engines_that_are_not_here_are_left_out_and_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "openvino" else find(name))
    assert not [name for name in engines.choose([]) if name.startswith("openvino")]
    with pytest.raises(UsageError, match="--engines openvino: expected openvino, got none here"):
        engines.choose(["openvino"])
    without = dataclasses.replace(ENGINES["native-bf16"], has_bf16=lambda: False)
    monkeypatch.setattr(engines, "ENGINES", {**ENGINES, "native-bf16": without})
    with pytest.raises(UsageError, match="native-bf16: expected onnxruntime and a CPU with bf16"):
        engines.choose(["native-bf16"])


def test_engines_come_ours_first_and_once() -> None:
    assert engines.choose(["rival", "native", "body", "rival"]) == ["native", "rival", "body"]
    assert engines.choose([])[0] == "native"


def test_each_engines_memory_is_measured_in_a_process_that_needs_no_more_than_it(
    subject: Subject, picture: Path, tmp_path: Path
) -> None:
    np.save(tmp_path / "image.npy", IMAGE)
    code = (
        "import sys; from smsr_bench import memory; memory._main(); print(sorted({'torch', 'onnx'} & set(sys.modules)))"
    )
    memory, heavy = run_python(
        "-c", code, "native", subject.bundle.path, tmp_path / "image.npy", tmp_path, 1, cwd=tmp_path
    ).stdout.splitlines()
    assert int(memory) > 2**24
    assert heavy == "[]"
