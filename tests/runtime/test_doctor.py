"""smsr-doctor: what it says of this machine, of machines made up from files and missing packages, and of bundles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnxruntime
import pytest

from smsr import contract
from smsr_runtime.doctor import bundle as doctor_bundle
from smsr_runtime.doctor import command, cpu, machine
from smsr_runtime.doctor.bundle import examine
from smsr_runtime.doctor.finding import CPU, EXPORT, GPU, Finding
from tests.runtime.fake_tensorrt import World
from tests.runtime.helpers import plain_python, write_manifest
from tests.runtime.tensorrt_machine import manifest, write_pending


def report(capsys: pytest.CaptureFixture[str], *options: str, code: int = 0) -> dict[str, Any]:
    assert command.main(["--json", *options]) == code
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


def named(group: list[dict[str, Any]], name: str) -> dict[str, Any]:
    (finding,) = (finding for finding in group if finding["name"] == name)
    return finding


def test_the_native_library_is_described_by_what_it_was_built_from(
    monkeypatch: pytest.MonkeyPatch, native_library: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SMSR_ORT_LIBRARY", str(native_library))
    monkeypatch.setenv("SMSR_CPU", "scalar")
    library = named(report(capsys)["CPU"], "native library")
    assert library["ok"] and library["value"].startswith("scalar (this CPU could run ")
    assert contract.interface_hash()[:12] in library["value"] and library["remedy"] == ""


def test_a_file_that_is_no_library_is_a_lack_with_its_remedy_but_the_cpu_still_works(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.so").write_bytes(b"no library")
    monkeypatch.setenv("SMSR_ORT_LIBRARY", str(tmp_path / "broken.so"))
    answer = report(capsys)
    library = named(answer["CPU"], "native library")
    assert library["ok"] is False and "broken.so" in library["value"] and "make native" in library["remedy"]
    assert answer["targets"]["cpu"] == {"ready": True, "lacks": []}


def test_an_old_onnx_runtime_is_named_with_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "__version__", "1.16.3")
    found = cpu.findings()[0]
    assert found.ok is False and "1.16.3" in found.value and found.remedy == "pip install --upgrade onnxruntime"
    monkeypatch.setattr(onnxruntime, "__version__", "1.17.0")
    assert cpu.findings()[0].ok


def test_without_onnx_runtime_nothing_runs_and_the_exit_code_says_so() -> None:
    code = (
        "import sys; sys.modules['onnxruntime'] = None; from smsr_runtime.doctor.command import main; sys.exit(main())"
    )
    done = plain_python(code)
    assert done.returncode == 1 and not done.stderr
    assert "-- run bundles on the CPU: lacks onnxruntime" in done.stdout
    assert "pip install onnxruntime" in done.stdout


def test_a_jetson_is_known_by_its_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "release").write_text("# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64\n")
    (tmp_path / "model").write_bytes(b"NVIDIA Jetson Orin Nano Developer Kit\0")
    (tmp_path / "nvpmodel").write_text("#!/bin/sh\necho 'NV Power Mode: MAXN'; echo 0\n")
    (tmp_path / "nvpmodel").chmod(0o755)
    monkeypatch.setattr(machine, "_L4T", tmp_path / "release")
    monkeypatch.setattr(machine, "_BOARD", tmp_path / "model")
    monkeypatch.setenv("PATH", str(tmp_path))
    facts = {finding.name: finding.value for finding in machine.findings()}
    assert facts["Jetson"] == "NVIDIA Jetson Orin Nano Developer Kit, L4T 36.4.3"
    assert facts["power mode"].startswith("MAXN ")


def test_a_target_lacks_what_it_needs_and_nothing_else() -> None:
    lacking = [
        Finding("a", False, "", (CPU, EXPORT)), Finding("b", False, "", (GPU,)), Finding("c", True, "", (CPU,)),
        Finding("d", None, "", (CPU,)), Finding("e", False, ""),
    ]  # fmt: skip
    assert command.targets(lacking) == {"cpu": ["a"], "trt": ["b"], "export": ["a"], "train": [], "bench": []}


def test_a_bundle_runs_here_on_the_function_body(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = report(capsys, "--bundle", str(bundle))["bundle"]
    assert told["runs"] == "function body" and told["about"].startswith("tiny: x2, fp32")
    assert any("bytes per input pixel" in line for line in told["why"])


def test_what_fits_the_memory_is_said_and_what_becomes_of_the_rest(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model not of smsr-export cannot be cut; its 16 features take a quarter of the 6600 bytes of 64 features."""
    monkeypatch.setattr(doctor_bundle, "available_memory", lambda: 1650 * 2_500_000)
    fit = "2.5 megapixels fit the memory whole, larger pictures are refused"
    assert f"about 1650 bytes per input pixel: {fit}" in examine(str(bundle)).why


def test_a_pending_engine_is_said_and_not_built(own_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_pending(own_bundle)
    before = sorted(own_bundle.rglob("*"))
    told = report(capsys, "--bundle", str(own_bundle))["bundle"]
    assert "its engine is pending" in told["about"] and told["runs"] == "function body"
    assert sorted(own_bundle.rglob("*")) == before


def test_where_an_engine_could_be_built_it_is_not(world: World, pending: Path) -> None:
    """With TensorRT and a GPU, where smsr-run would build it for minutes."""
    before = manifest(pending)
    told = examine(str(pending))
    assert "its engine is pending" in told.about and told.runs == "function body"
    assert manifest(pending) == before and not (pending / "model.engine").exists()


def test_a_bundle_that_does_not_run_here_is_exit_code_1_and_says_why(
    own_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The machine itself lacks nothing for the CPU."""
    (own_bundle / "model.onnx").write_bytes(b"no model")
    write_manifest(own_bundle)
    answer = report(capsys, "--bundle", str(own_bundle), code=1)
    assert answer["targets"]["cpu"]["ready"] and answer["bundle"]["runs"] is None
    (why,) = answer["bundle"]["why"]
    assert "model.onnx: expected a model ONNX Runtime can run" in why
    assert command.main(["--bundle", str(own_bundle)]) == 1
    assert "-- does not run here" in capsys.readouterr().out


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_precision_without_kernels_here_is_said(
    own_bundle: Path, precision: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The function body computes in float32."""
    write_manifest(own_bundle, precision=precision)
    why = report(capsys, "--bundle", str(own_bundle))["bundle"]["why"]
    assert ("this CPU has no kernels for bf16: float32 is computed" in why) == (precision == "bf16")


def test_what_is_no_bundle_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--bundle", str(tmp_path)]) == 1
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1 and said.err.startswith("smsr-doctor: error: ")
