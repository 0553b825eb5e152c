"""Draws docs/figures/ from our own sample picture and our own x2 weights: `python tools/figures.py [-o FOLDER]`.

    result.png       before, after, and in how many modules each pixel was active
    luminance.png    brightness, what the network adds to it beyond bicubic interpolation, and the modules at work
    dial.png         the same modules at three values of theta
    work.png         multiply-adds per pixel: of the dense network, and what this picture's masks leave of them
    masks.png        the spatial mask of each module, as `--show-masks` writes it
    lists.png        one mask as the CPU kernels see it: pixel lists and Winograd tiles
    channels.png     one layer's weights before and after the channel masks are folded

Needs smsr[export]; takes about ten seconds.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

import smsr_runtime
from smsr import resize
from smsr.checkpoint import load_network, locate
from smsr.complexity import NetworkMacs, network_macs
from smsr.masks import hard_channel_gates
from smsr.network import Network
from smsr_export import cli as export
from smsr_export.sample import sample_picture

ROOT = Path(__file__).resolve().parent.parent
SIZE = (120, 160)
"""Height and width of the low-resolution sample."""
ENLARGED = 4
"""Screen pixels per low-resolution pixel in result.png."""
AMPLIFIED = 8
"""How many times the differences in luminance.png are enlarged."""
THETAS = (0.0, 5.0, 10.0)
TILE, HEAVY = 4, 5
"""The CPU kernels' tile and from how many active pixels on it is computed by Winograd (docs/kernels.md)."""
ORANGE, DENSE, BESIDE, GREY, WHITE = (
    (240, 120, 30), (20, 80, 170), (150, 190, 235), (225, 225, 225), (255, 255, 255)
)  # fmt: skip
BARS = ((110, 110, 110), ORANGE, BESIDE)
Pixels = NDArray[np.uint8]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "docs" / "figures", metavar="FOLDER")
    folder: Path = parser.parse_args().output
    folder.mkdir(parents=True, exist_ok=True)
    low = np.asarray(resize.downscale(sample_picture(2 * SIZE[0], 2 * SIZE[1]), 2), np.uint8)
    with tempfile.TemporaryDirectory() as scratch:
        bundle = Path(scratch) / "x2.smsr"
        if code := export.main(["x2", "-o", str(bundle)]):
            return code
        upscale = smsr_runtime.load(bundle)
        upscaled, masks = _with_masks(upscale, low, 0.0)
        dial = [(theta, _with_masks(upscale, low, theta)[1]) for theta in THETAS]
        _write(Path(scratch) / "sample.png", low)
        command = [sys.executable, ROOT / "runtime" / "run.py", bundle, "sample.png", "-o", "out.png", "--show-masks"]
        subprocess.run([str(word) for word in command], cwd=scratch, check=True)
        (folder / "masks.png").write_bytes((Path(scratch) / "out.masks.png").read_bytes())
    network = load_network(locate("x2"))
    macs = network_macs(network.config, network.dense_channels())
    _write(folder / "result.png", result(low, upscaled, masks))
    _write(folder / "luminance.png", luminance(low, upscaled, masks))
    _write(folder / "dial.png", thetas(low, dial, macs))
    _write(folder / "work.png", work(macs, masks))
    _write(folder / "lists.png", lists(masks[1]))
    _write(folder / "channels.png", channels(network))
    return 0


def _with_masks(upscale: smsr_runtime.Upscaler, low: Pixels, theta: float) -> tuple[Pixels, NDArray[np.bool_]]:
    """The upscaled picture (2H, 2W, 3) and the modules' masks (K, H, W) at this theta."""
    upscale.theta = theta
    upscaled, margins = upscale.with_margins(low)
    return upscaled, np.stack([margin > theta for margin in margins])


