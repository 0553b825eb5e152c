"""An engine runs: results, sizes, threads, memory, other machines, CUDA graphs.

Stand-ins for TensorRT and CUDA (fake_tensorrt.py): who is asked what, what is refused, what is left. What they cannot
show, real engines on a real GPU, is named in docs/jetson.md as not run yet.
"""

from __future__ import annotations

import gc
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto
from PIL import Image

import smsr_runtime
from smsr_runtime.run import command
from smsr_runtime.tensorrt import cuda_graph, execution
from smsr_runtime.tensorrt.backend import TrtBackend
from smsr_runtime.tensorrt.options import EngineOptions
from tests.runtime.fake_engine import tensorrt_model
from tests.runtime.fake_pycuda import STREAMS, Stream
from tests.runtime.fake_tensorrt import World, forget_library
from tests.runtime.helpers import NEAREST, nearest, tiny_model, write_bundle
from tests.runtime.tensorrt_machine import (
    PICTURE,
    error_of,
    install,
    manifest,
    plugin_library,
    tree,
    write_pending,
)

PLANES = PICTURE.transpose(2, 0, 1)[None].astype(np.float32)


@pytest.mark.parametrize("integrated", [False, True], ids=["discrete", "jetson"])
def test_results_margins_theta_batches_and_sizes(integrated: bool, world: World, pending: Path) -> None:
    world.integrated = integrated
    tensorrt, cpu = smsr_runtime.load(pending), smsr_runtime.load(pending, backend="ort")
    for height, width in ((9, 13), (9, 13), (13, 9), (4, 4)):
        image = np.random.default_rng(height).uniform(0, 255, (2, 3, height, width)).astype(np.float32)
        for theta in (0.0, 70.0):
            tensorrt.theta = cpu.theta = theta
            results, expected = tensorrt.upscale_float(image, margins=True), cpu.upscale_float(image, margins=True)
            in_float16 = expected[0].astype(np.float16).astype(np.float32)
            assert np.array_equal(results[0], in_float16) and not np.array_equal(results[0], expected[0])
            assert len(results[1]) == 2 and all(map(np.array_equal, results[1], expected[1]))
    assert (world.copies == 0) == integrated


