"""--target triton: config.pbtxt in Triton's own message, against the model as ONNX Runtime has it.

No server runs here. What its ONNX Runtime backend checks at loading is checked again: names, types, shapes, which
inputs are optional; and a session loads the model with the library that lies in the repository.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from smsr_export.sample import sample_picture
from smsr_runtime.arrays import to_planes
from smsr_runtime.bundle import MANIFEST
from tests.export.test_cli import assert_refused, export, tree
from tests.helpers import NATIVE_LIBRARY, run_python

text_format = pytest.importorskip("google.protobuf.text_format")
model_config = pytest.importorskip("tritonclient.grpc.model_config_pb2", reason="no tritonclient")

TYPES = {"tensor(float)": "TYPE_FP32"}


def read_config(folder: Path) -> Any:
    """Unknown fields, wrong types and lists that are none end in a ParseError."""
    return text_format.Parse((folder / "config.pbtxt").read_text("ascii"), model_config.ModelConfig())


def session(folder: Path, library: Path | None = None) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    if library:
        options.register_custom_ops_library(str(library))
    return onnxruntime.InferenceSession(str(folder / "1" / "model.onnx"), options, providers=["CPUExecutionProvider"])


def shape(tensor: Any) -> list[int]:
    """As the server sees it: -1 for every size that varies; a scalar, which it has no shape for, as one value."""
    return [size if isinstance(size, int) else -1 for size in tensor.shape] or [1]


def described(tensors: Any) -> list[tuple[str, str, list[int]]]:
    return [(tensor.name, TYPES[tensor.type], shape(tensor)) for tensor in tensors]


def stated(tensors: Any) -> list[tuple[str, str, list[int]]]:
    return [(tensor.name, model_config.DataType.Name(tensor.data_type), list(tensor.dims)) for tensor in tensors]


@pytest.fixture(scope="module")
def x2_model(x2_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published weights in a repository, with the library where one is built."""
    cwd = tmp_path_factory.mktemp("triton")
    done = run_python("-m", "smsr_export.cli", x2_bundle, "--target", "triton", "-o", "models", cwd=cwd)
    assert done.returncode == 0, done.stderr
    return cwd / "models" / "x2"


def test_the_configuration_is_what_the_model_is(x2_model: Path) -> None:
    config, model = read_config(x2_model), session(x2_model)
    required, defaulted = model.get_inputs(), model.get_overridable_initializers()
    assert stated(config.input) == described([*required, *defaulted])
    assert [tensor.optional for tensor in config.input] == [False] * len(required) + [True] * len(defaulted)
    assert stated(config.output) == described(model.get_outputs())
    assert [tensor.name for tensor in config.input] == ["image", "theta"]
    assert stated(config.output)[0] == ("upscaled", "TYPE_FP32", [-1, 3, -1, -1])


def test_the_server_computes_on_its_cpu_and_joins_no_requests(x2_model: Path) -> None:
    config = read_config(x2_model)
    assert (config.name, config.backend, config.max_batch_size) == (x2_model.name, "onnxruntime", 0)
    (group,) = config.instance_group
    assert (group.kind, group.count) == (model_config.ModelInstanceGroup.KIND_CPU, 1)


@pytest.mark.skipif(not NATIVE_LIBRARY.is_file(), reason="no native library is built")
def test_the_library_in_the_repository_computes_the_model(x2_model: Path) -> None:
    """As the server does it: the path that the configuration names, with /models where the repository is."""
    (named,) = read_config(x2_model).model_operations.op_library_filename
    assert named == "/models/x2/libsmsr_ort.so"
    library = x2_model.parent / Path(named).relative_to("/models")
    assert library.read_bytes() == NATIVE_LIBRARY.read_bytes()
    image = to_planes(sample_picture(24, 31)).astype(np.float32)
    native = session(x2_model, library).run(["upscaled"], {"image": image})[0]
    body = session(x2_model).run(["upscaled"], {"image": image, "theta": np.array(0, np.float32)})[0]
    assert native.shape == (1, 3, 48, 62)
    np.testing.assert_allclose(native, body, atol=2e-3)


def test_the_model_is_the_bundles(x2_bundle: Path, x2_model: Path) -> None:
    assert (x2_model / "1" / "model.onnx").read_bytes() == (x2_bundle / "model.onnx").read_bytes()
    files = {name for name, data in tree(x2_model).items() if data is not None}
    assert files - {"libsmsr_ort.so"} == {"config.pbtxt", "1/model.onnx"}


@pytest.fixture
def checkpoint(small_checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(small_checkpoint, tmp_path / "net.pt"))


@pytest.fixture
def bundle(checkpoint: Path, tmp_path: Path) -> Path:
    assert export("net.pt", cwd=tmp_path).returncode == 0
    return tmp_path / "net.smsr"


def test_a_checkpoint_becomes_a_model_beside_others(checkpoint: Path, tmp_path: Path) -> None:
    """Without a library, which is said; names in any script survive the text format."""
    shutil.copy(checkpoint, tmp_path / 'ü "2" \\n.pt')
    for name in ("net", 'ü "2" \\n'):
        done = export(f"{name}.pt", "--target", "triton", "-o", "repository", cwd=tmp_path)
        assert done.returncode == 0 and "function bodies" in done.stderr, done
        config = read_config(tmp_path / "repository" / name)
        assert config.name == name and not config.HasField("model_operations")
    assert not list(tmp_path.glob(".*")) and not list((tmp_path / "repository").glob(".*"))


