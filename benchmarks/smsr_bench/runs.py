"""ONNX files in ONNX Runtime and OpenVINO, with the same settings for timing and for measuring memory.

Each package is imported where it is used; onnx and torch are not needed (see `memory`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""image (1, 3, H, W) float32 0..255 -> upscaled (1, 3, sH, sW)"""


def onnxruntime_run(model: str | bytes, threads: int) -> Run:
    """A model's file, or its bytes, in ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.enable_mem_pattern = False  # as for ours: nearly half the memory; time changes by a few percent either way
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda image: np.asarray(session.run(["upscaled"], {"image": image})[0])


def openvino_has_bf16() -> bool:
    """Whether this CPU multiplies in bfloat16; elsewhere OpenVINO accepts the hint and computes in float32."""
    import openvino

    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def openvino_run(model: Any, precision: str, threads: int) -> Run:
    """A model's file, its bytes, or an openvino.Model, in OpenVINO; precision: "f32" or "bf16".

    precision: of what the model does not quantise itself.

    Compiled for the size of each picture, ahead of the timed rounds: with fixed sizes it is fastest.
    """
    import openvino

    core = openvino.Core()
    hints = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}

    @lru_cache(maxsize=1)
    def request_for(shape: tuple[int, ...]) -> Any:
        network = core.read_model(model) if isinstance(model, str | bytes) else model.clone()
        network.reshape({"image": shape})
        return core.compile_model(network, "CPU", hints).create_infer_request()

    def run(image: NDArray[np.float32]) -> NDArray[np.float32]:
        # shared, so that inputs and margins are not copied, only the result
        outputs = request_for(image.shape).infer({"image": image}, share_inputs=True, share_outputs=True)
        return np.array(outputs["upscaled"])

    return run
