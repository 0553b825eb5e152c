"""From INPUT and -o to a list of jobs, everything refused that can be refused before any work.

What a path is comes from os.path and not pathlib, which raises where a folder above may not be read.
"""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Iterable, Iterator, NoReturn, Sequence

from smsr_runtime.errors import UsageError, reason
from smsr_runtime.media.image import FORMATS
from smsr_runtime.media.suffixes import MOVING_PICTURES, PICTURE_SUFFIXES, VIDEO_SUFFIXES
from smsr_runtime.media.video.pipe import KINDS
from smsr_runtime.run.jobs import STREAM, Job, Plan
from smsr_runtime.run.outputs import path_key, with_free_outputs


@dataclass(frozen=True)
class Wishes:
    """Options that decide about the files: a format's extension or None, and switches."""

    format: str | None = None
    show_masks: bool = False
    force: bool = False
    recursive: bool = False
    resume: bool = False


def make_plan(source: str, target: str, wishes: Wishes) -> Plan:
    """Raises UsageError where INPUT names nothing usable, or a result would overwrite something."""
    path, output = Path(source), Path(target)
    if wishes.recursive and not os.path.isdir(path):
        raise UsageError(source, "a folder with --recursive", "none", "leave --recursive out")
    if STREAM in (source, target):
        plan = _streamed(source, target, wishes)
    elif os.path.isfile(path):
        plan = _single(path, output, wishes)
    else:
        inputs, plan = _listed(source, output, recursive=wishes.recursive)
        _check_folder(path, output)
        root = path if wishes.recursive else None
        plan = replace(plan, jobs=_named(inputs, root, output, wishes))
    return with_free_outputs(plan, force=wishes.force, resume=wishes.resume)


def _streamed(source: str, target: str, wishes: Wishes) -> Plan:
    """A picture from stdin, to stdout or both."""
    path, output = Path("stdin" if source == STREAM else source), Path(target)
    if source != STREAM and not os.path.isfile(path):
        raise UsageError(source, "one picture or video with -o -", "another kind of INPUT", "name a folder with -o")
    if target == STREAM:
        if wishes.show_masks:
            raise UsageError("--show-masks", "a name for what they are shown in", "-o -", "name a file with -o")
        if source != STREAM and _is_video(path):
            _check_kind(path, wishes.format, KINDS)
            return Plan([Job(path, Path(f"stdout.{wishes.format or 'y4m'}"), video=True, to_stdout=True)])
        _check_kind(path, wishes.format, FORMATS)
        output = Path(f"stdout.{wishes.format or 'png'}")
        job = Job(path, output)
    else:
        (job,) = _single(path, output, wishes).jobs
    return Plan([replace(job, from_stdin=source == STREAM, to_stdout=target == STREAM)])


def _check_kind(path: Path, kind: str | None, kinds: Iterable[str]) -> None:
    if kind not in (None, *kinds):
        raise UsageError("--format", f"one of {' '.join(kinds)} for {path} on stdout", str(kind), "leave it out")


def _single(path: Path, output: Path, wishes: Wishes) -> Plan:
    to_video = path.suffix.lower() in MOVING_PICTURES and output.suffix.lower() in VIDEO_SUFFIXES
    if path.suffix.lower() in VIDEO_SUFFIXES or to_video:
        return _video(path, output, wishes)
    if os.path.isdir(output):
        return Plan(_named([path], None, output, wishes))
    _check_extension(output, wishes.format)
    _check_parent(output)
    if not output.suffix:
        output = output.with_name(f"{output.name}.{wishes.format}")
    return Plan([_job(path, output, wishes, video=False)])


def _video(path: Path, output: Path, wishes: Wishes) -> Plan:
    if os.path.isdir(output):
        output = output / path.name
    if output.suffix.lower() not in VIDEO_SUFFIXES:
        todo = f"end -o in one of {' '.join(sorted(VIDEO_SUFFIXES))}"
        raise UsageError(output, "a video file to write to", repr(output.suffix), todo)
    _check_parent(output)
    return Plan([_job(path, output, wishes, video=True)])


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


