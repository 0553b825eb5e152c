"""Bicubic resizing: low-resolution pictures as the literature makes them, and the network's own upscaling.

Down: antialiased, compatible with MATLAB's imresize. torch's antialiased bicubic has the same kernel (a = -0.5,
widened by the scale); it only treats the border otherwise, so the border is mirrored first as MATLAB does.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
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
    where 1 / scale is no binary fraction (x3) that alone is more than parity allows, 1e-3 of 255.
    """
    return F.interpolate(images.double(), scale_factor=scale, mode="bicubic", align_corners=False).to(images.dtype)


def _shrink_width(image: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    """(H, W, 3) -> (H, W // s, 3). MATLAB rounds to 8 bits after each direction, rows first; so do we."""
    pad = _SUPPORT * scale
    mirrored = np.pad(image, ((0, 0), (pad, pad), (0, 0)), mode="symmetric")
    tensor = torch.from_numpy(mirrored.transpose(2, 0, 1)[None].astype(np.float64))
    size = (image.shape[0], mirrored.shape[1] // scale)
    small = F.interpolate(tensor, size=size, mode="bicubic", antialias=True)[0, :, :, _SUPPORT:-_SUPPORT]
    # half away from zero, as MATLAB rounds; the small offset keeps a computed 0.5 from falling to 0.49999
    return small.clamp(0.0, 255.0).add(0.5 + 1e-9).floor().to(torch.uint8).permute(1, 2, 0).numpy()
