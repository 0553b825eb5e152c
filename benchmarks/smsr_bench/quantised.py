"""Rivals in int8: post-training quantisation by NNCF, which is how OpenVINO's users get there."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from smsr_bench.calibration import Calibration

RIVAL_IN_FLOAT = (r"bicubic.*", r"module_\d+\.mask\..*")
"""The rival's layers that stay float: the fixed bicubic interpolation and the mask branches.

They are little work and most of the loss: docs/adr/0007-int8.md has the figures.
"""


def quantise(model: bytes, calibration: Calibration, in_float: Sequence[str] = ()) -> Any:
    """An ONNX file's bytes as an openvino.Model: weights and activations of all layers in int8 but those `in_float`.

    in_float: regular expressions of node names. Raises what NNCF raises.
    """
    import nncf
    import openvino

    nncf.set_log_level(logging.ERROR)
    pictures = list(calibration.images)
    data = nncf.Dataset(pictures, lambda image: {"image": image})
    scope = nncf.IgnoredScope(patterns=list(in_float), validate=False)
    with contextlib.redirect_stdout(io.StringIO()):  # a progress bar
        return nncf.quantize(openvino.Core().read_model(model), data, subset_size=len(pictures), ignored_scope=scope)
