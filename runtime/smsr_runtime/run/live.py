"""Cameras, streams, and files replayed at their own rate."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Iterator

from smsr_runtime.errors import SmsrError, UsageError, VideoError, with_todo
from smsr_runtime.live.display import check_display
from smsr_runtime.live.loop import LiveRun, Sink
from smsr_runtime.live.newest import Newest
from smsr_runtime.live.opening import open_live
from smsr_runtime.live.sinks import DisplaySink, PipeSink, RecordSink
from smsr_runtime.live.source import LiveSource, is_live
from smsr_runtime.media.suffixes import VIDEO_SUFFIXES
from smsr_runtime.media.video.options import VideoOptions
from smsr_runtime.run.frames import FrameUpscaler
from smsr_runtime.run.jobs import STREAM
from smsr_runtime.run.settings import Settings, rounded
from smsr_runtime.session import Upscaler


@dataclass(frozen=True)
class LiveJob:
    """source: as INPUT names it; output: a video file, "-" for stdout or None; pipe: "y4m" or "raw"."""

    source: str
    output: str | None
    display: bool
    pipe: str = "y4m"


def check_live(job: LiveJob, *, force: bool) -> None:
    """Raises UsageError for what can be seen before anything is opened."""
    if not is_live(job.source) and not os.path.isfile(job.source):
        raise UsageError(job.source, "a file with --realtime and --display, or a camera or stream", "none", "check it")
    if job.output is None and not job.display:
        raise UsageError(job.source, "-o, --display or both", "neither", "say where the frames go")
    if job.display:
        check_display()
    if job.output in (None, STREAM):
        return
    path = Path(str(job.output))
    if path.suffix.lower() not in VIDEO_SUFFIXES:
        todo = f"end -o in one of {' '.join(sorted(VIDEO_SUFFIXES))}"
        raise UsageError(path, "a video file to write to", repr(path.suffix), todo)
    if not os.path.isdir(path.parent):
        raise UsageError(path.parent, "an existing folder", "none", "create it first, or change -o")
    if os.path.lexists(path) and not force:
        raise UsageError(path, "no such file yet", "an existing one", "add --force to overwrite")


def run_live(
    upscaler: Upscaler, job: LiveJob, settings: Settings, say: Callable[[str], None], show: Callable[[str], None]
) -> dict[str, Any]:
    """The record, in the form --json prints. say: takes notes; show: takes figures, now and then.

    Ctrl-C ends it as the source's end does. Raises VideoError and others; what was made until then is a whole file.
    """
    start = time.monotonic()
    frames = FrameUpscaler(upscaler, settings.target)
    source = open_live(job.source)
    sinks = _sinks(job, source, settings.video, say)
    run = LiveRun(frames, lambda: frames.theta, sinks)
    newest = Newest(source)
    with _finished(sinks, job, run), newest, contextlib.suppress(KeyboardInterrupt):
        run.run(newest, frames.spent, show)
    if run.sizes is None:
        raise VideoError(job.source, "at least one frame", "none", "let it run longer, or check the source")
    lost = [text for sink in sinks if isinstance(sink, RecordSink) for text in sink.lost]
    return {
        "input": job.source,
        "output": job.output,
        "masks": None,
        "input_size": dict(zip(("height", "width"), run.sizes[0])),
        "output_size": dict(zip(("height", "width"), run.sizes[1])),
        "frames": run.stats.frames,
        "seen": newest.seen,
        "dropped": newest.dropped,
        "seconds": round(time.monotonic() - start, 4),
        "active": rounded(run.stats.active),
        "stats": run.stats.as_json(),
        "path": upscaler.path,
        "notes": [f"not kept: {'; '.join(lost)}"] if lost else [],
        "error": None,
    }


def _sinks(job: LiveJob, source: LiveSource, options: VideoOptions, say: Callable[[str], None]) -> list[Sink]:
    sinks: list[Sink] = []
    if job.output == STREAM:
        sinks.append(PipeSink(job.pipe, source.rate, say))
    elif job.output is not None:
        sinks.append(RecordSink(job.source, Path(job.output), source.rate, options))
    return [*sinks, DisplaySink()] if job.display else sinks


@contextlib.contextmanager
def _finished(sinks: list[Sink], job: LiveJob, run: LiveRun) -> Iterator[None]:
    """Whatever ends the run, its recording is finished."""
    try:
        yield
    except SmsrError as error:
        _finish(sinks)
        if job.output in (None, STREAM) or not run.stats.frames:
            raise
        raise with_todo(error, f"{job.output} plays, with the {run.stats.frames} frames made so far") from error
    except BaseException:
        _finish(sinks)
        raise
    else:
        _finish(sinks)


def _finish(sinks: list[Sink]) -> None:
    for sink in sinks:
        sink.finish()
