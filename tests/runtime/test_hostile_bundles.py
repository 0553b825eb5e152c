"""Bundles that mean harm: refused in one line, before anything outside of them is opened and before memory is taken."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import smsr_runtime
from smsr_runtime.errors import BackendError, BundleError
from smsr_runtime.external_data import UNNAMED, locations
from smsr_runtime.manifest import is_inside
from smsr_runtime.ort.strip_parts import can_be_cut
from smsr_runtime.selftest import self_test
from tests.runtime.helpers import Run, compile_library, tiny_model, write_manifest


def external(location: str | None, nest: Callable[[onnx.ModelProto], onnx.ModelProto] = lambda model: model) -> bytes:
    """The tiny model with a weight in another file."""
    model = tiny_model()
    _point(next(one for one in model.graph.initializer if one.name == "offset_1"), location)
    return bytes(nest(model).SerializeToString())


def _point(weight: TensorProto, location: str | None) -> None:
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    if location is not None:
        weight.external_data.add(key="location", value=location)


def in_an_attribute(model: onnx.ModelProto) -> onnx.ModelProto:
    """A Constant's tensor, inside the branch of an If."""
    tensor = TensorProto(data_type=TensorProto.FLOAT, dims=[1])
    _point(tensor, "hidden")
    constant = helper.make_node("Constant", [], ["c"], value=tensor)
    branch = helper.make_graph([constant], "b", [], [helper.make_tensor_value_info("c", TensorProto.FLOAT, [1])])
    model.graph.node.append(helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch))
    return model


def in_a_function(model: onnx.ModelProto) -> onnx.ModelProto:
    tensor = TensorProto(data_type=TensorProto.FLOAT, dims=[1])
    _point(tensor, "function's")
    constant = helper.make_node("Constant", [], ["c"], value=tensor)
    function = helper.make_function("d", "f", [], ["c"], [constant], [helper.make_opsetid("", 17)])
    model.functions.append(function)
    return model


def test_every_file_that_a_model_reads_is_seen() -> None:
    assert locations(tiny_model().SerializeToString()) == set()
    assert locations(external("../secret")) == {"../secret"}
    assert locations(external(None)) == {UNNAMED}
    assert locations(external("a", in_an_attribute)) == {"a", "hidden"}
    assert locations(external("a", in_a_function)) == {"a", "function's"}
    assert locations(external("*/_ORT_MEM_ADDR_/*")) == {"*/_ORT_MEM_ADDR_/*"}


def in_place(name: str) -> onnx.ModelProto:
    """A model with one tensor, whose data lie in the file of this name, at the place that the name says."""
    tensor = TensorProto(data_type=TensorProto.FLOAT, dims=[1], name="w")
    tensor.external_data.add(key="location", value=name)
    if name != "without a flag":
        tensor.data_location = TensorProto.EXTERNAL
    weights = onnx.GraphProto(name="g", initializer=[tensor])
    sparse = (
        onnx.SparseTensorProto(values=tensor) if name.endswith("values") else onnx.SparseTensorProto(indices=tensor)
    )
    attributes = {
        "tensor": onnx.AttributeProto(t=tensor), "tensors": onnx.AttributeProto(tensors=[tensor]),
        "graph": onnx.AttributeProto(g=weights), "graphs": onnx.AttributeProto(graphs=[weights]),
        "sparse values": onnx.AttributeProto(sparse_tensor=sparse),
        "sparse indices": onnx.AttributeProto(sparse_tensors=[sparse]),
    }  # fmt: skip
    model = onnx.ModelProto()
    if name in attributes:
        model.graph.node.add().attribute.append(attributes[name])
    elif name == "function's node":
        model.functions.add().node.add().attribute.append(attributes["tensor"])
    elif name == "function's attribute":
        model.functions.add().attribute_proto.append(attributes["tensor"])
    elif name == "training's start":
        model.training_info.add().initialization.CopyFrom(weights)
    elif name == "training's step":
        model.training_info.add().algorithm.CopyFrom(weights)
    elif name == "graph's sparse values":
        model.graph.sparse_initializer.append(sparse)
    else:
        model.graph.initializer.append(tensor)
    return model


@pytest.mark.parametrize(
    "name",
    [
        "tensor", "tensors", "graph", "graphs", "sparse values", "sparse indices", "function's node",
        "function's attribute", "training's start", "training's step", "graph's sparse values", "without a flag",
    ],
)  # fmt: skip
def test_every_place_of_a_tensor_is_looked_at(name: str) -> None:
    assert locations(in_place(name).SerializeToString()) == {name}


@pytest.mark.parametrize("data", [b"\x0b", b"\x07", b"\x3a\xff\x01", b"\x3a", b"\xff" * 11, b"\x02\x01x"])
def test_what_is_no_message_is_no_model(data: bytes) -> None:
    with pytest.raises(ValueError, match="protobuf"):
        locations(data)


