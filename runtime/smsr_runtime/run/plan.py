"""From INPUT and -o to a list of jobs, everything refused that can be refused before any work.

What a path is comes from os.path and not pathlib, which raises where a folder above may not be read.
"""

from __future__ import annotations

import glob
import os
import re
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Sequence

from smsr_runtime.errors import UsageError, reason
from smsr_runtime.media.image import FORMATS
from smsr_runtime.media.suffixes import PICTURE_SUFFIXES, VIDEO_SUFFIXES

_STREAM = re.compile(r"^[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_CASE_BLIND = sys.platform in ("darwin", "win32")


@dataclass(frozen=True)
class Job:
    """One file to make; masks: the file for the picture of the spatial masks, or None."""

    input: Path
    output: Path
    masks: Path | None = None


@dataclass(frozen=True)
class Plan:
    """jobs in natural order; folder: to be created; video: the one job is a video; skipped: other files seen."""

    jobs: list[Job]
    folder: Path | None = None
    video: bool = False
    skipped: int = 0


def make_plan(source: str, target: str, image_format: str | None, *, show_masks: bool, force: bool) -> Plan:
    """Raises UsageError where INPUT names nothing usable, or a result would overwrite something."""
    _refuse_live(source)
    path, output = Path(source), Path(target)
    if os.path.isfile(path):
        plan = _single(path, output, image_format, show_masks=show_masks)
    else:
        inputs, skipped = _listed(source)
        _check_folder(path, output)
        jobs = _named(inputs, output, image_format or "png", show_masks=show_masks)
        plan = Plan(jobs, output, skipped=skipped)
    _check_outputs(plan, force=force)
    return plan


def _refuse_live(source: str) -> None:
    if os.path.exists(source):
        return
    if source.isdigit() or _STREAM.match(source):
        raise UsageError(source, "a file, folder or pattern", "a camera or stream", "these are not supported yet")


def _single(path: Path, output: Path, image_format: str | None, *, show_masks: bool) -> Plan:
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return _video(path, output, show_masks=show_masks)
    if os.path.isdir(output):
        return Plan(_named([path], output, image_format or "png", show_masks=show_masks))
    _check_extension(output, image_format)
    _check_parent(output)
    if not output.suffix:
        output = output.with_name(f"{output.name}.{image_format}")
    return Plan([Job(path, output, _masks(output) if show_masks else None)])


def _video(path: Path, output: Path, *, show_masks: bool) -> Plan:
    if show_masks:
        raise UsageError(path, "a picture with --show-masks", "a video", "leave --show-masks out")
    if os.path.isdir(output):
        output = output / path.name
    if output.suffix.lower() not in VIDEO_SUFFIXES:
        todo = f"end -o in one of {' '.join(sorted(VIDEO_SUFFIXES))}"
        raise UsageError(output, "a video file to write to", repr(output.suffix), todo)
    _check_parent(output)
    return Plan([Job(path, output)], video=True)


def _check_extension(output: Path, image_format: str | None) -> None:
    extension = output.suffix[1:].lower()
    if not extension and image_format:
        return
    if extension not in FORMATS:
        raise UsageError(output, f"an extension of {' '.join(FORMATS)}", repr(output.suffix), "name -o like out.png")
    if image_format and FORMATS[image_format] is not FORMATS[extension]:
        todo = "leave --format out or change the extension"
        raise UsageError(output, f"--format {image_format} and the name to agree", output.suffix, todo)


def _check_parent(output: Path) -> None:
    if not os.path.isdir(output.parent):
        raise UsageError(output.parent, "an existing folder", "none", "create it first, or change -o")


def _check_folder(path: Path, output: Path) -> None:
    if os.path.exists(output) and not os.path.isdir(output):
        raise UsageError(output, "an output folder", "a file", "name a folder with -o")
    if os.path.isdir(path):
        inside = os.path.realpath(output)
        root = os.path.realpath(path)
        if inside == root or inside.startswith(os.path.join(root, "")):
            todo = "name another folder with -o"
            raise UsageError(output, "an output folder outside the input folder", "one inside or the same", todo)


def _listed(source: str) -> tuple[list[Path], int]:
    """Image files of a folder or pattern in natural order, and how many other files there are."""
    folder = Path(source)
    try:
        paths = list(folder.iterdir()) if os.path.isdir(folder) else list(map(Path, glob.glob(source, recursive=True)))
    except OSError as error:
        raise UsageError(source, "a readable folder", reason(error), "check its permissions") from error
    if not paths and not os.path.isdir(folder):
        kind = "a file matching the pattern" if glob.has_magic(source) else "an existing file, folder or pattern"
        raise UsageError(source, kind, "none", "check the name")
    files = [path for path in paths if os.path.isfile(path) and not path.name.startswith(".")]
    pictures = [path for path in files if path.suffix.lower() in PICTURE_SUFFIXES]
    if not pictures:
        todo = f"supported: {' '.join(sorted(PICTURE_SUFFIXES))}; videos one at a time"
        raise UsageError(source, "at least one picture", f"{len(files)} other files" if files else "none", todo)
    return sorted(pictures, key=natural_order), len(files) - len(pictures)


def natural_order(path: Path) -> list[tuple[int, int | str]]:
    """Sort key that puts 2 before 10, folder by folder."""
    parts = re.split(r"(\d+)", str(path).casefold())
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts if part]


def _named(inputs: Sequence[Path], folder: Path, extension: str, *, show_masks: bool) -> list[Job]:
    """Results keep their inputs' stems; where those are equal, the full names; where these are equal too, numbered."""
    stems = Counter(_key(path.stem) for path in inputs)
    taken: dict[str, Path] = {}
    for path in inputs:
        stem = path.stem if stems[_key(path.stem)] == 1 else path.name
        number, name = 1, f"{stem}.{extension}"
        while _key(name) in taken:
            number += 1
            name = f"{path.name}-{number}.{extension}"
        taken[_key(name)] = folder / name
    return [Job(path, out, _masks(out) if show_masks else None) for path, out in zip(inputs, taken.values())]


def _key(name: str) -> str:
    return name.casefold() if _CASE_BLIND else name


def _masks(output: Path) -> Path:
    return output.with_name(f"{output.stem}.masks.png")


def _check_outputs(plan: Plan, *, force: bool) -> None:
    outputs = [path for job in plan.jobs for path in (job.output, job.masks) if path is not None]
    inputs = {os.path.realpath(job.input) for job in plan.jobs}
    twice = [name for name, times in Counter(_key(str(path)) for path in outputs).items() if times > 1]
    if twice:
        raise UsageError(twice[0], "one result per file", "two of that name", "rename an input or drop --show-masks")
    for path in outputs:
        if os.path.realpath(path) in inputs:
            raise UsageError(path, "an output that is no input", "the same file", "name another with -o")
        if os.path.isdir(path):
            raise UsageError(path, "a file to write to", "a folder of that name", "name another with -o")
    existing = [path for path in outputs if os.path.lexists(path)]
    if existing and not force:
        more = f" and {len(existing) - 1} more" if len(existing) > 1 else ""
        raise UsageError(f"{existing[0]}{more}", "no such file yet", "an existing one", "add --force to overwrite")
