"""Does the jobs: one result per input, one bad input never stops the rest."""

from __future__ import annotations

import functools
import sys
from typing import Any, Sequence, TextIO

from smsr_runtime.console import as_smsr, say
from smsr_runtime.errors import MemoryLimitError, SmsrError, reason
from smsr_runtime.files import make_folder
from smsr_runtime.media.video.source import frame_count
from smsr_runtime.run import PROGRAM
from smsr_runtime.run.jobs import STREAM, Job, Plan
from smsr_runtime.run.live import LiveJob, run_live
from smsr_runtime.run.pictures import make_picture
from smsr_runtime.run.progress import Progress
from smsr_runtime.run.settings import Settings
from smsr_runtime.run.videos import make_video
from smsr_runtime.session import Upscaler


def run_plan(upscaler: Upscaler, plan: Plan, settings: Settings) -> list[dict[str, Any]]:
    """One record per job, in the form --json prints; a failed one has "error", one of a damaged video "output" too."""
    for folder in {job.output.parent for job in plan.jobs} if plan.folder else ():
        make_folder(folder)
    if [job.video for job in plan.jobs] == [True]:
        return [_only_video(upscaler, plan.jobs[0], settings)]
    records: list[dict[str, Any]] = []
    several = len(plan.jobs) > 1
    with Progress(len(plan.jobs), "file", shown=several and not settings.quiet) as progress:
        upscaler.step = functools.partial(progress.part, shown=not settings.quiet)
        try:
            for job in plan.jobs:
                records.append(_attempt(upscaler, job, settings))
                show_record(records[-1], settings, progress)
                progress.step()
        except (KeyboardInterrupt, SystemExit):
            if plan.folder and records:
                say(PROGRAM, f"{len(records)} of {len(plan.jobs)} done; the same command with --resume goes on")
            raise
    return records


def make_live(upscaler: Upscaler, job: LiveJob, settings: Settings) -> dict[str, Any]:
    """The record of a camera, a stream or a replay."""
    note, figures = (_say if not settings.quiet else _nothing), (_say if settings.stats else _nothing)
    record = run_live(upscaler, job, settings, note, figures)
    with Progress(None, "frame", shown=False) as progress:
        show_record({**record, "output": record["output"] or "window"}, settings, progress)
    return record


def _say(text: str) -> None:
    say(PROGRAM, text)


def _nothing(_: str) -> None:
    pass


def _only_video(upscaler: Upscaler, job: Job, settings: Settings) -> dict[str, Any]:
    with Progress(frame_count(job.input), "frame", shown=not settings.quiet) as progress:
        record = make_video(upscaler, job, settings, progress.step)
        show_record(record, settings, progress)
    return record


def _attempt(upscaler: Upscaler, job: Job, settings: Settings) -> dict[str, Any]:
    try:
        if job.video:
            return make_video(upscaler, job, settings, lambda: None)
        return make_picture(upscaler, job, settings)
    except Exception as error:  # a decoder may raise anything for a damaged file, and the other files go on
        if settings.debug:
            raise
        return {"input": str(job.input), "output": None, "error": error_of(error, job).as_json()}


def error_of(error: Exception, job: Job) -> SmsrError:
    """What a failed job's record says."""
    if isinstance(error, MemoryError) and not isinstance(error, SmsrError):
        return MemoryLimitError(job.input, "a picture that fits into memory", reason(error), "cut it into parts")
    return as_smsr(job.input, error)


def show_record(record: dict[str, Any], settings: Settings, progress: Progress, stdout: TextIO | None = None) -> None:
    """One line for people per result; notes and errors on stderr. stdout: None for that of the process."""
    if record["error"]:
        progress.say(f"{PROGRAM}: error: {record['error']['message']}", sys.stderr)
    if settings.quiet or record["output"] is None:
        return
    for note in record["notes"]:
        progress.say(f"{PROGRAM}: note: {record['input']}: {note}", sys.stderr)
    size = record["output_size"]
    frames = f", {record['frames']} frames" if "frames" in record else ""
    if "seen" in record:
        frames += f" of {record['seen']}, latency {record['stats']['latency_ms']['median']:.0f} ms"
    strips = f"in {record['strips']['count']} strips  " if record.get("strips") else ""
    text = f"{record['output']}  {size['width']}x{size['height']}{frames}  {record['seconds']:.2f} s  {strips}"
    beside = settings.json or record["output"] == STREAM
    progress.say(f"{text}{_share(record)}{record['path']}", sys.stderr if beside else stdout or sys.stdout)


def _share(record: dict[str, Any]) -> str:
    active: Sequence[float] = record["active"]
    return f"{sum(active) / len(active):.0%} active  " if active else ""
