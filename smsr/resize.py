"""Bicubic resizing: low-resolution pictures as the literature makes them, and the network's own upscaling.

Down: antialiased, compatible with MATLAB's imresize. torch's antialiased bicubic has the same kernel (a = -0.5,
widened by the scale); it only differs at the border, so the border is mirrored first as MATLAB does.
PyTorch is imported where it resizes: a bundle on low-resolution files is evaluated without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from smsr_runtime.arrays import to_pixels, to_planes

if TYPE_CHECKING:
    from torch import Tensor

_SUPPORT = 4
"""Output pixels on each side that the mirrored border must cover: the kernel reaches two."""


def crop_to_multiple(image: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    """(H, W, ...) cut at the bottom and right so that H and W are multiples of `scale`."""
    height, width = (side - side % scale for side in image.shape[:2])
    return image[:height, :width]


def downscale(image: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 -> (H // s, W // s, 3) uint8. Raises ValueError where a side is below `scale`."""
    image = crop_to_multiple(image, scale)
    if 0 in image.shape:
        raise ValueError(f"image: expected at least {scale} pixels a side, got {image.shape[:2]}")
    return _shrink_width(_shrink_width(image.swapaxes(0, 1), scale).swapaxes(0, 1), scale)


def upscale(images: Tensor, scale: int) -> Tensor:
    """(N, C, H, W) -> (N, C, sH, sW) of the same type: bicubic, a = -0.75, edge pixels repeated.

    In float64 throughout: in float32 torch's sampling positions lose digits with their distance from the corner, and
    where 1 / scale is no binary fraction (x3) that error alone exceeds the tolerance of parity, 1e-3 of 255.
    """
    import torch.nn.functional as F

    return F.interpolate(images.double(), scale_factor=scale, mode="bicubic", align_corners=False).to(images.dtype)


def _shrink_width(image: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    """(H, W, 3) -> (H, W // s, 3). MATLAB rounds to 8 bits after each direction, rows first; so do we."""
    import torch
    import torch.nn.functional as F

    pad = _SUPPORT * scale
    mirrored = np.pad(image, ((0, 0), (pad, pad), (0, 0)), mode="symmetric")
    tensor = torch.from_numpy(to_planes(mirrored)).double()
    size = (image.shape[0], mirrored.shape[1] // scale)
    small = F.interpolate(tensor, size=size, mode="bicubic", antialias=True)[0, :, :, _SUPPORT:-_SUPPORT]
    # half away from zero, as MATLAB rounds; the small offset lifts a half that was computed as 0.49999
    return to_pixels(small.clamp(0.0, 255.0).add(0.5 + 1e-9).floor().to(torch.uint8).numpy())
