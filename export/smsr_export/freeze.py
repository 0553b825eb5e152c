"""freeze: the network without training's randomness.

    channel gate (dense, sparse) = round(softmax(ch_mask))  ->  index lists dense | sparse | dead
    spatial mask                 = margin > theta            (stays: it depends on the image)

Exact: inference rounds the same softmax (`smsr.masks.hard_channel_gates`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike
from torch import Tensor, nn

from smsr import masks
from smsr.network import Network, SparseMaskModule
from smsr_export.records import Array, ChannelClasses, Convolution, FrozenBranch, FrozenModule, FrozenNetwork


def freeze(network: Network, dtype: DTypeLike = np.float32) -> FrozenNetwork:
    """All weights of `network` as arrays of `dtype`, its channel masks as index lists."""

    def array(tensor: Tensor) -> Array:
        return tensor.detach().cpu().numpy().astype(dtype)

    def convolution(module: nn.Module) -> Convolution:
        assert isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and module.bias is not None
        return Convolution(array(module.weight), array(module.bias))

    def module(smm: SparseMaskModule) -> FrozenModule:
        branch, attention = smm.spa_mask, smm.ca.conv_du
        return FrozenModule(
            branch=FrozenBranch(convolution(branch[0]), convolution(branch[3]), convolution(branch[5])),
            convs=tuple(array(conv.weight) for conv in smm.body.convolutions),
            classes=channel_classes(smm.body.ch_mask),
            collect=convolution(smm.body.collect),
            squeeze=convolution(attention[0]),
            excite=convolution(attention[2]),
        )

    return FrozenNetwork(
        scale=network.config.scale,
        mean=array(network.mean).reshape(3),
        head=(convolution(network.head[0]), convolution(network.head[2])),
        modules=tuple(module(smm) for smm in network.sparse_mask_modules),
        collect=(convolution(network.collect[0]), convolution(network.collect[2])),
        tail=convolution(network.tail[0]),
    )


def channel_classes(ch_mask: Tensor) -> tuple[ChannelClasses, ...]:
    """Per layer the channels of each class from mask logits (1, C, L, 2); a tie is dead."""
    gates = masks.hard_channel_gates(ch_mask.detach())

    def where(row: Tensor) -> tuple[int, ...]:
        return tuple(int(index) for index in row.nonzero()[:, 0])

    return tuple(
        ChannelClasses(dense=where(dense == 1), sparse=where(sparse == 1), dead=where(dense + sparse == 0))
        for dense, sparse in zip(gates.dense, gates.sparse, strict=True)
    )
