"""One picture on one path against PyTorch: mask flips, what they can reach, differences of the output."""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from smsr import metrics
from smsr.network import InferenceResult, Network
from smsr_export.parity.pictures import Picture
from smsr_export.parity.rows import ParityRow
from smsr_runtime.arrays import to_pixels, to_planes

_BRANCH_REACH = 7
"""Pixels a mask branch sees to each side: 1 + 2 for two 3x3 (one at half resolution), 4 for pool and phases."""


class FloatUpscaler(Protocol):
    """`smsr_runtime.Upscaler`, or what stands in for it."""

    def upscale_float(
        self, image: NDArray[np.float32], *, margins: bool
    ) -> tuple[NDArray[np.float32], list[NDArray[np.float32]]]: ...


def infer(network: Network, picture: Picture) -> InferenceResult:
    """What PyTorch makes of the picture, float32."""
    with torch.inference_mode():
        return network.infer(torch.from_numpy(to_planes(picture.low)))


def compare(
    network: Network, picture: Picture, reference: InferenceResult, upscaler: FloatUpscaler, path: str
) -> ParityRow:
    """The upscaler's result against `reference`; path: its name in tables."""
    upscaled, margins = upscaler.upscale_float(to_planes(picture.low), margins=True)
    expected = reference.upscaled.numpy()
    flips = [(ours > 0) != (theirs.numpy() > 0) for ours, theirs in zip(margins, reference.margins, strict=True)]
    difference = np.abs(upscaled.astype(np.float64) - expected)
    height, width = picture.low.shape[:2]
    shares = [float((margin > 0).mean()) for margin in margins]
    return ParityRow(
        picture=picture.name,
        path=path,
        width=width,
        height=height,
        mask_pixels=sum(flip.size for flip in flips),
        flips=sum(int(flip.sum()) for flip in flips),
        max_abs=_largest_out_of_reach(difference, flips, network),
        rmse=float(np.sqrt(np.mean(difference**2))),
        active_share=float(np.mean(shares)),
        module_shares=shares,
        psnr_torch=_psnr(expected, picture, network),
        psnr=_psnr(upscaled, picture, network),
    )


def _psnr(upscaled: NDArray[np.floating], picture: Picture, network: Network) -> float | None:
    if picture.high is None:
        return None
    return metrics.psnr_y(metrics.quantise(to_pixels(upscaled)), picture.high, network.config.scale)


def _largest_out_of_reach(difference: NDArray[np.floating], flips: list[NDArray[np.bool_]], network: Network) -> float:
    """Largest difference where no flipped mask pixel is within reach; 0 where every pixel is."""
    scale, layers, modules = network.config.scale, network.config.layers, network.config.modules
    reached = np.zeros(difference.shape[-2:], np.uint8)
    for index, flip in enumerate(flips):
        reach = (modules - index) * layers + (modules - 1 - index) * _BRANCH_REACH + 2
        if flip.any():
            spot = np.kron(flip[0, 0].astype(np.uint8), np.ones((scale, scale), np.uint8))
            kernel = np.ones((2 * reach * scale + 1,) * 2, np.uint8)
            reached = np.maximum(reached, np.asarray(cv2.dilate(spot, kernel), np.uint8))
    untouched = difference[..., reached == 0]
    return float(untouched.max()) if untouched.size else 0.0
