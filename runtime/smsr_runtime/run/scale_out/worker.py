"""What Ray's actors do: the bundle is opened once in each, then a picture at a time."""

from __future__ import annotations

import functools
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smsr_runtime.errors import SmsrError
from smsr_runtime.resources import limited
from smsr_runtime.run.jobs import Job
from smsr_runtime.run.opening import Opening, open_bundle, show_warnings
from smsr_runtime.run.pictures import record, upscale_bytes
from smsr_runtime.run.scale_out.places import BucketError, Folder, Place, write_once
from smsr_runtime.run.settings import Settings
from smsr_runtime.run.work import error_of
from smsr_runtime.session import Upscaler


@dataclass(frozen=True)
class Task:
    """What all pictures have in common."""

    opening: Opening
    source: Place
    target: Place
    settings: Settings


class Worker:
    """Callable: a row of `row_of` -> it and its job's record, as JSON, and whether all others will fail alike."""

    def __init__(self, task: Task) -> None:
        show_warnings(task.opening)
        self._task = task
        self._upscaler: Upscaler | SmsrError
        try:
            self._upscaler = open_bundle(task.opening)
        except SmsrError as error:  # Ray would try for minutes, and then say it in hundreds of words
            self._upscaler = error

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        job = Job(Path(row["input"]), Path(row["output"]), Path(row["masks"]) if row["masks"] else None)
        fatal = isinstance(self._upscaler, SmsrError)
        try:
            if isinstance(self._upscaler, SmsrError):
                raise self._upscaler
            with limited(self._upscaler.memory):
                made = make(self._upscaler, self._task, job)
        except Exception as error:  # a decoder may raise anything for a damaged file, and the other files go on
            made = failed(self._task.source, job, error_of(error, job))
            fatal = fatal or isinstance(error, BucketError)
        return {"job": json.dumps(row), "record": json.dumps(made), "fatal": fatal}


def row_of(job: Job) -> dict[str, Any]:
    return {"input": str(job.input), "output": str(job.output), "masks": str(job.masks or "")}


def make(upscaler: Upscaler, task: Task, job: Job) -> dict[str, Any]:
    """The job's record. Raises PictureError, OutputError and others."""
    start = time.perf_counter()
    target = task.target
    upscaler.folder = target.base / job.output.parent if isinstance(target, Folder) else None
    made = upscale_bytes(upscaler, job, task.settings, task.source.read(job.input))
    write = functools.partial(write_once, target, replace=task.settings.replace)
    write(job.output, made.data)
    if job.masks is not None and made.masks is not None:
        write(job.masks, made.masks)
    whole = record(job, made, upscaler.path, time.perf_counter() - start)
    names = {"output": target.shown(job.output), "masks": job.masks and target.shown(job.masks)}
    return {**whole, **names, "input": task.source.shown(job.input)}


def failed(source: Place, job: Job, error: SmsrError) -> dict[str, Any]:
    return {"input": source.shown(job.input), "output": None, "error": error.as_json()}
