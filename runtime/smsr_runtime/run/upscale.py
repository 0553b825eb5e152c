"""Pictures and frames through the network."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Callable

import numpy as np

from smsr_runtime.backend import TENSORRT
from smsr_runtime.errors import InputError, MemoryLimitError
from smsr_runtime.media.picture import Picture
from smsr_runtime.media.transparency import spread, within_neighbours
from smsr_runtime.media.video.source import VIDEO_BYTES_PER_PIXEL
from smsr_runtime.resources import check_memory, limited
from smsr_runtime.session import Upscaler

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FLOAT_PIXEL_BYTES = 12
_PIXEL_BYTES = 8
"""Of a picture, at most: four channels of 16 bits."""


def check_size(upscaler: Upscaler, where: str, height: int, width: int) -> None:
    """Raises MemoryLimitError, InputError naming `where` for a size that this machine cannot compute, before decoding.

    On a GPU the engine's profile bounds the size, and this machine's memory only has to hold input and result.
    """
    if upscaler.compute_path.kernels == TENSORRT:
        check_memory(height, width, _FLOAT_PIXEL_BYTES * (1 + upscaler.scale**2), where)
    _check(upscaler, where, height, width, _PIXEL_BYTES * (1 + upscaler.scale**2))


def check_frame(upscaler: Upscaler, where: str, height: int, width: int, *, videos: int = 1) -> None:
    """The same for the frames of a video, whose decoder and encoder need memory too. videos: made of them."""
    per_pixel = VIDEO_BYTES_PER_PIXEL * upscaler.scale**2 * videos
    with limited(upscaler.memory):
        check_memory(height, width, per_pixel, where)
    _check(upscaler, where, height, width, per_pixel)


def _check(upscaler: Upscaler, where: str, height: int, width: int, per_pixel: int) -> None:
    try:
        upscaler.check_size(height, width, per_pixel * height * width)
    except (MemoryLimitError, InputError) as error:
        raise type(error)(where, error.expected, error.got, error.todo) from error


def upscale_picture(
    upscaler: Upscaler, picture: Picture, where: str, *, margins: bool = False
) -> tuple[Picture, list[NDArray[np.float32]]]:
    """The picture `scale` times larger, all else kept, and the margins (H, W) of the colour pass.

    Alpha goes through as gray in its own pass; under transparent pixels lies colour of visible ones.
    Raises MemoryLimitError naming `where`.
    """
    source = picture.color if picture.alpha is None else spread(picture.color, picture.alpha)
    try:
        color, per_module = upscaler.with_margins(source) if margins else (upscaler(source), [])
        alpha = None if picture.alpha is None else _upscaled_alpha(upscaler, picture.alpha)
    except MemoryLimitError as error:
        raise MemoryLimitError(where, error.expected, error.got, error.todo) from error
    return dataclasses.replace(picture, color=color, alpha=alpha), per_module


def _upscaled_alpha(upscaler: Upscaler, alpha: NDArray[Any]) -> NDArray[Any]:
    """(H, W) -> (sH, sW); one level everywhere needs no network."""
    if alpha.min() == alpha.max():
        return alpha.repeat(upscaler.scale, axis=0).repeat(upscaler.scale, axis=1)
    return within_neighbours(upscaler(alpha), alpha, upscaler.scale)


def upscale_frame(upscaler: Upscaler, frame: NDArray[Any]) -> tuple[NDArray[Any], list[float]]:
    """(H, W, 3), or (H, W, 4) with alpha -> the same `scale` times larger, and per module its share of active pixels.

    uint8 or uint16, shares of 0..1; transparency is treated as a picture's.
    """
    larger, margins = begin_frame(upscaler, frame)()
    return larger, upscaler.active_shares(margins)


def begin_frame(
    upscaler: Upscaler, frame: NDArray[Any]
) -> Callable[[], tuple[NDArray[Any], list[NDArray[np.float32]]]]:
    """Begins a frame as `Upscaler.begin` does; called, what it returns gives `upscale_frame`'s result, with each
    module's margin (H, W) in place of its share."""
    color, alpha = frame[..., :3], frame[..., 3] if frame.shape[2] == 4 else None
    begun = upscaler.begin(color if alpha is None else spread(color, alpha), margins=True)

    def result() -> tuple[NDArray[Any], list[NDArray[np.float32]]]:
        larger, margins = begun.result()
        if alpha is not None:
            larger = np.dstack([larger, _upscaled_alpha(upscaler, alpha)])
        return larger, margins

    return result


def cut_of(upscaler: Upscaler) -> dict[str, Any] | None:
    """How the last picture was cut into strips, as records have it; None: it was not."""
    return upscaler.strips.as_json() if upscaler.strips else None
