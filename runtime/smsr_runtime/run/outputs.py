"""Names of results: none is an input, none is taken twice, none is there already unless that is meant."""

from __future__ import annotations

import os
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Iterable

from smsr_runtime.errors import UsageError
from smsr_runtime.media.video.journal import unfinished
from smsr_runtime.run.jobs import Job, Plan

_CASE_BLIND = sys.platform in ("darwin", "win32")


def path_key(name: str) -> str:
    """Equal for names of one file."""
    return name.casefold() if _CASE_BLIND else name


def with_free_outputs(plan: Plan, *, force: bool, resume: bool) -> Plan:
    """The plan, with resume without the jobs whose results are there and not older than their inputs.

    Raises UsageError where a result would overwrite something: an input, another result, or without force any file.
    """
    _check_names(plan)
    jobs = [job for job in plan.jobs if not (resume and _is_done(job))]
    begun = {path for job in jobs if resume and _is_begun(job) for path in _outputs([job])}
    existing = [path for path in _outputs(jobs) if path not in begun and os.path.lexists(path)]
    if existing and not force:
        more = f" and {len(existing) - 1} more" if len(existing) > 1 else ""
        got = "one that is older than its input, or has no masks beside it" if resume else "an existing one"
        raise UsageError(f"{existing[0]}{more}", "no such file yet", got, "add --force to overwrite")
    return replace(plan, jobs=jobs, there=len(plan.jobs) - len(jobs))


def _is_begun(job: Job) -> bool:
    """Whether an interrupted run has left a part of a video's work."""
    return job.video and any(unfinished(path) for path in _outputs([job]))


def _is_done(job: Job) -> bool:
    """By the files' times: results are written whole or not at all, so one that is there is finished."""
    made = list(_outputs([job]))
    if not made or job.from_stdin or _is_begun(job):
        return False
    return all(os.path.isfile(path) and os.path.getmtime(path) >= os.path.getmtime(job.input) for path in made)


def _outputs(jobs: Iterable[Job]) -> list[Path]:
    return [path for job in jobs if not job.to_stdout for path in (job.output, job.masks) if path is not None]


def _check_names(plan: Plan) -> None:
    outputs = _outputs(plan.jobs)
    inputs = {os.path.realpath(job.input) for job in plan.jobs if not job.from_stdin}
    twice = [name for name, times in Counter(path_key(str(path)) for path in outputs).items() if times > 1]
    if twice:
        raise UsageError(twice[0], "one result per file", "two of that name", "rename an input or drop --show-masks")
    for path in outputs:
        if os.path.realpath(path) in inputs:
            raise UsageError(path, "an output that is no input", "the same file", "name another with -o")
        if os.path.isdir(path):
            raise UsageError(path, "a file to write to", "a folder of that name", "name another with -o")
