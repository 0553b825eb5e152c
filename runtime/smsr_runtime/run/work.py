"""Does the jobs: one result per input, one bad input never stops the rest."""

from __future__ import annotations

import dataclasses
import functools
import sys
import time
from dataclasses import dataclass, field
from typing import Any, Sequence

from smsr_runtime.console import as_smsr
from smsr_runtime.errors import MemoryLimitError, SmsrError, reason
from smsr_runtime.files import make_folder, read_stdin, write_bytes, write_stdout
from smsr_runtime.media.codecs import animation
from smsr_runtime.media.codecs.header import Header
from smsr_runtime.media.image import FORMATS, Saving, check_decoding, check_header, decode_bytes, encode, fitted, read
from smsr_runtime.media.masks import mosaic
from smsr_runtime.media.picture import Picture
from smsr_runtime.media.video.options import VideoOptions
from smsr_runtime.media.video.source import frame_count
from smsr_runtime.media.video.transfer import upscale_video
from smsr_runtime.run import PROGRAM
from smsr_runtime.run.plan import STREAM, Job, Plan
from smsr_runtime.run.progress import Progress
from smsr_runtime.run.upscale import check_frame, check_size, upscale_frame, upscale_picture
from smsr_runtime.session import Upscaler


@dataclass(frozen=True)
class Settings:
    """quiet: only errors. json: results, with active shares, go to stdout as JSON and text for people to stderr.

    debug: exceptions are raised instead of recorded. video, saving: how results are encoded.
    """

    quiet: bool = False
    json: bool = False
    debug: bool = False
    video: VideoOptions = field(default_factory=VideoOptions)
    saving: Saving = field(default_factory=Saving)


def run_plan(upscaler: Upscaler, plan: Plan, settings: Settings) -> list[dict[str, Any]]:
    """One record per job, in the form --json prints; a failed one has "error", one of a damaged video "output" too."""
    for folder in {job.output.parent for job in plan.jobs} if plan.folder else ():
        make_folder(folder)
    if plan.video:
        return [_video(upscaler, plan.jobs[0], settings)]
    several = len(plan.jobs) > 1
    with Progress(len(plan.jobs), "picture", shown=several and not settings.quiet) as progress:
        upscaler.step = functools.partial(progress.part, shown=not settings.quiet)
        records = []
        for job in plan.jobs:
            records.append(_attempt(upscaler, job, settings))
            _print(records[-1], settings, progress)
            progress.step()
    return records


def _attempt(upscaler: Upscaler, job: Job, settings: Settings) -> dict[str, Any]:
    try:
        return _picture(upscaler, job, settings)
    except Exception as error:  # a decoder may raise anything for a damaged file, and the other files go on
        if settings.debug:
            raise
        return {"input": str(job.input), "output": None, "error": _as_smsr(error, job).as_json()}


def _as_smsr(error: Exception, job: Job) -> SmsrError:
    if isinstance(error, MemoryError) and not isinstance(error, SmsrError):
        return MemoryLimitError(job.input, "a picture that fits into memory", reason(error), "cut it into parts")
    return as_smsr(job.input, error)


def _picture(upscaler: Upscaler, job: Job, settings: Settings) -> dict[str, Any]:
    start = time.perf_counter()
    upscaler.folder = None if job.to_stdout else job.output.parent
    data = read_stdin() if job.from_stdin else read(job.input)
    check_header(data, str(job.input), functools.partial(check_size, upscaler))
    make = _animation if _stays_animated(job, data) else _still
    facts = make(upscaler, job, settings, data)
    return {
        "input": str(job.input),
        "output": STREAM if job.to_stdout else str(job.output),
        "masks": str(job.masks) if job.masks else None,
        **facts,
        "strips": _strips(upscaler),
        "seconds": round(time.perf_counter() - start, 4),
        "path": upscaler.path,
        "error": None,
    }


def _stays_animated(job: Job, data: bytes) -> bool:
    kind = FORMATS[job.output.suffix[1:].lower()].kind
    return kind in animation.KINDS and job.masks is None and animation.is_animated(data, str(job.input))


