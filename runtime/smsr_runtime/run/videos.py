"""Videos: one after the other, each by `smsr_runtime.media.video`."""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import replace
from typing import Any, Callable

import smsr_runtime
from smsr_runtime.console import say
from smsr_runtime.media.video.options import Beside, Hooks
from smsr_runtime.media.video.piping import pipe_video
from smsr_runtime.media.video.transfer import upscale_video
from smsr_runtime.resources import usable_processors
from smsr_runtime.run import PROGRAM
from smsr_runtime.run.frames import FrameUpscaler, MeasuredUpscaler
from smsr_runtime.run.jobs import STREAM, Job
from smsr_runtime.run.settings import Settings, rounded
from smsr_runtime.run.upscale import check_frame, cut_of
from smsr_runtime.session import Upscaler


def make_video(upscaler: Upscaler, job: Job, settings: Settings, on_frame: Callable[[], None]) -> dict[str, Any]:
    """The job's record. Raises VideoError and others; what is done until then is kept."""
    upscaler.folder = None if job.to_stdout else job.output.parent
    hooks = Hooks(
        on_frame,
        (_nothing if settings.quiet else functools.partial(say, PROGRAM)),
        functools.partial(check_frame, upscaler, str(job.input), videos=2 if job.masks else 1),
    )
    options = replace(settings.video, job=_pixels_by(upscaler), machine=_bits_by(upscaler))
    frames = FrameUpscaler(upscaler, settings.target)
    upscale = MeasuredUpscaler(frames, hooks.say if settings.stats else _nothing)
    beside = Beside(job.masks, frames.heat) if job.masks else None
    if job.to_stdout:
        report = pipe_video(upscale, job.input, job.output.suffix[1:], options, hooks)
    else:
        report = upscale_video(upscale, job.input, job.output, options, hooks, beside)
    return {
        "input": str(job.input),
        "output": STREAM if job.to_stdout else str(job.output),
        "masks": str(job.masks) if job.masks else None,
        "input_size": dict(zip(("height", "width"), report.size_in)),
        "output_size": dict(zip(("height", "width"), report.size_out)),
        "frames": report.frames,
        "strips": cut_of(upscaler),
        "seconds": round(report.seconds, 4),
        "active": rounded(report.active),
        "stats": upscale.stats.as_json(),
        "path": upscaler.path,
        "notes": report.notes,
        "error": report.error.as_json() if report.error else None,
    }


def _nothing(_: str) -> None:
    """Takes the place of what shows figures, where none are asked for."""


def _pixels_by(upscaler: Upscaler) -> dict[str, Any]:
    manifest = json.dumps(upscaler.bundle.manifest, sort_keys=True)
    return {"bundle": hashlib.sha256(manifest.encode()).hexdigest()[:16], "theta": upscaler.theta}


def _bits_by(upscaler: Upscaler) -> dict[str, Any]:
    """Another of these may round the pixels another way; encoders divide their work by the processors."""
    return {"smsr_runtime": smsr_runtime.__version__, "path": upscaler.path, "processors": usable_processors()}
