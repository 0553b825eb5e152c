"""From one video file to another: frames decoded, upscaled and encoded in segments, then put together with the rest."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Iterator, Sequence

import numpy as np

from smsr_runtime.errors import SmsrError, VideoError
from smsr_runtime.files import replacing
from smsr_runtime.media.video.ahead import Ahead
from smsr_runtime.media.video.beside import Companion, companion
from smsr_runtime.media.video.clock import Clock
from smsr_runtime.media.video.colour import Look, ToRgb
from smsr_runtime.media.video.encoding import Encoding, FrameTimes
from smsr_runtime.media.video.ends import Ends
from smsr_runtime.media.video.hdr import Hdr
from smsr_runtime.media.video.journal import Journal, file_facts, partial_name
from smsr_runtime.media.video.options import Beside, Hooks, Task, VideoOptions, VideoReport
from smsr_runtime.media.video.output import Output, put_together, trial
from smsr_runtime.media.video.partial import ended_by, keep_partial
from smsr_runtime.media.video.reading import Reader
from smsr_runtime.media.video.recording import Recording
from smsr_runtime.media.video.source import check_whole, frame_rate, most_pixels, open_source, video_stream

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from smsr_runtime.media.video.ahead import Result, Upscale

NO_HOOKS = Hooks()


def upscale_video(
    upscale: Upscale,
    source: Path,
    target: Path,
    options: VideoOptions,
    hooks: Hooks = NO_HOOKS,
    beside: Beside | None = None,
) -> VideoReport:
    """Writes `target` whole or not at all; a damaged source's result has what could be decoded, and an error reported.

    beside: a second video to make of the same frames. A run that ends early leaves its finished segments for the next
    one, and what it has in a file that plays.
    Raises VideoError, OutputError, UsageError, what `upscale`, `beside.draw` and `hooks.check_size` raise.
    """
    start, task = time.perf_counter(), Task(source, target, options)
    with open_source(source) as container:
        check_whole(container, source)
        video = video_stream(container, source)
        hooks.check_size(video.codec_context.height, video.codec_context.width)
        journal, done = Journal(task, file_facts(source)), False
        recording = Recording(journal, task)
        try:
            with companion(beside, task, video, recording) as second:
                report = _made(_Transfer(upscale, task, container, recording, second), hooks)
            done = True
            if journal.continues:
                partial_name(target).unlink(missing_ok=True)
        finally:
            journal.close(done=done or not recording.leaves)
    report.notes += journal.notes
    report.seconds = time.perf_counter() - start
    return report


def _made(transfer: _Transfer, hooks: Hooks) -> VideoReport:
    """Keeps what is done, whatever ends it: an error, a full disk, a signal."""
    try:
        transfer.run(hooks)
        transfer.put_together()
    except (SmsrError, OSError) as error:
        raise ended_by(error, transfer.task.target, transfer.keep_partial()) from error
    except BaseException:
        kept = transfer.keep_partial()
        if kept:
            hooks.say(kept)
        raise
    return transfer.report()


class _Transfer:
    """Takes packets of the source in file order; its frames go through the network into the recording."""

    def __init__(
        self, upscale: Upscale, task: Task, container: Any, recording: Recording, second: Companion | None
    ) -> None:
        self.task, self.container, self.recording = task, container, recording
        self.frames = Ahead(upscale, self._take)
        self.second = second
        self.video = video_stream(container, task.source)
        self.reader = Reader(container, self.video, task)
        with trial(task) as result:
            output = Output(result, container, task)
            self.lost, self.converted = output.lost, output.notes
            self.inputs, self.start = output.inputs, output.start
            self.encoding = Encoding(output.container, output.stream, self.video, task)
        self.times = FrameTimes(self.video, self.encoding.time_base)
        self.clock = Clock(self.start, container.format.name)
        self.ends = Ends()
        self.look: Look | None = None  # of the first frame

    def run(self, hooks: Hooks) -> None:
        """Raises VideoError where there was no frame."""
        for packet in self.reader.packets(self.inputs):
            self.clock.set(packet)
            own = packet.stream.index == self.video.index
            self.ends.see(packet, own=own)
            if own:
                self._write(self.reader.frames(packet), hooks)
            else:
                self.recording.beside += packet.size
        self._write(self.reader.rest(), hooks)
        self.frames.finish()
        if self.look is None:
            expected = f"at least one frame, of {most_pixels()} pixels at most, as memory allows"
            raise VideoError(self.task.source, expected, "none", "copy the file again, or free memory")
        self.recording.finish()
        if self.second:
            self.second.finish()

    def put_together(self) -> None:
        """Raises VideoError, OutputError."""
        with replacing(self.task.target, replace=self.task.options.replace, folder=self.recording.folder) as part:
            packets = self.recording.packets(self.encoding)
            self.reader.damage.foreign += put_together(part, self.task, self.encoding, packets)
        if self.second:
            self.second.result.put_together()

    def keep_partial(self) -> str:
        """What is done so far and where it is, in words."""

        def write(part: Path, packets: Iterator[Any]) -> None:
            put_together(part, self.task, self.encoding, packets, early=True)

        kept = keep_partial(self.task, self.encoding, self.recording, write)
        return kept + (self.second.keep_partial() if self.second else "")

    def _write(self, frames: Iterator[Any], hooks: Hooks) -> None:
        for frame in frames:
            if self.look is None:
                self._begin(frame)
            when = self.times.next(frame)
            if self.recording.holds_next and (self.second is None or self.second.holds_next):
                self.recording.skip()
                if self.second:
                    self.second.skip(frame)
            else:
                self._upscale(frame, when)
            hooks.on_frame()

    def _begin(self, frame: Any) -> None:
        self.look, self.hdr = Look.of(frame, self.video), Hdr.of(frame)
        self.to_rgb = ToRgb(self.look, self.task.source, alpha=self.look.alpha)
        if self.second:
            self.second.begin(self.look)
        if self.recording.segments:
            self._decide(self.recording.segments[0].shape)

    def _decide(self, shape: Sequence[int]) -> None:
        """Sets the encoder up, now that the size and colours of the first frame are known, and tries it out."""
        assert self.look is not None
        self.encoding.decide(self.look, shape, self.hdr)
        with trial(self.task) as result:
            Output(result, self.container, self.task).write_header(self.encoding)

    def _upscale(self, frame: Any, when: tuple[int, int]) -> None:
        source, hidden = self._kept(self.to_rgb(frame))
        self.frames.put(source, frame, when, hidden)
        if not self.encoding.decided:
            self.frames.finish()

    def _take(self, result: Result, frame: Any, when: tuple[int, int], hidden: bool) -> None:
        pixels, shares = result
        if not self.encoding.decided:
            self._decide(pixels.shape)
        if self.recording.holds_next:
            self.recording.skip()
        else:
            self.recording.write(self.encoding, pixels, when, shares, hidden=hidden)
        if self.second:
            self.second.write(frame, pixels)

    def _kept(self, pixels: NDArray[Any]) -> tuple[NDArray[Any], bool]:
        """Without the alpha that the encoder does not hold; and whether something is transparent in it."""
        if pixels.shape[2] == 3 or self.encoding.holds_alpha:
            return pixels, False
        hidden = bool((pixels[..., 3] < np.iinfo(pixels.dtype).max).any())
        return np.ascontiguousarray(pixels[..., :3]), hidden

    def report(self) -> VideoReport:
        assert self.look is not None
        segments, frames = self.recording.segments, self.recording.frames
        report = VideoReport(frames=frames, size_in=list(self.look.upright_size), size_out=list(segments[0].shape[:2]))
        report.active = [sum(parts) / frames for parts in zip(*(segment.active for segment in segments))]
        if self.reader.alpha_unread:
            self.lost.append("transparency, whose decoder (libvpx) this FFmpeg lacks")
        if any(segment.transparent for segment in segments):
            self.lost.append(self.encoding.no_alpha)
        self.lost += [*self.encoding.lost, *sorted(self.reader.lost)]
        report.notes += self._notes()
        damage, parts = self.reader.damage, self.clock.parts
        notes, stated = self.ends.judge(self.container, self.video, self.start, damage, parts=parts)
        report.notes += notes
        report.error = damage.error(self.task, float(frame_rate(self.video)), frames, stated)
        return report

    def _notes(self) -> Iterator[str]:
        if self.lost:
            yield f"not kept: {'; '.join(self.lost)}"
        yield from self.converted
        if self.reader.deinterlaced:
            yield "interlaced: the result is deinterlaced (bwdif), one frame for two fields"
        if self.reader.left_interlaced:
            yield "interlaced, and left so: both fields of a frame go through the network as one picture"
        if self.clock.parts > 1:
            yield f"its clock is set back, {self.clock.parts - 1} times in all: the parts follow each other"
        if self.times.moved:
            yield f"{self.times.moved} of its times are not later than those before: moved behind them"
