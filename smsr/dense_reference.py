"""numpy float64 references of the dense operators: the convolutions and MaskBranch (smsr/contract.py).

Shapes as in the contract, layout N H W C. Written for clarity, not for speed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


def convolution(features: Array, weight: Array, bias: Array) -> NDArray[np.float64]:
    """Same-size convolution, zero padding: (N, H, W, I), (9 or 1, I, O), (O,) -> (N, H, W, O)."""
    x, kernel = features.astype(np.float64), weight.astype(np.float64)
    side = round(len(kernel) ** 0.5)
    margin, (height, width) = side // 2, x.shape[1:3]
    padded = np.pad(x, ((0, 0), (margin, margin), (margin, margin), (0, 0)))
    taps = [padded[:, y : y + height, x : x + width] for y in range(side) for x in range(side)]
    total = sum(tap @ matrix for tap, matrix in zip(taps, kernel, strict=True))
    return np.asarray(total + bias.astype(np.float64))


def mask_branch(features: Array, *weights: Array) -> NDArray[np.float64]:
    """MaskBranch's inputs in the contract's order -> margin (N, 1, H, W)."""
    full_weight, full_bias, half_weight, half_bias, phases_weight, phases_bias = weights
    height, width = features.shape[1:3]
    full = np.maximum(convolution(features, full_weight, full_bias), 0.0)
    pooled = _average_pool(full)
    half = np.maximum(convolution(pooled, half_weight, half_bias), 0.0)
    padded = np.pad(half, ((0, 0), (0, 1), (0, 1), (0, 0)))
    taps = [padded[:, dy : dy + half.shape[1], dx : dx + half.shape[2]] for dy in range(2) for dx in range(2)]
    phases = sum(tap @ matrix for tap, matrix in zip(taps, phases_weight.astype(np.float64), strict=True))
    phases = np.asarray(phases + phases_bias.astype(np.float64))
    n, rows, columns, _ = phases.shape
    margin = phases.reshape(n, rows, columns, 2, 2).transpose(0, 1, 3, 2, 4).reshape(n, 1, 2 * rows, 2 * columns)
    return np.asarray(margin[:, :, :height, :width])


def _average_pool(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """2x2 average; an odd last row or column is repeated first."""
    padded = np.pad(x, ((0, 0), (0, x.shape[1] % 2), (0, x.shape[2] % 2), (0, 0)), mode="edge")
    n, height, width, channels = padded.shape
    return np.asarray(padded.reshape(n, height // 2, 2, width // 2, 2, channels).mean(axis=(2, 4)))
