"""The exported model in TensorRT's own parser and builder.

TensorRT-RTX is the one TensorRT with a builder that works without a GPU; parser and bindings are those of 11.x. It
knows no plugin layers: with functions the model becomes a real engine, without the parser gets as far as the creator.
"""

from __future__ import annotations

import importlib
import json
import signal
import sys
import threading
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import onnx
import pytest

from smsr import contract
from smsr.network import Network
from smsr_export.fold import fold
from smsr_export.freeze import freeze
from smsr_export.tensorrt_engine import PRECISIONS
from smsr_export.trt_model import build_trt_model
from smsr_runtime.errors import BackendError, MemoryLimitError, NativeLibraryError
from smsr_runtime.sizes import Profile, Wanted
from smsr_runtime.tensorrt.build import BuildRequest, build_engine
from smsr_runtime.tensorrt.plugin import load_plugin
from smsr_runtime.tensorrt.profiles import profiles
from tests.conftest import missing
from tests.helpers import run_python

pytestmark = pytest.mark.filterwarnings("ignore:.*Timing cache operations are no-ops:DeprecationWarning")
BOTH = pytest.mark.parametrize("kind", PRECISIONS)
SMALL = [Profile((4, 5), (20, 30), (64, 64))]
of_functions = partial(BuildRequest, plugins=False)


@pytest.fixture(scope="module")
def trt() -> ModuleType:
    if sys.platform != "linux":
        pytest.skip("TensorRT-RTX has wheels for Linux only")
    try:
        return importlib.import_module("tensorrt_rtx_bindings")
    except ImportError as error:
        missing(f"tensorrt_rtx_cu13_bindings or _libs: {error}; pip install 'smsr[trt-check]'")


