"""A bundle that is not whole, or not one, is refused with a reason."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import smsr_runtime
from smsr import __version__
from tests.runtime.helpers import assert_one_line_error, tiny_model, write_manifest


def test_versions_agree() -> None:
    assert smsr_runtime.__version__ == __version__


@pytest.mark.parametrize("name", ["model.onnx", "golden/input.png", "golden/output.npy"])
def test_changed_byte_is_found(run, own_bundle: Path, name: str) -> None:
    file = own_bundle / name
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    assert_one_line_error(run("--selftest", bundle=own_bundle), 1, name, "sha256", "changed byte")


def test_missing_and_cut_files_are_found(own_bundle: Path) -> None:
    model = own_bundle / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1])
    with pytest.raises(smsr_runtime.BundleError, match=r"model.onnx: expected \d+ bytes"):
        smsr_runtime.load(own_bundle)
    model.unlink()
    with pytest.raises(smsr_runtime.BundleError, match="no such file"):
        smsr_runtime.load(own_bundle)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "other"}, 'format "smsr-bundle"'),
        ({"format_version": 2}, "update the runtime"),
        ({"scale": "2"}, '"scale" of type int'),
        ({"scale": True}, '"scale" of type int'),
        ({"scale": 0}, "1 or more"),
        ({"golden": {"input": "a", "output": "b", "max_abs": None}}, '"max_abs"'),
        ({"files": {}}, "model.onnx"),
        ({"files": {"model.onnx": 3}}, "sha256 and bytes"),
        ({"files": {"model.onnx": {}, "../../etc/passwd": {}}}, '"bytes"|inside the bundle'),
        ({"modules": 3}, '"dense_channels" as 3 lists of 4 numbers'),
        ({"modules": 3, "dense_channels": [[0, 0, 0, 0]] * 3}, "margin_3"),
    ],
)
def test_wrong_manifest_is_refused(own_bundle: Path, changes: dict[str, object], message: str) -> None:
    write_manifest(own_bundle, **changes)
    with pytest.raises(smsr_runtime.SmsrError, match=message):
        smsr_runtime.load(own_bundle)


@pytest.mark.parametrize("text", ["", "[]", "{", "\x00"])
def test_unreadable_manifest_is_refused(own_bundle: Path, text: str) -> None:
    (own_bundle / "manifest.json").write_text(text)
    with pytest.raises(smsr_runtime.BundleError):
        smsr_runtime.load(own_bundle)


def test_what_is_no_bundle_is_refused(run, tmp_path: Path) -> None:
    (tmp_path / "file.smsr").write_text("x")
    (tmp_path / "empty.smsr").mkdir()
    for name, words in (("none.smsr", "nothing there"), ("file.smsr", "a file"), ("empty.smsr", "manifest.json")):
        assert_one_line_error(run("--selftest", bundle=tmp_path / name), 1, name, words)


def test_broken_model_is_one_line(run, own_bundle: Path) -> None:
    (own_bundle / "model.onnx").write_bytes(b"not a model")
    write_manifest(own_bundle)
    assert_one_line_error(run("--selftest", bundle=own_bundle), 1, "model.onnx", "ONNX Runtime can run")


def test_selftest_passes_and_says_what_ran(run) -> None:
    done = run("--selftest", "--json")
    report = json.loads(done.stdout)
    assert done.returncode == report["exit_code"] == 0
    assert report["selftest"]["passed"]
    assert report["selftest"]["path"] == "function body"
    assert report["selftest"]["max_abs"] <= report["selftest"]["allowed"]


def test_selftest_fails_on_another_output(run, own_bundle: Path) -> None:
    golden = own_bundle / "golden" / "output.npy"
    np.save(golden, np.load(golden) + np.float32(0.01))
    write_manifest(own_bundle)
    assert_one_line_error(run("--selftest", bundle=own_bundle), 1, "0.001 of 255", "0.01")


def test_selftest_does_not_depend_on_theta(run) -> None:
    assert run("--selftest", "--theta", "100").returncode == 0


def test_network_that_gives_nan_is_an_error(own_bundle: Path) -> None:
    model = tiny_model()
    next(w for w in model.graph.initializer if w.name == "offset_1").CopyFrom(
        numpy_helper.from_array(np.float32(np.nan), "offset_1")
    )
    model.graph.node[-1].input[0] = "poisoned"
    model.graph.node.insert(1, onnx.helper.make_node("Sub", ["image", "offset_1"], ["poisoned"]))
    onnx.save(model, own_bundle / "model.onnx")
    write_manifest(own_bundle)
    with pytest.raises(smsr_runtime.BackendError, match="NaN"):
        smsr_runtime.load(own_bundle)(np.zeros((2, 2, 3), np.uint8))
