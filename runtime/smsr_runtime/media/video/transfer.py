"""From one video file to another: packets demuxed, frames decoded, upscaled and encoded, other streams copied."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Iterator, Sequence, Tuple

import numpy as np

from smsr_runtime.errors import VideoError
from smsr_runtime.files import replacing
from smsr_runtime.media.video.clock import Clock
from smsr_runtime.media.video.colour import Look, ToRgb
from smsr_runtime.media.video.hdr import Hdr
from smsr_runtime.media.video.kept import describe, keep_attachment, keep_chapters, keep_tags
from smsr_runtime.media.video.options import Task, VideoOptions, VideoReport
from smsr_runtime.media.video.reading import Reader
from smsr_runtime.media.video.source import (
    MICROSECONDS,
    check_whole,
    frame_rate,
    most_pixels,
    open_source,
    start_of,
    stated_end,
    video_stream,
)
from smsr_runtime.media.video.target import add_copy, add_encoder, copy_packet, open_target
from smsr_runtime.media.video.writing import Writer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Upscale = Callable[[NDArray[Any]], Tuple[NDArray[Any], Sequence[float]]]
    """(H, W, 3) uint8 or uint16 RGB, or (H, W, 4) with alpha -> the same `scale` times larger, and per module its share
    of active pixels."""
    CheckSize = Callable[[int, int], None]
    """Takes a frame's height and width before any is decoded; raises MemoryLimitError for one that is too large."""


def upscale_video(
    upscale: Upscale,
    source: Path,
    target: Path,
    options: VideoOptions,
    on_frame: Callable[[], None],
    check_size: CheckSize = lambda height, width: None,
) -> VideoReport:
    """Writes `target` whole or not at all; a damaged source's result has what could be decoded, and an error reported.

    Raises VideoError, OutputError, UsageError, what `upscale` and `check_size` raise.
    """
    start, task = time.perf_counter(), Task(source, target, options)
    with replacing(target, replace=options.replace) as part, open_source(source) as container:
        check_whole(container, source)
        video = video_stream(container, source)
        check_size(video.codec_context.height, video.codec_context.width)
        with open_target(part, task) as output:
            transfer = _Transfer(upscale, task, container, output)
            transfer.run(on_frame)
    report = transfer.report
    report.active = [share / report.frames for share in report.active]
    report.seconds = time.perf_counter() - start
    return report


