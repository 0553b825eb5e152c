"""smsr-run --ray as a whole: the tasks, the cluster, the lines and records of what came out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from smsr_runtime.files import remove_leftovers
from smsr_runtime.run.opening import Opening
from smsr_runtime.run.progress import Progress
from smsr_runtime.run.scale_out.cluster import connected, upscale_all
from smsr_runtime.run.scale_out.places import Folder
from smsr_runtime.run.scale_out.tasks import Tasks
from smsr_runtime.run.scale_out.worker import Task
from smsr_runtime.run.settings import Settings
from smsr_runtime.run.work import show_record


def run_tasks(tasks: Tasks, opening: Opening, address: str, settings: Settings) -> list[dict[str, Any]]:
    """One record per file, in the form --json prints. Raises BackendError, MissingPackageError, OutputError."""
    if not tasks.plan.jobs:
        return []
    task = Task(opening, tasks.source, tasks.target, settings)
    try:
        return _made(tasks, task, address)
    finally:
        if isinstance(tasks.target, Folder):
            _tidy({tasks.target.base / job.output.parent for job in tasks.plan.jobs})


def _made(tasks: Tasks, task: Task, address: str) -> list[dict[str, Any]]:
    stdout, settings = sys.stdout, task.settings
    with connected(address) as ray:
        tasks.target.prepare(tasks.plan.jobs[0].output.parent)
        with Progress(len(tasks.plan.jobs), "file", shown=not settings.quiet) as progress:

            def seen(record: dict[str, Any]) -> None:
                show_record(record, settings, progress, stdout)
                progress.step()

            return upscale_all(ray, tasks, task, task.opening.threads or 1, seen)


def _tidy(folders: set[Path]) -> None:
    """What killed workers left half-written."""
    for folder in folders:
        if folder.is_dir():
            remove_leftovers(folder)