@pytest.mark.parametrize("version", ["8.6.2", "10.3.0"])
def test_a_fp32_engine_computes_in_float32(
    version: str, world: World, pending: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(world, monkeypatch, version=version)
    tensorrt_model(pending, pending / "model.onnx", TensorProto.FLOAT)
    write_pending(pending, precision="fp32")
    image = np.random.default_rng(2).uniform(0, 255, (1, 3, 9, 13)).astype(np.float32)
    engine, cpu = (smsr_runtime.load(pending, backend=name).upscale_float(image)[0] for name in ("trt", "ort"))
    assert np.array_equal(engine, cpu)


@pytest.mark.parametrize("scale", [3, 4])
def test_results_have_the_size_of_the_engine_s_scale(scale: int, world: World, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "scaled.smsr", tiny_model(scale, {**NEAREST, "nearest_mode": "floor"}), scale)
    tensorrt_model(bundle, bundle / "model.onnx")
    write_pending(bundle, scale=scale)
    assert np.array_equal(smsr_runtime.load(bundle, backend="trt")(PICTURE), nearest(PICTURE, scale))


@pytest.mark.parametrize("version", ["8.6.2", "10.3.0", "11.1.0"])
def test_a_finished_engine_is_read_in_a_process_that_has_not_loaded_the_plugin_yet(
    version: str, world: World, pending: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(world, monkeypatch, version=version)
    smsr_runtime.load(pending)
    forget_library()
    world.loaded.clear()
    if world.major < 10:  # as when a library is opened in a new process
        monkeypatch.setenv("SMSR_TRT_LIBRARY", str(plugin_library(pending)))
    assert np.array_equal(smsr_runtime.load(pending)(PICTURE), nearest(PICTURE)) and len(world.builds) == 1


def test_an_engine_whose_plugin_is_not_registered_is_refused_in_tensorrt_s_words(
    world: World, pending: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    smsr_runtime.load(pending)
    world.loaded.clear()
    library = Path(os.environ["SMSR_TRT_LIBRARY"])
    monkeypatch.setattr("smsr_runtime.tensorrt.backend.load_plugin", lambda *_: library)
    words = r"an engine TensorRT can read, got .*Cannot find plugin: SparseMaskModule, version: 1, namespace: smsr\."
    with pytest.raises(smsr_runtime.BackendError, match=words):
        smsr_runtime.load(pending)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": "10.4.0"}, "expecting library version 10.4.0 got 10.3.0, please rebuild"),
        ({"capability": (9, 0)}, "expecting compute 9.0 got compute 8.7, please rebuild"),
    ],
)
def test_a_manifest_that_names_another_machine_s_engine_for_this_one_is_refused_by_tensorrt(
    change: dict[str, Any], words: str, world: World, pending: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    smsr_runtime.load(pending)
    entry = manifest(pending)["engine"]
    install(world, monkeypatch, **change)
    entry |= {"tensorrt": world.version, "compute_capability": "{}.{}".format(*world.capability)}
    write_pending(pending, engine=entry)
    with pytest.raises(smsr_runtime.BackendError, match=words):
        smsr_runtime.load(pending)


def test_threads_take_turns_in_one_engine(world: World, pending: Path) -> None:
    """The stand-in ends a program with two threads in one execution context, whatever size each has."""
    upscaler, wrong = smsr_runtime.load(pending), []

    def work(height: int) -> None:
        picture = PICTURE[:height]
        for _ in range(5):
            try:
                if not np.array_equal(upscaler(picture), nearest(picture)):
                    wrong.append(f"another result at height {height}")
            except Exception as error:
                wrong.append(repr(error))

    threads = [threading.Thread(target=work, args=(height,)) for height in (4, 6, 8, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_results_are_the_caller_s_own(world: World, pending: Path) -> None:
    upscaler = smsr_runtime.load(pending)
    first = upscaler(PICTURE)
    kept = first.copy()
    upscaler(PICTURE[::-1])
    assert np.array_equal(first, kept)


def test_without_another_reference_all_memory_goes_back_in_any_thread(world: World, pending: Path) -> None:
    """pycuda frees nothing in other threads without a current context; TensorRT then meets another GPU's."""
    kept = [smsr_runtime.load(pending)]
    kept[0](PICTURE)
    thread = threading.Thread(target=kept.clear)
    thread.start()
    thread.join()
    gc.collect()
    assert world.stray == [] and world.pushed == 0


def test_running_out_of_gpu_memory_in_a_thread_leaves_nothing_behind(world: World, pending: Path) -> None:
    upscaler, lines = smsr_runtime.load(pending), []
    world.too_large = 20_000  # bytes: the picture has its buffer, the result does not

    def attempt() -> None:
        try:
            upscaler(np.zeros((40, 40, 3), np.uint8))
        except smsr_runtime.MemoryLimitError as error:
            lines.append(str(error))

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
    assert len(lines) == 1 and world.stray == []


def test_ctrl_c_waits_for_what_the_gpu_has_begun(world: World, pending: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    upscaler = smsr_runtime.load(pending)
    monkeypatch.setattr(execution.Execution, "_execute", interrupted)
    assert isinstance(upscaler.opened, TrtBackend)
    with pytest.raises(KeyboardInterrupt):
        upscaler(PICTURE)
    run = upscaler.opened._execution
    assert not any(stream.queued for stream in (run._stream, run._uploads, run._downloads))
    before = world.synchronized
    with pytest.raises(KeyboardInterrupt):
        upscaler.upscale_float(PLANES)
    assert world.synchronized == before + 1 and not run._stream.queued


def test_a_failed_execution_has_tensorrt_s_reason(world: World, pending: Path) -> None:
    upscaler, _ = smsr_runtime.load(pending), smsr_runtime.load(pending)  # the second has the logger's attention
    world.failure = "Error Code 1: Cuda Runtime (an illegal memory access)"
    with pytest.raises(smsr_runtime.BackendError, match=r"a failed execution \(Error Code 1: Cuda Runtime"):
        upscaler(PICTURE)


def test_an_engine_there_is_no_memory_for_is_not_called_unreadable(world: World, pending: Path) -> None:
    smsr_runtime.load(pending)
    world.refusal = "[defaultAllocator.cpp::allocate::31] Error Code 1: Cuda Runtime (out of memory)"
    words = r"enough GPU memory to load it, got .*out of memory.*; close other programs, or --rebuild with a smaller"
    with pytest.raises(smsr_runtime.MemoryLimitError, match=words):
        smsr_runtime.load(pending)


def test_a_driver_too_old_for_tensorrt_is_one_line(
    world: World, pending: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    smsr_runtime.load(pending)
    world.old_driver = True
    for arguments in (["--selftest"], ["--rebuild"]):
        line = error_of(capsys, 1, pending, *arguments)
        assert "a GPU and a driver it can work with, got CUDA initialization failure with error: 35" in line


def test_every_thread_gets_the_context_and_gives_it_back(world: World, pending: Path) -> None:
    """It is current in no thread by itself; the stand-ins refuse work without."""
    upscaler, of_thread = smsr_runtime.load(pending), []
    assert world.pushed == 0
    thread = threading.Thread(target=lambda: of_thread.append(smsr_runtime.load(pending)(PICTURE)))
    thread.start()
    thread.join()
    assert all(np.array_equal(result, nearest(PICTURE)) for result in (of_thread[0], upscaler(PICTURE)))
    assert world.pushed == 0


def test_an_engine_with_outputs_of_another_type_is_refused(world: World, pending: Path) -> None:
    smsr_runtime.load(pending)
    world.output_type = "float16"
    with pytest.raises(smsr_runtime.BackendError, match=r"in float32, got .* in float16 and float32"):
        smsr_runtime.load(pending)


def test_a_size_outside_the_profile_names_the_range_and_the_way_to_widen_it(
    world: World, pending: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main([str(pending), "--rebuild", "--min-shape", "8x8", "--max-shape", "20x30"]) == 0
    capsys.readouterr()
    Image.new("RGB", (40, 6)).save(tmp_path / "in.png")
    line = error_of(capsys, 1, pending, tmp_path / "in.png", "-o", tmp_path / "out.png")
    assert "from 8x8 to 20x30" in line and "got 6x40" in line
    assert "--rebuild --min-shape 6x8 --max-shape 20x40" in line
    assert not (tmp_path / "out.png").exists()
    assert command.main([str(pending), "--rebuild", "--min-shape", "6x8", "--max-shape", "20x40"]) == 0
    assert command.main([str(pending), str(tmp_path / "in.png"), "-o", str(tmp_path / "out.png")]) == 0


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


def test_cuda_device_says_which_gpu(
    world: World, pending: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for value, words in (("1", "invalid device ordinal"), ("one", "invalid literal")):
        monkeypatch.setenv("CUDA_DEVICE", value)
        line = error_of(capsys, 1, pending, "--selftest", "--backend", "trt")
        assert "expected an NVIDIA GPU, got " in line and words in line
    monkeypatch.setenv("CUDA_DEVICE", "0")
    assert smsr_runtime.load(pending).backend == "trt"


@pytest.mark.parametrize("version", ["8.4.1", "9.3.0", "12.0.0"])
def test_a_tensorrt_that_nobody_tried_is_refused(
    version: str, world: World, pending: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(world, monkeypatch, version=version)
    line = error_of(capsys, 1, pending, "--selftest", "--backend", "trt")
    assert f"8.5, 8.6, 10.x or 11.x, got {version}" in line


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
    install(world, monkeypatch, **change)
    before = tree(pending)
    line = error_of(capsys, 1, pending, "--selftest", "--backend", backend)
    assert words in line and "--rebuild" in line and tree(pending) == before
    assert command.main([str(pending), "--selftest", "--backend", backend, "--rebuild"]) == 0
    assert manifest(pending)["engine"]["tensorrt"] == world.version
    assert command.main([str(pending), "--selftest", "--backend", "ort"]) == 0


def test_a_damaged_engine_is_named_and_rebuilt_on_demand(
    world: World, pending: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    smsr_runtime.load(pending)
    (pending / "model.engine").write_bytes(b"x")
    assert "--rebuild" in error_of(capsys, 1, pending, "--selftest")
    assert command.main([str(pending), "--selftest", "--rebuild"]) == 0


def test_an_engine_tensorrt_cannot_read_is_one_line(
    world: World, pending: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    smsr_runtime.load(pending)
    (pending / "model.engine").write_bytes(b"not a plan")
    write_pending(pending, engine=manifest(pending)["engine"])
    line = error_of(capsys, 1, pending, "--selftest")
    assert "Magic tag does not match" in line and "--rebuild" in line


@pytest.mark.parametrize("entry", [3, {"file": "model.engine"}, {"file": "../x"}], ids=str)
def test_a_manifest_with_half_an_engine_is_refused(entry: object, world: World, pending: Path) -> None:
    write_pending(pending, engine=entry)
    with pytest.raises(smsr_runtime.BundleError, match='a complete entry "engine"'):
        smsr_runtime.load(pending, backend="trt")


class Recorded:
    """Stands for libcuda: capture and replay as `CudaGraph` asks for them."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.failing = self.missing = ""
        self.graph: list[Any] = []
        self.streams: dict[str, Any] = {
            "cuStreamBeginCapture_v2": lambda stream: setattr(stream, "captured", []),
            "cuStreamEndCapture": self.end,
            "cuGraphLaunch": lambda stream: stream.queued.extend(self.graph),
        }

    def end(self, stream: Stream) -> None:
        assert stream.captured is not None
        self.graph, stream.captured = stream.captured, None

    def __getattr__(self, name: str) -> Any:
        if name == self.missing:
            raise AttributeError(f"undefined symbol: {name}")

        def call(*arguments: Any) -> int:
            self.calls.append(name)
            if name == self.failing:
                return 999
            if name in self.streams:
                self.streams[name](STREAMS[arguments[0 if "Stream" in name else 1].value])
            return 0

        return call


@pytest.fixture
def driver(world: World, pending: Path, monkeypatch: pytest.MonkeyPatch) -> Recorded:
    """Of an engine that is there: the self-test of one just built runs it twice."""
    smsr_runtime.load(pending)
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
    assert np.array_equal(upscaler(PICTURE), nearest(PICTURE))
    recorded = ["cuStreamBeginCapture_v2", "cuStreamEndCapture", "cuGraphInstantiateWithFlags", "cuGraphDestroy"]
    assert driver.calls == [*recorded, "cuGraphLaunch"]
    assert np.array_equal(upscaler(PICTURE[::-1]), nearest(PICTURE[::-1]))
    assert driver.calls[5:] == ["cuGraphLaunch"]
    upscaler(PICTURE[:5])
    assert np.array_equal(upscaler(PICTURE[1:6]), nearest(PICTURE[1:6]))
    assert driver.calls.count("cuStreamBeginCapture_v2") == 2
    upscaler.with_margins(PICTURE[:5])
    assert driver.calls.count("cuGraphLaunch") == 4  # copies are no part of it, whatever is asked for


def test_without_the_variable_no_graph_is_made_and_another_value_is_refused(
    world: World, pending: Path, driver: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SMSR_CUDA_GRAPH")
    upscaler = smsr_runtime.load(pending)
    assert all(np.array_equal(upscaler(PICTURE), nearest(PICTURE)) for _ in range(3)) and not driver.calls
    monkeypatch.setenv("SMSR_CUDA_GRAPH", "yes")
    with pytest.raises(smsr_runtime.UsageError, match="SMSR_CUDA_GRAPH: expected 0 or 1"):
        cuda_graph.graphs_wanted()
    with pytest.raises(smsr_runtime.UsageError, match="SMSR_CUDA_GRAPH: expected 0 or 1"):
        smsr_runtime.load(pending, engine=EngineOptions(rebuild=True))
    assert len(world.builds) == 1  # refused ahead of the work


def test_a_capture_that_fails_is_one_line(world: World, pending: Path, driver: Recorded) -> None:
    driver.failing = "cuStreamEndCapture"
    upscaler = smsr_runtime.load(pending)
    upscaler(PICTURE)
    with pytest.raises(smsr_runtime.BackendError, match="cuStreamEndCapture to succeed, got CUDA error 999"):
        upscaler(PICTURE)


def test_a_driver_without_graphs_is_one_line(world: World, pending: Path, driver: Recorded) -> None:
    driver.missing = "cuGraphInstantiateWithFlags"
    upscaler = smsr_runtime.load(pending)
    upscaler(PICTURE)
    with pytest.raises(smsr_runtime.BackendError, match=r"cuGraphInstantiateWithFlags, of CUDA 11\.4, got an older"):
        upscaler(PICTURE)
    assert driver.calls[-1] == "cuGraphDestroy"


def test_a_failure_within_a_capture_is_the_one_reported(world: World, pending: Path, driver: Recorded) -> None:
    """The driver refuses the end of a capture that went wrong; what went wrong says more."""
    driver.failing = "cuStreamEndCapture"
    upscaler = smsr_runtime.load(pending)
    upscaler(PICTURE)
    assert isinstance(upscaler.opened, TrtBackend)
    upscaler.opened._execution._context.execute_async_v3 = lambda _: False
    with pytest.raises(smsr_runtime.BackendError, match="expected a result, got a failed execution"):
        upscaler(PICTURE)
    assert driver.calls == ["cuStreamBeginCapture_v2", "cuStreamEndCapture"]


def test_closing_frees_and_a_second_time_does_nothing(world: World, pending: Path) -> None:
    backend = smsr_runtime.load(pending).opened
    assert isinstance(backend, TrtBackend)
    backend.close()
    backend.close()
    assert backend._execution._engine is None and not backend._execution._buffers and world.stray == []
