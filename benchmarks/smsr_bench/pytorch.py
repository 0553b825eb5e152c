"""Three PyTorch engines from folded weights: masked dense, and sparse by index and matmul in two forms.

`index_and_matmul` is how public sparse inference works: N C H W planes, im2col of the dense channels for
every pixel, columns gathered at the active pixels' indices for everything else, one matmul per block, scattered back.
`index_and_matmul_rows` is the fastest form of the same idea that we know: pixels as rows, so that a gather copies
whole pixels, and one matmul for all blocks of an active pixel. Both compute the network exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from smsr import contract, reference
from smsr_bench.runs import Run
from smsr_export.records import Convolution, FoldedModule, FoldedNetwork


@dataclass(frozen=True)
class TorchModule:
    """branch: (weight, bias) of the mask branch's convolutions; packed: the operator's inputs from conv_weights on."""

    branch: tuple[tuple[Tensor, Tensor], ...]
    packed: tuple[Tensor, ...]
    dense_channels: tuple[int, ...]


Body = Callable[[Tensor, Tensor, TorchModule], Tensor]
"""features (1, C, H, W), margin (1, 1, H, W), module -> features (1, C, H, W)"""


def engine(network: FoldedNetwork, body: Body, threads: int) -> Run:
    """image (N, 3, H, W) float32 0..255 -> upscaled (N, 3, sH, sW); `body` computes one module."""
    modules = [_module(module) for module in network.modules]
    head = [_pair(conv) for conv in network.head]
    collect, tail = _pair(network.collect), _pair(network.tail)
    parts = [torch.from_numpy(part.T[:, :, None, None].copy()) for part in network.collect_parts]
    bias, mean = torch.tensor(network.collect_bias), torch.tensor(network.mean).view(1, 3, 1, 1)
    bicubic = torch.tensor(network.bicubic)

    def run(image: NDArray[np.float32]) -> NDArray[np.float32]:
        torch.set_num_threads(threads)
        with torch.inference_mode():
            x = torch.from_numpy(image)
            features = start = _conv(F.relu(_conv(x - mean, *head[0])), *head[1])
            total = bias.view(1, -1, 1, 1)
            for module, part in zip(modules, parts, strict=True):
                features = body(features, _margin(features, module), module)
                total = total + F.conv2d(features, part)
            deep = _conv(F.relu(total), *collect) + start
            edges = F.conv2d(F.pad(x, (2, 2, 2, 2), mode="replicate"), bicubic)
            return F.pixel_shuffle(_conv(deep, *tail) + edges, network.scale).numpy()

    return run


def masked_dense(x: Tensor, margin: Tensor, module: TorchModule) -> Tensor:
    """All channels of all pixels, then masks: `smsr.reference`."""
    inputs = (x.permute(0, 2, 3, 1), margin, torch.zeros(()), *module.packed)
    return reference.sparse_mask_module_torch(inputs, module.dense_channels).permute(0, 3, 1, 2)


def index_and_matmul(x: Tensor, margin: Tensor, module: TorchModule) -> Tensor:
    """x (1, C, H, W). Dense channels are planes of the whole image, sparse ones columns of the active pixels."""
    weights, collect_weight, collect_bias, squeeze_w, squeeze_b, excite_w, excite_b = module.packed
    _, channels, height, width = x.shape
    rows, columns = (margin[0, 0] > 0).nonzero(as_tuple=True)
    at = (slice(None), rows, columns)
    collected = collect_bias.view(-1, 1, 1).repeat(1, height, width)
    dense, sparse = x[0], x.new_zeros(0, len(rows))
    for weight, block, count in zip(weights, torch.split(collect_weight, channels), module.dense_channels, strict=True):
        known = len(dense)
        kernel = weight.permute(2, 1, 0).contiguous()  # [out, in, tap]
        planes = _planes_from_planes(dense, kernel[:count, :known])
        picked = kernel[count:, :known].flatten(1) @ _columns(dense, rows, columns)
        if known < channels:
            plane = x.new_zeros(channels - known, height, width)
            plane[at] = sparse
            mixed = kernel[:, known:].flatten(1) @ _columns(plane, rows, columns)
            planes[at] += mixed[:count]
            picked += mixed[count:]
        dense, sparse = F.relu_(planes), F.relu_(picked)
        if count:
            collected += (block[:count].T @ dense.flatten(1)).view_as(collected)
        collected[at] += block[count:].T @ sparse
    squeezed = F.relu(collected.mean(dim=(1, 2)) @ squeeze_w + squeeze_b)
    return (collected * torch.sigmoid(squeezed @ excite_w + excite_b).view(-1, 1, 1))[None] + x


def _planes_from_planes(dense: Tensor, kernel: Tensor) -> Tensor:
    """dense (I, H, W), kernel (O, I, 9) -> (O, H, W): im2col of every pixel, one matmul."""
    if not kernel.numel():
        return dense.new_zeros(len(kernel), *dense.shape[1:])
    unfolded = F.unfold(dense[None], 3, padding=1)[0]
    return (kernel.flatten(1) @ unfolded).view(-1, *dense.shape[1:])


def _columns(planes: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """planes (I, H, W) -> (I*9, N): the 3x3 neighbourhoods of the N active pixels."""
    if not planes.numel():
        return planes.new_zeros(0, len(rows))
    offsets = torch.arange(3)
    y = (rows + offsets.view(3, 1, 1)).expand(3, 3, -1).flatten()
    x = (columns + offsets.view(1, 3, 1)).expand(3, 3, -1).flatten()
    return F.pad(planes, (1, 1, 1, 1))[:, y, x].view(9 * len(planes), len(rows))


def index_and_matmul_rows(x: Tensor, margin: Tensor, module: TorchModule) -> Tensor:
    """x (1, C, H, W). Work rows are pixels; `at` are flat indices of the active pixels."""
    weights, collect_weight, collect_bias, squeeze_w, squeeze_b, excite_w, excite_b = module.packed
    _, channels, height, width = x.shape
    active = (margin > 0).flatten()
    at, rest = active.nonzero()[:, 0], (~active).nonzero()[:, 0]
    neighbours = _neighbours(height, width)
    collected = collect_bias.repeat(height * width, 1)
    rows = x[0].permute(1, 2, 0).reshape(-1, channels)
    dense_inputs = channels
    for index, (weight, dense) in enumerate(zip(weights, module.dense_channels, strict=True)):
        padded = torch.cat([rows, rows.new_zeros(1, channels)])
        result = rows.new_zeros(height * width, channels)
        result[at] = padded[neighbours[at]].flatten(1) @ weight.reshape(-1, channels)
        if dense and dense_inputs:
            gathered = padded[:, :dense_inputs][neighbours[rest]].flatten(1)
            result[rest, :dense] = gathered @ weight[:, :dense_inputs, :dense].reshape(-1, dense)
        rows, dense_inputs = F.relu_(result), dense
        block = collect_weight[index * channels : (index + 1) * channels]
        collected[at] += rows[at] @ block
        if dense:
            collected[rest] += rows[rest, :dense] @ block[:dense]
    squeezed = F.relu(collected.mean(dim=0) @ squeeze_w + squeeze_b)
    scaled = collected * torch.sigmoid(squeezed @ excite_w + excite_b)
    return scaled.T.reshape(1, channels, height, width) + x


def _neighbours(height: int, width: int) -> Tensor:
    """(H*W, 9) flat indices of each pixel's 3x3 neighbourhood; H*W, a row of zeros, where outside."""
    padded = torch.full((height + 2, width + 2), height * width)
    padded[1:-1, 1:-1] = torch.arange(height * width).view(height, width)
    taps = [padded[ky : ky + height, kx : kx + width].flatten() for ky in range(3) for kx in range(3)]
    return torch.stack(taps, dim=1)


def _margin(features: Tensor, module: TorchModule) -> Tensor:
    full, half, phases = module.branch
    hidden = F.pad(F.relu(_conv(features, *full)), (0, 1, 0, 1), mode="replicate")
    hidden = F.relu(_conv(F.avg_pool2d(hidden, 2), *half))
    margin = F.pixel_shuffle(F.conv2d(F.pad(hidden, (0, 1, 0, 1)), *phases), 2)
    return margin[..., : features.shape[2], : features.shape[3]]


def _conv(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)


def _pair(conv: Convolution) -> tuple[Tensor, Tensor]:
    return torch.tensor(conv.weight), torch.tensor(conv.bias)


def _module(module: FoldedModule) -> TorchModule:
    branch = module.branch
    names = [tensor.name for tensor in contract.SPARSE_MASK_MODULE.inputs[3:]]
    return TorchModule(
        branch=(_pair(branch.full), _pair(branch.half), _pair(branch.phases)),
        packed=tuple(torch.tensor(getattr(module, name)) for name in names),
        dense_channels=module.dense_channels,
    )
