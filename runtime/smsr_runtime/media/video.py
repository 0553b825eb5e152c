"""Videos: frames through the network, sound and subtitles copied as they are. The only file to import PyAV.

Kept: every frame's own time (also at variable frame rates), colour matrix, range, primaries and transfer, more
than 8 bits, 4:4:4 chroma, sample aspect ratio, metadata. A rotation is applied to the pixels.
"""

from __future__ import annotations

import errno
import time
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

import numpy as np

from smsr_runtime.errors import MissingPackageError, VideoError, reason
from smsr_runtime.files import replacing
from smsr_runtime.session import Upscaler

if TYPE_CHECKING:
    from numpy.typing import NDArray

_RGB_MATRIX, _BT709, _UNSPECIFIED, _BT601 = 0, 1, 2, 5
_SMPTE170M = 6
"""Values of FFmpeg's AVColorSpace; 170M and BT.601 have one matrix, which swscale knows as 5."""
_FULL_RANGE, _LIMITED_RANGE = 2, 1
_HIGH_DEFINITION = 576
"""Pictures with more rows than this and no stated matrix are BT.709 to players, others BT.601."""
_MICROSECONDS = 1_000_000
"""A container's duration is in these."""
_SLACK_SECONDS, _SLACK_SHARE = 1.0, 0.02
"""How much earlier than stated a video may end without a note: streams seldom end together."""
_EXACT_BICUBIC = 4 | 0x2000 | 0x4000 | 0x40000
"""swscale: bicubic, full chroma in and out, exact rounding; its default takes the nearest chroma sample."""


@dataclass(frozen=True)
class VideoOptions:
    """codec: an encoder of FFmpeg. crf: constant quality, lower is better; preset: of x264 and x265."""

    codec: str = "libx264"
    crf: int = 16
    preset: str = "medium"


@dataclass
class VideoReport:
    """frames written; active: mean share of active pixels per module, 0..1; sizes as (height, width)."""

    frames: int = 0
    seconds: float = 0.0
    size_in: list[int] = field(default_factory=list)
    size_out: list[int] = field(default_factory=list)
    active: list[float] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Task:
    source: Path
    target: Path
    options: VideoOptions


def frame_count(source: Path) -> int | None:
    """How many frames the file says it has; None where it does not say. Raises VideoError, MissingPackageError."""
    with _opened(source) as container:
        stream = _video_stream(container, source)
        if stream.frames:
            return int(stream.frames)
        if container.duration and stream.guessed_rate:
            return int(container.duration / _MICROSECONDS * stream.guessed_rate)
        return None


def upscale_video(
    upscaler: Upscaler, source: Path, target: Path, options: VideoOptions, on_frame: Callable[[], None]
) -> VideoReport:
    """Writes `target` whole or not at all. Raises VideoError, OutputError, MemoryLimitError, BackendError."""
    av = _package(source)
    start, task = time.perf_counter(), _Task(source, target, options)
    with replacing(target) as part, _opened(source) as container:
        try:
            output = av.open(str(part), "w")
        except (av.FFmpegError, ValueError) as error:
            raise _refused(target, options, error) from error
        transfer = _Transfer(upscaler, task, container, output)
        try:
            for packet in container.demux(transfer.inputs):
                transfer.take(packet, on_frame)
            transfer.finish()
            output.close()
        except av.FFmpegError as error:
            _close_quietly(output, av)
            raise _failed(error, task) from error
        except BaseException:
            _close_quietly(output, av)
            raise
    report = transfer.report
    if report.active:
        report.active = [share / report.frames for share in report.active]
    report.seconds = time.perf_counter() - start
    return report