def test_graphs_without_end_are_refused() -> None:
    data = b""
    for _ in range(60):  # attribute 5 of node 1 of graph 6 of attribute ...
        for key in (0x32, 0x2A, 0x0A):
            size = len(data)
            data = bytes([key, size & 127 | 128, size >> 7]) + data
    with pytest.raises(ValueError, match="deep"):
        locations(b"\x3a" + bytes([len(data) & 127 | 128, len(data) >> 7]) + data)


def test_weights_in_a_file_that_the_manifest_names_are_read(own_bundle: Path) -> None:
    (own_bundle / "weights").write_bytes(np.float32(100).tobytes())
    (own_bundle / "model.onnx").write_bytes(external("weights"))
    write_manifest(own_bundle)
    image = np.full((2, 2, 3), 9, np.uint8)
    assert np.array_equal(smsr_runtime.load(own_bundle)(image), np.full((4, 4, 3), 9, np.uint8))


@pytest.mark.parametrize("kind", ["unnamed", "above", "link", "link to a folder"])
def test_weights_outside_of_the_manifest_are_refused(own_bundle: Path, tmp_path: Path, kind: str) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(np.float32(100).tobytes())
    location = "../secret" if kind == "above" else "folder/secret" if kind == "link to a folder" else "weights"
    (own_bundle / "model.onnx").write_bytes(external(location))
    write_manifest(own_bundle)
    if kind == "unnamed":
        shutil.copy(secret, own_bundle / "weights")
    if kind == "link":
        (own_bundle / "weights").symlink_to(secret)
        write_manifest(own_bundle)
    if kind == "link to a folder":
        (own_bundle / "folder").symlink_to(tmp_path)
        facts = json.loads((own_bundle / "manifest.json").read_text())
        facts["files"]["folder/secret"] = {"bytes": 4, "sha256": smsr_runtime.bundle.sha256(secret)}
        (own_bundle / "manifest.json").write_text(json.dumps(facts))
    with pytest.raises(BundleError, match=r"manifest names|inside the bundle"):
        smsr_runtime.load(own_bundle)


@pytest.mark.parametrize("name", ["manifest.json", "model.onnx", "golden/input.png"])
@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_is_no_file_is_refused_at_once(own_bundle: Path, name: str, kind: str) -> None:
    (own_bundle / name).unlink()
    if kind == "pipe":
        os.mkfifo(own_bundle / name)
    elif kind == "device":
        (own_bundle / name).symlink_to("/dev/zero")
    else:
        (own_bundle / name).mkdir()
    signal.alarm(10)  # a reader of the pipe would wait for ever
    try:
        with pytest.raises(BundleError, match=r"folder, pipe or device|inside the bundle"):
            smsr_runtime.load(own_bundle)
    finally:
        signal.alarm(0)


FACTS = {"bytes": 3, "sha256": "0" * 64}
GOLDEN = {"input": "golden/input.png", "output": "golden/output.npy", "max_abs": 0.001}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"modules": 10**6, "dense_channels": []}, "1000 at most"),
        ({"scale": 10**4}, "16 at most"),
        ({"name": "a\x00b"}, "control characters"),
        ({"name": "\x9b31m"}, "control characters"),
        ({"name": "\ud800"}, "control characters"),
        ({"extra": ["x" * 5000]}, "4096"),
        ({"extra": float("nan")}, "NaN"),
        ({"extra": float("-inf")}, "-Infinity"),
        ({"golden": {**GOLDEN, "input": "../golden/input.png"}}, "golden files"),
        ({"golden": {**GOLDEN, "output": "/etc/passwd"}}, "golden files"),
        ({"golden": {**GOLDEN, "max_abs": -1}}, "0 to 255"),
        ({"golden": {**GOLDEN, "max_abs": True}}, "max_abs"),
        ({"golden": {**GOLDEN, "engine_rmse": "1"}}, "engine_rmse"),
        ({"dense_channels": [[0, 0, 0, 17]] * 2}, "0 to 16"),
        ({"dense_channels": [[0, 0, 0, True]] * 2}, "0 to 16"),
        ({"interface_hash": "../x"}, "hexadecimal"),
        ({"target": "exe"}, "onnx"),
        ({"precision": "fp32; rm"}, "letters"),
        ({"files": {"model.onnx": FACTS, "manifest.json": FACTS}}, "file names inside the bundle"),
        ({"files": {"model.onnx": {**FACTS, "bytes": -1}}}, "0 to 2147483647"),
        ({"files": {"model.onnx": {**FACTS, "bytes": 1 << 31}}}, "0 to 2147483647"),
        ({"files": {"model.onnx": {**FACTS, "sha256": "0"}}}, "64 hexadecimal"),
    ],
)
def test_a_manifest_with_such_an_entry_is_refused(own_bundle: Path, changes: dict[str, Any], message: str) -> None:
    write_manifest(own_bundle, **changes)
    with pytest.raises(BundleError, match=message) as refused:
        smsr_runtime.load(own_bundle)
    assert len(str(refused.value)) < 2000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"[" * 100000, "end|deep|readable"),
        (b'{"a": ' * 20 + b"1" + b"}" * 20, "16 deep"),
        (b'{"format": "smsr-bundle", "format": "x"}', "twice"),
        (b'{"a": 1e999}', "too large"),
        (b'{"a": ' + b"9" * 10000 + b"}", "readable"),
        (b'{"a": "' + b"x" * (1 << 22) + b'"}', "at most 4194304 bytes"),
        (b"\xff\xfe", "readable"),
    ],
)
def test_such_json_is_refused(own_bundle: Path, text: bytes, message: str) -> None:
    (own_bundle / "manifest.json").write_bytes(text)
    with pytest.raises(BundleError, match=message):
        smsr_runtime.load(own_bundle)