def _listed(source: str, output: Path, *, recursive: bool) -> tuple[list[Path], Plan]:
    """Pictures and videos of a folder or pattern in natural order, and a plan without jobs: what else is there."""
    folder = Path(source)
    try:
        if not os.path.isdir(folder):
            paths = [Path(name) for name in glob.glob(source, recursive=True)]
        else:
            paths = list(_walk(folder)) if recursive else list(folder.iterdir())
    except OSError as error:
        where = error.filename or source
        raise UsageError(where, "a readable folder", reason(error), "check its permissions") from error
    if not paths and not os.path.isdir(folder):
        kind = "a file matching the pattern" if glob.has_magic(source) else "an existing file, folder or pattern"
        raise UsageError(source, kind, "none", "check the name")
    seen = [path for path in paths if not path.name.startswith(".")]
    files = [path for path in seen if os.path.isfile(path)]
    usable = [path for path in files if path.suffix.lower() in PICTURE_SUFFIXES | VIDEO_SUFFIXES]
    if not usable:
        todo = f"supported: {' '.join(sorted(PICTURE_SUFFIXES | VIDEO_SUFFIXES))}"
        raise UsageError(
            source, "at least one picture or video", f"{len(files)} other files" if files else "none", todo
        )
    folders = sum(1 for path in seen if os.path.isdir(path)) if os.path.isdir(folder) else 0
    notes = (f"{source}: {folders} subfolders are not entered: --recursive does",) if folders else ()
    return sorted(usable, key=natural_order), Plan([], output, len(files) - len(usable), notes=notes)


def _is_video(path: Path) -> bool:
    return path.suffix.lower() in VIDEO_SUFFIXES


def _walk(folder: Path) -> Iterator[Path]:
    """Files below the folder; neither hidden folders nor links to folders are entered. Raises OSError."""

    def fail(error: OSError) -> NoReturn:
        raise error

    for place, folders, names in os.walk(folder, onerror=fail):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(place, name) for name in names)


def natural_order(path: Path) -> list[tuple[int, int | str]]:
    """Sort key that puts 2 before 10, folder by folder."""
    parts = re.split(r"(\d+)", str(path).casefold())
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts if part]


def _named(inputs: Sequence[Path], root: Path | None, folder: Path, wishes: Wishes) -> list[Job]:
    """Results in `folder`, or where `root` is given in folders below it that are called as their inputs' below root."""
    groups: dict[Path, list[Path]] = {}
    for path in inputs:
        groups.setdefault(folder / path.parent.relative_to(root) if root else folder, []).append(path)
    outputs = {path: out for place, group in groups.items() for path, out in zip(group, _names(group, place, wishes))}
    return [_job(path, outputs[path], wishes, video=_is_video(path)) for path in inputs]


def _job(path: Path, output: Path, wishes: Wishes, *, video: bool) -> Job:
    """A video's masks are a video of the same kind, a picture's a PNG."""
    suffix = output.suffix if video else ".png"
    masks = output.with_name(f"{output.stem}.masks{suffix}") if wishes.show_masks else None
    return Job(path, output, masks, video=video)


def _names(inputs: Sequence[Path], folder: Path, wishes: Wishes) -> list[Path]:
    """Results keep their inputs' stems; where those are equal, the full names; where these are equal too, numbered.

    A video's result keeps its suffix too.
    """
    names = [(path.stem, path.suffix[1:] if _is_video(path) else wishes.format or "png") for path in inputs]
    times = Counter(path_key(f"{stem}.{extension}") for stem, extension in names)
    taken: dict[str, Path] = {}
    for path, (stem, extension) in zip(inputs, names):
        number, name = 1, f"{stem}.{extension}"
        if times[path_key(name)] > 1:
            name = f"{path.name}.{extension}"
        while path_key(name) in taken:
            number += 1
            name = f"{path.name}-{number}.{extension}"
        taken[path_key(name)] = folder / name
    return list(taken.values())
