"""Pictures and animations: read, upscaled and written."""

from __future__ import annotations

import dataclasses
import functools
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from smsr_runtime.files import read_stdin, write_bytes, write_stdout
from smsr_runtime.media.codecs import animation
from smsr_runtime.media.codecs.header import Header
from smsr_runtime.media.image import (
    FORMATS,
    CheckSize,
    check_decoding,
    check_header,
    decode_bytes,
    encode,
    fitted,
    read,
)
from smsr_runtime.media.masks import heat, mosaic
from smsr_runtime.media.picture import Picture
from smsr_runtime.run.jobs import STREAM, Job
from smsr_runtime.run.settings import Settings, rounded
from smsr_runtime.run.upscale import check_size, cut_of, upscale_picture
from smsr_runtime.session import Upscaler

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_OF_MASKS = "PNG"
"""What an animation's masks are shown in."""


@dataclass(frozen=True)
class Made:
    """A result's file, that of its masks or None, and what a job's record says of both."""

    data: bytes
    masks: bytes | None
    facts: dict[str, Any]


def make_picture(upscaler: Upscaler, job: Job, settings: Settings) -> dict[str, Any]:
    """The job's record."""
    start = time.perf_counter()
    upscaler.folder = None if job.to_stdout else job.output.parent
    made = upscale_bytes(upscaler, job, settings, read_stdin() if job.from_stdin else read(job.input))
    if job.to_stdout:
        write_stdout(made.data)
    else:
        write_bytes(job.output, made.data, replace=settings.replace)
    if job.masks is not None and made.masks is not None:
        write_bytes(job.masks, made.masks, replace=settings.replace)
    return record(job, made, upscaler.path, time.perf_counter() - start)


def record(job: Job, made: Made, path: str, seconds: float) -> dict[str, Any]:
    """What --json prints of one picture."""
    return {
        "input": str(job.input),
        "output": STREAM if job.to_stdout else str(job.output),
        "masks": str(job.masks) if job.masks else None,
        **made.facts,
        "seconds": round(seconds, 4),
        "path": path,
        "error": None,
    }


def upscale_bytes(
    upscaler: Upscaler, job: Job, settings: Settings, data: bytes, check: CheckSize | None = None
) -> Made:
    """The files that `job` names, made of its input's content; of `job` only the names count.

    check: of the size, before anything is decoded; None for what this machine can compute.
    """
    check = check or functools.partial(check_size, upscaler)
    check_header(data, str(job.input), check)
    if _stays_animated(job, data):
        return _animation(upscaler, job, settings, data)
    return _still(upscaler, job, settings, decode_bytes(data, str(job.input), check))


def _stays_animated(job: Job, data: bytes) -> bool:
    kind = FORMATS[job.output.suffix[1:].lower()].kind
    return kind in animation.KINDS and animation.is_animated(data, str(job.input))


def _still(upscaler: Upscaler, job: Job, settings: Settings, source: Picture) -> Made:
    picture = fitted(source, job.output, upscaler.scale, settings.saving)
    shows_activity = settings.json or job.masks is not None
    result, margins = upscale_picture(upscaler, picture, str(job.input), margins=shows_activity)
    facts = _facts(upscaler, picture, result, upscaler.active_shares(margins))
    data, shown = encode(result, job.output, settings.saving), None
    if job.masks is not None:
        shown = encode(mosaic(picture, _masks(upscaler, margins)), job.masks)
    return Made(data, shown, facts)


def _animation(upscaler: Upscaler, job: Job, settings: Settings, data: bytes) -> Made:
    """All frames; active: the mean of their shares."""
    where = str(job.input)
    results: list[animation.Frame] = []
    worked: list[animation.Frame] = []
    shares: list[list[float]] = []

    def check(size: Header) -> None:
        channels = 7 if job.masks else 4
        check_decoding(dataclasses.replace(size, pixel_bytes=channels * upscaler.scale**2), where)

    kind = FORMATS[job.output.suffix[1:].lower()].kind
    for source in animation.frames(data, where, check):
        frame = animation.fitting(source, kind)
        picture = fitted(frame.picture, job.output, upscaler.scale, settings.saving)
        result, margins = upscale_picture(upscaler, picture, where, margins=settings.json or job.masks is not None)
        results.append(dataclasses.replace(frame, picture=result))
        shares.append(upscaler.active_shares(margins))
        if job.masks:
            shown = Picture(heat(result.color, _masks(upscaler, margins)))
            worked.append(animation.fitting(dataclasses.replace(source, picture=shown), _OF_MASKS))
    mean = [sum(parts) / len(parts) for parts in zip(*shares)]
    facts = {**_facts(upscaler, picture, result, mean), "frames": len(results)}
    quality = settings.saving.quality
    masks = animation.encode(worked, _OF_MASKS, quality) if job.masks else None
    return Made(animation.encode(results, kind, quality), masks, facts)


def _masks(upscaler: Upscaler, margins: list[NDArray[np.float32]]) -> list[NDArray[np.bool_]]:
    return [margin - upscaler.theta > 0 for margin in margins]


def _facts(upscaler: Upscaler, picture: Picture, result: Picture, active: list[float]) -> dict[str, Any]:
    return {
        "input_size": {"width": picture.width, "height": picture.height},
        "output_size": {"width": result.width, "height": result.height},
        "notes": result.notes,
        "active": rounded(active),
        "strips": cut_of(upscaler),
    }
