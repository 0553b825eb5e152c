"""The fold passes: each a pure function with its algebra; `fold` applies them all.

Every pass is exact in real numbers; the tests hold each alone and all together to 1e-13 in float64.
"""

from __future__ import annotations

import numpy as np

from smsr_export.records import (
    Array,
    ChannelClasses,
    Convolution,
    FoldedBranch,
    FoldedModule,
    FoldedNetwork,
    FrozenBranch,
    FrozenModule,
    FrozenNetwork,
)

BICUBIC_A = -0.75
"""torch's cubic coefficient (`F.interpolate(mode="bicubic")`)."""


def fold(frozen: FrozenNetwork) -> FoldedNetwork:
    """All passes. The mean needs no arithmetic: bicubic weights sum to 1, so bicubic(x - mean) + mean =
    bicubic(x); it stays in front of the head alone, whose zero padding comes after it."""
    parts, bias = fold_collect(frozen.collect[0], len(frozen.modules))
    return FoldedNetwork(
        scale=frozen.scale,
        mean=frozen.mean,
        head=frozen.head,
        modules=tuple(fold_module(module) for module in frozen.modules),
        collect_parts=parts,
        collect_bias=bias,
        collect=frozen.collect[1],
        tail=frozen.tail,
        bicubic=bicubic_kernel(frozen.scale).astype(frozen.mean.dtype),
    )


def fold_module(module: FrozenModule) -> FoldedModule:
    conv_weights, collect_weight = fold_channel_masks(module.convs, module.classes, module.collect.weight)
    return FoldedModule(
        branch=fold_logits(module.branch),
        dense_channels=tuple(len(classes.dense) for classes in module.classes),
        conv_weights=conv_weights,
        collect_weight=collect_weight,
        collect_bias=module.collect.bias,
        squeeze_weight=_matrix(module.squeeze.weight),
        squeeze_bias=module.squeeze.bias,
        excite_weight=_matrix(module.excite.weight),
        excite_bias=module.excite.bias,
    )


def fold_channel_masks(
    convs: tuple[Array, ...], classes: tuple[ChannelClasses, ...], collect: Array
) -> tuple[Array, Array]:
    """Channel masks become an order of channels.

    With P_i the permutation that sorts layer i's outputs to [dense | sparse | dead] and D_i the diagonal
    that is 0 on dead channels (P_0 = I, D_0 = I on the module's input):

        W_i' = P_i D_i W_i D_(i-1) P_(i-1)^T        collect' = collect blockdiag(D_i P_i^T)

    ReLU and the masks act per channel, so they commute with P. Returns conv_weights (L, 9, Cin, Cout),
    tap-major, and collect_weight (L*C, C), in -> out, as the contract packs them.
    """
    channels = convs[0].shape[0]
    before = ChannelClasses(tuple(range(channels)), (), ())
    packed, collected = [], []
    for index, (weight, after) in enumerate(zip(convs, classes, strict=True)):
        ordered = weight[np.ix_(after.order, before.order)].copy()
        ordered[channels - len(after.dead) :] = 0.0
        ordered[:, channels - len(before.dead) :] = 0.0
        packed.append(ordered.transpose(2, 3, 1, 0).reshape(9, channels, channels))
        block = collect[:, index * channels : (index + 1) * channels, 0, 0][:, after.order].T.copy()
        block[channels - len(after.dead) :] = 0.0
        collected.append(block)
        before = after
    return np.ascontiguousarray(np.stack(packed)), np.ascontiguousarray(np.concatenate(collected))


def fold_logits(branch: FrozenBranch) -> FoldedBranch:
    """Two logits become one margin, the stride-2 transposed convolution four 2x2 phases.

        margin = logits[1] - logits[0] = convT(h; k1 - k0) + (b1 - b0)

    One dimension, kernel k, stride 2, pad 1, output padding 1, zeros beyond the end:

        out[2m]     = h[m] k[1]
        out[2m + 1] = h[m] k[2] + h[m + 1] k[0]

    In two dimensions phase (a, b) is a 2x2 convolution with pads [0, 0, 1, 1]; DepthToSpace interleaves.
    """
    kernel = branch.transposed.weight[:, 1] - branch.transposed.weight[:, 0]
    bias = branch.transposed.bias[1] - branch.transposed.bias[0]
    phases = np.zeros((4, kernel.shape[0], 2, 2), kernel.dtype)
    taps = {0: {0: 1}, 1: {0: 2, 1: 0}}
    for y, y_taps in taps.items():
        for x, x_taps in taps.items():
            for dy, ky in y_taps.items():
                for dx, kx in x_taps.items():
                    phases[2 * y + x, :, dy, dx] = kernel[:, ky, kx]
    return FoldedBranch(branch.full, branch.half, Convolution(phases, np.full(4, bias, kernel.dtype)))


def fold_collect(collect: Convolution, modules: int) -> tuple[tuple[Array, ...], Array]:
    """A 1x1 over a concat is a sum of 1x1s: W cat(f1 .. fK) + b = sum_k Wk fk + b.

    Returns K matrices (C, C), in -> out, and the bias; the K*C-channel tensor never exists.
    """
    parts = np.split(_matrix(collect.weight), modules)
    return tuple(np.ascontiguousarray(part) for part in parts), collect.bias


def bicubic_kernel(scale: int) -> Array:
    """Bicubic upscaling by an integer as a 5x5 convolution 3 -> 3*s*s and PixelShuffle, float64.

    Output pixel s*m + p samples at m + t, t = (p + 0.5) / s - 0.5, a fixed fraction per phase; its four taps
    lie within m - 2 .. m + 2. torch repeats edge pixels: so does the caller, by two pixels on each side.
    """
    rows = np.zeros((scale, 5))
    for phase in range(scale):
        position = (phase + 0.5) / scale - 0.5
        start = int(np.floor(position)) - 1
        for tap in range(start, start + 4):
            rows[phase, tap + 2] = _cubic(abs(position - tap))
    kernel = np.zeros((3, scale, scale, 3, 5, 5))
    for colour in range(3):
        kernel[colour, :, :, colour] = rows[:, None, :, None] * rows[None, :, None, :]
    return kernel.reshape(3 * scale * scale, 3, 5, 5)


def _cubic(distance: float) -> float:
    """Keys' cubic convolution kernel with a = BICUBIC_A at a distance in 0..2."""
    a = BICUBIC_A
    if distance <= 1.0:
        return ((a + 2.0) * distance - (a + 3.0)) * distance**2 + 1.0
    return ((a * distance - 5.0 * a) * distance + 8.0 * a) * distance - 4.0 * a


def _matrix(weight: Array) -> Array:
    """A 1x1 convolution's weight (O, I, 1, 1) as a matrix (I, O)."""
    return np.ascontiguousarray(weight[:, :, 0, 0].T)