class _Transfer:
    """One video on its way: demuxed packets in, encoded and copied packets out."""

    def __init__(self, upscaler: Upscaler, task: _Task, container: Any, output: Any) -> None:
        self.upscaler, self.container, self.output = upscaler, container, output
        self.source, self.target, self.options = task.source, task.target, task.options
        self.report = VideoReport()
        self.video = _video_stream(container, task.source)
        _check_whole(container, task.source)
        self.end = 0.0
        self.video.thread_type = "AUTO"
        output.metadata.update(container.metadata)
        self.encoder = _encoder(output, self.video, task)  # the first stream; set up once a frame is seen
        self.started = False
        self.look: _Look | None = None
        self.waiting: list[Any] = []
        self.copies = self._copied_streams()
        self.inputs = [self.video, *(stream for stream in container.streams if stream.index in self.copies)]

    def _copied_streams(self) -> dict[int, Any]:
        copies = {}
        for stream in self.container.streams:
            if stream is self.video:
                continue
            codec = stream.codec_context.name if stream.codec_context else ""
            if stream.type == "audio" or (stream.type == "subtitle" and codec in self.output.supported_codecs):
                copies[stream.index] = _copied(self.output, stream, self.target)
            else:
                self.report.notes.append(f"{stream.type} stream {stream.index} is left out")
        return copies

    def take(self, packet: Any, on_frame: Callable[[], None]) -> None:
        if packet.pts is not None and packet.time_base:
            self.end = max(self.end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
        if packet.stream.index != self.video.index:
            self._copy(packet)
            return
        for frame in packet.decode():
            self._write(frame)
            on_frame()

    def _copy(self, packet: Any) -> None:
        if packet.dts is None:
            return  # PyAV's end-of-stream mark
        if not self.started:
            self.waiting.append(packet)  # the header is written with all streams known
            return
        packet.stream = self.copies[packet.stream.index]
        self.output.mux(packet)

    def _write(self, frame: Any) -> None:
        if self.look is None:
            self.look = _Look.of(frame, self.video)
        if (frame.height, frame.width) != self.look.size:
            found = f"{frame.width}x{frame.height} at frame {self.report.frames}"
            raise VideoError(self.source, "one picture size", found, "cut the video where its size changes")
        pixels, margins = self.upscaler.with_margins(self.look.to_rgb(frame))
        if not self.started:
            self._start(pixels)
        result = self.look.from_rgb(pixels)
        result.pts = frame.pts if frame.pts is not None else self._expected_time(frame)
        result.time_base = frame.time_base
        if hasattr(result, "duration"):
            result.duration = frame.duration
        self.output.mux(self.encoder.encode(result))
        shares = self.upscaler.active_shares(margins)
        self.report.active = [a + b for a, b in zip(self.report.active or [0.0] * len(shares), shares)]
        self.report.frames += 1

    def _expected_time(self, frame: Any) -> int:
        rate = self.video.guessed_rate or Fraction(25)
        expected: int = round(self.report.frames / rate / frame.time_base)
        return expected

    def _start(self, pixels: NDArray[Any]) -> None:
        """Sets the encoder up once the first frame's size and colours are known."""
        assert self.look is not None
        self.encoder.height, self.encoder.width = pixels.shape[:2]
        self.look.describe(self.encoder, self.video, self.options)
        self.started = True
        self.report.size_in = list(self.look.upright_size)
        self.report.size_out = list(pixels.shape[:2])
        for packet in self.waiting:
            self._copy(packet)
        self.waiting = []

    def finish(self) -> None:
        if not self.started:
            raise VideoError(self.source, "at least one frame", "none", "copy the file again")
        self.output.mux(self.encoder.encode(None))
        stated = (self.container.duration or 0) / _MICROSECONDS
        if self.end < stated - max(_SLACK_SECONDS, _SLACK_SHARE * stated):
            text = f"ends at {self.end:.1f} s of the {stated:.1f} s that it states: it may be cut short"
            self.report.notes.append(text)


@dataclass(frozen=True)
class _Look:
    """How pixels are to be read: matrix and range as FFmpeg numbers them, depth, chroma, quarter turns left."""

    size: Any
    matrix: int
    full_range: bool
    deep: bool
    full_chroma: bool
    turns: int

    @classmethod
    def of(cls, frame: Any, stream: Any) -> _Look:
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
    def upright_size(self) -> Any:
        return self.size[::-1] if self.turns % 2 else self.size

    def to_rgb(self, frame: Any) -> NDArray[Any]:
        """(H, W, 3) uint8, or uint16 for more than 8 bits, upright."""
        return np.ascontiguousarray(np.rot90(self._reformatted(frame, self._rgb).to_ndarray(), self.turns))

    def from_rgb(self, pixels: NDArray[Any]) -> Any:
        """A frame for the encoder with the source's matrix, range, depth and chroma."""
        from av import VideoFrame

        frame = VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format=self._rgb)
        return self._reformatted(frame, self.pixel_format(*pixels.shape[:2]))

    def pixel_format(self, height: int, width: int) -> str:
        """4:2:0 needs even sizes; odd ones keep every chroma sample."""
        chroma = "444" if self.full_chroma or height % 2 or width % 2 else "420"
        return f"yuv{chroma}p10le" if self.deep else f"yuv{chroma}p"

    @property
    def _rgb(self) -> str:
        return "rgb48le" if self.deep else "rgb24"

    def _reformatted(self, frame: Any, pixel_format: str) -> Any:
        from av.video.reformatter import Interpolation, VideoReformatter

        own = _FULL_RANGE if self.full_range else _LIMITED_RANGE
        to_rgb = pixel_format.startswith("rgb")
        return VideoReformatter().reformat(
            frame,
            format=pixel_format,
            src_colorspace=self.matrix,
            dst_colorspace=self.matrix,
            interpolation=_EXACT_BICUBIC if issubclass(Interpolation, int) else "BICUBIC",  # PyAV before 14
            src_color_range=own if to_rgb else _FULL_RANGE,
            dst_color_range=_FULL_RANGE if to_rgb else own,
        )

    def describe(self, stream: Any, source: Any, options: VideoOptions) -> None:
        """Sets the encoder up: pixel format, colours, times, quality."""
        stream.pix_fmt = self.pixel_format(stream.height, stream.width)
        context = stream.codec_context
        context.time_base = source.time_base
        context.colorspace = self.matrix
        context.color_range = _FULL_RANGE if self.full_range else _LIMITED_RANGE
        context.color_primaries = source.codec_context.color_primaries
        context.color_trc = source.codec_context.color_trc
        aspect = source.sample_aspect_ratio
        if aspect and aspect > 0:
            context.sample_aspect_ratio = 1 / aspect if self.turns % 2 else aspect
        stream.options = {"crf": str(options.crf), "preset": options.preset}


