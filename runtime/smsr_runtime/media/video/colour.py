"""A video's colours and orientation: frames to upright RGB and back, with matrix, range, depth and chroma kept."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from smsr_runtime.errors import VideoError
from smsr_runtime.media.video.filters import Filters
from smsr_runtime.media.video.source import pyav, said

if TYPE_CHECKING:
    from numpy.typing import NDArray

_RGB_MATRIX, _BT709, _UNSPECIFIED, _BT601 = 0, 1, 2, 5
_SMPTE170M = 6
"""Values of FFmpeg's AVColorSpace; 170M and BT.601 have one matrix."""
_MATRIX_NAMES = {_BT709: "bt709", 4: "fcc", _BT601: "bt601", 7: "smpte240m", 9: "bt2020", 10: "bt2020"}
"""As the filter `scale` calls them; a matrix that it does not know goes through BT.709's there and back."""
_FULL_RANGE, _LIMITED_RANGE = 2, 1
_HIGH_DEFINITION = 576
"""Players show pictures with more rows than this and no stated matrix as BT.709, others as BT.601."""
_EXACT_BICUBIC = "bicubic+full_chroma_int+full_chroma_inp+accurate_rnd"
"""swscale's default takes the nearest chroma sample."""
_EXACT_BICUBIC_FLAGS = 4 | 0x2000 | 0x4000 | 0x40000
"""The same as swscale's own numbers."""
_CENTRED = ("mjpeg", "mpeg1video")
"""Codecs whose chroma samples lie between the pixels (JPEG); all others' lie on the left ones (H.264, E.2.1)."""
_STATES_SITING, _HEEDS_SITING = ("h264", "hevc", "mpeg2video", "mpeg4"), 17
"""Codecs whose decoders say with each frame where its chroma samples lie, and the PyAV whose reformatter heeds it."""
_UNMARKED = "color_primaries=unknown:color_trc=unknown"
"""The filter `scale` needs neither between one matrix there and back, and refuses frames whose values it does not know:
logarithmic curves, numbers of damaged frames, and 0, which ProRes calls unknown and FFmpeg reserved."""
_FATAL = ("yaf32be", "yaf32le")
"""Pixel formats on which FFmpeg 8's swscale does not fail but ends the process (an assertion of its own)."""
_BETWEEN = 128
"""For the filter `scale`: in the middle of two pixels, in 1/256 of their distance."""


@dataclass(frozen=True)
class Look:
    """How a video's pixels are stored.

    size: (height, width) as stored; matrix: as FFmpeg numbers them; bits: of a sample; chroma: "420", "422" or "444";
    alpha: whether there is transparency; turns: quarter turns counterclockwise that put a frame upright;
    codec: the name of its decoder.
    """

    size: tuple[int, int]
    matrix: int
    full_range: bool
    bits: int
    chroma: str
    alpha: bool
    turns: int
    codec: str

    @classmethod
    def of(cls, frame: Any, stream: Any) -> Look:
        kind = frame.format
        matrix = int(frame.colorspace)
        if matrix in (_UNSPECIFIED, _RGB_MATRIX):
            matrix = _BT709 if frame.height > _HIGH_DEFINITION else _BT601
        return cls(
            size=(frame.height, frame.width),
            matrix=_BT601 if matrix == _SMPTE170M else matrix,
            full_range=int(frame.color_range) == _FULL_RANGE or kind.name.startswith("yuvj"),
            bits=kind.components[0].bits,
            chroma=_chroma(kind),
            alpha=has_alpha(kind),
            turns=_quarter_turns(frame, stream),
            codec=stream.codec_context.name,
        )

    @property
    def upright_size(self) -> tuple[int, int]:
        height, width = self.size
        return (width, height) if self.turns % 2 else (height, width)

    @property
    def matrix_name(self) -> str:
        return _MATRIX_NAMES.get(self.matrix, "bt709")

    def rgb(self, *, alpha: bool) -> str:
        """The packed pixel format that holds its colours, with or without alpha."""
        return f"rgba{'64le' if self.bits > 8 else ''}" if alpha else "rgb48le" if self.bits > 8 else "rgb24"