class _Transfer:
    """Takes packets of the source in file order and writes those of the result."""

    def __init__(self, upscale: Upscale, task: Task, container: Any, output: Any) -> None:
        self.upscale, self.task, self.container, self.output = upscale, task, container, output
        self.report = VideoReport()
        self.lost: list[str] = []
        self.video = video_stream(container, task.source)
        self.reader = Reader(container, self.video, task)
        self.end = self.video_end = 0.0
        self._lose(keep_tags(output, container))
        self.writer = Writer(output, add_encoder(output, self.video, task), self.video, task)
        self.transparent = False  # whether transparency is lost
        self.look: Look | None = None  # of the first frame
        self.last: dict[int, int] = {}  # copied streams' latest time
        self.waiting: list[Any] = []
        self.copies = self._copied_streams()
        self.inputs = [self.video, *(stream for stream in container.streams if stream.index in self.copies)]
        self.start = start_of(self.inputs)
        self.clock = Clock(self.start, container.format.name)
        self._lose(keep_chapters(output, container, self.start))

    def _lose(self, what: str | None) -> None:
        if what is not None:
            self.lost.append(what)

    def _copied_streams(self) -> dict[int, Any]:
        copies = {}
        for stream in self.container.streams:
            if stream is self.video:
                continue
            codec = stream.codec_context.name if stream.codec_context else ""
            if stream.type == "audio" or (stream.type == "subtitle" and codec in self.output.supported_codecs):
                copies[stream.index] = add_copy(self.output, stream, self.task.target)
            elif stream.type != "attachment" or not keep_attachment(self.output, stream):
                self._lose(describe(stream))
        return copies

    def run(self, on_frame: Callable[[], None]) -> None:
        """on_frame: called after each frame written. Raises VideoError where there was no frame."""
        for packet in self.reader.packets(self.inputs):
            self.clock.set(packet)
            self._measure(packet)
            if packet.stream.index == self.video.index:
                self._write(self.reader.frames(packet), on_frame)
            elif packet.size:
                self._copy(packet)
        self._write(self.reader.rest(), on_frame)
        if self.look is None:
            expected = f"at least one frame, of {most_pixels()} pixels at most, as memory allows"
            raise VideoError(self.task.source, expected, "none", "copy the file again, or free memory")
        self.writer.finish()
        self._conclude()

    def _measure(self, packet: Any) -> None:
        if packet.pts is not None and packet.time_base:
            end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
            self.end = max(self.end, end)
            if packet.stream.index == self.video.index:
                self.video_end = max(self.video_end, end)

    def _copy(self, packet: Any) -> None:
        if not self.writer.started:
            self.waiting.append(packet)  # the header, written ahead of any packet, needs the encoder set up
            return
        index, dts = packet.stream.index, packet.pts if packet.dts is None else packet.dts
        if dts is not None:
            packet.dts = self.last[index] = max(dts, self.last.get(index, dts - 1) + 1)
            packet.pts = max(packet.dts, dts if packet.pts is None else packet.pts)
        packet.stream = self.copies[index]
        if not copy_packet(self.output, packet):
            self.reader.damage.foreign += 1

    def _write(self, frames: Iterator[Any], on_frame: Callable[[], None]) -> None:
        for frame in frames:
            if self.look is None:
                self.look = Look.of(frame, self.video)
                self.to_rgb = ToRgb(self.look, alpha=self.look.alpha)
            pixels, shares = self.upscale(self._kept(self.to_rgb(frame)))
            if not self.writer.started:
                self._start(self.look, pixels, frame)
            self.writer.write(pixels, frame)
            self.report.active = [a + b for a, b in zip(self.report.active or [0.0] * len(shares), shares)]
            self.report.frames += 1
            on_frame()

    def _kept(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Without the alpha that the encoder does not hold."""
        if pixels.shape[2] == 3 or self.writer.holds_alpha:
            return pixels
        self.transparent |= bool((pixels[..., 3] < np.iinfo(pixels.dtype).max).any())
        return np.ascontiguousarray(pixels[..., :3])

    def _start(self, look: Look, pixels: NDArray[Any], frame: Any) -> None:
        """Sets the encoder up, now that the size and colours of the first frame are known."""
        self.writer.start(look, pixels, Hdr.of(frame))
        self.report.size_in = list(look.upright_size)
        self.report.size_out = list(pixels.shape[:2])
        for packet in self.waiting:
            self._copy(packet)
        self.waiting = []

    def _conclude(self) -> None:
        """The report's notes, and its error for a damaged source."""
        if self.reader.alpha_unread:
            self._lose("transparency, whose decoder (libvpx) this FFmpeg lacks")
        if self.transparent:
            self._lose(self.writer.no_alpha)
        self.lost += [*self.writer.lost, *sorted(self.reader.lost)]
        notes = self.report.notes
        if self.lost:
            notes.append(f"not kept: {'; '.join(self.lost)}")
        if self.reader.deinterlaced:
            notes.append("interlaced: the result is deinterlaced (bwdif), one frame for two fields")
        if self.clock.parts > 1:
            notes.append(f"its clock is set back, {self.clock.parts - 1} times in all: the parts follow each other")
        if self.writer.moved:
            notes.append(f"{self.writer.moved} of its times are not later than those before: moved behind them")
        self._conclude_end()

    def _conclude_end(self) -> None:
        """An end before the one that the stream states is damage; a container's duration may be an estimate."""
        damage, stated = self.reader.damage, stated_end(self.video, self.start)
        if stated is not None and self.clock.parts == 1 and not damage.ends(self.video_end, stated, own=True):
            damage.missing_end = f"no frames from {self.video_end:.1f} s to its end at {stated:.1f} s"
        in_all, end = (self.container.duration or 0) / MICROSECONDS, self.end + float(self.start)
        if not (damage.missing_end or damage.ends(end, in_all, own=False)):
            text = f"ends at {end:.1f} s of the {in_all:.1f} s that it states: it may be cut short"
            self.report.notes.append(text)
        rate = float(frame_rate(self.video))
        frames = self.video.frames or (None if stated is None else round(stated * rate))
        self.report.error = damage.error(self.task, rate, self.report.frames, frames)
