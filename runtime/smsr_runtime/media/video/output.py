"""The result's file: its container with the streams that it has, put together from encoded frames and the source."""

from __future__ import annotations

import contextlib
import io
from fractions import Fraction
from pathlib import Path
from typing import Any, Iterator

from smsr_runtime.media.video.clock import Clock
from smsr_runtime.media.video.encoding import Encoding
from smsr_runtime.media.video.kept import describe, keep_attachment, keep_chapters, keep_tags
from smsr_runtime.media.video.options import Task
from smsr_runtime.media.video.reading import Reader
from smsr_runtime.media.video.source import open_source, pyav, start_of, video_stream
from smsr_runtime.media.video.target import (
    add_copy,
    add_encoder,
    copy_packet,
    muxing,
    open_target,
    opened_target,
    write_header,
)
from smsr_runtime.media.video.texts import Texts, kind_for


class FramesOutput:
    """A result with encoded frames alone."""

    def __init__(self, container: Any, video: Any, task: Task) -> None:
        """container: opened to write; video: the stream that the frames come from. Raises VideoError."""
        self.container, self._task = container, task
        self.stream = add_encoder(container, video, task)
        self._last: int | None = None

    def write_header(self, encoding: Encoding) -> None:
        """Raises VideoError where the container does not hold the streams, OSError for the disk."""
        encoding.open(self.stream)
        write_header(self.container, self._task)

    def write_video(self, packet: Any, codec: str) -> None:
        """An encoded frame; its dts is moved behind the one before where segments meet."""
        if self._last is not None and packet.dts <= self._last:
            packet.dts = self._last + 1
        self._last = packet.dts
        packet.stream = self.stream
        with muxing(self._task, codec):
            self.container.mux(packet)


class Output(FramesOutput):
    """All streams of a source file; `lost` names what the result does not hold, `notes` what it has in another form."""

    def __init__(self, container: Any, source: Any, task: Task) -> None:
        """container: opened to write; source: opened to read. Raises VideoError."""
        video = video_stream(source, task.source)
        self.lost: list[str] = []
        self.notes: list[str] = []
        self.foreign = 0
        self._lose(keep_tags(container, source))
        super().__init__(container, video, task)
        self._source = source
        self._latest: dict[int, int] = {}
        self._texts: dict[int, Texts] = {}
        self._copies = self._copied_streams(video)
        self.inputs = [video, *(stream for stream in source.streams if stream.index in self._copies)]
        self.start = start_of(self.inputs)
        self._lose(keep_chapters(container, source, self.start))

    def _lose(self, what: str | None) -> None:
        if what is not None:
            self.lost.append(what)

    def _copied_streams(self, video: Any) -> dict[int, Any]:
        copies = {}
        for stream in self._source.streams:
            if stream is video:
                continue
            codec = stream.codec_context.name if stream.codec_context else ""
            if stream.type == "audio" or (stream.type == "subtitle" and codec in self.container.supported_codecs):
                copies[stream.index] = add_copy(self.container, stream, self._task.target)
            elif stream.type == "subtitle" and kind_for(self.container, stream):
                copies[stream.index] = self._converted(stream)
            elif stream.type != "attachment" or not keep_attachment(self.container, stream):
                self._lose(describe(stream))
        return copies

    def _converted(self, stream: Any) -> Any:
        kind = kind_for(self.container, stream) or ""
        self._texts[stream.index] = Texts(self.container, stream, kind)
        self.notes.append(f"{describe(stream)} is {kind} in the result")
        return self._texts[stream.index].stream

    def copy(self, packet: Any) -> None:
        """A packet of another stream; `foreign` counts those that the container refuses."""
        if packet.stream.index not in self._texts:
            self._write(packet, packet.stream.index)
            return
        try:
            text = self._texts[packet.stream.index].encoded(packet)
        except pyav().FFmpegError:  # damaged
            self.foreign += 1
            return
        if text is not None:
            self._write(text, packet.stream.index)

    def _write(self, packet: Any, index: int) -> None:
        dts = packet.pts if packet.dts is None else packet.dts
        if dts is not None:
            packet.dts = self._latest[index] = max(dts, self._latest.get(index, dts - 1) + 1)
            packet.pts = max(packet.dts, dts if packet.pts is None else packet.pts)
        packet.stream = self._copies[index]
        self.foreign += not copy_packet(self.container, packet)


def put_together(part: Path, task: Task, encoding: Encoding, video: Iterator[Any], *, early: bool = False) -> int:
    """Writes the result to `part`: encoded frames from `video`, all else from the source.

    early: sound and the rest end where the frames do. The number of packets that the container refused.
    Raises VideoError, OSError for the disk.
    """
    with open_source(task.source) as source, open_target(part, task) as container:
        output = Output(container, source, task)
        output.write_header(encoding)
        clock, reader = Clock(output.start, source.format.name), Reader(source, output.inputs[0], task)
        frames = _Ahead(video, output, encoding.codec)
        for packet in reader.packets(output.inputs):
            clock.set(packet)
            if packet.stream.index != output.inputs[0].index and packet.size:
                frames.write_until(_seconds(packet))
                if not (early and frames.ended):
                    output.copy(packet)
        frames.write_until(None)
    return output.foreign


class _Ahead:
    """Encoded frames, written as far as the other streams are; `ended`: there are no more."""

    def __init__(self, packets: Iterator[Any], output: FramesOutput, codec: str) -> None:
        self._packets, self._output, self._codec = packets, output, codec
        self._next = next(packets, None)

    @property
    def ended(self) -> bool:
        return self._next is None

    def write_until(self, seconds: Fraction | None) -> None:
        """None for all."""
        while self._next is not None and (seconds is None or self._next.dts * self._next.time_base <= seconds):
            self._output.write_video(self._next, self._codec)
            self._next = next(self._packets, None)


def put_frames_together(part: Path, task: Task, video: Any, encoding: Encoding, packets: Iterator[Any]) -> None:
    """A result of frames alone. video: the stream that they came from. Raises VideoError, OSError for the disk."""
    with open_target(part, task) as container:
        output = FramesOutput(container, video, task)
        output.write_header(encoding)
        _Ahead(packets, output, encoding.codec).write_until(None)


@contextlib.contextmanager
def trial(task: Task) -> Iterator[Any]:
    """The result's container in memory: tells what it does not hold, and refuses, before hours of work."""
    memory = io.BytesIO()
    memory.name = task.target.name  # says which container it is
    container = opened_target(memory, task)
    try:
        yield container
    finally:
        with contextlib.suppress(pyav().FFmpegError, OSError):  # there is nothing in it
            container.close()


def _seconds(packet: Any) -> Fraction:
    """When it is decoded; the begin where it does not say."""
    time = packet.pts if packet.dts is None else packet.dts
    return Fraction(0) if time is None else Fraction(time * packet.time_base)