class ToRgb:
    """Frames as arrays: (H, W, 3), or (H, W, 4) with alpha, upright, uint8, or uint16 for more than 8 bits."""

    def __init__(self, look: Look, source: object, *, alpha: bool) -> None:
        """source: what errors name."""
        av, self._source = pyav(), source
        self._look, self._rgb = look, look.rgb(alpha=alpha)
        heeds_siting = int(av.__version__.partition(".")[0]) >= _HEEDS_SITING
        self._stated = look.codec in _STATES_SITING and heeds_siting
        self._reformatter = av.video.reformatter.VideoReformatter()
        siting = _siting("in", look.chroma, centred=is_centred(look.codec))
        levels = f"in_range={'pc' if look.full_range else 'tv'}:out_range=pc"
        scale = f"in_color_matrix={look.matrix_name}:{levels}:flags={_EXACT_BICUBIC}:{siting}"
        self._filters = Filters(("setparams", _UNMARKED), ("scale", scale), ("format", self._rgb))

    def __call__(self, frame: Any) -> NDArray[Any]:
        """Raises VideoError for a frame that FFmpeg does not turn into RGB."""
        return np.ascontiguousarray(np.rot90(self._converted(frame).to_ndarray(), self._look.turns))

    def _converted(self, frame: Any) -> Any:
        kind = frame.format.name
        if kind in _FATAL:
            raise self._refusal(kind)
        try:
            return self._reformatted(frame) if self._stated else self._filters.push(frame)[0]
        except pyav().FFmpegError as error:
            raise self._refusal(f"{kind}: {said(error)}") from error

    def _refusal(self, got: str) -> VideoError:
        todo = "convert it with a program that reads it"
        return VideoError(self._source, "frames that FFmpeg turns into RGB", got, todo)

    def _reformatted(self, frame: Any) -> Any:
        return self._reformatter.reformat(
            frame,
            format=self._rgb,
            src_colorspace=self._look.matrix,
            dst_colorspace=self._look.matrix,
            interpolation=_EXACT_BICUBIC_FLAGS,
            src_color_range=colour_range(self._look.full_range),
            dst_color_range=_FULL_RANGE,
        )


class FromRgb:
    """Such arrays as frames for an encoder, with the look's matrix, in `pixel_format`."""

    def __init__(self, look: Look, pixel_format: str, *, alpha: bool, centred: bool) -> None:
        """centred: whether the codec's chroma samples lie between the pixels, and not on the left ones."""
        rgb = pyav().VideoFormat(pixel_format, 16, 16).is_rgb
        self.matrix = _RGB_MATRIX if rgb else look.matrix
        self.full_range = rgb or look.full_range or pixel_format.startswith("yuvj")
        levels = "pc" if self.full_range else "tv"
        scale = f"in_range=pc:out_color_matrix={look.matrix_name}:out_range={levels}:flags={_EXACT_BICUBIC}"
        siting = _siting("out", _chroma(pyav().VideoFormat(pixel_format, 16, 16)), centred=centred)
        self._rgb = look.rgb(alpha=alpha)
        self._filters = Filters(("scale", f"{scale}:{siting}"), ("format", pixel_format))

    def __call__(self, pixels: NDArray[Any], time: int, time_base: Fraction) -> Any:
        frame = pyav().VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format=self._rgb)
        frame.pts, frame.time_base = time, time_base
        (result,) = self._filters.push(frame)
        return result


def has_alpha(kind: Any) -> bool:
    """kind: a pixel format of PyAV."""
    return any(component.is_alpha for component in kind.components)


def is_centred(codec: str) -> bool:
    """Whether a codec's chroma samples lie between the pixels."""
    return codec in _CENTRED


def _siting(side: str, chroma: str, *, centred: bool) -> str:
    """Where chroma samples lie, as the filter `scale` takes it; side: "in" or "out".

    Fewer rows than luma: between two of them; fewer columns: between or on the left; else on the pixels themselves.
    """
    across, down = centred and chroma != "444", chroma == "420"
    return f"{side}_h_chr_pos={_BETWEEN * across}:{side}_v_chr_pos={_BETWEEN * down}"


def _chroma(kind: Any) -> str:
    colours = [component for component in kind.components if not component.is_alpha]
    if len(colours) < 3:
        return "420"
    first, second = colours[:2]
    if second.height < first.height:
        return "420"
    return "422" if second.width < first.width else "444"


def colour_range(full: bool) -> int:
    """As FFmpeg numbers it."""
    return _FULL_RANGE if full else _LIMITED_RANGE


def _quarter_turns(frame: Any, stream: Any) -> int:
    """Turns counterclockwise that put the frame upright."""
    degrees = getattr(frame, "rotation", None)
    if degrees is None:  # PyAV before 14 has it on the stream
        degrees = getattr(stream, "side_data", {}).get("DISPLAYMATRIX", 0)
    turns: int = round(degrees / 90) % 4
    return turns
