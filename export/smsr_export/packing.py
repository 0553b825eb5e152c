"""Weights as our operators read them: [tap, in, out], outputs padded by zeros to a multiple of LANE_PADDING."""

from __future__ import annotations

import numpy as np

from smsr.contract import LANE_PADDING
from smsr_export.records import Array, Convolution, FoldedBranch


def pack(conv: Convolution, inputs: int | None = None) -> tuple[Array, Array]:
    """weight (O, I, kh, kw), bias (O,) -> (kh*kw, I', O'), (O',): O' = O rounded up, I' = `inputs` or I, zeros."""
    outputs, own_inputs, height, width = conv.weight.shape
    padded = -(-outputs // LANE_PADDING) * LANE_PADDING
    weight = np.zeros((height * width, inputs or own_inputs, padded), conv.weight.dtype)
    weight[:, :own_inputs, :outputs] = conv.weight.transpose(2, 3, 1, 0).reshape(height * width, own_inputs, outputs)
    bias = np.zeros(padded, conv.bias.dtype)
    bias[:outputs] = conv.bias
    return weight, bias


def unpack(weight: Array, bias: Array, inputs: int, outputs: int) -> Convolution:
    """Inverse of `pack` for the true numbers of channels."""
    side = round(len(weight) ** 0.5)
    kernel = weight[:, :inputs, :outputs].reshape(side, side, inputs, outputs).transpose(3, 2, 0, 1)
    return Convolution(np.ascontiguousarray(kernel), np.ascontiguousarray(bias[:outputs]))


def pack_branch(branch: FoldedBranch) -> dict[str, Array]:
    """The inputs of the operator MaskBranch from `full_weight` on, by name."""
    full_weight, full_bias = pack(branch.full)
    padded = len(full_bias)
    half_weight, half_bias = pack(branch.half, inputs=padded)
    phases, _, height, width = branch.phases.weight.shape
    phases_weight = np.zeros((height * width, padded, phases), branch.phases.weight.dtype)
    quarter = branch.phases.weight.shape[1]
    phases_weight[:, :quarter] = branch.phases.weight.transpose(2, 3, 1, 0).reshape(height * width, quarter, phases)
    return {
        "full_weight": full_weight,
        "full_bias": full_bias,
        "half_weight": half_weight,
        "half_bias": half_bias,
        "phases_weight": phases_weight,
        "phases_bias": branch.phases.bias,
    }


def unpack_branch(packed: dict[str, Array], features: int) -> FoldedBranch:
    """Inverse of `pack_branch`."""
    quarter = features // 4
    return FoldedBranch(
        full=unpack(packed["full_weight"], packed["full_bias"], features, quarter),
        half=unpack(packed["half_weight"], packed["half_bias"], quarter, quarter),
        phases=unpack(packed["phases_weight"], packed["phases_bias"], quarter, 4),
    )