@pytest.mark.parametrize(
    ("name", "inside"),
    [
        ("model.onnx", True), ("golden/input.png", True), ("../x", False), ("a/../x", False), ("/x", False),
        ("a//b", False), ("./a", False), (".", False), ("", False), ("C:x", False), ("a\\b", False), ("a\nb", False),
    ],
)  # fmt: skip
def test_names_of_files_inside(name: str, inside: bool) -> None:
    assert is_inside(name) is inside


def test_a_model_that_gives_another_shape_or_type_is_refused(own_bundle: Path) -> None:
    onnx.save(tiny_model(scale=3), own_bundle / "model.onnx")
    write_manifest(own_bundle)  # which says 2
    image = np.zeros((2, 2, 3), np.uint8)
    with pytest.raises(
        BackendError, match=r"upscaled as float32 of shape \(1, 3, 4, 4\), got float32 of shape \(1, 3, 6, 6\)"
    ):
        smsr_runtime.load(own_bundle)(image)
    model = tiny_model()
    model.graph.node.append(helper.make_node("Cast", ["marked_"], ["upscaled"], to=TensorProto.DOUBLE))
    next(node for node in model.graph.node if node.op_type == "Resize").output[0] = "marked_"
    next(one for one in model.graph.output if one.name == "upscaled").type.tensor_type.elem_type = TensorProto.DOUBLE
    onnx.save(model, own_bundle / "model.onnx")
    write_manifest(own_bundle)
    with pytest.raises(BackendError, match="float64"):
        smsr_runtime.load(own_bundle)(image)


@pytest.mark.parametrize(
    ("name", "words"), [(b"margin_2", "names that are text"), (b"Resize", "a model ONNX Runtime can run")]
)
def test_a_model_with_a_name_that_is_no_text_is_one_line(name: bytes, words: str, run: Run, own_bundle: Path) -> None:
    """Of an output, and of an operator. ONNX Runtime's package would print the latter on stdout, and try again."""
    data = tiny_model().SerializeToString()
    (own_bundle / "model.onnx").write_bytes(data.replace(name, name[:-1] + b"\xff"))
    write_manifest(own_bundle)
    done = run("--selftest", bundle=own_bundle)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stdout + done.stderr
    assert f"model.onnx: expected {words}, got 'utf-8' codec can't decode" in done.stderr


def test_names_that_are_no_text_are_no_parts_for_strips(own_bundle: Path) -> None:
    """ONNX Runtime runs such a model; where memory is short it is not cut, and that is said."""
    data = tiny_model().SerializeToString()
    for name in (b"marked", b"scales"):  # between two nodes; of a weight
        (own_bundle / "model.onnx").write_bytes(data.replace(name, name[:-1] + b"\xff"))
        assert not can_be_cut(own_bundle / "model.onnx")


def test_a_file_that_changes_after_it_was_checked_is_not_used(own_bundle: Path) -> None:
    bundle = smsr_runtime.bundle.read_bundle(own_bundle)
    upscaler = smsr_runtime.load(own_bundle)
    for name, use in (
        ("golden/output.npy", lambda: self_test(bundle, upscaler.opened)),
        ("model.onnx", bundle.model_content),
    ):
        data = bytearray((own_bundle / name).read_bytes())
        data[-1] ^= 1
        (own_bundle / name).write_bytes(data)
        with pytest.raises(BundleError, match="changed byte"):
            use()


def test_no_library_comes_from_a_bundle_or_the_working_folder(run: Run, own_bundle: Path, tmp_path: Path) -> None:
    """Each of these would leave a mark when it is loaded."""
    mark = tmp_path / "mark"
    source = (
        f'#include <stdio.h>\n__attribute__((constructor)) static void f(void) {{ fclose(fopen("{mark}", "w")); }}\n'
    )
    library = compile_library(tmp_path / "evil.so", source)
    folder = tmp_path / "here"
    folder.mkdir()
    for home in (own_bundle, own_bundle / "native", folder, folder / "native"):
        home.mkdir(exist_ok=True)
        for name in ("libsmsr_ort.so", "libonnxruntime.so", "libonnxruntime.so.1", "libsmsr_trt10.so", "libnvinfer.so"):
            shutil.copy(library, home / name)
        for name in ("onnxruntime.py", "av.py", "PIL.py", "tqdm.py", "fcntl.py"):
            (home / name).write_text(f"open({str(mark)!r}, 'w')")
    done = run("--selftest", bundle=own_bundle, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert not mark.exists()
