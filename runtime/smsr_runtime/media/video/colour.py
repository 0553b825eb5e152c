"""A video's colours and orientation: frames to upright RGB and back, with matrix, range, depth and chroma kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from smsr_runtime.media.video.options import VideoOptions
from smsr_runtime.media.video.source import pyav

if TYPE_CHECKING:
    from numpy.typing import NDArray

_RGB_MATRIX, _BT709, _UNSPECIFIED, _BT601 = 0, 1, 2, 5
_SMPTE170M = 6
"""Values of FFmpeg's AVColorSpace; 170M and BT.601 have one matrix, which swscale knows as 5."""
_FULL_RANGE, _LIMITED_RANGE = 2, 1
_HIGH_DEFINITION = 576
"""Players show pictures with more rows than this and no stated matrix as BT.709, others as BT.601."""
_EXACT_BICUBIC = 4 | 0x2000 | 0x4000 | 0x40000
"""swscale: bicubic, full chroma in and out, exact rounding; its default takes the nearest chroma sample."""


@dataclass(frozen=True)
class Look:
    """How a video's pixels are stored.

    size: (height, width) as stored; matrix: as FFmpeg numbers them; deep: more than 8 bits; full_chroma: 4:4:4;
    turns: quarter turns counterclockwise that put a frame upright.
    """

    size: tuple[int, int]
    matrix: int
    full_range: bool
    deep: bool
    full_chroma: bool
    turns: int

    @classmethod
    def of(cls, frame: Any, stream: Any) -> Look:
        kind = frame.format
        matrix = int(frame.colorspace)
        if matrix in (_UNSPECIFIED, _RGB_MATRIX):
            matrix = _BT709 if frame.height > _HIGH_DEFINITION else _BT601
        first, second = kind.components[0], kind.components[min(1, len(kind.components) - 1)]
        return cls(
            size=(frame.height, frame.width),
            matrix=_BT601 if matrix == _SMPTE170M else matrix,
            full_range=int(frame.color_range) == _FULL_RANGE or kind.name.startswith("yuvj"),
            deep=first.bits > 8,
            full_chroma=len(kind.components) >= 3 and second.width == first.width and second.height == first.height,
            turns=_quarter_turns(frame, stream),
        )

    @property
    def upright_size(self) -> tuple[int, int]:
        height, width = self.size
        return (width, height) if self.turns % 2 else (height, width)

    def to_rgb(self, frame: Any) -> NDArray[Any]:
        """(H, W, 3) uint8, or uint16 for more than 8 bits, upright."""
        return np.ascontiguousarray(np.rot90(self._reformatted(frame, self._rgb).to_ndarray(), self.turns))

    def from_rgb(self, pixels: NDArray[Any]) -> Any:
        """A frame for the encoder with the source's matrix, range, depth and chroma."""
        frame = pyav().VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format=self._rgb)
        return self._reformatted(frame, self._pixel_format(*pixels.shape[:2]))

    def set_up(self, encoder: Any, source: Any, options: VideoOptions) -> None:
        """Sets the encoder's pixel format, colours, times and quality; source: the stream that is read."""
        encoder.pix_fmt = self._pixel_format(encoder.height, encoder.width)
        context = encoder.codec_context
        context.time_base = source.time_base
        context.colorspace = self.matrix
        context.color_range = self._range
        context.color_primaries = source.codec_context.color_primaries
        context.color_trc = source.codec_context.color_trc
        aspect = source.sample_aspect_ratio
        if aspect and aspect > 0:
            context.sample_aspect_ratio = 1 / aspect if self.turns % 2 else aspect
        encoder.options = {"crf": str(options.crf), "preset": options.preset}

    @property
    def _range(self) -> int:
        return _FULL_RANGE if self.full_range else _LIMITED_RANGE

    @property
    def _rgb(self) -> str:
        return "rgb48le" if self.deep else "rgb24"

    def _pixel_format(self, height: int, width: int) -> str:
        """4:2:0 needs even sizes; odd ones keep every chroma sample."""
        chroma = "444" if self.full_chroma or height % 2 or width % 2 else "420"
        return f"yuv{chroma}p10le" if self.deep else f"yuv{chroma}p"

    def _reformatted(self, frame: Any, pixel_format: str) -> Any:
        reformatter = pyav().video.reformatter
        exact = issubclass(reformatter.Interpolation, int)  # PyAV before 14 takes names alone
        to_rgb = pixel_format.startswith("rgb")
        return reformatter.VideoReformatter().reformat(
            frame,
            format=pixel_format,
            src_colorspace=self.matrix,
            dst_colorspace=self.matrix,
            interpolation=_EXACT_BICUBIC if exact else "BICUBIC",
            src_color_range=self._range if to_rgb else _FULL_RANGE,
            dst_color_range=_FULL_RANGE if to_rgb else self._range,
        )


def _quarter_turns(frame: Any, stream: Any) -> int:
    """Turns counterclockwise that put the frame upright."""
    degrees = getattr(frame, "rotation", None)
    if degrees is None:  # PyAV before 14 has it on the stream
        degrees = getattr(stream, "side_data", {}).get("DISPLAYMATRIX", 0)
    turns: int = round(degrees / 90) % 4
    return turns
