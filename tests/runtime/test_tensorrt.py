"""Backend, builder and bundle with stand-ins for TensorRT and CUDA: who is asked what, what is refused, what is left.

What no stand-in shows, real engines on a real GPU, is named in docs/jetson.md as not run yet.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import smsr_runtime
from smsr import contract
from smsr_runtime import cli
from smsr_runtime.engine import cuda_graph, execution
from smsr_runtime.engine.finish import EngineOptions
from smsr_runtime.engine.shapes import Wanted
from tests.runtime.fake_tensorrt import REGISTERED, World, _libc, make_modules, tensorrt_model
from tests.runtime.helpers import nearest, need, write_manifest

VERSIONS = ["8.5.2", "8.6.2", "10.3.0", "10.16.2", "11.1.0"]
SOURCE = """
#include <stdlib.h>
const char* smsr_interface_hash(void) {{ return "{hash}"; }}
__attribute__((constructor)) static void registered(void) {{ setenv("SMSR_TEST_REGISTERED", "{sign}", 1); }}
"""


def plugin_library(folder: Path, interface_hash: str = contract.interface_hash(), sign: int = 1) -> Path:
    """A library as the runtime checks one, by the C compiler; opened, it registers itself with the stand-in."""
    compiler = shutil.which("cc")
    need(compiler is not None, "a C compiler (cc)")
    source, library = folder / "plugin.c", folder / "libsmsr_trt.so"
    source.write_text(SOURCE.format(hash=interface_hash, sign=sign))
    subprocess.run([str(compiler), "-shared", "-fPIC", "-o", library, source], check=True)
    return library


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A machine with a GPU, TensorRT 10.3 and the plugin library; tests change it before they use it."""
    made = World()
    _libc.unsetenv(REGISTERED)
    monkeypatch.setenv("SMSR_TRT_LIBRARY", str(plugin_library(tmp_path)))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("SMSR_CUDA_GRAPH", raising=False)
    install(made, monkeypatch)
    return made


