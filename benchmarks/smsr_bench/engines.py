"""Everything that is timed, under one call: image (1, 3, H, W) float32 0..255 -> upscaled (1, 3, sH, sW)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from smsr.errors import DataError
from smsr_bench import pytorch
from smsr_bench.rival import build_rival
from smsr_bench.weights import read_folded
from smsr_export.graph import FoldedNetwork
from smsr_export.verify import environment

Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]


@dataclass(frozen=True)
class Engine:
    """exact: computes the network itself; the rival does not (DESIGN 2)."""

    name: str
    label: str
    exact: bool
    make: Callable[[Path, FoldedNetwork, int], Run]


def _native(bundle: Path, _network: FoldedNetwork, threads: int) -> Run:
    import smsr_runtime

    upscaler = smsr_runtime.load(bundle, threads)
    if not upscaler.path.startswith("native"):
        raise DataError("benchmark", "the native library", "none", "build it first: make setup")
    return lambda image: np.asarray(upscaler.upscale_float(image)[0])


def _body(bundle: Path, _network: FoldedNetwork, threads: int) -> Run:
    import smsr_runtime

    with environment("SMSR_ORT_LIBRARY", "none"), environment("SMSR_CPU", None):
        upscaler = smsr_runtime.load(bundle, threads)
    return lambda image: np.asarray(upscaler.upscale_float(image)[0])


def _rival_ort(_bundle: Path, network: FoldedNetwork, threads: int) -> Run:
    return ort_run(build_rival(network), threads)


def ort_run(model: onnx.ModelProto, threads: int) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda image: np.asarray(session.run(["upscaled"], {"image": image})[0])


def _openvino(precision: str) -> Callable[[Path, FoldedNetwork, int], Run]:
    def make(_bundle: Path, network: FoldedNetwork, threads: int) -> Run:
        import openvino

        core = openvino.Core()
        hints = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
        model = core.read_model(build_rival(network).SerializeToString())
        request = core.compile_model(model, "CPU", hints).create_infer_request()
        return lambda image: np.array(request.infer({"image": image})["upscaled"])

    return make


def _torch(body: pytorch.Body) -> Callable[[Path, FoldedNetwork, int], Run]:
    return lambda _bundle, network, threads: pytorch.engine(network, body, threads)


ENGINES = (
    Engine("native", "smsr", True, _native),
    Engine("body", "smsr, function body", True, _body),
    Engine("rival", "rival, ONNX Runtime", False, _rival_ort),
    Engine("openvino", "rival, OpenVINO f32", False, _openvino("f32")),
    Engine("openvino-bf16", "rival, OpenVINO bf16", False, _openvino("bf16")),
    Engine("torch", "PyTorch, masked dense", True, _torch(pytorch.masked_dense)),
    Engine("torch-sparse", "PyTorch, index and matmul", True, _torch(pytorch.index_and_matmul)),
)
DEFAULT = ("native", "body", "rival")


def make(names: tuple[str, ...], bundle: Path, threads: int) -> dict[str, Run]:
    """The named engines, ready to run, by name."""
    network = read_folded(bundle / "model.onnx")
    return {engine.name: engine.make(bundle, network, threads) for engine in ENGINES if engine.name in names}
