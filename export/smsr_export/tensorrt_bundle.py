"""What a bundle for TensorRT holds in addition to one for ONNX Runtime, and its parity, measured without a GPU.

The engine itself is built on the device, where the golden output checks it (`smsr_runtime.tensorrt.finish`). Here
ONNX Runtime runs the same graph, in the same types, through the function body: float16 tensors, float32 sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx

from smsr import contract
from smsr.network import Network
from smsr_export.parity.model_upscaler import ModelUpscaler
from smsr_export.parity.pictures import Picture
from smsr_export.parity.report import Parity
from smsr_export.parity.verify import Candidate, verify_paths
from smsr_export.records import FoldedNetwork
from smsr_export.trt_model import build_trt_model
from smsr_runtime.bundle import MODEL_TRT, PENDING
from smsr_runtime.sizes import Wanted


@dataclass(frozen=True)
class TensorRtTarget:
    """precision: one of tensorrt_engine.PRECISIONS; wanted: the sizes that the user named for the engine;
    branch_plugin: see build_trt_model."""

    precision: str
    wanted: Wanted = field(default_factory=Wanted)
    branch_plugin: bool = False


def add_tensorrt(work: Path, facts: dict[str, Any], folded: FoldedNetwork, target: TensorRtTarget) -> None:
    """Writes model.trt.onnx into the bundle and its entries into the manifest's `facts`; the engine is pending."""
    model = build_trt_model(folded, target.precision, branch_plugin=target.branch_plugin)
    onnx.save_model(model, work / MODEL_TRT)
    facts.update(target="trt", precision=target.precision, engine=PENDING, profile=target.wanted.as_json())
    rmse = contract.TOLERANCES[target.precision].golden_rmse
    if rmse is not None:
        facts["golden"]["engine_rmse"] = rmse


def verify_tensorrt(
    network: Network, folded: FoldedNetwork, pictures: Sequence[Picture], target: TensorRtTarget
) -> Parity:
    """Parity of model.trt.onnx's graph through its function bodies."""
    precision = target.precision
    upscaler = function_variant(folded, precision, branch_plugin=target.branch_plugin)
    return verify_paths(network, [Candidate(f"{MODEL_TRT}, {precision}", upscaler, precision)], pictures, precision)


def function_variant(folded: FoldedNetwork, precision: str, *, branch_plugin: bool = False) -> ModelUpscaler:
    """model.trt.onnx with its operators' functions, which ONNX Runtime runs."""
    return ModelUpscaler(build_trt_model(folded, precision, functions=True, branch_plugin=branch_plugin))
