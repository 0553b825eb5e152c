"""From one video file to another: packets demuxed, frames decoded, upscaled and encoded, other streams copied."""

from __future__ import annotations

import time
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Sequence, Tuple

from smsr_runtime.errors import VideoError
from smsr_runtime.files import replacing
from smsr_runtime.media.video.colour import Look
from smsr_runtime.media.video.options import Task, VideoOptions, VideoReport
from smsr_runtime.media.video.source import MICROSECONDS, check_whole, open_source, video_stream
from smsr_runtime.media.video.target import add_copy, add_encoder, open_target

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Upscale = Callable[[NDArray[Any]], Tuple[NDArray[Any], Sequence[float]]]
    """(H, W, 3) uint8 or uint16 RGB -> (sH, sW, 3) of the same type, and per module its share of active pixels."""

_SLACK_SECONDS, _SLACK_SHARE = 1.0, 0.02
"""How much earlier than stated a video may end without a note: streams seldom end at the same time."""


def upscale_video(
    upscale: Upscale, source: Path, target: Path, options: VideoOptions, on_frame: Callable[[], None]
) -> VideoReport:
    """Writes `target` whole or not at all. Raises VideoError, OutputError, whatever `upscale` raises."""
    start, task = time.perf_counter(), Task(source, target, options)
    with replacing(target) as part, open_source(source) as container, open_target(part, task) as output:
        transfer = _Transfer(upscale, task, container, output)
        for packet in container.demux(transfer.inputs):
            transfer.take(packet, on_frame)
        transfer.finish()
    report = transfer.report
    report.active = [share / report.frames for share in report.active]
    report.seconds = time.perf_counter() - start
    return report


class _Transfer:
    """Takes packets of the source in file order and writes those of the result."""

    def __init__(self, upscale: Upscale, task: Task, container: Any, output: Any) -> None:
        self.upscale, self.task, self.container, self.output = upscale, task, container, output
        self.report = VideoReport()
        self.video = video_stream(container, task.source)
        check_whole(container, task.source)
        self.end = 0.0
        self.video.thread_type = "AUTO"
        output.metadata.update(container.metadata)
        self.encoder = add_encoder(output, self.video, task)  # the first stream; set up at the first frame
        self.look: Look | None = None
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
                copies[stream.index] = add_copy(self.output, stream, self.task.target)
            else:
                self.report.notes.append(f"{stream.type} stream {stream.index} is left out")
        return copies

    def take(self, packet: Any, on_frame: Callable[[], None]) -> None:
        """One packet of any stream; on_frame: called after each frame written."""
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
        if self.look is None:
            self.waiting.append(packet)  # the header, written ahead of any packet, needs the encoder set up
            return
        packet.stream = self.copies[packet.stream.index]
        self.output.mux(packet)

    def _write(self, frame: Any) -> None:
        look = self.look or Look.of(frame, self.video)
        if (frame.height, frame.width) != look.size:
            got = f"{frame.width}x{frame.height} at frame {self.report.frames}"
            raise VideoError(self.task.source, "one picture size", got, "cut the video where its size changes")
        pixels, shares = self.upscale(look.to_rgb(frame))
        if self.look is None:
            self._start(look, pixels)
        result = look.from_rgb(pixels)
        result.pts = frame.pts if frame.pts is not None else self._expected_time(frame)
        result.time_base = frame.time_base
        if hasattr(result, "duration"):
            result.duration = frame.duration
        self.output.mux(self.encoder.encode(result))
        self.report.active = [a + b for a, b in zip(self.report.active or [0.0] * len(shares), shares)]
        self.report.frames += 1

    def _expected_time(self, frame: Any) -> int:
        rate = self.video.guessed_rate or Fraction(25)
        expected: int = round(self.report.frames / rate / frame.time_base)
        return expected

    def _start(self, look: Look, pixels: NDArray[Any]) -> None:
        """Sets the encoder up, now that the size and colours of the first frame are known."""
        self.look = look
        self.encoder.height, self.encoder.width = pixels.shape[:2]
        look.set_up(self.encoder, self.video, self.task.options)
        self.report.size_in = list(look.upright_size)
        self.report.size_out = list(pixels.shape[:2])
        for packet in self.waiting:
            self._copy(packet)
        self.waiting = []

    def finish(self) -> None:
        """Writes what the encoder still holds. Raises VideoError where there was no frame."""
        if self.look is None:
            raise VideoError(self.task.source, "at least one frame", "none", "copy the file again")
        self.output.mux(self.encoder.encode(None))
        stated = (self.container.duration or 0) / MICROSECONDS
        if self.end < stated - max(_SLACK_SECONDS, _SLACK_SHARE * stated):
            text = f"ends at {self.end:.1f} s of the {stated:.1f} s that it states: it may be cut short"
            self.report.notes.append(text)
