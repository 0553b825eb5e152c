"""A bundle: what docs/interfaces.md says of it, complete, hashed, the same bytes every time."""

from __future__ import annotations

import hashlib
import json
import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
import torch

import smsr_runtime
from smsr import contract
from smsr.complexity import network_macs
from smsr.network import Network
from smsr_export import writing
from smsr_export.sample import sample_picture
from smsr_export.writing import ExportRequest, export
from smsr_runtime.bundle import FORMAT_VERSION
from smsr_runtime.errors import UsageError
from tests.export.onnx_tools import FEW_PIXELS
from tests.helpers import planes

KINDS = {
    "format": str, "format_version": int, "name": str, "target": str, "precision": str, "scale": int,
    "features": int, "layers": int, "modules": int, "value_range": list, "interface_hash": str,
    "dense_channels": list, "checkpoint": dict, "versions": dict, "engine": type(None), "parity": dict,
    "macs": dict, "golden": dict, "files": dict,
}  # fmt: skip


@pytest.fixture(scope="module")
def bundle(small_network: Network, small_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("bundle") / "small.smsr"
    export(small_network, ExportRequest(small_checkpoint, output, FEW_PIXELS))
    return output


@pytest.fixture(scope="module")
def facts(bundle: Path) -> dict[str, Any]:
    return dict(json.loads((bundle / "manifest.json").read_text()))


def test_the_manifest_has_the_documented_entries(facts: dict[str, Any]) -> None:
    assert {name: type(value) for name, value in facts.items()} == KINDS


def test_the_manifest_says_what_the_network_is(facts: dict[str, Any], small_checkpoint: Path) -> None:
    expected = {
        "format": "smsr-bundle", "format_version": FORMAT_VERSION, "name": "small", "target": "onnx",
        "precision": "fp32", "scale": 2, "features": 16, "layers": 3, "modules": 2, "value_range": [0, 255],
        "interface_hash": contract.interface_hash(), "dense_channels": [[5, 0, 16], [0, 9, 1]], "engine": None,
        "checkpoint": {"file": "small.pt", "sha256": hashlib.sha256(small_checkpoint.read_bytes()).hexdigest()},
    }  # fmt: skip
    assert {name: facts[name] for name in expected} == expected
    assert {"smsr", "torch", "onnx", "onnxruntime", "numpy", "python"} <= set(facts["versions"])


def test_every_file_is_named_with_its_size_and_hash(bundle: Path, facts: dict[str, Any]) -> None:
    files = {path.relative_to(bundle).as_posix(): path for path in bundle.rglob("*") if path.is_file()}
    assert set(files) == {"manifest.json", *facts["files"]}
    assert set(facts["files"]) == {"model.onnx", "golden/input.png", "golden/output.npy", "report.html"}
    for name, described in facts["files"].items():
        content = files[name].read_bytes()
        assert described == {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def test_parity_is_recorded_with_every_row(facts: dict[str, Any]) -> None:
    parity = facts["parity"]
    assert parity["passed"] is True and parity["accepted_failure"] is False and parity["failures"] == []
    assert "function body" in [row["path"] for row in parity["rows"]]
    assert all(row["flips"] == 0 and row["max_abs"] < 1e-3 for row in parity["rows"])


def test_macs_are_those_of_the_masks(facts: dict[str, Any], small_network: Network) -> None:
    macs = network_macs(small_network.config, facts["dense_channels"])
    assert facts["macs"]["dense_per_pixel"] == macs.dense
    assert facts["macs"]["inactive_per_pixel"] == [module.inactive for module in macs.modules]


def test_golden_files_are_our_own_picture_and_what_pytorch_makes_of_it(
    bundle: Path, facts: dict[str, Any], small_network: Network
) -> None:
    stored = cv2.imread(str(bundle / facts["golden"]["input"]), cv2.IMREAD_COLOR)
    assert stored is not None
    image = stored[..., ::-1]
    assert np.array_equal(image, sample_picture(*image.shape[:2]))
    expected = np.load(bundle / facts["golden"]["output"])
    assert expected.dtype == np.float32 and expected.shape == (1, 3, 2 * image.shape[0], 2 * image.shape[1])
    with torch.inference_mode():
        assert np.array_equal(expected, small_network.infer(planes(image)).upscaled.numpy())
    upscaled, _ = smsr_runtime.load(bundle).upscale_float(planes(image).numpy())
    assert np.abs(upscaled - expected).max() < facts["golden"]["max_abs"] == 1e-3


def test_the_model_in_it_is_a_checked_onnx_file(bundle: Path) -> None:
    onnx.checker.check_model(onnx.load(bundle / "model.onnx"), full_check=True)


def test_nothing_but_the_bundle_is_left(bundle: Path) -> None:
    assert [path.name for path in bundle.parent.iterdir()] == ["small.smsr"]


def test_exported_twice_the_bytes_are_the_same(
    bundle: Path, small_network: Network, small_checkpoint: Path, tmp_path: Path
) -> None:
    again = tmp_path / "small.smsr"
    export(small_network, ExportRequest(small_checkpoint, again, FEW_PIXELS))
    for file in (path for path in bundle.rglob("*") if path.is_file()):
        assert file.read_bytes() == (again / file.relative_to(bundle)).read_bytes(), file.name


def test_other_users_may_read_it(bundle: Path) -> None:
    assert bundle.stat().st_mode & 0o055 == 0o055
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in bundle.rglob("*"))


def test_a_reader_never_sees_half_a_bundle(small_network: Network, small_checkpoint: Path, tmp_path: Path) -> None:
    """Looked at without pause while it is made, the name is absent or complete."""
    output, seen, done = tmp_path / "x.smsr", set(), threading.Event()

    def look() -> None:
        while not done.is_set():
            if output.is_dir():
                seen.add(tuple(sorted(path.name for path in output.rglob("*"))))

    watcher = threading.Thread(target=look)
    watcher.start()
    export(small_network, ExportRequest(small_checkpoint, output, FEW_PIXELS))
    done.set()
    watcher.join()
    assert seen <= {("golden", "input.png", "manifest.json", "model.onnx", "output.npy", "report.html")}


def test_an_interrupted_export_leaves_nothing(
    small_network: Network, small_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(writing, "verify", interrupted)
    with pytest.raises(KeyboardInterrupt):
        export(small_network, ExportRequest(small_checkpoint, tmp_path / "x.smsr", FEW_PIXELS))
    assert list(tmp_path.iterdir()) == []


def test_an_existing_name_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--force"):
        writing.check_output(tmp_path, force=False)
    writing.check_output(tmp_path / "new.smsr", force=False)
