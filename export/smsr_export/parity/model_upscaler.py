"""A whole ONNX model in ONNX Runtime, without our library: a `comparison.FloatUpscaler`."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray

from smsr_runtime.ort.backend import open_session


class ModelUpscaler:
    """Runs a model that has the inputs and outputs of every exported one; theta is always given."""

    def __init__(self, model: onnx.ModelProto) -> None:
        """Raises BackendError where ONNX Runtime refuses the model."""
        self._session = open_session(model.SerializeToString())

    def upscale_float(
        self, image: NDArray[np.float32], *, margins: bool = False, theta: float = 0.0
    ) -> tuple[NDArray[np.float32], list[NDArray[np.float32]]]:
        """image (N, 3, H, W) 0..255 -> upscaled (N, 3, sH, sW), not clamped, and the margins (else an empty list)."""
        names = [output.name for output in self._session.get_outputs()]
        feeds = {"image": image, "theta": np.array(theta, np.float32)}
        upscaled, *per_module = self._session.run(names if margins else names[:1], feeds)
        return upscaled, per_module
