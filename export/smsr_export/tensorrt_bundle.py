"""What a bundle for TensorRT holds more than one for ONNX Runtime, and its parity, measured without a GPU.

The engine itself is built on the device, where the golden output holds it (`smsr_runtime.tensorrt.finish`). Here
ONNX Runtime runs the same graph, in the same types, through the function body: float16 tensors, float32 sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from smsr import contract
from smsr.network import Network
from smsr_export.records import FoldedNetwork
from smsr_export.trt_model import build_trt_model
from smsr_export.verify import Parity, Picture, open_session, verify_on
from smsr_runtime.bundle import MODEL_TRT, PENDING


@dataclass(frozen=True)
class TensorRtTarget:
    """precision: one of tensorrt_engine.PRECISIONS; profile: the sizes named, as the manifest keeps them, or None."""

    precision: str
    profile: dict[str, list[int]] | None = None


def add_tensorrt(work: Path, facts: dict[str, Any], folded: FoldedNetwork, target: TensorRtTarget) -> None:
    """Writes model.trt.onnx into the bundle and what the manifest says of it; the engine is pending."""
    onnx.save_model(build_trt_model(folded, target.precision), work / MODEL_TRT)
    facts.update(target="trt", precision=target.precision, engine=PENDING, profile=target.profile)
    rmse = contract.TOLERANCES[target.precision].rmse
    if rmse is not None:
        facts["golden"]["engine_rmse"] = rmse


def verify_tensorrt(
    network: Network, folded: FoldedNetwork, pictures: Sequence[Picture], target: TensorRtTarget
) -> Parity:
    """Parity of model.trt.onnx's graph through its function body."""
    upscaler = FunctionVariant(folded, target.precision)
    return verify_on(network, [(f"{MODEL_TRT}, {target.precision}", upscaler)], pictures, target.precision)


def together(first: Parity, second: Parity) -> Parity:
    """One verdict over the rows of both; each was held to its own precision's limits."""
    return Parity(second.precision, [*first.rows, *second.rows], [*first.failures, *second.failures])


class FunctionVariant:
    """model.trt.onnx with the module's function, in ONNX Runtime on the CPU; has what `verify_on` asks for."""

    def __init__(self, folded: FoldedNetwork, precision: str) -> None:
        self._session = open_session(build_trt_model(folded, precision, functions=True).SerializeToString())

    def upscale_float(
        self, image: NDArray[np.float32], margins: bool = False, theta: float = 0.0
    ) -> tuple[NDArray[np.float32], list[NDArray[np.float32]]]:
        """image (N, 3, H, W) float32 0..255 -> upscaled (N, 3, sH, sW), not clamped, and the margins if asked for."""
        names = [output.name for output in self._session.get_outputs()]
        feeds = {"image": image, "theta": np.array(theta, np.float32)}
        upscaled, *found = self._session.run(names if margins else names[:1], feeds)
        return upscaled, found