def install(world: World, monkeypatch: pytest.MonkeyPatch, without: tuple[str, ...] = ()) -> None:
    for name in ("tensorrt", "pycuda", "pycuda.driver", "pycuda.autoprimaryctx"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    for name, module in make_modules(world).items():
        monkeypatch.setitem(sys.modules, name, module)
    for name in without:
        monkeypatch.setitem(sys.modules, name, None)


@pytest.fixture
def pending(own_bundle: Path) -> Path:
    """A bundle as --target trt leaves it on a machine without a GPU."""
    tensorrt_model(own_bundle, own_bundle / "model.onnx")
    write_pending(own_bundle)
    return own_bundle


def write_pending(bundle: Path, **changes: object) -> None:
    golden = {"input": "golden/input.png", "output": "golden/output.npy", "max_abs": 0.001, "engine_rmse": 0.08}
    sizes = {"min": [4, 4]}
    write_manifest(
        bundle, **{"target": "trt", "precision": "fp16", "engine": "pending", "profile": sizes, "golden": golden}
        | changes
    )  # fmt: skip


def manifest(bundle: Path) -> dict[str, Any]:
    return dict(json.loads((bundle / "manifest.json").read_text()))


def tree(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def error_of(capsys: pytest.CaptureFixture[str], code: int, *arguments: object) -> str:
    """Runs the command in this process; its one error line."""
    assert cli.main([str(argument) for argument in arguments]) == code
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert ": expected " in line and ", got " in line and "; " in line
    return line


PICTURE = np.random.default_rng(3).integers(0, 100, (9, 13, 3), dtype=np.uint8)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_pending_bundle_builds_its_engine_on_the_first_run(
    version: str, world: World, pending: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.version = version
    install(world, monkeypatch)
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
    world.version = version
    install(world, monkeypatch)
    smsr_runtime.load(pending, engine=EngineOptions(workspace=5 << 20))
    (build,) = world.builds
    network, config, old = build["network"], build["config"], world.major < 10
    assert network.flags == {8: 1 << 0, 10: 1 << 1, 11: 1 << 0}[world.major]
    assert config.flags == ({"FP16", "OBEY_PRECISION_CONSTRAINTS"} if old else set())
    assert config.cleared == {"TF32"} and config.pools == {"WORKSPACE": 5 << 20}
    assert (config.progress_monitor is None) == old
    pinned = {layer.name for layer in network.layers if layer.precision == "float32" and layer.output_types}
    assert pinned == ({"centred/Sub", "bicubic/Conv", "phases/Add"} if old else set())
    assert len(world.loaded) == (0 if old else 1)


def test_a_fp32_bundle_asks_tensorrt_8_for_no_fp16(
    world: World, pending: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.version, world.features_type, world.plugin_format = "8.6.2", "float32", "Row major linear FP32"
    install(world, monkeypatch)
    write_pending(pending, precision="fp32")
    assert smsr_runtime.load(pending).path == "TensorRT 8.6.2 fp32"
    assert world.builds[0]["config"].flags == {"OBEY_PRECISION_CONSTRAINTS"}


@pytest.mark.parametrize(
    ("version", "changes", "words"),
    [
        ("8.6.2", {"plugin_format": "Row major linear FP32"}, "got Row major linear FP32"),
        ("10.3.0", {"features_type": "float32"}, "features in float16, got float32"),
        ("11.1.0", {"features_type": "float32"}, "features in float16, got float32"),
    ],
)
def test_an_engine_that_would_be_float32_is_not_handed_out(
    version: str, changes: dict[str, str], words: str, world: World, pending: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.version = version
    vars(world).update(changes)
    install(world, monkeypatch)
    before = tree(pending)
    with pytest.raises(smsr_runtime.BackendError, match=words):
        smsr_runtime.load(pending)
    assert tree(pending) == before


@pytest.mark.parametrize("integrated", [False, True], ids=["discrete", "jetson"])
def test_results_margins_theta_batches_and_sizes(integrated: bool, world: World, pending: Path) -> None:
    world.integrated = integrated
    tensorrt, cpu = smsr_runtime.load(pending), smsr_runtime.load(pending, backend="ort")
    for height, width in ((9, 13), (9, 13), (13, 9), (4, 4)):
        image = np.random.default_rng(height).uniform(0, 255, (2, 3, height, width)).astype(np.float32)
        for theta in (0.0, 70.0):
            tensorrt.theta = cpu.theta = theta
            found, expected = tensorrt.upscale_float(image, margins=True), cpu.upscale_float(image, margins=True)
            assert np.array_equal(found[0], expected[0])
            assert len(found[1]) == 2 and all(map(np.array_equal, found[1], expected[1]))
    assert (world.copies == 0) == integrated


def test_results_are_the_caller_s_own(world: World, pending: Path) -> None:
    upscaler = smsr_runtime.load(pending)
    first = upscaler(PICTURE)
    kept = first.copy()
    upscaler(PICTURE[::-1])
    assert np.array_equal(first, kept)


def test_every_thread_gets_the_context_and_gives_it_back(world: World, pending: Path) -> None:
    """pycuda makes it current in the thread that imported it only; the stand-ins refuse work without."""
    upscaler, found = smsr_runtime.load(pending), []
    assert world.pushed == 0
    thread = threading.Thread(target=lambda: found.append(smsr_runtime.load(pending)(PICTURE)))
    thread.start()
    thread.join()
    assert all(np.array_equal(result, nearest(PICTURE)) for result in (found[0], upscaler(PICTURE)))
    assert world.pushed == 0


def test_an_engine_with_outputs_of_another_type_is_refused(world: World, pending: Path) -> None:
    smsr_runtime.load(pending)
    world.output_type = "float16"
    with pytest.raises(smsr_runtime.BackendError, match=r"in float32, got .* in float16 and float32"):
        smsr_runtime.load(pending)


def test_a_size_outside_the_profile_names_the_range_and_the_way_to_widen_it(
    world: World, pending: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([str(pending), "--rebuild", "--min-shape", "8x8", "--max-shape", "20x30"]) == 0
    capsys.readouterr()
    Image.new("RGB", (40, 6)).save(tmp_path / "in.png")
    line = error_of(capsys, 1, pending, tmp_path / "in.png", "-o", tmp_path / "out.png")
    assert "from 8x8 to 20x30" in line and "got 6x40" in line
    assert "--rebuild --min-shape 6x8 --max-shape 20x40" in line
    assert not (tmp_path / "out.png").exists()
    assert cli.main([str(pending), "--rebuild", "--min-shape", "6x8", "--max-shape", "20x40"]) == 0
    assert cli.main([str(pending), str(tmp_path / "in.png"), "-o", str(tmp_path / "out.png")]) == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"gpu": "NVIDIA Other"}, "an engine for GPU NVIDIA Other 8.7, got one for NVIDIA Test 8.7"),
        ({"capability": (9, 0)}, "an engine for GPU NVIDIA Test 9.0, got one for NVIDIA Test 8.7"),
        ({"version": "10.4.0"}, "an engine for TensorRT 10.4.0, got one for 10.3.0"),
    ],
)
@pytest.mark.parametrize("backend", ["auto", "trt"])
def test_an_engine_of_another_machine_is_refused_and_rebuilt_on_demand(
    backend: str, change: dict[str, Any], words: str, world: World, pending: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    smsr_runtime.load(pending)
    vars(world).update(change)
    install(world, monkeypatch)
    before = tree(pending)
    line = error_of(capsys, 1, pending, "--selftest", "--backend", backend)
    assert words in line and "--rebuild" in line and tree(pending) == before
    assert cli.main([str(pending), "--selftest", "--backend", backend, "--rebuild"]) == 0
    assert manifest(pending)["engine"]["tensorrt"] == world.version
    assert cli.main([str(pending), "--selftest", "--backend", "ort"]) == 0


def test_a_damaged_engine_is_named_and_rebuilt_on_demand(
    world: World, pending: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    smsr_runtime.load(pending)
    (pending / "model.engine").write_bytes(b"x")
    assert "--rebuild" in error_of(capsys, 1, pending, "--selftest")
    assert cli.main([str(pending), "--selftest", "--rebuild"]) == 0


def test_an_engine_tensorrt_cannot_read_is_one_line(
    world: World, pending: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    smsr_runtime.load(pending)
    (pending / "model.engine").write_bytes(b"not a plan")
    write_pending(pending, engine=manifest(pending)["engine"])
    line = error_of(capsys, 1, pending, "--selftest")
    assert "magic tag does not match" in line and "--rebuild" in line


@pytest.mark.parametrize("entry", [3, {"file": "model.engine"}, {"file": "../x"}], ids=str)
def test_a_manifest_with_half_an_engine_is_refused(entry: object, world: World, pending: Path) -> None:
    write_pending(pending, engine=entry)
    with pytest.raises(smsr_runtime.BundleError, match='a complete entry "engine"'):
        smsr_runtime.load(pending, backend="trt")


def wrong_contract(folder: Path) -> Path:
    return plugin_library(folder, "0123456789abcdef")


def not_a_library(folder: Path) -> Path:
    (folder / "text.so").write_text("text")
    return folder / "text.so"


def no_contract(folder: Path) -> Path:
    (folder / "c.c").write_text("int x;")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", folder / "c.so", folder / "c.c"], check=True)
    return folder / "c.so"


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
    monkeypatch.setattr("smsr_runtime.engine.plugin.NATIVE", pending)
    assert "libsmsr_trt10.so" in error_of(capsys, 1, pending, "--selftest")


def test_a_library_that_registers_nothing_is_refused(
    world: World, pending: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TensorRT 8: opening it was all there is to do."""
    world.version = "8.6.2"
    install(world, monkeypatch)
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


def test_running_out_of_gpu_memory_never_shrinks_the_user_s_sizes(
    world: World, pending: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world.too_large, before = 100, tree(pending)
    line = error_of(capsys, 1, pending, "--rebuild", "--max-shape", "64x80")
    assert "out of memory at 64x80" in line and "--max-shape below 64x80" in line and tree(pending) == before


def test_running_out_of_gpu_memory_for_one_picture_is_one_line(world: World, pending: Path) -> None:
    upscaler = smsr_runtime.load(pending)
    world.too_large = 1000
    with pytest.raises(smsr_runtime.MemoryLimitError, match=r"GPU: expected memory for this picture.*--max-shape"):
        upscaler(np.zeros((64, 64, 3), np.uint8))
    assert np.array_equal(upscaler(PICTURE[:4, :4]), nearest(PICTURE[:4, :4]))


@pytest.mark.parametrize(
    ("without", "no_device", "words"),
    [
        (("tensorrt",), False, "expected the package tensorrt, got not installed"),
        (("pycuda", "pycuda.driver"), False, "expected the package pycuda, got not installed"),
        ((), True, "expected an NVIDIA GPU, got "),
    ],
    ids=["no tensorrt", "no pycuda", "no GPU"],
)
def test_what_is_missing_is_named_and_auto_runs_on_the_cpu(
    without: tuple[str, ...], no_device: bool, words: str, world: World, pending: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    world.no_device = no_device
    install(world, monkeypatch, without)
    before = tree(pending)
    assert words in error_of(capsys, 1, pending, "--selftest", "--backend", "trt")
    assert words in error_of(capsys, 1, pending, "--rebuild")
    with pytest.warns(smsr_runtime.BackendWarning, match="it runs on ONNX Runtime, on the CPU"):
        assert smsr_runtime.load(pending).backend == "ort"
    assert tree(pending) == before


@pytest.mark.parametrize("version", ["8.4.1", "9.3.0", "12.0.0"])
def test_a_tensorrt_that_nobody_tried_is_refused(
    version: str, world: World, pending: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world.version = version
    install(world, monkeypatch)
    line = error_of(capsys, 1, pending, "--selftest", "--backend", "trt")
    assert f"8.5, 8.6, 10.x or 11.x, got {version}" in line


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
        from smsr_runtime.selftest import self_test

        self_test(smsr_runtime.load(pending, backend="ort"))


def test_a_golden_picture_outside_the_profile_is_noted(world: World, pending: Path) -> None:
    lines: list[str] = []
    wanted = Wanted((32, 32), None, (64, 64))
    smsr_runtime.load(pending, engine=EngineOptions(True, wanted, None, lines.append))
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


def test_a_crash_between_engine_and_manifest_leaves_a_pending_bundle(
    world: World, pending: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    smsr_runtime.load(pending)
    from smsr_runtime.engine import record

    def crash(path: Path, data: bytes) -> None:
        path.write_bytes(data)
        raise KeyboardInterrupt

    monkeypatch.setattr(record, "write_bytes", lambda path, data: (
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


def test_a_cache_folder_that_cannot_be_is_a_note(
    world: World, pending: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    lines: list[str] = []
    smsr_runtime.load(pending, engine=EngineOptions(say=lines.append))
    assert any(line.startswith("note: the next build takes as long") for line in lines)


class Recorded:
    """Stands for libcuda: capture and replay as `CudaGraph` asks for them."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.failing = ""

    def __getattr__(self, name: str) -> Any:
        def call(*_: object) -> int:
            self.calls.append(name)
            return 999 if name == self.failing else 0

        return call


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Recorded:
    made = Recorded()
    monkeypatch.setattr(cuda_graph, "_driver", lambda: made)
    monkeypatch.setenv("SMSR_CUDA_GRAPH", "1")
    return made


def test_a_graph_is_recorded_at_the_second_picture_of_a_size_and_replayed(
    world: World, pending: Path, driver: Recorded
) -> None:
    upscaler = smsr_runtime.load(pending)
    upscaler(PICTURE)
    assert driver.calls == []
    upscaler(PICTURE)
    recorded = ["cuStreamBeginCapture_v2", "cuStreamEndCapture", "cuGraphInstantiateWithFlags", "cuGraphDestroy"]
    assert driver.calls == [*recorded, "cuGraphLaunch"]
    upscaler(PICTURE)
    assert driver.calls[5:] == ["cuGraphLaunch"]
    upscaler(PICTURE[:5])
    upscaler(PICTURE[:5])
    assert driver.calls.count("cuStreamBeginCapture_v2") == 2
    upscaler.with_margins(PICTURE[:5])
    assert driver.calls.count("cuGraphLaunch") == 3  # other outputs: plainly first


def test_without_the_variable_no_graph_is_made_and_another_value_is_refused(
    world: World, pending: Path, driver: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SMSR_CUDA_GRAPH")
    upscaler = smsr_runtime.load(pending)
    assert all(np.array_equal(upscaler(PICTURE), nearest(PICTURE)) for _ in range(3)) and not driver.calls
    monkeypatch.setenv("SMSR_CUDA_GRAPH", "yes")
    with pytest.raises(smsr_runtime.UsageError, match="SMSR_CUDA_GRAPH: expected 0 or 1"):
        execution.graphs_wanted()


def test_a_capture_that_fails_is_one_line(world: World, pending: Path, driver: Recorded) -> None:
    driver.failing = "cuStreamEndCapture"
    upscaler = smsr_runtime.load(pending)
    upscaler(PICTURE)
    with pytest.raises(smsr_runtime.BackendError, match="cuStreamEndCapture to succeed, got CUDA error 999"):
        upscaler(PICTURE)


def test_closing_frees_and_a_second_time_does_nothing(world: World, pending: Path) -> None:
    backend = smsr_runtime.load(pending).engine
    backend.close()
    backend.close()
    assert backend._engine is None and not backend._execution._buffers
