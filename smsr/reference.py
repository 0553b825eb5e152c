"""Reference of the operator smsr::SparseMaskModule, once in numpy and once in torch.

Both take the operator's inputs in the contract's order and layout NHWC, and compute in the type they
are given (numpy: float64 always). Equivalent to `SparseMaskModule.infer` of the network after
`smsr_export.fold.fold_channel_masks`. Written for clarity, not for speed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from smsr import contract

Array = NDArray[np.floating]


@dataclass(frozen=True)
class ModuleInputs:
    """The operator's inputs; shapes as in `contract.SPARSE_MASK_MODULE`, layout NHWC."""

    features: Array
    margin: Array
    theta: Array
    conv_weights: Array
    collect_weight: Array
    collect_bias: Array
    squeeze_weight: Array
    squeeze_bias: Array
    excite_weight: Array
    excite_bias: Array

    def arrays(self) -> tuple[Array, ...]:
        return astuple(self)


def sparse_mask_module(inputs: ModuleInputs, dense_channels: Sequence[int]) -> NDArray[np.float64]:
    """numpy, float64: next features (N, H, W, C)."""
    (
        features, margin, theta, conv_weights, collect_weight, collect_bias,
        squeeze_weight, squeeze_bias, excite_weight, excite_bias,
    ) = (array.astype(np.float64) for array in inputs.arrays())  # fmt: skip
    active = (margin - theta > 0)[:, 0, :, :, None]
    current, dense_inputs, outputs = features, features.shape[-1], []
    for weight, dense in zip(conv_weights, dense_channels, strict=True):
        full = _conv3x3(current, weight)
        dense_only = _conv3x3(current[..., :dense_inputs], weight[:, :dense_inputs])
        dense_only[..., dense:] = 0.0
        current = np.maximum(np.where(active, full, dense_only), 0.0)
        outputs.append(current)
        dense_inputs = dense
    collected = np.concatenate(outputs, axis=-1) @ collect_weight + collect_bias
    squeezed = np.maximum(collected.mean(axis=(1, 2)) @ squeeze_weight + squeeze_bias, 0.0)
    scale = 1.0 / (1.0 + np.exp(-(squeezed @ excite_weight + excite_bias)))
    result: NDArray[np.float64] = collected * scale[:, None, None, :] + features
    return result


def _conv3x3(x: NDArray[np.float64], weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """x (N, H, W, I), weight (9, I, O) -> (N, H, W, O), zero padding of one pixel."""
    height, width = x.shape[1:3]
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    taps = (padded[:, ky : ky + height, kx : kx + width] for ky in range(3) for kx in range(3))
    return np.asarray(sum(tap @ matrix for tap, matrix in zip(taps, weight, strict=True)))


def sparse_mask_module_torch(inputs: Sequence[Tensor], dense_channels: Sequence[int]) -> Tensor:
    """torch, any floating-point type: inputs in the contract's order, NHWC -> next features (N, H, W, C)."""
    (
        features, margin, theta, conv_weights, collect_weight, collect_bias,
        squeeze_weight, squeeze_bias, excite_weight, excite_bias,
    ) = inputs  # fmt: skip
    active = margin - theta > 0
    x = features.permute(0, 3, 1, 2)
    channels = x.shape[1]
    current, dense_inputs, outputs = x, channels, []
    for packed, dense in zip(conv_weights, dense_channels, strict=True):
        weight = packed.view(3, 3, channels, channels).permute(3, 2, 0, 1)
        full = F.conv2d(current, weight, padding=1)
        dense_only = torch.zeros_like(full)
        if dense and dense_inputs:
            dense_only[:, :dense] = F.conv2d(current[:, :dense_inputs], weight[:dense, :dense_inputs], padding=1)
        current = F.relu(torch.where(active, full, dense_only))
        outputs.append(current)
        dense_inputs = dense
    collected = torch.cat(outputs, dim=1).permute(0, 2, 3, 1) @ collect_weight + collect_bias
    squeezed = F.relu(collected.mean(dim=(1, 2)) @ squeeze_weight + squeeze_bias)
    scale = torch.sigmoid(squeezed @ excite_weight + excite_bias)
    return collected * scale[:, None, None, :] + features


def random_inputs(case: contract.Case, seed: int = 0, theta: float = 0.25) -> ModuleInputs:
    """Random float32 inputs of a contract case: weights scaled so that features stay of order one."""
    random = np.random.default_rng(seed)
    (n, h, w), c, layers = case.shape, case.channels, len(case.dense)
    r = c // contract.CHANNEL_ATTENTION_REDUCTION

    def normal(*shape: int, fan_in: int = 1) -> Array:
        return np.asarray(random.standard_normal(shape) * (2.0 / fan_in) ** 0.5, np.float32)

    conv_weights = normal(layers, 9, c, c, fan_in=9 * c)
    collect_weight = normal(layers * c, c, fan_in=layers * c)
    if case.dead:
        conv_weights[:, :, :, c - case.dead :] = 0.0
        conv_weights[1:, :, c - case.dead :, :] = 0.0
        collect_weight.reshape(layers, c, c)[:, c - case.dead :] = 0.0
    return ModuleInputs(
        features=random.standard_normal((n, h, w, c)).astype(np.float32),
        margin=_margin(case.mask, (n, 1, h, w), random) + np.float32(theta),
        theta=np.asarray(theta, np.float32),
        conv_weights=conv_weights,
        collect_weight=collect_weight,
        collect_bias=normal(c),
        squeeze_weight=normal(c, r, fan_in=c),
        squeeze_bias=normal(r),
        excite_weight=normal(r, c, fan_in=r),
        excite_bias=normal(c),
    )


def _margin(kind: str, shape: tuple[int, int, int, int], random: np.random.Generator) -> Array:
    """Margins (N, 1, H, W) whose sign is the mask of that kind (contract.MASKS); NaN is inactive."""
    _, _, h, w = shape
    signs = np.full(shape, -1.0, np.float32)
    if kind == "on":
        signs[:] = 1.0
    elif kind == "one":
        signs[:, :, h // 2, w // 3] = 1.0
    elif kind == "border":
        signs[:] = 1.0
        signs[:, :, 1:-1, 1:-1] = -1.0
    elif kind == "clustered":
        y, x = np.mgrid[:h, :w]
        signs[:] = np.where(np.sin(x * 0.45 + 1.0) + np.sin(y * 0.6) > 0.4, 1.0, -1.0)
    elif kind == "random":
        signs = np.where(random.random(shape) < 0.4, 1.0, -1.0).astype(np.float32)
        signs.reshape(-1)[:: 2 * w + 1] = np.nan
    elif kind != "off":
        raise ValueError(f"mask: expected one of {contract.MASKS}, got {kind!r}")
    return np.asarray(signs * (0.5 + random.random(shape)), np.float32)
