"""How the result's frames are encoded: decided at the first frame, then set up alike for every part of the result."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any, Sequence

from smsr_runtime.media.video.colour import FromRgb, Look, colour_range, is_centred
from smsr_runtime.media.video.encoders import encoder, holds_alpha, losses, pixel_format
from smsr_runtime.media.video.hdr import Hdr, keeps_hdr
from smsr_runtime.media.video.options import Task
from smsr_runtime.media.video.priority import usual_priority
from smsr_runtime.media.video.source import frame_rate
from smsr_runtime.media.video.target import encoding

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ONE_TIME = ("avi", "asf")
"""Containers that have one time per frame, that of decoding: the frames must be shown in the order they are stored."""
_GLOBAL_HEADER = 1 << 22
"""FFmpeg's AV_CODEC_FLAG_GLOBAL_HEADER."""


class Encoding:
    """`lost` names what the encoder does not keep; `time_base` is that of the frames' times."""

    def __init__(self, output: Any, stream: Any, source: Any, task: Task) -> None:
        """output, stream: the result's container and its video stream; source: the stream that is read."""
        self.codec: str = stream.codec_context.name
        self.lost: list[str] = []
        self.rate = frame_rate(source)
        self.time_base: Fraction = source.time_base
        self._source, self._task = source, task
        self._encoder = encoder(self.codec)
        self._in_order = output.format.name in _ONE_TIME
        self._header_apart = bool(int(stream.codec_context.flags) & _GLOBAL_HEADER)
        if self._encoder.whole_frames or output.format.name == "avi":
            self.time_base = 1 / self.rate
        self._from_rgb: FromRgb | None = None

    @property
    def decided(self) -> bool:
        return self._from_rgb is not None

    @property
    def holds_alpha(self) -> bool:
        return holds_alpha(self.codec)

    @property
    def no_alpha(self) -> str:
        """That transparency is lost, in words."""
        todo = "--video-codec libvpx-vp9 in .webm and .mkv and prores_ks in .mov keep it"
        return f"transparency, which {self.codec} does not hold ({todo})"

    def decide(self, look: Look, shape: Sequence[int], hdr: Hdr | None) -> None:
        """look: of the source; shape: (height, width, channels) of the upscaled frames."""
        self._look, self._hdr = look, hdr
        self._height, self._width, channels = shape
        self._alpha = channels == 4
        self._format = pixel_format(self.codec, look, self._height, self._width, alpha=self._alpha)
        self._from_rgb = FromRgb(look, self._format, alpha=self._alpha, centred=is_centred(self.codec))
        self._note_losses()

    def _note_losses(self) -> None:
        self.lost += losses(self.codec, self._look, self._format)
        if self._hdr and not keeps_hdr(self.codec):
            self.lost.append("HDR10 mastering display and light levels (libx264, libx265 and libsvtav1 keep them)")
        if self._task.options.crf is not None and not self._encoder.quality:
            self.lost.append(f"--crf, which {self.codec} does not have")

    def open(self, stream: Any) -> None:
        """Sets a stream's encoder up and opens it. Raises VideoError, UsageError."""
        assert self._from_rgb is not None
        context = stream.codec_context
        stream.height, stream.width, stream.pix_fmt = self._height, self._width, self._format
        stream.options = self._encoder.options(self.codec, self._task.options.crf, self._hdr, alpha=self._alpha)
        stream.options = {**stream.options, "flags": stream.options["flags"] + self._header_flag()}
        context.colorspace, context.color_range = self._from_rgb.matrix, colour_range(self._from_rgb.full_range)
        self._set_up(context)
        with encoding(self._task, self.codec), usual_priority():
            context.open(strict=False)

    def _header_flag(self) -> str:
        """A segment's encoder keeps its header where the result's does."""
        return f"{'+' if self._header_apart else '-'}global_header"

    def _set_up(self, context: Any) -> None:
        context.time_base = self.time_base
        context.thread_type = "AUTO"  # PyAV's own default makes x264 cut each frame into slices
        if self._in_order:
            context.max_b_frames = 0
        context.color_primaries = self._source.codec_context.color_primaries
        context.color_trc = self._source.codec_context.color_trc
        aspect = self._source.sample_aspect_ratio
        if aspect and aspect > 0:
            context.sample_aspect_ratio = 1 / aspect if self._look.turns % 2 else aspect

    def frame(self, pixels: NDArray[Any], time: int, duration: int) -> Any:
        """One frame for the encoder; its time and duration in `time_base`."""
        assert self._from_rgb is not None
        result = self._from_rgb(pixels, time, self.time_base)
        if hasattr(result, "duration"):
            result.duration = duration
        return result


class FrameTimes:
    """The frames' times in the encoder's time base; `moved` counts those that had to be changed."""

    def __init__(self, source: Any, time_base: Fraction) -> None:
        self.moved = 0
        self._source, self._time_base = source, time_base
        self._count = 0
        self._last: int | None = None

    def next(self, frame: Any) -> tuple[int, int]:
        """Of the source's next frame: its time, later than the one before as encoders want it, and its duration."""
        expected = self._count / frame_rate(self._source)
        seconds = expected if frame.pts is None else frame.pts * frame.time_base
        time = round(seconds / self._time_base)
        if self._last is not None and time <= self._last:
            time = self._last + 1
            self.moved += 1
        self._last = time
        self._count += 1
        length = getattr(frame, "duration", None) or 0
        return time, round(length * frame.time_base / self._time_base)
