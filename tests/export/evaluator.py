"""A small torch evaluator of a FoldedNetwork, in any floating-point type: the ONNX graph, step by step."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from smsr import contract, reference
from smsr_export.records import Array, Convolution, FoldedBranch, FoldedModule, FoldedNetwork


def conv(x: Tensor, weights: Convolution, padding: int = 1) -> Tensor:
    return F.conv2d(x, torch.from_numpy(weights.weight), torch.from_numpy(weights.bias), padding=padding)


def margin(branch: FoldedBranch, features: Tensor) -> Tensor:
    """features (N, C, H, W) -> margin (N, 1, H, W)."""
    height, width = features.shape[-2:]
    padded = F.pad(F.relu(conv(features, branch.full)), (0, 1, 0, 1), mode="replicate")
    hidden = F.relu(conv(F.avg_pool2d(padded, 2), branch.half))
    phases = conv(F.pad(hidden, (0, 1, 0, 1)), branch.phases, padding=0)
    return F.pixel_shuffle(phases, 2)[..., :height, :width]


def module(folded: FoldedModule, features: Tensor, mask_margin: Tensor, theta: float) -> Tensor:
    weights = [torch.from_numpy(getattr(folded, tensor.name)) for tensor in contract.SPARSE_MASK_MODULE.inputs[3:]]
    inputs = [features.permute(0, 2, 3, 1), mask_margin, torch.tensor(theta), *weights]
    return reference.sparse_mask_module_torch(inputs, folded.dense_channels).permute(0, 3, 1, 2)


def bicubic(image: Tensor, kernel: Array) -> Tensor:
    """image (N, 3, H, W) -> (N, 3*s*s, H, W), before the PixelShuffle."""
    return F.conv2d(F.pad(image, (2, 2, 2, 2), mode="replicate"), torch.from_numpy(kernel))


def evaluate(folded: FoldedNetwork, image: Tensor, theta: float = 0.0) -> tuple[Tensor, list[Tensor]]:
    """image (N, 3, H, W) -> upscaled (N, 3, sH, sW) and the margins."""
    centred = image - torch.from_numpy(folded.mean).view(1, 3, 1, 1)
    features = start = conv(F.relu(conv(centred, folded.head[0])), folded.head[1])
    collected = torch.from_numpy(folded.collect_bias).view(1, -1, 1, 1)
    margins = []
    for folded_module, part in zip(folded.modules, folded.collect_parts, strict=True):
        margins.append(margin(folded_module.branch, features))
        features = module(folded_module, features, margins[-1], theta)
        collected = collected + torch.einsum("nchw,cd->ndhw", features, torch.from_numpy(part))
    phases = conv(conv(F.relu(collected), folded.collect) + start, folded.tail) + bicubic(image, folded.bicubic)
    return F.pixel_shuffle(phases, folded.scale), margins