def test_a_bundle_is_named_from_inside_too(bundle: Path, tmp_path: Path) -> None:
    assert export(".", "--target", "triton", "-o", "../models", cwd=bundle).returncode == 0
    assert read_config(tmp_path / "models" / "net").name == "net"


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_every_precision_has_the_same_inputs_and_outputs(precision: str, checkpoint: Path, tmp_path: Path) -> None:
    done = export("net.pt", "--target", "triton", "--precision", precision, cwd=tmp_path)
    assert done.returncode == 0 and "--selftest" not in done.stdout, done
    config, model = read_config(tmp_path / "models" / "net"), session(tmp_path / "models" / "net")
    assert stated(config.input) == described([*model.get_inputs(), *model.get_overridable_initializers()])
    assert stated(config.output) == described(model.get_outputs())


@pytest.mark.skipif(not NATIVE_LIBRARY.is_file(), reason="no native library is built")
def test_the_repository_may_be_served_from_anywhere(bundle: Path, tmp_path: Path) -> None:
    arguments = ["net.smsr", "--target", "triton", "--served-at", "/srv/a b"]
    done = run_python("-m", "smsr_export.cli", *arguments, cwd=tmp_path)
    assert done.returncode == 0 and "--model-repository=/srv/a b" in done.stdout, done
    (named,) = read_config(tmp_path / "models" / "net").model_operations.op_library_filename
    assert named == "/srv/a b/net/libsmsr_ort.so"


def test_force_replaces_our_model_and_nothing_else(bundle: Path, tmp_path: Path) -> None:
    arguments = ["net.smsr", "--target", "triton"]
    assert export(*arguments, cwd=tmp_path).returncode == 0
    model = tmp_path / "models" / "net"
    (model / "1" / "more").touch()
    (tmp_path / "models" / "other").mkdir()
    before = tree(tmp_path)
    assert_refused(export(*arguments, cwd=tmp_path), 2, "models/net", "--force")
    assert tree(tmp_path) == before
    assert export(*arguments, "--force", cwd=tmp_path).returncode == 0
    assert not (model / "1" / "more").exists() and (tmp_path / "models" / "other").is_dir()
    (model / "config.pbtxt").write_text('name: "net"')
    before = tree(tmp_path)
    assert_refused(export(*arguments, "--force", cwd=tmp_path), 2, "models/net", "smsr-export wrote")
    assert tree(tmp_path) == before


BAD = {
    "a relative path": (["net.smsr", "--target", "triton", "--served-at", "models"], 2, "an absolute path"),
    "an empty path": (["net.smsr", "--target", "triton", "--served-at", ""], 2, "an absolute path"),
    "a path that is no Unicode": (["net.smsr", "--target", "triton", "--served-at", "/\udcff"], 2, "UTF-8"),
    "a name that is no Unicode": (["\udcff.pt", "--target", "triton"], 2, "UTF-8"),
    "another target": (["net.pt", "--served-at", "/models"], 2, "--target triton"),
    "a bundle as the repository": (["net.smsr", "--target", "triton", "-o", "net.smsr"], 2, "a bundle"),
    "a file as the repository": (["net.smsr", "--target", "triton", "-o", "net.pt"], 2, "net.pt"),
    "a single file": (["net.pt", "--target", "triton", "-o", "net.onnx"], 2, "net.onnx"),
    "inline": (["net.pt", "--target", "triton", "--inline"], 2, "--inline"),
    "sizes": (["net.pt", "--target", "triton", "--max-shape", "9x9"], 2, "--target triton"),
    "weights of a bundle": (["net.smsr", "--target", "triton", "--weights", "params"], 2, "--weights"),
    "no folder": (["net.smsr", "--target", "triton", "-o", "none/models"], 1, "none"),
    "no checkpoint": (["none.pt", "--target", "triton"], 1, "none.pt"),
}


def test_bad_usage_is_one_line_and_leaves_nothing(bundle: Path, tmp_path: Path) -> None:
    shutil.copy(tmp_path / "net.pt", tmp_path / "\udcff.pt")
    before = tree(tmp_path)
    for kind, (arguments, code, word) in BAD.items():
        assert_refused(export(*arguments, cwd=tmp_path), code, word)
        assert tree(tmp_path) == before, kind


def test_a_bundle_for_tensorrt_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    done = export("net.pt", "--target", "trt", "--pending", "--precision", "fp32", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    before = tree(tmp_path)
    assert_refused(export("net.smsr", "--target", "triton", cwd=tmp_path), 2, "net.smsr", "TensorRT", "checkpoint")
    assert tree(tmp_path) == before


def test_a_damaged_bundle_is_refused(bundle: Path, tmp_path: Path) -> None:
    manifest = json.loads((bundle / MANIFEST).read_text())
    manifest["files"]["model.onnx"]["sha256"] = "0" * 64
    (bundle / MANIFEST).write_text(json.dumps(manifest))
    assert_refused(export("net.smsr", "--target", "triton", cwd=tmp_path), 1, "model.onnx")
    assert not (tmp_path / "models").exists()