def result(low: Pixels, upscaled: Pixels, masks: NDArray[np.bool_]) -> Pixels:
    """Three panels: low (H, W, 3) and upscaled (2H, 2W, 3) enlarged alike, and how many of masks (K, H, W) are on."""
    return _side_by_side(
        {
            "before": _enlarged(low, ENLARGED),
            "after, x2": _enlarged(upscaled, ENLARGED // 2),
            f"where the work went: {masks.mean():.0%} of pixels active on average": _heat(low, masks),
        }
    )


def luminance(low: Pixels, upscaled: Pixels, masks: NDArray[np.bool_]) -> Pixels:
    """Luminance of low (H, W, 3), what upscaled (2H, 2W, 3) has beyond bicubic interpolation, and masks (K, H, W)."""
    bicubic = cv2.resize(low, (upscaled.shape[1], upscaled.shape[0]), interpolation=cv2.INTER_CUBIC)
    bright, smooth = (cv2.cvtColor(np.asarray(p, np.uint8), cv2.COLOR_RGB2GRAY) for p in (upscaled, bicubic))
    added = np.minimum(AMPLIFIED * np.abs(bright.astype(np.float32) - smooth), 255).astype(np.uint8)
    return _side_by_side(
        {
            "luminance": _enlarged(_grey(cv2.cvtColor(low, cv2.COLOR_RGB2GRAY)), ENLARGED),
            f"added to bicubic, {AMPLIFIED} times": _enlarged(_grey(255 - added), ENLARGED // 2),
            "active modules, 0 to 5": _heat(low, masks),
        }
    )


def thetas(low: Pixels, dial: list[tuple[float, NDArray[np.bool_]]], macs: NetworkMacs) -> Pixels:
    """A heat panel of low (H, W, 3) for each theta and its masks (K, H, W)."""
    panels = {}
    for theta, masks in dial:
        share = macs.remaining([float(mask.mean()) for mask in masks]) / macs.dense
        panels[f"theta {theta:.0f}: {masks.mean():.0%} active, {share:.0%} of MACs"] = _heat(low, masks)
    return _side_by_side(panels)


def work(macs: NetworkMacs, masks: NDArray[np.bool_]) -> Pixels:
    """Bars: thousands of multiply-adds per pixel that every pixel takes, that active and that inactive pixels take."""
    shares = [float(mask.mean()) for mask in masks]
    rows = {
        "dense network": (macs.fixed, sum(module.active for module in macs.modules), 0.0),
        "this picture": (
            macs.fixed,
            sum(share * module.active for share, module in zip(shares, macs.modules, strict=True)),
            sum((1 - share) * module.inactive for share, module in zip(shares, macs.modules, strict=True)),
        ),
        "nothing active": (macs.fixed, 0.0, float(sum(module.inactive for module in macs.modules))),
    }
    picture = np.full((70 + 70 * len(rows), 1400, 3), 255, np.uint8)
    for at, (text, colour) in enumerate(zip(("every pixel", "active pixels", "inactive pixels"), BARS, strict=True)):
        cv2.rectangle(picture, (260 + 300 * at, 14), (290 + 300 * at, 40), colour, -1)
        _text(picture, text, (300 + 300 * at, 35))
    for at, (name, parts) in enumerate(rows.items()):
        top, left = 70 + 70 * at, 260.0
        _text(picture, name, (4, top + 32))
        for part, colour in zip(parts, BARS, strict=True):
            right = left + part / macs.dense * 1000
            cv2.rectangle(picture, (round(left), top), (round(right), top + 48), colour, -1)
            left = right
        _text(picture, f"{sum(parts) / 1000:.0f}k", (round(left) + 10, top + 32))
    return picture


def lists(mask: NDArray[np.bool_]) -> Pixels:
    """A part of mask (H, W), multiples of TILE: active pixels, inactive ones that their convolutions or a tile's read,
    the rest; tiles of the Winograd list framed."""
    height, width, cell = 32, 48, 20
    y, x = _third_active(mask, height, width)
    counts = mask.reshape(mask.shape[0] // TILE, TILE, mask.shape[1] // TILE, TILE).sum(axis=(1, 3))
    in_tiles = _enlarged(counts >= HEAVY, TILE)
    read = cv2.dilate((mask | (in_tiles > 0)).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    colours = np.full((*mask.shape, 3), WHITE, np.uint8)
    colours[read] = BESIDE
    colours[mask] = ORANGE
    picture = _enlarged(colours[y : y + height, x : x + width], cell)
    picture[::cell], picture[:, ::cell] = GREY, GREY
    for top in range(0, height, TILE):
        for left in range(0, width, TILE):
            if in_tiles[y + top, x + left]:
                corners = ((left * cell + 2, top * cell + 2), ((left + TILE) * cell - 2, (top + TILE) * cell - 2))
                cv2.rectangle(picture, *corners, (30, 30, 30), 2)
    return picture


def _third_active(mask: NDArray[np.bool_], height: int, width: int) -> tuple[int, int]:
    """Top left corner, on the tiles' grid, of the part whose active share is closest to a third."""
    corners = [(y, x) for y in range(0, mask.shape[0] - height + 1, TILE)
               for x in range(0, mask.shape[1] - width + 1, TILE)]  # fmt: skip
    return min(corners, key=lambda c: abs(float(mask[c[0] : c[0] + height, c[1] : c[1] + width].mean()) - 1 / 3))


def channels(network: Network) -> Pixels:
    """The weights of a layer with dense and sparse channels, [output, input], in the order of training and folded.

    Blue: dense to dense, needed at every pixel; orange: all others, needed at active pixels; darker: larger.
    """
    module, layer = _most_mixed(network.dense_channels())
    body = network.sparse_mask_modules[module].body
    weights = body.convolutions[layer].weight.detach().abs().amax(dim=(2, 3)).numpy()
    before, after = (
        gate.numpy() > 0 for gate in hard_channel_gates(body.ch_mask.detach()).dense[layer - 1 : layer + 1]
    )
    strength = np.minimum(weights / np.quantile(weights, 0.98), 1)[..., None] * 0.75 + 0.25
    colours = np.where((after[:, None] & before)[..., None], DENSE, ORANGE)
    cells = np.rint(255 - strength * (255 - colours)).astype(np.uint8)
    folded = cells[np.ix_(np.argsort(~after, kind="stable"), np.argsort(~before, kind="stable"))]
    titles = ("as trained", f"folded: {before.sum()} dense inputs, {after.sum()} dense outputs first")
    panels = [_titled(_enlarged(panel, 9), text) for panel, text in zip((cells, folded), titles, strict=True)]
    return np.hstack([panels[0], np.full((panels[0].shape[0], 24, 3), 255, np.uint8), panels[1]])


def _most_mixed(counts: list[list[int]]) -> tuple[int, int]:
    """Module and layer (from the second on) with the most dense inputs times dense outputs."""
    pairs = [(m, i) for m, layers in enumerate(counts) for i in range(1, len(layers))]
    return max(pairs, key=lambda pair: counts[pair[0]][pair[1] - 1] * counts[pair[0]][pair[1]])


def _enlarged(picture: NDArray[Any], factor: int) -> Pixels:
    return np.ascontiguousarray(picture.repeat(factor, axis=0).repeat(factor, axis=1))


def _grey(plane: NDArray[Any]) -> Pixels:
    return np.asarray(plane, np.uint8)[..., None].repeat(3, axis=2)


def _heat(low: Pixels, masks: NDArray[np.bool_]) -> Pixels:
    """low (H, W, 3) in grey, the more orange the more of masks (K, H, W) are on; enlarged."""
    grey = cv2.cvtColor(low, cv2.COLOR_RGB2GRAY)[..., None] * 0.5 + 110
    share = masks.mean(axis=0)[..., None]
    heat = np.rint((1 - 0.85 * share) * grey + 0.85 * share * np.array(ORANGE)).astype(np.uint8)
    return _enlarged(heat, ENLARGED)


def _side_by_side(panels: dict[str, Pixels]) -> Pixels:
    """Panels of one size under their titles."""
    titled = [_titled(panel, text) for text, panel in panels.items()]
    gap = np.full((titled[0].shape[0], 12, 3), 255, np.uint8)
    return np.hstack([part for panel in titled for part in (panel, gap)][:-1])


def _titled(panel: Pixels, text: str) -> Pixels:
    strip = np.full((36, panel.shape[1], 3), 255, np.uint8)
    _text(strip, text, (2, 25))
    return np.vstack([strip, panel])


def _text(picture: Pixels, text: str, place: tuple[int, int]) -> None:
    cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.75, (20, 20, 20), 2, cv2.LINE_AA)


def _write(file: Path, picture: Pixels) -> None:
    data = cv2.imencode(".png", picture[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9])[1]
    file.write_bytes(data.tobytes())


if __name__ == "__main__":
    sys.exit(main())
