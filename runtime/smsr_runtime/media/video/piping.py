"""A video file's frames through the network to stdout: every one, in order, at the file's frame rate."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Iterator

from smsr_runtime.errors import VideoError
from smsr_runtime.media.video.ahead import Ahead
from smsr_runtime.media.video.colour import Look, ToRgb
from smsr_runtime.media.video.options import Hooks, Task, VideoOptions, VideoReport
from smsr_runtime.media.video.pipe import FramePipe
from smsr_runtime.media.video.reading import Reader
from smsr_runtime.media.video.source import check_whole, frame_rate, open_source, video_stream

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from smsr_runtime.media.video.ahead import Result, Upscale


def pipe_video(upscale: Upscale, source: Path, kind: str, options: VideoOptions, hooks: Hooks) -> VideoReport:
    """kind: "y4m" or "raw". Raises VideoError, OutputError, what `upscale` and `hooks.check_size` raise."""
    start, task = time.perf_counter(), Task(source, Path("standard output"), options)
    with open_source(source) as container:
        check_whole(container, source)
        video = video_stream(container, source)
        hooks.check_size(video.codec_context.height, video.codec_context.width)
        reader, pipe = Reader(container, video, task), FramePipe(kind, frame_rate(video))
        piping = _Piping(upscale, pipe, task, video, hooks)
        for packet in reader.packets([video]):
            piping.write(reader.frames(packet))
        piping.write(reader.rest())
        piping.frames.finish()
        pipe.finish()
    report = piping.report
    if not report.frames:
        raise VideoError(source, "at least one frame", "none", "copy the file again")
    report.active = [share / report.frames for share in report.active]
    report.error = reader.damage.error(task, float(frame_rate(video)), report.frames, video.frames or None)
    report.seconds = time.perf_counter() - start
    return report


class _Piping:
    def __init__(self, upscale: Upscale, pipe: FramePipe, task: Task, video: Any, hooks: Hooks) -> None:
        self.report = VideoReport()
        self._pipe, self._task, self._video, self._hooks = pipe, task, video, hooks
        self.frames = Ahead(upscale, self._take)
        self._look: Look | None = None

    def write(self, frames: Iterator[Any]) -> None:
        for frame in frames:
            if self._look is None:
                self._look = Look.of(frame, self._video)
                self._to_rgb = ToRgb(self._look, self._task.source, alpha=False)
            pixels = self._to_rgb(frame)
            self.frames.put(pixels, pixels.shape[:2])

    def _take(self, result: Result, size: tuple[int, int]) -> None:
        assert self._look is not None
        larger, shares = result
        note = self._pipe.write(larger, self._look)
        if not self.report.frames:
            self._begin(size, larger, note)
        self.report.active = [a + b for a, b in zip(self.report.active or [0.0] * len(shares), shares)]
        self.report.frames += 1
        self._hooks.on_frame()

    def _begin(self, size: tuple[int, int], larger: NDArray[Any], note: str) -> None:
        self.report.size_in, self.report.size_out = list(size), list(larger.shape[:2])
        if self._look is not None and self._look.alpha:
            self.report.notes.append("not kept: transparency")
        self.report.notes.append("not kept: sound and all else but frames")
        if note:
            self._hooks.say(note)