@pytest.fixture(scope="module")
def models(small_network: Network, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files by precision; "NAME plugin": as shipped, without the function."""
    folder, folded, files = tmp_path_factory.mktemp("models"), fold(freeze(small_network)), {}
    for kind in PRECISIONS:
        for name, functions in ((kind, True), (f"{kind} plugin", False)):
            files[name] = folder / f"{name}.onnx"
            onnx.save_model(build_trt_model(folded, kind, functions=functions), files[name])
    return files


def silent(_: str) -> None:
    pass


@BOTH
def test_the_function_variant_becomes_an_engine_of_its_types(
    kind: str, trt: ModuleType, models: dict[str, Path]
) -> None:
    network = parsed(trt, models[kind])
    assert {network.get_input(i).name for i in range(network.num_inputs)} == {"image", "theta"}
    ends = [network.get_output(i) for i in range(network.num_outputs)]
    assert [(end.name, end.dtype) for end in ends] == [
        (name, trt.float32) for name in ("upscaled", "margin_1", "margin_2")
    ]
    assert convolution_types(trt, network) == {
        "bicubic/Conv": trt.float32,
        "head.0/Conv": trt.float16 if kind == "fp16" else trt.float32,
        "tail/Conv": trt.float16 if kind == "fp16" else trt.float32,
    }
    engine = build_engine(trt, of_functions(models[kind], kind), SMALL, silent)
    assert len(engine.data) > 10_000 and engine.profile == SMALL[0] and engine.cache


def test_mask_branches_and_bicubic_of_the_benchmark_s_variant_become_an_engine(
    trt: ModuleType, small_network: Network, tmp_path: Path
) -> None:
    """Both operators by their functions; the branches' margins are float16 up to their casts, the last sum float32."""
    model = build_trt_model(fold(freeze(small_network)), "fp16", functions=True, branch_plugin=True, half_bicubic=True)
    onnx.save_model(model, tmp_path / "half.onnx")
    network = parsed(trt, tmp_path / "half.onnx")
    layers = {network.get_layer(i).name: network.get_layer(i) for i in range(network.num_layers)}
    assert layers["half_bicubic/Conv"].get_input(0).dtype == trt.float16
    assert layers["phases/Add"].get_output(0).dtype == trt.float32
    assert len(build_engine(trt, of_functions(tmp_path / "half.onnx", "fp16"), SMALL, silent).data) > 10_000


def parsed(trt: ModuleType, model: Path) -> Any:
    logger = trt.Logger(trt.Logger.ERROR)
    network = trt.Builder(logger).create_network(0)
    parser = trt.OnnxParser(network, logger)
    assert parser.parse_from_file(str(model)), [parser.get_error(i).desc() for i in range(parser.num_errors)]
    return network


def convolution_types(trt: ModuleType, network: Any) -> dict[str, object]:
    layers = [network.get_layer(i) for i in range(network.num_layers)]
    wanted = ("bicubic/Conv", "head.0/Conv", "tail/Conv")
    return {layer.name: layer.get_input(0).dtype for layer in layers if layer.name in wanted}


@pytest.mark.slow
@BOTH
def test_the_published_network_becomes_an_engine(
    kind: str, trt: ModuleType, x2_network: Network, tmp_path: Path
) -> None:
    model = tmp_path / "model.onnx"
    onnx.save_model(build_trt_model(fold(freeze(x2_network)), kind, functions=True), model)
    wide = [Profile((16, 16), (540, 960), (1080, 1920))]
    assert len(build_engine(trt, of_functions(model, kind), wide, silent).data) > 1_000_000


def test_the_shipped_model_stops_at_the_missing_plugin_in_one_line(trt: ModuleType, models: dict[str, Path]) -> None:
    with pytest.raises(BackendError, match=r"Plugin not found, are the plugin name, version, and namespace correct\?"):
        build_engine(trt, BuildRequest(models["fp16 plugin"], "fp16"), SMALL, silent)


MARSHALL = """
import json, sys
import numpy as np
import tensorrt_rtx_bindings as trt
from smsr_runtime.tensorrt import plugin

class Creator(trt.IPluginCreatorV3One):
    def __init__(self):
        trt.IPluginCreatorV3One.__init__(self)
        self.name, self.plugin_version, self.plugin_namespace = plugin.NAME, plugin.VERSION, plugin.NAMESPACE
        kinds = trt.PluginFieldType
        fields = [("dense_channels", np.int32, kinds.INT32), ("layout", np.int8, kinds.CHAR),
                  ("compute", np.int8, kinds.CHAR)]
        fields = [trt.PluginField(name, np.array([], dtype), kind) for name, dtype, kind in fields]
        self.field_names = trt.PluginFieldCollection(fields)

    def create_plugin(self, name, fields, phase):
        print(json.dumps([name, str(phase), {f.name: [str(f.type), np.asarray(f.data).tolist()] for f in fields}]))
        return None

creator = Creator()
registry = trt.get_plugin_registry()
assert not plugin._registered(registry)
registry.register_creator(creator, plugin.NAMESPACE)
assert plugin._registered(registry)
logger = trt.Logger(trt.Logger.INTERNAL_ERROR)
network = trt.Builder(logger).create_network(0)
parser = trt.OnnxParser(network, logger)
assert not parser.parse_from_file(sys.argv[1])
print(json.dumps(parser.get_error(0).desc()))
"""


@BOTH
def test_the_plugin_s_creator_is_found_and_gets_the_attributes(
    kind: str, trt: ModuleType, models: dict[str, Path], tmp_path: Path
) -> None:
    """In a process of its own: the registry lives as long as that. The creator records and gives no plugin."""
    done = run_python("-c", MARSHALL, models[f"{kind} plugin"], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (name, phase, fields), error = map(json.loads, done.stdout.splitlines())
    assert (name, phase) == ("features_1/SparseMaskModule", "TensorRTPhase.BUILD")
    assert fields == {
        "dense_channels": ["PluginFieldType.INT32", [5, 0, 16]],
        "layout": ["PluginFieldType.CHAR", list(b"NCHW\0")],
        "compute": ["PluginFieldType.CHAR", [*contract.COMPUTE_OF_PRECISION[kind].encode(), 0]],
    }
    assert "Could not create the plugin" in error


def test_running_out_of_memory_tries_a_smaller_profile(trt: ModuleType, models: dict[str, Path]) -> None:
    """A workspace of 32 MiB stands for a small GPU: the same error code 2 of the real builder."""
    lines: list[str] = []
    tried = [Profile((4, 4), (side, side), (side, side)) for side in (512, 256, 64, 16)]
    engine = build_engine(trt, of_functions(models["fp32"], "fp32", workspace=32 << 20), tried, lines.append)
    assert engine.profile in tried[1:] and "note: not enough GPU memory for 512x512" in lines


def test_running_out_of_memory_at_last_says_what_to_set(trt: ModuleType, models: dict[str, Path]) -> None:
    request = of_functions(models["fp32"], "fp32", workspace=1 << 20)
    words = r"out of memory at 512x700; .*--max-shape below 512x700, or a larger --workspace"
    with pytest.raises(MemoryLimitError, match=words):
        build_engine(trt, request, profiles(Wanted(max=(512, 700)), 1 << 34, 1), silent)


def test_progress_is_said_and_ctrl_c_stops_the_build(trt: ModuleType, models: dict[str, Path]) -> None:
    lines: list[str] = []
    build_engine(trt, of_functions(models["fp16"], "fp16"), SMALL, lines.append)
    assert lines[0].startswith("building the engine for 4x5 to 64x64, fastest at 20x30 (fp16)")
    assert any(line.endswith(" %") for line in lines[1:])

    def interrupt(line: str) -> None:
        if line.endswith(" %"):
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        build_engine(trt, of_functions(models["fp16"], "fp16"), SMALL, interrupt)


def test_ctrl_c_while_tensorrt_works_is_not_lost(
    trt: ModuleType, models: dict[str, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    """Python sees it at the next callback, log() most likely; the bindings swallow what is raised in there."""
    timer = threading.Timer(0.2, signal.raise_signal, [signal.SIGINT])
    with pytest.raises(KeyboardInterrupt):
        build_engine(
            trt,
            of_functions(models["fp16"], "fp16"),
            SMALL,
            lambda line: timer.start() if line.startswith("building") else None,
        )
        timer.join()
    assert "Exception caught" not in capfd.readouterr().err
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("cache", ["own", b"rubbish"], ids=["own", "rubbish"])
def test_timings_are_taken_again_and_rubbish_is_not(cache: object, trt: ModuleType, models: dict[str, Path]) -> None:
    first = build_engine(trt, of_functions(models["fp16"], "fp16"), SMALL, silent).cache
    request = of_functions(models["fp16"], "fp16", cache=first if cache == "own" else b"rubbish")
    assert build_engine(trt, request, SMALL, silent).cache == first


def test_a_file_that_is_no_model_is_one_line(trt: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "model.trt.onnx").write_bytes(b"no model")
    with pytest.raises(BackendError, match=r"model\.trt\.onnx: expected a model TensorRT 1\.7\S+ can read, got .+; "):
        build_engine(trt, BuildRequest(tmp_path / "model.trt.onnx", "fp16"), SMALL, silent)


def test_a_plugin_library_tensorrt_cannot_load_is_one_line(
    trt: ModuleType, native_library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library for ONNX Runtime has the right contract and no getCreators."""
    from smsr.contract import interface_hash

    monkeypatch.setenv("SMSR_TRT_LIBRARY", str(native_library))
    with pytest.raises(NativeLibraryError, match=r"libsmsr_ort\.so: expected "):
        load_plugin(trt, 11, interface_hash())
