"""smsr-export --target trt: the bundle without a GPU, its second half on the device, and what is wrong usage."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch

import smsr_runtime
from smsr.network import Network
from smsr_export import cli, manifest
from smsr_export.fold import fold
from smsr_export.freeze import freeze
from smsr_export.trt_model import build_trt_model
from tests.export.test_cli import assert_refused, export, tree
from tests.helpers import run_python
from tests.runtime.fake_tensorrt import World
from tests.runtime.tensorrt_machine import install, plugin_library


@pytest.fixture(scope="module")
def calm_network(small_network: Network) -> Network:
    """The small network within fp16's parity, as trained ones are: small residuals, margins far from 0."""
    network = copy.deepcopy(small_network)
    with torch.no_grad():
        network.get_parameter("tail.0.weight").mul_(0.02)
        for index in range(network.config.modules):
            network.get_parameter(f"body.{index}.spa_mask.5.bias")[1] += 500.0
    return network


@pytest.fixture(scope="module")
def calm_checkpoint(calm_network: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "net.pt"
    torch.save(calm_network.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def exported(calm_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """The bundle, and how the command ended that made it on this machine without TensorRT."""
    folder = tmp_path_factory.mktemp("trt")
    shutil.copy(calm_checkpoint, folder / "net.pt")
    done = export("net.pt", "--target", "trt", "--max-shape", "64x96", cwd=folder)
    return folder / "net.smsr", done


@pytest.fixture
def pending(exported: tuple[Path, Any], tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported[0], tmp_path / "net.smsr"))


def facts(bundle: Path) -> dict[str, Any]:
    return dict(json.loads((bundle / "manifest.json").read_text()))


def test_without_tensorrt_the_bundle_is_kept_and_one_line_says_what_is_missing(exported: tuple[Path, Any]) -> None:
    bundle, done = exported
    (line,) = done.stderr.splitlines()
    assert done.returncode == 1
    assert line.startswith("smsr-export: error: net.smsr, backend trt: expected the package tensorrt")
    assert "the bundle is kept, its engine pending" in line and "run.py net.smsr --rebuild" in line
    assert "model.trt.onnx, fp16" in done.stdout and "function body" in done.stdout
    assert sorted(tree(bundle)) == [
        "golden", "golden/input.png", "golden/output.npy", "manifest.json", "model.onnx", "model.trt.onnx",
        "report.html",
    ]  # fmt: skip
    assert [path.name for path in bundle.parent.iterdir() if path.suffix == ".smsr"] == ["net.smsr"]


def test_the_manifest_says_what_is_pending(exported: tuple[Path, Any]) -> None:
    entries = facts(exported[0])
    assert {name: entries[name] for name in ("target", "precision", "engine", "profile")} == {
        "target": "trt", "precision": "fp16", "engine": "pending", "profile": {"max": [64, 96]},
    }  # fmt: skip
    assert set(entries["files"]) == {
        "model.onnx", "model.trt.onnx", "golden/input.png", "golden/output.npy", "report.html",
    }  # fmt: skip
    assert entries["golden"]["engine_rmse"] == 0.08 and entries["golden"]["max_abs"] == 1e-3
    assert entries["parity"]["passed"]
    assert "model.trt.onnx, fp16" in {row["path"] for row in entries["parity"]["rows"]}


def test_a_fp32_bundle_holds_its_engine_to_the_largest_difference(calm_checkpoint: Path, tmp_path: Path) -> None:
    done = export(calm_checkpoint, "--target", "trt", "--precision", "fp32", "-o", "x.smsr", cwd=tmp_path)
    entries = facts(tmp_path / "x.smsr")
    assert done.returncode == 1 and "model.trt.onnx, fp32" in done.stdout
    assert entries["precision"] == "fp32" and entries["profile"] is None and "engine_rmse" not in entries["golden"]


def test_the_pending_bundle_runs_on_the_cpu_meanwhile(exported: tuple[Path, Any]) -> None:
    with pytest.warns(smsr_runtime.BackendWarning, match="package tensorrt"):
        assert smsr_runtime.load(exported[0]).backend == "ort"


def test_the_second_half_needs_neither_torch_nor_onnx(pending: Path, tmp_path: Path) -> None:
    before = tree(pending)
    block = "import sys; sys.modules.update(dict.fromkeys(['torch', 'onnx', 'onnxruntime', 'tabulate'])); "
    code = block + "from smsr_export.cli import main; sys.exit(main(sys.argv[1:]))"
    done = run_python("-c", code, "net.smsr", "--target", "trt", cwd=tmp_path)
    assert_refused(done, 1, "expected the package tensorrt, got not installed")
    assert tree(pending) == before


def test_failed_parity_in_float16_leaves_no_bundle(small_checkpoint: Path, tmp_path: Path) -> None:
    """A random network: many margins near 0, large residuals."""
    done = export(small_checkpoint, "--target", "trt", "-o", "x.smsr", cwd=tmp_path)
    assert_refused(done, 1, "to equal PyTorch", "model.trt.onnx, fp16: RMSE")
    assert tree(tmp_path) == {}


@pytest.mark.parametrize(
    "extra", [["-o", "x.smsr"], ["--precision", "fp16"], ["--verify", "p.png"], ["--accept-parity-failure"]], ids=str
)
def test_options_for_a_checkpoint_are_wrong_usage_with_a_bundle(extra: list[str], pending: Path) -> None:
    before = tree(pending.parent)
    done = export("net.smsr", "--target", "trt", *extra, cwd=pending.parent)
    assert_refused(done, 2, extra[0], "a bundle")
    assert tree(pending.parent) == before


def test_an_onnx_bundle_cannot_be_finished(small_checkpoint: Path, tmp_path: Path) -> None:
    assert export(small_checkpoint, "-o", "x.smsr", cwd=tmp_path).returncode == 0
    before = tree(tmp_path)
    assert_refused(export("x.smsr", "--target", "trt", cwd=tmp_path), 2, "model.trt.onnx", "ONNX Runtime only")
    assert tree(tmp_path) == before


@pytest.fixture
def device(pending: Path, calm_network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A GPU of stand-ins. They run ONNX files, so the model carries its function: its float16 is then real."""
    world = World(capability=(9, 0))
    monkeypatch.setenv("SMSR_TRT_LIBRARY", str(plugin_library(tmp_path)))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    install(world, monkeypatch)
    model = build_trt_model(fold(freeze(calm_network)), "fp16", functions=True)
    onnx.save_model(model, pending / "model.trt.onnx")
    kept = facts(pending)
    manifest.write(pending, kept)
    return world


def run(*arguments: object) -> int:
    return cli.main([str(argument) for argument in arguments])


def test_the_device_finishes_the_bundle_and_its_engine_reproduces_the_golden_output(
    device: World, pending: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tree(pending)
    assert run(pending, "--target", "trt") == 0
    shown = capsys.readouterr()
    assert "self-test passed: RMSE" in shown.err and "finished" in shown.out
    after = facts(pending)
    assert after["engine"]["profile"]["max"] == [64, 96] and after["engine"]["compute_capability"] == "9.0"
    assert set(after["files"]) - {"model.engine"} == set(json.loads(before["manifest.json"] or "")["files"])
    assert smsr_runtime.load(pending).path == "TensorRT 10.3.0 fp16"


def test_a_finished_bundle_is_built_again_with_force_only(
    device: World, pending: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(pending, "--target", "trt") == 0
    before = tree(pending)
    capsys.readouterr()
    assert run(pending, "--target", "trt", "--max-shape", "80x96") == 2
    assert "--force builds it again" in capsys.readouterr().err and tree(pending) == before
    assert run(pending, "--target", "trt", "--max-shape", "80x96", "--force") == 0
    assert facts(pending)["engine"]["profile"]["max"] == [80, 96]


def test_an_engine_of_another_network_is_not_kept(
    device: World, pending: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = onnx.load(pending / "model.trt.onnx")
    (bias,) = (item for item in model.graph.initializer if item.name == "tail.bias")
    bias.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(bias) + 1, "tail.bias"))
    onnx.save_model(model, pending / "model.trt.onnx")
    manifest.write(pending, facts(pending))
    before = tree(pending)
    assert run(pending, "--target", "trt") == 1
    assert "RMSE at most 0.08 of 255 from the golden output" in capsys.readouterr().err and tree(pending) == before


def test_a_failed_build_leaves_the_bundle_pending(
    device: World, pending: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    device.too_large, before = 10, tree(pending)
    assert run(pending, "--target", "trt") == 1
    assert "out of memory at 64x96" in capsys.readouterr().err and tree(pending) == before


@pytest.fixture
def variant_shipped(device: World, pending: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exporter ships no function, so the stand-in is given the variant to run."""
    variant = onnx.load(pending / "model.trt.onnx")
    monkeypatch.setattr("smsr_export.tensorrt_bundle.build_trt_model", lambda *_, **__: variant)
    monkeypatch.setenv("SMSR_ORT_LIBRARY", "none")


@pytest.mark.usefixtures("variant_shipped")
def test_checkpoint_to_engine_in_one_command(calm_checkpoint: Path, tmp_path: Path) -> None:
    """On a machine with a GPU."""
    assert run(calm_checkpoint, "--target", "trt", "-o", tmp_path / "all.smsr") == 0
    assert facts(tmp_path / "all.smsr")["engine"]["tensorrt"] == "10.3.0"


@pytest.mark.usefixtures("variant_shipped")
def test_an_engine_that_fails_after_the_export_says_what_to_do_and_that_the_bundle_is_kept(
    device: World, calm_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    device.too_large, output = 10, tmp_path / "all.smsr"
    assert run(calm_checkpoint, "--target", "trt", "-o", output, "--max-shape", "64x96") == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "expected" in line]
    assert "name a --max-shape below 64x96; the bundle is kept, its engine pending" in line
    assert facts(output)["engine"] == "pending"
