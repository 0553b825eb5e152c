"""The SMSR network (CVPR 2021, section 3) in PyTorch: training and inference forward.

Tensors are N C H W; images are RGB in 0..255. State-dict keys are those of the published checkpoints,
except that the constants `sub_mean` and `add_mean` are the buffer `mean` here, which is not saved.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from smsr import contract, masks, resize
from smsr.masks import ChannelGates
from smsr.network_config import NetworkConfig as NetworkConfig  # noqa: PLC0414  (re-exported)


class InferenceResult(NamedTuple):
    """upscaled (N, 3, sH, sW) in about 0..255, not clamped; margins: K of (N, 1, H, W)."""

    upscaled: Tensor
    margins: list[Tensor]


class TrainingResult(NamedTuple):
    """upscaled (N, 3, sH, sW) in about 0..255; sparsity: mean of sparse * mask + dense, scalar in 0..1."""

    upscaled: Tensor
    sparsity: Tensor


@dataclass
class Relaxation:
    """How training relaxes the masks.

    tau: of the Gumbel softmax, a number or a scalar tensor; generator: of its noise (None: torch's own), unless
    the noise was drawn before: spatial_noise (K, N, 2, H, W), channel_noise (K, 1, C, L, 2);
    hard: no relaxation, the masks of inference, which get no gradient; hard_gates: `Network.hard_gates()`, if known.
    """

    tau: float | Tensor = 1.0
    generator: torch.Generator | None = field(default=None)
    spatial_noise: Tensor | None = None
    channel_noise: Tensor | None = None
    hard: bool = False
    hard_gates: list[list[HardGates]] | None = None

    def spatial_mask(self, logits: Tensor, module: int) -> Tensor:
        """(N, 1, H, W) in 0..1 from the logits (N, 2, H, W) of this module."""
        noise = masks.gumbel_noise(logits, self.generator) if self.spatial_noise is None else self.spatial_noise[module]
        return masks.soft_spatial_mask(logits, self.tau, noise)

    def channel_gates(self, logits: Tensor, module: int) -> ChannelGates:
        """Gates (L, C) in 0..1 from `ch_mask` logits (1, C, L, 2) of this module."""
        noise = masks.gumbel_noise(logits, self.generator) if self.channel_noise is None else self.channel_noise[module]
        return masks.soft_channel_gates(logits, self.tau, noise)


def conv(inputs: int, outputs: int, kernel: int = 3, *, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=bias)


class HardGates(NamedTuple):
    """A layer's channel gates in inference. dense: numbers of the dense channels; alive: (1, C, 1, 1) of 0.0 and 1.0,
    None where no channel is dead."""

    dense: Tensor
    alive: Tensor | None


class ChannelAttention(nn.Module):
    """Scales each channel by sigmoid(excite(ReLU(squeeze(mean over H x W))))."""

    def __init__(self, features: int) -> None:
        super().__init__()
        reduced = features // contract.CHANNEL_ATTENTION_REDUCTION
        self.conv_du = nn.Sequential(conv(features, reduced, 1), nn.ReLU(), conv(reduced, features, 1), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        scaled: Tensor = x * self.conv_du(x.mean(dim=(2, 3), keepdim=True))
        return scaled


class MaskBranch(nn.Sequential):
    """Predicts the logits (N, 2, H, W) of the spatial mask from features (N, C, H, W), any H, W >= 1.

    Works at half resolution. Odd sizes: the last row or column is repeated before the pool and the
    logits are cropped to H x W (the published code leaves them one pixel short).
    """

    def __init__(self, features: int) -> None:
        quarter = features // 4
        super().__init__(
            conv(features, quarter),
            nn.ReLU(),
            nn.AvgPool2d(2),
            conv(quarter, quarter),
            nn.ReLU(),
            nn.ConvTranspose2d(quarter, 2, 3, stride=2, padding=1, output_padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        hidden = self[1](self[0](x))
        if height % 2 or width % 2:  # an empty pad costs time and breaks torch.compile with channels-last tensors
            hidden = F.pad(hidden, (0, width % 2, 0, height % 2), mode="replicate")
        logits: Tensor = self[5](self[4](self[3](self[2](hidden))))
        return logits[..., :height, :width]


class SparseMaskConvolutions(nn.Module):
    """The L masked convolutions of a module and the 1x1 convolution over all their outputs (SMSR, section 3.2)."""

    def __init__(self, features: int, layers: int) -> None:
        super().__init__()
        self.ch_mask = nn.Parameter(torch.rand(1, features, layers, 2))
        self.body = nn.ModuleList(conv(features, features, bias=False) for _ in range(layers))
        self.collect = conv(features * layers, features, 1)

    @property
    def convolutions(self) -> list[nn.Conv2d]:
        return [cast(nn.Conv2d, layer) for layer in self.body]

    def soft(self, x: Tensor, mask: Tensor, gates: ChannelGates) -> Tensor:
        """Training forward: x (N, C, H, W), mask (N, 1, H, W) and gates (L, C), all relaxed, in 0..1.

        With d, s this layer's gates, d', s' those of the layer before (layer 0: 1, 0), z its input:
        ReLU(d (W(z d') + M W(z s')) + s M (W(z d') + W(z s'))). All gates are linear per channel, so they scale the
        weights, which are much smaller than the features, and what is left is ReLU(A(z) + M B(z)).
        """
        # in mixed precision the masks are float32, which would make every product float32
        mask = mask.to(x.dtype)
        first, *others = self.convolutions
        dense, sparse = (gate[0].view(1, -1, 1, 1).to(x.dtype) for gate in (gates.dense, gates.sparse))
        x = F.relu((dense + sparse * mask) * first(x))
        outputs = [x]
        if others:
            for weight in _gated_weights(torch.stack([layer.weight for layer in others]), gates).unbind():
                everywhere, masked = F.conv2d(x, weight, padding=1).chunk(2, dim=1)
                x = F.relu(torch.addcmul(everywhere, mask, masked))
                outputs.append(x)
        collected: Tensor = self.collect(torch.cat(outputs, dim=1))
        return collected

    def hard_gates(self) -> list[HardGates]:
        """The layers' gates of inference, from `ch_mask`. On a GPU this waits for it: masks that stay need it once."""
        gates = masks.hard_channel_gates(self.ch_mask.detach())
        return [
            HardGates(dense.nonzero()[:, 0], None if (dense + sparse).all() else (dense + sparse).view(1, -1, 1, 1))
            for dense, sparse in zip(gates.dense, gates.sparse, strict=True)
        ]

    def hard(self, x: Tensor, active: Tensor, gates: list[HardGates] | None = None) -> Tensor:
        """Inference forward: x (N, C, H, W), active (N, 1, H, W) bool; gates: `hard_gates()`, if known."""
        inside = active.to(x.dtype)
        outputs: list[Tensor] = []
        dense_inputs: Tensor | None = None
        for layer, gate in zip(self.convolutions, gates or self.hard_gates(), strict=True):
            result = layer(x) * inside
            if gate.alive is not None:
                result = result * gate.alive.to(x.dtype)
            if len(gate.dense) and (dense_inputs is None or len(dense_inputs)):
                weight, source = layer.weight[gate.dense], x
                if dense_inputs is not None:
                    weight, source = weight[:, dense_inputs], x[:, dense_inputs]
                outside = F.conv2d(source, weight, padding=1) * (1.0 - inside)
                result.index_add_(1, gate.dense, outside)
            x = F.relu(result)
            outputs.append(x)
            dense_inputs = gate.dense
        collected: Tensor = self.collect(torch.cat(outputs, dim=1))
        return collected


def _gated_weights(weights: Tensor, gates: ChannelGates) -> Tensor:
    """(L - 1, 2 C, C, 3, 3) from (L - 1, C, C, 3, 3): of all layers but the first, A above B."""
    dense, sparse = (gate[1:, :, None, None, None] for gate in (gates.dense, gates.sparse))
    from_dense, from_sparse = (weights * gate[:-1, None, :, None, None] for gate in (gates.dense, gates.sparse))
    return torch.cat([dense * from_dense, sparse * from_dense + (dense + sparse) * from_sparse], dim=1)


class SparseMaskModule(nn.Module):
    """SMM: spatial mask, sparse mask convolutions, channel attention, residual (SMSR, figure 3)."""

    def __init__(self, features: int, layers: int) -> None:
        super().__init__()
        self.spa_mask = MaskBranch(features)
        self.body = SparseMaskConvolutions(features, layers)
        self.ca = ChannelAttention(features)

    def infer(self, x: Tensor, theta: float) -> tuple[Tensor, Tensor]:
        """Next features (N, C, H, W) and margin (N, 1, H, W) with hard masks."""
        margin = masks.spatial_margin(self.spa_mask(x))
        return self.ca(self.body.hard(x, margin - theta > 0)) + x, margin

    def relax(self, x: Tensor, relaxation: Relaxation, index: int) -> tuple[Tensor, Tensor]:
        """Next features (N, C, H, W) and sparsity (scalar) of this module, the index-th, with relaxed masks."""
        if relaxation.hard:
            return self._harden(x, relaxation, index)
        mask = relaxation.spatial_mask(self.spa_mask(x), index)
        gates = relaxation.channel_gates(self.body.ch_mask, index)
        return self.ca(self.body.soft(x, mask, gates)) + x, sparsity(mask, gates)

    def _harden(self, x: Tensor, relaxation: Relaxation, index: int) -> tuple[Tensor, Tensor]:
        """As `relax`, with the masks of inference, which get no gradient."""
        with torch.no_grad():
            active = masks.spatial_margin(self.spa_mask(x)) > 0
            share = sparsity(active.float(), masks.hard_channel_gates(self.body.ch_mask))
        gates = None if relaxation.hard_gates is None else relaxation.hard_gates[index]
        return self.ca(self.body.hard(x, active, gates)) + x, share


def sparsity(mask: Tensor, gates: ChannelGates) -> Tensor:
    """Mean over layers, channels and pixels of sparse * mask + dense (SMSR, equation 8): scalar in 0..1."""
    return (gates.sparse * mask.mean() + gates.dense).mean()


class Network(nn.Module):
    """SMSR. `forward(image)` gives the upscaled image in eval mode and a `TrainingResult` in training mode."""

    mean: Tensor

    def __init__(self, config: NetworkConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or NetworkConfig()
        features, scale = config.features, config.scale
        self.relaxation = Relaxation()
        self.register_buffer("mean", torch.tensor(contract.RGB_MEAN).view(1, 3, 1, 1), persistent=False)
        self.head = nn.Sequential(conv(3, features), nn.ReLU(), conv(features, features))
        self.body = nn.ModuleList(SparseMaskModule(features, config.layers) for _ in range(config.modules))
        self.collect = nn.Sequential(conv(features * config.modules, features, 1), nn.ReLU(), conv(features, features))
        self.tail = nn.Sequential(conv(features, 3 * scale**2), nn.PixelShuffle(scale))

    @property
    def sparse_mask_modules(self) -> list[SparseMaskModule]:
        return [cast(SparseMaskModule, module) for module in self.body]

    def dense_channels(self) -> list[list[int]]:
        """Number of dense output channels, per module and layer, with hard masks."""
        with torch.no_grad():
            gates = [masks.hard_channel_gates(module.body.ch_mask) for module in self.sparse_mask_modules]
        return [[int(layer.sum()) for layer in gate.dense] for gate in gates]

    def hard_gates(self) -> list[list[HardGates]]:
        """The channel gates of inference, per module and layer."""
        return [module.body.hard_gates() for module in self.sparse_mask_modules]

    def forward(self, image: Tensor) -> Tensor | TrainingResult:
        return self.relax(image) if self.training else self.infer(image).upscaled

    def infer(self, image: Tensor, theta: float = 0.0) -> InferenceResult:
        """Hard masks. image: (N, 3, H, W) RGB in 0..255, any H, W >= 1; theta: threshold on the margin."""
        centred = image - self.mean
        features, margins = self.hard_features(centred, theta)
        return InferenceResult(self._finish(centred, features), margins)

    def hard_features(self, centred: Tensor, theta: float = 0.0) -> tuple[Tensor, list[Tensor]]:
        """With hard masks, the tail's input (N, C, H, W) and the margins; centred: the image minus `mean`."""
        features = start = self.head(centred)
        outputs, margins = [], []
        for module in self.sparse_mask_modules:
            features, margin = module.infer(features, theta)
            outputs.append(features)
            margins.append(margin)
        return self.collect(torch.cat(outputs, dim=1)) + start, margins

    def relax(self, image: Tensor, relaxation: Relaxation | None = None) -> TrainingResult:
        """Relaxed masks, as `relaxation` says (None: `self.relaxation`). image: (N, 3, H, W) RGB in 0..255."""
        relaxation = relaxation or self.relaxation
        centred = image - self.mean
        features = start = self.head(centred)
        outputs, sparsities = [], []
        for index, module in enumerate(self.sparse_mask_modules):
            features, sparsity_ = module.relax(features, relaxation, index)
            outputs.append(features)
            sparsities.append(sparsity_)
        merged = self.collect(torch.cat(outputs, dim=1)) + start
        return TrainingResult(self._finish(centred, merged), torch.stack(sparsities).mean())

    def _finish(self, centred: Tensor, features: Tensor) -> Tensor:
        residual: Tensor = self.tail(features)
        return residual + resize.upscale(centred, self.config.scale) + self.mean
