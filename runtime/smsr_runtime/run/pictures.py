"""Pictures and animations: read, upscaled and written."""

from __future__ import annotations

import dataclasses
import functools
import time
from typing import TYPE_CHECKING, Any

from smsr_runtime.files import read_stdin, write_bytes, write_stdout
from smsr_runtime.media.codecs import animation
from smsr_runtime.media.codecs.header import Header
from smsr_runtime.media.image import FORMATS, check_decoding, check_header, decode_bytes, encode, fitted, read
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


def make_picture(upscaler: Upscaler, job: Job, settings: Settings) -> dict[str, Any]:
    """The job's record."""
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
        "strips": cut_of(upscaler),
        "seconds": round(time.perf_counter() - start, 4),
        "path": upscaler.path,
        "error": None,
    }


def _stays_animated(job: Job, data: bytes) -> bool:
    kind = FORMATS[job.output.suffix[1:].lower()].kind
    return kind in animation.KINDS and animation.is_animated(data, str(job.input))


def _still(upscaler: Upscaler, job: Job, settings: Settings, data: bytes) -> dict[str, Any]:
    source = decode_bytes(data, str(job.input), functools.partial(check_size, upscaler))
    picture = fitted(source, job.output, upscaler.scale, settings.saving)
    shows_activity = settings.json or job.masks is not None
    result, margins = upscale_picture(upscaler, picture, str(job.input), margins=shows_activity)
    _write(job, encode(result, job.output, settings.saving), settings)
    if job.masks is not None:
        shown = mosaic(picture, _masks(upscaler, margins))
        write_bytes(job.masks, encode(shown, job.masks), replace=settings.replace)
    return {**_facts(picture, result, result.notes), "active": rounded(upscaler.active_shares(margins))}


def _animation(upscaler: Upscaler, job: Job, settings: Settings, data: bytes) -> dict[str, Any]:
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
    _write(job, animation.encode(results, kind, settings.saving.quality), settings)
    if job.masks:
        data = animation.encode(worked, _OF_MASKS, settings.saving.quality)
        write_bytes(job.masks, data, replace=settings.replace)
    mean = [sum(parts) / len(parts) for parts in zip(*shares)]
    return {**_facts(picture, result, result.notes), "frames": len(results), "active": rounded(mean)}


def _masks(upscaler: Upscaler, margins: list[NDArray[np.float32]]) -> list[NDArray[np.bool_]]:
    return [margin - upscaler.theta > 0 for margin in margins]


def _write(job: Job, data: bytes, settings: Settings) -> None:
    if job.to_stdout:
        write_stdout(data)
    else:
        write_bytes(job.output, data, replace=settings.replace)


def _facts(picture: Picture, result: Picture, notes: list[str]) -> dict[str, Any]:
    return {
        "input_size": {"width": picture.width, "height": picture.height},
        "output_size": {"width": result.width, "height": result.height},
        "notes": notes,
    }
