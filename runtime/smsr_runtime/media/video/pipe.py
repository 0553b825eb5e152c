"""Frames on stdout, for FFmpeg, VapourSynth and players: YUV4MPEG2 (y4m), or packed RGB without any header (raw)."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any, Callable

from smsr_runtime.files import write_stdout
from smsr_runtime.media.video.colour import FromRgb, Look
from smsr_runtime.media.video.source import pyav

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Write = Callable[[bytes], None]

KINDS = ("y4m", "raw")
_LEVELS = {False: 1, True: 2}


class FramePipe:
    """kind: "y4m" or "raw". y4m keeps matrix, range, depth (up to 10 bits) and chroma of the source."""

    def __init__(self, kind: str, rate: Fraction, write: Write = write_stdout) -> None:
        self._kind, self._rate, self._write = kind, rate, write
        self._muxer: _Y4m | None = None

    def write(self, pixels: NDArray[Any], look: Look) -> str:
        """One frame, (H, W, 3). At the first one what a reader must know, else "". Raises OutputError."""
        first = self._muxer is None and self._kind == "y4m"
        if self._kind == "raw":
            self._write(pixels.tobytes())
            return _raw_facts(pixels, self._rate)
        if first:
            self._muxer = _Y4m(pixels, look, self._rate, self._write)
        assert self._muxer is not None
        self._muxer.write(pixels)
        return ""

    def finish(self) -> None:
        """Raises OutputError."""
        if self._muxer is not None:
            self._muxer.finish()


def _raw_facts(pixels: NDArray[Any], rate: Fraction) -> str:
    height, width = pixels.shape[:2]
    kind = "rgb24" if pixels.dtype.itemsize == 1 else "rgb48le"
    return f"raw frames: ffmpeg -f rawvideo -pixel_format {kind} -video_size {width}x{height} -framerate {rate} -i -"


class _Y4m:
    """FFmpeg's muxer, which takes whole frames in place of packets."""

    def __init__(self, pixels: NDArray[Any], look: Look, rate: Fraction, write: Write) -> None:
        height, width = pixels.shape[:2]
        kind = f"yuv{look.chroma}p{'10le' if look.bits > 8 else ''}"
        self._from_rgb = FromRgb(look, kind, alpha=False, centred=True)  # the header says so: C420jpeg
        self._time_base, self._count = 1 / rate, 0
        options = {"strict": "-1"}  # FFmpeg's own extension for more than 8 bits
        self._container = pyav().open(_File(write), "w", format="yuv4mpegpipe", container_options=options)
        self._stream = self._container.add_stream("wrapped_avframe", rate=rate)
        self._stream.width, self._stream.height, self._stream.pix_fmt = width, height, kind
        self._stream.codec_context.color_range = _LEVELS[self._from_rgb.full_range]

    def write(self, pixels: NDArray[Any]) -> None:
        frame = self._from_rgb(pixels, self._count, self._time_base)
        self._container.mux(self._stream.encode(frame))
        self._count += 1

    def finish(self) -> None:
        self._container.close()


class _File:
    """What FFmpeg writes to."""

    name = "stdout.y4m"

    def __init__(self, write: Write) -> None:
        self._write = write

    def write(self, data: Any) -> int:
        self._write(bytes(data))
        return len(data)