def _still(upscaler: Upscaler, job: Job, settings: Settings, data: bytes) -> dict[str, Any]:
    source = decode_bytes(data, str(job.input), functools.partial(check_size, upscaler))
    picture = fitted(source, job.output, upscaler.scale, settings.saving)
    shows_activity = settings.json or job.masks is not None
    result, margins = upscale_picture(upscaler, picture, str(job.input), margins=shows_activity)
    _write(job, encode(result, job.output, settings.saving))
    if job.masks is not None:
        masks = [margin - upscaler.theta > 0 for margin in margins]
        write_bytes(job.masks, encode(mosaic(picture, masks), job.masks))
    return {**_facts(picture, result, result.notes), "active": _rounded(upscaler.active_shares(margins))}


def _animation(upscaler: Upscaler, job: Job, settings: Settings, data: bytes) -> dict[str, Any]:
    """All frames; active: the mean of their shares."""
    where = str(job.input)
    results: list[animation.Frame] = []
    shares: list[list[float]] = []

    def check(size: Header) -> None:
        check_decoding(dataclasses.replace(size, pixel_bytes=4 * upscaler.scale**2), where)

    kind = FORMATS[job.output.suffix[1:].lower()].kind
    for source in animation.frames(data, where, check):
        frame = animation.fitting(source, kind)
        picture = fitted(frame.picture, job.output, upscaler.scale, settings.saving)
        result, margins = upscale_picture(upscaler, picture, where, margins=settings.json)
        results.append(dataclasses.replace(frame, picture=result))
        shares.append(upscaler.active_shares(margins))
    _write(job, animation.encode(results, kind, settings.saving.quality))
    mean = [sum(parts) / len(parts) for parts in zip(*shares)]
    return {**_facts(picture, result, result.notes), "frames": len(results), "active": _rounded(mean)}


def _write(job: Job, data: bytes) -> None:
    if job.to_stdout:
        write_stdout(data)
    else:
        write_bytes(job.output, data)


def _facts(picture: Picture, result: Picture, notes: list[str]) -> dict[str, Any]:
    return {
        "input_size": {"width": picture.width, "height": picture.height},
        "output_size": {"width": result.width, "height": result.height},
        "notes": notes,
    }


def _strips(upscaler: Upscaler) -> dict[str, Any] | None:
    """How the last picture was cut; None: it was not."""
    return upscaler.strips.as_json() if upscaler.strips else None


def _rounded(shares: Sequence[float]) -> list[float]:
    return [round(share, 6) for share in shares]


def _video(upscaler: Upscaler, job: Job, settings: Settings) -> dict[str, Any]:
    upscaler.folder = job.output.parent
    with Progress(frame_count(job.input), "frame", shown=not settings.quiet) as progress:
        upscale = functools.partial(upscale_frame, upscaler)
        check = functools.partial(check_frame, upscaler, str(job.input))
        report = upscale_video(upscale, job.input, job.output, settings.video, progress.step, check)
        record = {
            "input": str(job.input),
            "output": str(job.output),
            "masks": None,
            "input_size": dict(zip(("height", "width"), report.size_in)),
            "output_size": dict(zip(("height", "width"), report.size_out)),
            "frames": report.frames,
            "strips": _strips(upscaler),
            "seconds": round(report.seconds, 4),
            "active": _rounded(report.active),
            "path": upscaler.path,
            "notes": report.notes,
            "error": report.error.as_json() if report.error else None,
        }
        _print(record, settings, progress)
    return record


def _print(record: dict[str, Any], settings: Settings, progress: Progress) -> None:
    """One line for people per result; notes and errors on stderr."""
    if record["error"]:
        progress.say(f"{PROGRAM}: error: {record['error']['message']}", sys.stderr)
    if settings.quiet or record["output"] is None:
        return
    for note in record["notes"]:
        progress.say(f"{PROGRAM}: note: {record['input']}: {note}", sys.stderr)
    size = record["output_size"]
    frames = f", {record['frames']} frames" if "frames" in record else ""
    strips = f"in {record['strips']['count']} strips  " if record["strips"] else ""
    text = f"{record['output']}  {size['width']}x{size['height']}{frames}  {record['seconds']:.2f} s  {strips}"
    beside = settings.json or record["output"] == STREAM
    progress.say(f"{text}{_share(record)}{record['path']}", sys.stderr if beside else sys.stdout)


def _share(record: dict[str, Any]) -> str:
    active: Sequence[float] = record["active"]
    return f"{sum(active) / len(active):.0%} active  " if active else ""