def _quarter_turns(frame: Any, stream: Any) -> int:
    """Turns counterclockwise that put the frame upright."""
    degrees = getattr(frame, "rotation", None)
    if degrees is None:  # PyAV before 14 has it on the stream
        degrees = getattr(stream, "side_data", {}).get("DISPLAYMATRIX", 0)
    turns: int = round(degrees / 90) % 4
    return turns


def _package(source: Path) -> Any:
    try:
        import av
    except ImportError as error:
        raise MissingPackageError(source, "PyAV, to read a video", "it is not installed", "pip install av") from error
    av.logging.set_level(av.logging.PANIC)  # what matters comes as an exception
    return av


def _opened(source: Path) -> Any:
    av = _package(source)
    try:
        return av.open(str(source))
    except (av.FFmpegError, OSError) as error:
        raise VideoError(source, "a readable video", reason(error), "copy or save the file again") from error


def _video_stream(container: Any, source: Path) -> Any:
    """The first stream of moving pictures; cover art does not count."""
    for stream in container.streams.video:
        if "attached_pic" not in str(getattr(stream, "disposition", "")):
            return stream
    raise VideoError(source, "a video stream", "none", "name a file with moving pictures")


def _check_whole(container: Any, source: Path) -> None:
    """Raises VideoError where the file's index points past its end; FFmpeg would stop there without a word."""
    size = source.stat().st_size
    for stream in container.streams:
        entries = getattr(stream, "index_entries", ())  # PyAV before 16 has none
        end = max((entry.pos + entry.size for entry in entries), default=0)
        if end > size:
            raise VideoError(source, f"at least {end} bytes, as its index says", f"{size}", "copy the file again")


def _encoder(output: Any, video: Any, task: _Task) -> Any:
    try:
        stream = output.add_stream(task.options.codec, rate=video.average_rate or video.guessed_rate or Fraction(25))
    except ValueError as error:  # PyAV: no such encoder
        raise _refused(task.target, task.options, error) from error
    stream.metadata.update(video.metadata)
    return stream


def _copied(output: Any, stream: Any, target: Path) -> Any:
    try:
        if hasattr(output, "add_stream_from_template"):
            copy = output.add_stream_from_template(stream)
        else:  # PyAV before 14
            copy = output.add_stream(template=stream)
    except ValueError as error:
        todo = "write a .mkv, which holds every kind of stream"
        raise VideoError(target, f"room for the {stream.type} stream", reason(error), todo) from error
    copy.metadata.update(stream.metadata)
    return copy


def _refused(target: Path, options: VideoOptions, error: Exception) -> VideoError:
    expected = f"a container and an encoder ({options.codec}) that work together"
    return VideoError(target, expected, reason(error), "choose another --video-codec or extension")


def _failed(error: Any, task: _Task) -> Exception:
    """A full disk is an OSError; other faults of FFmpeg are the input's, or the encoder's settings."""
    if error.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EIO):
        return OSError(error.errno, reason(error))
    if error.errno == errno.EINVAL:
        return _refused(task.target, task.options, error)
    return VideoError(task.source, "an undamaged video", reason(error), "copy the file again")


def _close_quietly(output: Any, av: Any) -> None:
    """After a failure the container only has to let go of its file, which is removed."""
    try:
        output.close()
    except (av.FFmpegError, OSError):
        return
