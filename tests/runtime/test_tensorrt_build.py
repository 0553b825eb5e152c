"""Engines are built on the device: by every TensorRT, never in another precision, never half.

Stand-ins for TensorRT and CUDA (fake_tensorrt.py): who is asked what, what is refused, what is left. What they cannot
show, real engines on a real GPU, is named in docs/jetson.md as not run yet.
"""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto

import smsr_runtime
from smsr import contract
from smsr_runtime import files
from smsr_runtime.selftest import self_test
from smsr_runtime.sizes import Wanted
from smsr_runtime.tensorrt import publish
from smsr_runtime.tensorrt.options import EngineOptions
from tests.runtime.fake_engine import NO_MODEL, NO_PLUGIN, tensorrt_model
from tests.runtime.fake_tensorrt import Engine as PlanEngine
from tests.runtime.fake_tensorrt import Network, World
from tests.runtime.helpers import compile_library, nearest
from tests.runtime.tensorrt_machine import PICTURE, error_of, install, manifest, plugin_library, tree, write_pending

VERSIONS = ["8.5.2", "8.6.2", "10.3.0", "10.16.2", "11.1.0"]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_pending_bundle_builds_its_engine_on_the_first_run(
    version: str, world: World, pending: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(world, monkeypatch, version=version)
    lines: list[str] = []
    upscaler = smsr_runtime.load(pending, engine=EngineOptions(say=lines.append))
    assert (upscaler.backend, upscaler.path) == ("trt", f"TensorRT {version} fp16")
    assert np.array_equal(upscaler(PICTURE), nearest(PICTURE))
    assert "pending" in lines[0] and any("self-test passed" in line for line in lines)
    entry = manifest(pending)["engine"]
    assert entry == {
        "file": "model.engine", "gpu": "NVIDIA Test", "compute_capability": "8.7", "tensorrt": version,
        "precision": "fp16", "interface_hash": contract.interface_hash(),
        "profile": {"min": [4, 4], "opt": [540, 960], "max": [1920, 1920]},
    }  # fmt: skip
    again = smsr_runtime.load(pending, engine=EngineOptions(say=lines.append))
    assert len(world.builds) == 1 and again.backend == "trt"


@pytest.mark.parametrize("version", VERSIONS)
def test_each_tensorrt_gets_the_flags_it_knows(
    version: str, world: World, pending: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(world, monkeypatch, version=version)
    smsr_runtime.load(pending, engine=EngineOptions(workspace=5 << 20))
    (build,) = world.builds
    network, config, old = build["network"], build["config"], world.major < 10
    assert network.flags == {8: 1 << 0, 10: 1 << 1, 11: 1 << 0}[world.major]
    assert config.flags == ({"FP16", "OBEY_PRECISION_CONSTRAINTS"} if old else set())
    assert config.cleared == {"TF32"} and config.pools == {"WORKSPACE": 5 << 20}
    assert (config.progress_monitor is None) == old
    pinned = {layer.name for layer in network.layers if layer.precision == "float32" and layer.output_types}
    assert all(layer.precision == "unset" for layer in network.layers if layer.dtype == "int32")
    assert pinned == ({"centred/Sub", "bicubic/Conv", "phases/Add", "(Unnamed Layer* 5) [Shuffle]"} if old else set())
    assert len(world.loaded) == (0 if old else 1)


def test_a_fp32_bundle_asks_tensorrt_8_for_no_fp16(
    world: World, pending: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(world, monkeypatch, version="8.6.2")
    write_pending(pending, precision="fp32")
    assert smsr_runtime.load(pending).path == "TensorRT 8.6.2 fp32"
    assert world.builds[0]["config"].flags == {"OBEY_PRECISION_CONSTRAINTS"}


@pytest.mark.parametrize(
    ("version", "changes", "words"),
    [
        ("8.6.2", {"plugin_format": "Row major linear FP32"}, "got Row major linear FP32"),
        ("10.3.0", {}, "features in float16, got float32"),
        ("11.1.0", {}, "features in float16, got float32"),
    ],
)
def test_an_engine_that_would_be_float32_is_not_handed_out(
    version: str, changes: dict[str, Any], words: str, world: World, pending: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(world, monkeypatch, version=version, **changes)
    tensorrt_model(pending, pending / "model.onnx", TensorProto.FLOAT)
    write_pending(pending)
    before = tree(pending)
    with pytest.raises(smsr_runtime.BackendError, match=words):
        smsr_runtime.load(pending)
    assert tree(pending) == before


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("words", [NO_MODEL, NO_PLUGIN], ids=["no model", "another plugin"])
def test_a_model_that_the_parser_refuses_is_one_line_with_its_words(
    words: str, version: str, world: World, pending: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    install(world, monkeypatch, version=version)
    if words == NO_MODEL:
        # An operator set of one byte with a wire type there is not: our own look at a model does not go there.
        (pending / "model.trt.onnx").write_bytes(b"\x42\x01\x07")
    else:
        model = onnx.load(pending / "model.trt.onnx")
        for node in model.graph.node:
            node.op_type = node.op_type.replace("SparseMaskModule", "SparseMaskModule2")
        onnx.save(model, pending / "model.trt.onnx")
    write_pending(pending)
    before = tree(pending)
    line = error_of(capsys, 1, pending, "--selftest", "--backend", "trt")
    assert f"model.trt.onnx: expected a model TensorRT {version} can read, got {words}; " in line
    assert tree(pending) == before and not world.builds


@pytest.mark.parametrize("version", ["10.3.0", "11.1.0"])
def test_a_network_without_the_plugin_s_layers_is_refused(
    version: str, world: World, pending: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(world, monkeypatch, version=version)
    monkeypatch.setattr(Network, "num_layers", 3)
    with pytest.raises(smsr_runtime.BackendError, match="layers named SparseMaskModule in the network, got none"):
        smsr_runtime.load(pending)


def test_an_inspector_that_writes_no_json_is_one_line(
    world: World, pending: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(world, monkeypatch, version="8.6.2")
    inspector = SimpleNamespace(get_layer_information=lambda *_: '{"Name": ')
    monkeypatch.setattr(PlanEngine, "create_engine_inspector", lambda _: inspector)
    assert "an inspector that writes JSON, got Expecting value" in error_of(capsys, 1, pending, "--selftest")


def wrong_contract(folder: Path) -> Path:
    return plugin_library(folder, "0123456789abcdef")


def not_a_library(folder: Path) -> Path:
    (folder / "text.so").write_text("text")
    return folder / "text.so"


def no_contract(folder: Path) -> Path:
    return compile_library(folder / "c.so", "int x;")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: folder / "none.so", ("none.so", "no such file", "SMSR_TRT_LIBRARY")),
        (wrong_contract, ("0123456789abcdef", contract.interface_hash())),
        (not_a_library, ("text.so", "a loadable plugin library")),
        (no_contract, ("no smsr_interface_hash",)),
    ],
    ids=["missing", "wrong contract", "not a library", "no contract"],
)
def test_a_plugin_library_that_is_missing_or_wrong_leaves_the_bundle_alone(
    make: Any, words: tuple[str, ...], world: World, pending: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    folder = tmp_path / "library"
    folder.mkdir()
    monkeypatch.setenv("SMSR_TRT_LIBRARY", str(make(folder)))
    before = tree(pending)
    line = error_of(capsys, 1, pending, "--selftest")
    assert all(word in line for word in words) and tree(pending) == before


def test_without_a_library_the_one_for_this_tensorrt_is_named(
    world: World, pending: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SMSR_TRT_LIBRARY")
    monkeypatch.setattr("smsr_runtime.tensorrt.plugin.NATIVE", pending)
    assert "libsmsr_trt10.so" in error_of(capsys, 1, pending, "--selftest")


def test_a_library_that_registers_nothing_is_refused(
    world: World, pending: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TensorRT 8: opening it was all there is to do."""
    install(world, monkeypatch, version="8.6.2")
    folder = tmp_path / "silent"
    folder.mkdir()
    monkeypatch.setenv("SMSR_TRT_LIBRARY", str(plugin_library(folder, sign=0)))
    with pytest.raises(smsr_runtime.NativeLibraryError, match="without plugin SparseMaskModule version 1"):
        smsr_runtime.load(pending)


def test_running_out_of_gpu_memory_shrinks_our_sizes(world: World, pending: Path) -> None:
    world.too_large = 700 * 700
    lines: list[str] = []
    smsr_runtime.load(pending, engine=EngineOptions(say=lines.append))
    assert manifest(pending)["engine"]["profile"]["max"] == [640, 640]
    assert [line for line in lines if line.startswith("note: ")] == [
        f"note: not enough GPU memory for {side}x{side}" for side in (1920, 1280, 960)
    ]


def test_an_engine_too_large_to_run_shrinks_our_sizes_too(world: World, pending: Path) -> None:
    """Building tries pictures of the usual size; memory for the largest is asked for when the engine is opened."""
    world.too_large_to_run = 1000 * 1000
    lines: list[str] = []
    assert smsr_runtime.load(pending, engine=EngineOptions(say=lines.append)).backend == "trt"
    assert manifest(pending)["engine"]["profile"]["max"] == [960, 960]
    assert [line for line in lines if line.startswith("note: ")] == [
        f"note: not enough GPU memory to run {side}x{side}" for side in (1920, 1280)
    ]


def test_an_engine_too_large_to_run_at_last_says_what_to_do(
    world: World, pending: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world.too_large_to_run, before = 100, tree(pending)
    line = error_of(capsys, 1, pending, "--rebuild", "--max-shape", "64x80")
    assert "memory for the engine's largest picture" in line and "a smaller --max-shape" in line
    assert tree(pending) == before and len(world.builds) == 1
    with pytest.raises(smsr_runtime.MemoryLimitError, match="largest picture"):
        smsr_runtime.load(pending)
    assert tree(pending) == before


def test_running_out_of_gpu_memory_never_shrinks_the_user_s_sizes(
    world: World, pending: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world.too_large, before = 100, tree(pending)
    line = error_of(capsys, 1, pending, "--rebuild", "--max-shape", "64x80")
    assert "out of memory at 64x80" in line and "--max-shape below 64x80" in line and tree(pending) == before


def test_an_engine_that_fails_the_golden_output_is_not_kept(world: World, pending: Path) -> None:
    golden = pending / "golden" / "output.npy"
    np.save(golden, np.load(golden) + np.float32(0.5))
    write_pending(pending)
    before = tree(pending)
    with pytest.raises(smsr_runtime.SelfTestError, match=r"RMSE at most 0\.08.*RMSE 0\.5"):
        smsr_runtime.load(pending)
    assert tree(pending) == before


def test_the_golden_output_may_differ_by_the_rmse_of_fp16(world: World, pending: Path) -> None:
    golden = pending / "golden" / "output.npy"
    np.save(golden, np.load(golden) + np.float32(0.07))
    write_pending(pending)
    assert smsr_runtime.load(pending).backend == "trt"
    with pytest.raises(smsr_runtime.SelfTestError, match=r"largest difference at most 0\.001"):
        on_cpu = smsr_runtime.load(pending, backend="ort")
        self_test(on_cpu.bundle, on_cpu.opened)


def test_a_golden_picture_outside_the_profile_is_noted(world: World, pending: Path) -> None:
    lines: list[str] = []
    wanted = Wanted((32, 32), None, (64, 64))
    smsr_runtime.load(pending, engine=EngineOptions(rebuild=True, wanted=wanted, say=lines.append))
    assert any(line.startswith("note: no self-test") for line in lines)


def test_a_bundle_that_cannot_be_written_to_is_named(
    world: World, pending: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    before = tree(pending)
    monkeypatch.setattr("smsr_runtime.files.tempfile.mkstemp", full)
    with pytest.raises(smsr_runtime.OutputError, match="a bundle to put its engine into, got no space left"):
        smsr_runtime.load(pending)
    assert tree(pending) == before


def test_a_folder_that_cannot_be_written_to_is_named_before_the_build(
    world: World, pending: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tree(pending)
    monkeypatch.setattr("os.access", lambda path, mode: Path(path) != pending)
    with pytest.raises(smsr_runtime.OutputError, match="got a folder that cannot be written to; copy it"):
        smsr_runtime.load(pending)
    assert world.builds == [] and tree(pending) == before


def test_two_processes_that_finish_one_bundle_leave_one_whole_engine(
    world: World, pending: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one comes between the first one's engine and manifest, as far as it can."""
    other = EngineOptions(rebuild=True, wanted=Wanted((8, 8), None, (32, 32)))
    thread = threading.Thread(target=lambda: smsr_runtime.load(pending, engine=other))
    write = files.write_bytes

    def write_and_let_the_other(path: Path, data: bytes) -> None:
        write(path, data)
        if path.name == "model.engine" and threading.current_thread() is threading.main_thread():
            thread.start()
            thread.join(timeout=2)

    monkeypatch.setattr(publish, "write_bytes", write_and_let_the_other)
    smsr_runtime.load(pending)
    thread.join()
    assert smsr_runtime.load(pending).backend == "trt" and len(world.builds) == 2
    assert manifest(pending)["engine"]["profile"]["max"] == [32, 32]


def test_an_engine_of_a_bundle_that_was_exported_again_meanwhile_is_not_put_into_it(
    world: World, pending: Path
) -> None:
    def export_again(line: str) -> None:
        if line.startswith("building"):
            model = onnx.load(pending / "model.trt.onnx")
            model.producer_name = "newer"
            onnx.save(model, pending / "model.trt.onnx")
            write_pending(pending, name="newer")

    with pytest.raises(smsr_runtime.BundleError, match="the model its engine was built from, got another one"):
        smsr_runtime.load(pending, engine=EngineOptions(say=export_again))
    assert (manifest(pending)["name"], manifest(pending)["engine"]) == ("newer", "pending")
    assert not (pending / "model.engine").exists()


def test_a_crash_between_engine_and_manifest_leaves_a_pending_bundle(
    world: World, pending: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    smsr_runtime.load(pending)

    def crash(path: Path, data: bytes) -> None:
        path.write_bytes(data)
        raise KeyboardInterrupt

    monkeypatch.setattr(publish, "write_bytes", lambda path, data: (
        crash(path, data) if path.name == "model.engine" else path.write_bytes(data)
    ))  # fmt: skip
    with pytest.raises(KeyboardInterrupt):
        smsr_runtime.load(pending, engine=EngineOptions(rebuild=True))
    assert manifest(pending)["engine"] == "pending"
    monkeypatch.undo()


def test_timings_are_kept_by_gpu_and_version_and_given_to_the_next_build(
    world: World, pending: Path, tmp_path: Path
) -> None:
    smsr_runtime.load(pending)
    smsr_runtime.load(pending, engine=EngineOptions(rebuild=True))
    (file,) = (tmp_path / "cache" / "smsr").iterdir()
    assert file.name == "timings-NVIDIA-Test-8.7-tensorrt-10.3.0.cache"
    assert file.read_bytes() == b"+timings+timings"


def test_timings_tensorrt_refuses_are_not_named_as_the_reason_of_a_failure(
    world: World, pending: Path, tmp_path: Path
) -> None:
    (tmp_path / "cache" / "smsr").mkdir(parents=True)
    (tmp_path / "cache" / "smsr" / "timings-NVIDIA-Test-8.7-tensorrt-10.3.0.cache").write_bytes(b"rubbish")
    world.refusal = "Error Code 10: Internal Error (Could not find any implementation)"
    with pytest.raises(smsr_runtime.BackendError, match="expected an engine, got Error Code 10"):
        smsr_runtime.load(pending)


def test_timings_that_cannot_be_read_are_left_alone(
    world: World, pending: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/" + "x" * 300)
    assert smsr_runtime.load(pending).backend == "trt"


def test_a_cache_folder_that_cannot_be_is_a_note(
    world: World, pending: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    lines: list[str] = []
    smsr_runtime.load(pending, engine=EngineOptions(say=lines.append))
    assert any(line.startswith("note: the next build takes as long") for line in lines)
