"""The result's video stream: its encoder set up at the first frame, then one frame after another with its own time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from smsr_runtime.media.video.colour import FromRgb, Look, colour_range, is_centred
from smsr_runtime.media.video.encoders import encoder, holds_alpha, losses, pixel_format
from smsr_runtime.media.video.hdr import Hdr, keeps_hdr
from smsr_runtime.media.video.options import Task
from smsr_runtime.media.video.source import frame_rate
from smsr_runtime.media.video.target import encoding, muxing, write_header

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ONE_TIME = ("avi", "asf")
"""Containers that have one time per frame, that of decoding: the frames must be shown in the order they are stored."""


class Writer:
    """Encodes and muxes; `lost` names what the encoder does not keep, `moved` counts times that had to be changed."""

    def __init__(self, output: Any, stream: Any, source: Any, task: Task) -> None:
        """stream: the result's, not set up yet; source: the stream that is read."""
        self.codec: str = stream.codec_context.name
        self.lost: list[str] = []
        self.moved = 0
        self._output, self._stream, self._source, self._task = output, stream, source, task
        self._encoder = encoder(self.codec)
        self._in_order = output.format.name in _ONE_TIME
        whole_frames = self._encoder.whole_frames or output.format.name == "avi"
        self._time_base = 1 / frame_rate(source) if whole_frames else source.time_base
        self._written = 0
        self._last: int | None = None
        self._from_rgb: FromRgb | None = None

    @property
    def started(self) -> bool:
        return self._from_rgb is not None

    @property
    def holds_alpha(self) -> bool:
        return holds_alpha(self.codec)

    @property
    def no_alpha(self) -> str:
        """That transparency is lost, in words."""
        todo = "--video-codec libvpx-vp9 in .webm and .mkv and prores_ks in .mov keep it"
        return f"transparency, which {self.codec} does not hold ({todo})"

    def start(self, look: Look, pixels: NDArray[Any], hdr: Hdr | None) -> None:
        """Opens the encoder for frames like `pixels` and writes the header. Raises VideoError, UsageError."""
        height, width, channels = pixels.shape
        alpha = channels == 4
        kind = pixel_format(self.codec, look, height, width, alpha=alpha)
        self._note_losses(look, kind, hdr)
        self._from_rgb = from_rgb = FromRgb(look, kind, alpha=alpha, centred=is_centred(self.codec))
        self._stream.height, self._stream.width, self._stream.pix_fmt = height, width, kind
        self._stream.options = self._encoder.options(self.codec, self._task.options.crf, hdr, alpha=alpha)
        context = self._stream.codec_context
        context.colorspace, context.color_range = from_rgb.matrix, colour_range(from_rgb.full_range)
        self._set_up(look, context)
        with encoding(self._task, self.codec):
            context.open(strict=False)
        write_header(self._output, self._task)

    def _note_losses(self, look: Look, kind: str, hdr: Hdr | None) -> None:
        self.lost += losses(self.codec, look, kind)
        if hdr and not keeps_hdr(self.codec):
            self.lost.append("HDR10 mastering display and light levels (libx264, libx265 and libsvtav1 keep them)")
        if self._task.options.crf is not None and not self._encoder.quality:
            self.lost.append(f"--crf, which {self.codec} does not have")

    def _set_up(self, look: Look, context: Any) -> None:
        context.time_base = self._time_base
        context.thread_type = "AUTO"  # PyAV's own default makes x264 cut each frame into slices
        if self._in_order:
            context.max_b_frames = 0
        context.color_primaries = self._source.codec_context.color_primaries
        context.color_trc = self._source.codec_context.color_trc
        aspect = self._source.sample_aspect_ratio
        if aspect and aspect > 0:
            context.sample_aspect_ratio = 1 / aspect if look.turns % 2 else aspect

    def write(self, pixels: NDArray[Any], frame: Any) -> None:
        """One frame; frame: the source's, for its time."""
        assert self._from_rgb is not None
        result = self._from_rgb(pixels, self._time(frame), self._time_base)
        if hasattr(result, "duration"):
            result.duration = round((frame.duration or 0) * frame.time_base / self._time_base)
        self._encode(result)
        self._written += 1

    def finish(self) -> None:
        """Writes what the encoder still holds."""
        self._encode(None)

    def _encode(self, frame: Any) -> None:
        with encoding(self._task, self.codec):
            packets = self._stream.encode(frame)
        with muxing(self._task, self.codec):
            self._output.mux(packets)

    def _time(self, frame: Any) -> int:
        """In the encoder's time base; later than the time before, as encoders want it."""
        expected = self._written / frame_rate(self._source)
        seconds = expected if frame.pts is None else frame.pts * frame.time_base
        time = round(seconds / self._time_base)
        if self._last is not None and time <= self._last:
            time = self._last + 1
            self.moved += 1
        self._last = time
        return time
