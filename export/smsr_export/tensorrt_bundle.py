"""What a bundle for TensorRT holds in addition to one for ONNX Runtime, and its parity, measured without a GPU.

The engine itself is built on the device, where the golden output checks it (`smsr_runtime.tensorrt.finish`). Here
ONNX Runtime runs the same graph, in the same types, through the function body: float16 tensors, float32 sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from smsr import contract
from smsr.network import Network
from smsr_export.parity.pictures import Picture
from smsr_export.parity.report import Parity
from smsr_export.parity.verify import Candidate, verify_paths
from smsr_export.records import FoldedNetwork
from smsr_export.trt_model import build_trt_model
from smsr_runtime.bundle import MODEL_TRT, PENDING
from smsr_runtime.ort.backend import open_session
from smsr_runtime.sizes import Wanted


@dataclass(frozen=True)
class TensorRtTarget:
    """precision: one of tensorrt_engine.PRECISIONS; wanted: the sizes that the user named for the engine."""

    precision: str
    wanted: Wanted = field(default_factory=Wanted)


def add_tensorrt(work: Path, facts: dict[str, Any], folded: FoldedNetwork, target: TensorRtTarget) -> None:
    """Writes model.trt.onnx into the bundle and its entries into the manifest's `facts`; the engine is pending."""
    onnx.save_model(build_trt_model(folded, target.precision), work / MODEL_TRT)
    facts.update(target="trt", precision=target.precision, engine=PENDING, profile=target.wanted.as_json())
    rmse = contract.TOLERANCES[target.precision].rmse
    if rmse is not None:
        facts["golden"]["engine_rmse"] = rmse


def verify_tensorrt(network: Network, folded: FoldedNetwork, pictures: Sequence[Picture], precision: str) -> Parity:
    """Parity of model.trt.onnx's graph through its function body."""
    candidate = Candidate(f"{MODEL_TRT}, {precision}", FunctionVariant(folded, precision), precision)
    return verify_paths(network, [candidate], pictures, precision)


class FunctionVariant:
    """model.trt.onnx with the module's function, in ONNX Runtime on the CPU: a `parity.comparison.FloatUpscaler`."""

    def __init__(self, folded: FoldedNetwork, precision: str) -> None:
        self._session = open_session(build_trt_model(folded, precision, functions=True).SerializeToString())

    def upscale_float(
        self, image: NDArray[np.float32], *, margins: bool = False, theta: float = 0.0
    ) -> tuple[NDArray[np.float32], list[NDArray[np.float32]]]:
        """image (N, 3, H, W) 0..255 -> upscaled (N, 3, sH, sW), not clamped, and the margins (else an empty list)."""
        names = [output.name for output in self._session.get_outputs()]
        feeds = {"image": image, "theta": np.array(theta, np.float32)}
        upscaled, *per_module = self._session.run(names if margins else names[:1], feeds)
        return upscaled, per_module
