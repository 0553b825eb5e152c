"""What the modules' convolutions lose in int8 (ADR 7): `python tools/simulate_int8.py BUNDLE DATA_SET TRAIN_PICTURES`.

Activations are unsigned with a zero point and one scale per layer, its range over the training pictures; weights
are signed with one scale per output channel; sums, bias, attention, mask branches and all other layers are float32.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from smsr import images, metrics
from smsr_bench import calibration, pytorch
from smsr_bench.pytorch import TorchModule
from smsr_export.records import FoldedNetwork
from smsr_export.weights import read_folded
from smsr_runtime.arrays import to_pixels, to_planes


@dataclass(frozen=True)
class Variant:
    """layers: indices of the 3x3 convolutions in int8; activations, weights: their largest integers."""

    name: str
    layers: tuple[int, ...] = ()
    collect: bool = False
    activations: int = 255
    weights: int = 127


FLOAT = Variant("float32")
ALL = (0, 1, 2, 3)
VARIANTS = (
    Variant("3x3 and collect, u8 x s8", ALL, collect=True),
    Variant("3x3 and collect, u8 x s7", ALL, collect=True, weights=63),
    Variant("3x3 and collect, u7 x s7", ALL, collect=True, activations=127, weights=63),
    Variant("3x3 alone, u8 x s8", ALL),
    Variant("3x3 but the first, u8 x s8", ALL[1:]),
    Variant("the first 3x3 alone, u8 x s8", ALL[:1]),
)


@dataclass
class Simulation:
    """The network with some layers rounded. ranges: (least, largest) input of each layer, by (module, layer)."""

    network: FoldedNetwork
    variant: Variant = FLOAT
    recording: bool = False
    ranges: dict[tuple[int, str], tuple[float, float]] = field(default_factory=dict)
    index: int = 0

    def run(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """image (1, 3, H, W) -> upscaled (1, 3, sH, sW), float32 0..255."""
        self.index = 0
        return pytorch.engine(self.network, self.module, torch.get_num_threads())(image)

    def module(self, x: Tensor, margin: Tensor, module: TorchModule) -> Tensor:
        """`smsr_bench.pytorch.Body`: modules come one after the other."""
        self.index += 1
        weights, collect, bias, squeeze, squeeze_bias, excite, excite_bias = module.packed
        channels, known = x.shape[1], x.shape[1]
        hidden, outputs, kernels = x, [], []
        for layer, (packed, dense) in enumerate(zip(weights, module.dense_channels, strict=True)):
            kernel = packed.reshape(3, 3, channels, channels).permute(3, 2, 0, 1)
            if layer in self.variant.layers:
                kernel = self._weights(kernel)
            hidden = self._activations(hidden, f"3x3 {layer}", layer in self.variant.layers)
            hidden, known = _masked(hidden, margin > 0, kernel, (known, dense)), dense
            outputs.append(hidden)
        for layer, block in enumerate(torch.split(collect, channels)):
            outputs[layer] = self._activations(outputs[layer], f"collect {layer}", self.variant.collect)
            kernels.append(
                self._weights(block.T[..., None, None]) if self.variant.collect else block.T[..., None, None]
            )
        total = F.conv2d(torch.cat(outputs, 1), torch.cat(kernels, 1), bias)
        squeezed = F.relu(total.mean((2, 3)) @ squeeze + squeeze_bias)
        return total * torch.sigmoid(squeezed @ excite + excite_bias).view(1, -1, 1, 1) + x

    def _activations(self, x: Tensor, layer: str, rounded: bool) -> Tensor:
        key = (self.index, layer)
        if self.recording:
            least, largest = self.ranges.get(key, (0.0, 0.0))
            self.ranges[key] = min(least, float(x.min())), max(largest, float(x.max()))
        if not rounded:
            return x
        least, largest = self.ranges[key]
        step = max(largest - least, 1e-9) / self.variant.activations
        zero = round(-least / step)
        return (torch.clamp(torch.round(x / step) + zero, 0, self.variant.activations) - zero) * step

    def _weights(self, weight: Tensor) -> Tensor:
        """weight (O, I, kh, kw): rounded with one scale per output channel."""
        step = weight.abs().amax((1, 2, 3), keepdim=True).clamp(min=1e-12) / self.variant.weights
        return torch.round(weight / step) * step


def _masked(x: Tensor, active: Tensor, kernel: Tensor, dense: tuple[int, int]) -> Tensor:
    """One layer: dense channels everywhere, at inactive pixels from dense inputs alone; sparse ones where active."""
    inputs, outputs = dense
    everything = F.relu(F.conv2d(x, kernel, padding=1))
    elsewhere = torch.zeros_like(everything)
    if inputs and outputs:
        elsewhere[:, :outputs] = F.relu(F.conv2d(x[:, :inputs], kernel[:outputs, :inputs], padding=1))
    return torch.where(active, everything, elsewhere)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints a row per variant: mean PSNR on Y, and RMSE of all outputs against float32."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("bundle", "data_set", "train"):
        parser.add_argument(name, type=Path)
    options = parser.parse_args(arguments)
    simulation = Simulation(read_folded(options.bundle / "model.onnx"), recording=True)
    scale = simulation.network.scale
    for image in calibration.read(options.train, scale).images:
        simulation.run(image)
    simulation.recording = False
    pairs = [images.read_pair(source, scale) for source in images.find(options.data_set, scale, "auto")]
    exact = [simulation.run(to_planes(low)) for low, _ in pairs]
    for variant in (FLOAT, *VARIANTS):
        simulation.variant = variant
        results = exact if variant is FLOAT else [simulation.run(to_planes(low)) for low, _ in pairs]
        decibels = [
            metrics.psnr_y(to_pixels(metrics.quantise(upscaled)), high, scale)
            for upscaled, (_, high) in zip(results, pairs, strict=True)
        ]
        errors = np.concatenate([(ours - theirs).ravel() for ours, theirs in zip(results, exact, strict=True)])
        row = [f"{np.mean(decibels):.4f} dB", f"RMSE {np.sqrt(np.mean(errors**2)):.3f}"]
        print(f"| {variant.name} | {' | '.join(row)} |", *(f"{value:.3f}" for value in decibels), flush=True)


if __name__ == "__main__":
    main()
