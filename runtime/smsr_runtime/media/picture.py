"""A decoded picture; between it and arrays of 1 to 4 channels."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from smsr_runtime.errors import PictureError

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Picture:
    """Pixels upright (EXIF orientation applied) and what goes with them.

    color: (H, W, 3) RGB or (H, W) gray, uint8 or uint16. alpha: (H, W) of the same type, not premultiplied.
    icc: colour profile that describes `color`. dpi: (x, y). png_color: PNG's own colour chunks, for PNG results.
    exif: EXIF data as the source has it, a block of TIFF's structure. texts: PNG's text chunks, for PNG results.
    metadata_left_out: names of metadata that no result keeps. notes: what else was converted or left out.
    """

    color: NDArray[Any]
    alpha: NDArray[Any] | None = None
    icc: bytes | None = None
    dpi: tuple[float, float] | None = None
    png_color: tuple[tuple[bytes, bytes], ...] = ()
    exif: bytes | None = None
    texts: tuple[tuple[bytes, bytes], ...] = ()
    metadata_left_out: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)

    @property
    def height(self) -> int:
        return int(self.color.shape[0])

    @property
    def width(self) -> int:
        return int(self.color.shape[1])

    @property
    def deep(self) -> bool:
        """Whether there are 16 bits per channel."""
        return bool(self.color.dtype == np.uint16)

    @property
    def gray(self) -> bool:
        return self.color.ndim == 2


def oriented(array: NDArray[Any], orientation: int) -> NDArray[Any]:
    """(H, W[, c]) turned upright from EXIF orientation 1..8 (5..8 exchange height and width)."""
    if orientation >= 5:
        array = array.swapaxes(0, 1)
    flip_rows, flip_columns = {2: (0, 1), 3: (1, 1), 4: (1, 0), 6: (0, 1), 7: (1, 1), 8: (1, 0)}.get(
        orientation, (0, 0)
    )
    return np.ascontiguousarray(array[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1])


def from_channels(array: NDArray[Any], where: str, **facts: Any) -> Picture:
    """A Picture from (H, W), (H, W, 1..4) in the order gray | gray, alpha | RGB | RGBA."""
    if array.dtype not in (np.uint8, np.uint16):
        todo = "convert it to 8 or 16 bits per channel first"
        raise PictureError(where, "8 or 16 bits per channel", str(array.dtype), todo)
    channels = 1 if array.ndim == 2 else array.shape[2]
    planes = array.reshape(array.shape[0], array.shape[1], channels)
    colors = 1 if channels <= 2 else 3
    color = np.ascontiguousarray(planes[:, :, 0] if colors == 1 else planes[:, :, :3])
    alpha = np.ascontiguousarray(planes[:, :, colors]) if channels > colors else None
    return Picture(color, alpha, **facts)


def to_channels(picture: Picture) -> NDArray[Any]:
    """Inverse of `from_channels`: (H, W) or (H, W, 2 | 3 | 4)."""
    if picture.alpha is None:
        return picture.color
    return np.dstack([picture.color, picture.alpha])


def eight_bit(picture: Picture) -> Picture:
    """The picture with 8 bits per channel, rounded (16-bit values divided by 257)."""
    if not picture.deep:
        return picture
    color, alpha = _eight_bit(picture.color), None if picture.alpha is None else _eight_bit(picture.alpha)
    return dataclasses.replace(picture, color=color, alpha=alpha)


def _eight_bit(plane: NDArray[Any]) -> NDArray[np.uint8]:
    return ((plane.astype(np.uint32) + 128) // 257).astype(np.uint8)
