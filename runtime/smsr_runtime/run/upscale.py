"""Pictures and frames through the network."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from smsr_runtime.backend import TENSORRT
from smsr_runtime.errors import MemoryLimitError
from smsr_runtime.media.picture import Picture
from smsr_runtime.media.video.source import VIDEO_BYTES_PER_PIXEL
from smsr_runtime.resources import bytes_per_pixel, check_memory
from smsr_runtime.session import Upscaler

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def upscale_picture(
    upscaler: Upscaler, picture: Picture, where: str, *, margins: bool = False
) -> tuple[Picture, list[NDArray[np.float32]]]:
    """The picture `scale` times larger, all else kept, and the margins (H, W) of the colour pass.

    Alpha goes through as gray in its own pass; colour under transparent pixels is upscaled as it is.
    Raises MemoryLimitError naming `where`.
    """
    try:
        color, per_module = upscaler.with_margins(picture.color) if margins else (upscaler(picture.color), [])
        alpha = None if picture.alpha is None else upscaler(picture.alpha)
    except MemoryLimitError as error:
        raise MemoryLimitError(where, error.expected, error.got, error.todo) from error
    return dataclasses.replace(picture, color=color, alpha=alpha), per_module


def upscale_frame(upscaler: Upscaler, frame: NDArray[Any]) -> tuple[NDArray[Any], list[float]]:
    """(H, W, 3) uint8 or uint16 -> (sH, sW, 3) of the same type, and per module its share of active pixels, 0..1."""
    larger, margins = upscaler.with_margins(frame)
    return larger, upscaler.active_shares(margins)


def check_frame(upscaler: Upscaler, where: str, height: int, width: int) -> None:
    """Before any frame of a video is decoded. Raises MemoryLimitError, naming `where`, for frames that do not fit."""
    path = upscaler.compute_path
    network = 0 if path.kernels == TENSORRT else bytes_per_pixel(path, upscaler.bundle.features)
    try:
        check_memory(height, width, network + VIDEO_BYTES_PER_PIXEL * upscaler.scale**2)
    except MemoryLimitError as error:
        raise MemoryLimitError(where, error.expected, error.got, "scale it down first, or free memory") from error
