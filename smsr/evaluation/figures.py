"""Figures that show what a network does: luminance beside bicubic and HR, channel sparsity, predicted masks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from smsr import images, metrics, resize
from smsr.evaluation.models import Margins, Model
from smsr.evaluation.torch_model import TorchModel
from smsr.images import Image, Source
from smsr_runtime import files
from smsr_runtime.arrays import to_pixels, to_planes
from smsr_runtime.errors import UsageError

SPARSE = 0.8
"""Channels with a larger share of zeros are shown as the sparse ones (the paper's motivation, figure 1)."""
_SHOWN_MAPS = 16


@dataclass(frozen=True)
class Layer:
    """The hidden layer whose channels are shown, both counted from 1."""

    module: int = 1
    layer: int = 2


def draw(model: Model, source: Source, folder: Path, layer: Layer) -> list[Path]:
    """Writes the figures of one picture; channel sparsity needs a PyTorch model.

    Raises DataError, OutputError, UsageError.
    """
    low, high = images.read_pair(source, model.config.scale)
    pixels, margins = model.upscale(low)
    figures = {
        "luminance": luminance(low, pixels, high, model.config.scale),
        "masks": predicted_masks(low, margins),
    }
    if isinstance(model, TorchModel):
        figures["channels"] = channel_sparsity(feature_maps(model, low, layer), layer)
    start = f"{source.name}_x{model.config.scale}"
    return [_save(figure, folder / f"{start}_{name}.png") for name, figure in figures.items()]


def luminance(low: Image, pixels: Image, high: Image, scale: int) -> Any:
    """Y of the original, of bicubic upscaling and of the network, side by side."""
    bicubic = metrics.quantise(to_pixels(resize.upscale(torch.from_numpy(to_planes(low)), scale).numpy()))
    shown = [
        ("HR", high, ""),
        ("bicubic", bicubic, _decibel(bicubic, high, scale)),
        ("SMSR", pixels, _decibel(pixels, high, scale)),
    ]
    figure, axes = _figure(3, 3, high.shape[0] / high.shape[1])
    for axis, (name, image, quality) in zip(axes, shown, strict=True):
        axis.imshow(metrics.luminance(image), cmap="gray", vmin=16, vmax=235)
        axis.set_title(f"{name}{quality}", fontsize=9)
    return figure


def feature_maps(model: TorchModel, low: Image, layer: Layer) -> NDArray[np.float32]:
    """(C, H, W) outputs, after ReLU, of one masked convolution with hard masks. Raises UsageError."""
    config = model.config
    for name, number, most in (("module", layer.module, config.modules), ("layer", layer.layer, config.layers)):
        if not 1 <= number <= most:
            raise UsageError(f"--figure-{name}", f"1..{most}", str(number), "name another")
    layer_outputs: list[torch.Tensor] = []
    collect = model.network.sparse_mask_modules[layer.module - 1].body.collect
    handle = collect.register_forward_pre_hook(lambda module, inputs: layer_outputs.append(inputs[0]))
    try:
        model.upscale(low)
    finally:
        handle.remove()
    start = (layer.layer - 1) * config.features
    return np.asarray(layer_outputs[0][0, start : start + config.features].numpy(), np.float32)


def channel_sparsity(maps: NDArray[np.float32], layer: Layer) -> Any:
    """The share of zeros of each channel as a graph, and the maps of the sparsest channels."""
    sparsity = (maps == 0).mean(axis=(1, 2))
    order = np.argsort(-sparsity, kind="stable")
    sparse = [int(channel) for channel in order if sparsity[channel] > SPARSE]
    figure, axes = _figure(_SHOWN_MAPS, 4, maps.shape[1] / maps.shape[2], graph=True)
    graph, tiles = axes[0], axes[1:]
    colours = ["tab:red" if share > SPARSE else "tab:blue" for share in sparsity]
    graph.bar(range(len(sparsity)), sparsity, color=colours)
    graph.axhline(SPARSE, color="black", linewidth=0.8, linestyle="--")
    graph.set(xlabel="channel", ylabel="share of zeros", ylim=(0, 1))
    graph.set_title(
        f"module {layer.module}, layer {layer.layer}: {len(sparse)} of {len(sparsity)} channels "
        f"are more than {SPARSE:.0%} zeros; below, the sparsest that are not empty",
        fontsize=9,
    )
    alive = [channel for channel in sparse if sparsity[channel] < 1.0] or [int(channel) for channel in order]
    for tile, channel in zip(tiles, alive, strict=False):
        tile.imshow(maps[channel], cmap="magma")
        tile.set_title(f"{channel}: {sparsity[channel]:.0%}", fontsize=7)
    for tile in tiles[len(alive) :]:
        tile.set_visible(False)
    return figure


def predicted_masks(low: Image, margins: Margins) -> Any:
    """Each module's active pixels, in red over the picture."""
    figure, axes = _figure(len(margins), min(5, len(margins)), low.shape[0] / low.shape[1])
    for index, (axis, margin) in enumerate(zip(axes, margins, strict=True), 1):
        active = margin > 0
        axis.imshow(metrics.luminance(low), cmap="gray", vmin=16, vmax=235)
        red = np.zeros((*active.shape, 4))
        red[active] = (1.0, 0.1, 0.1, 0.55)
        axis.imshow(red)
        axis.set_title(f"module {index}: {active.mean():.0%} active", fontsize=9)
    return figure


def _figure(tiles: int, columns: int, aspect: float, *, graph: bool = False) -> tuple[Any, list[Any]]:
    """A figure of equal tiles without ticks; aspect: height over width; graph: with a wide graph above them."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows, top = -(-tiles // columns), 2.4 if graph else 0.0
    width = 2.0 if graph else 3.2
    figure = Figure(figsize=(width * columns, rows * (width * aspect + 0.35) + top), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    heights = [top, *[width * aspect + 0.35] * rows] if graph else [1.0] * rows
    grid = figure.add_gridspec(len(heights), columns, height_ratios=heights)
    places = [(row + graph, column) for row in range(rows) for column in range(columns)][:tiles]
    axes = [figure.add_subplot(grid[row, column]) for row, column in places]
    for axis in axes:
        axis.set_axis_off()
    return figure, [figure.add_subplot(grid[0, :]), *axes] if graph else axes


def _decibel(pixels: Image, high: Image, scale: int) -> str:
    return f", {metrics.psnr_y(pixels, high, scale):.2f} dB"


def _save(figure: Any, file: Path) -> Path:
    files.make_folder(file.parent)
    with files.replacing(file) as part:
        figure.savefig(part)
    return file
