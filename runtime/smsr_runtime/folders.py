"""Folders are written whole or not at all: made beside the result, put in its place by one rename.

While a folder is made it lies as `.NAME.smsr-XXXXXXXX.folder/work`, and as `ready` once it is complete. The outer
folder is locked by the process that makes it: where the lock is free that process was killed, and the next tidies up.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Callable, Iterator

from smsr_runtime import locks
from smsr_runtime.files import flush, flush_folder, not_written, taken
from smsr_runtime.renames import exchange, rename_new
from smsr_runtime.signals import held_signals

_WORK, _READY, _OLD = "work", "ready", "old"
_TRIES = 100
"""Of putting a folder in the place of one that others remove and make again meanwhile."""

Replaceable = Callable[[Path], bool]


def nothing(_: Path) -> bool:
    """Replaces nothing."""
    return False


@contextlib.contextmanager
def replacing_folder(path: Path, replaceable: Replaceable = nothing) -> Iterator[Path]:
    """Yields a new folder: on success it takes the name `path`, on failure it is removed.

    replaceable: whether what has that name then may be deleted. Raises OutputError, also where it may not.
    """
    path = path.absolute()
    holder, lock = None, None
    try:
        tidy(path, replaceable)
        holder = Path(tempfile.mkdtemp(prefix=f"{_prefix(path)}", suffix=".folder", dir=str(path.parent)))
        lock = _lock(holder)
        (holder / _WORK).mkdir()
        yield holder / _WORK
        _flush_all(holder / _WORK)
        with held_signals():
            _publish(holder, path, replaceable)
        flush_folder(path.parent)
    except OSError as error:
        raise not_written(path, error, "choose another place with -o") from error
    finally:
        if holder is not None:
            shutil.rmtree(holder, ignore_errors=True)
        locks.release(lock)


def tidy(path: Path, replaceable: Replaceable = nothing) -> None:
    """Removes what killed processes left beside `path`; what they had moved aside gets its name back."""
    pattern = re.compile(re.escape(_prefix(path)) + r"[a-z0-9_]{8}\.folder")
    if not path.parent.is_dir():
        return
    for holder in [entry for entry in path.parent.iterdir() if pattern.fullmatch(entry.name)]:
        lock = _lock(holder)
        if lock is None:
            continue
        try:
            _tidy(holder, path, replaceable)
        finally:
            locks.release(lock)


def _tidy(holder: Path, path: Path, replaceable: Replaceable) -> None:
    if (holder / _OLD).exists():
        with contextlib.suppress(FileExistsError):
            rename_new(holder / _OLD, path)
    kept = [name for name in (_OLD, _READY) if (holder / name).exists() and not _removable(holder / name, replaceable)]
    if not kept:
        shutil.rmtree(holder, ignore_errors=True)


def _removable(folder: Path, replaceable: Replaceable) -> bool:
    """What is no longer under its own name is deleted only where the result would have replaced it."""
    return replaceable is nothing or replaceable(folder)


def _prefix(path: Path) -> str:
    return f".{path.name[:40]}.smsr-"


def _lock(holder: Path) -> int | None:
    """The open folder, locked; None where another process holds it, or folders cannot be locked."""
    try:
        handle = os.open(holder, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    except OSError:  # Windows opens no folders; or it is gone already
        return None
    if locks.try_lock(handle):
        return handle
    locks.release(handle)
    return None


def _flush_all(folder: Path) -> None:
    for entry in folder.rglob("*"):
        if entry.is_file():
            flush(entry)
        else:
            flush_folder(entry)
    flush_folder(folder)


def _publish(holder: Path, path: Path, replaceable: Replaceable) -> None:
    """Looks again at what has the name now. Raises OutputError, OSError; nothing but `holder` has changed then."""
    ready = holder / _READY
    (holder / _WORK).rename(ready)
    for _ in range(_TRIES):
        try:
            return rename_new(ready, path)
        except FileExistsError:
            if not replaceable(path):
                raise taken(path) from None
        with contextlib.suppress(FileNotFoundError):  # removed meanwhile
            return _exchange(ready, path, holder / _OLD, replaceable)
    raise taken(path)


def _exchange(ready: Path, path: Path, aside: Path, replaceable: Replaceable) -> None:
    if not exchange(ready, path):
        return _move_aside(ready, path, aside, replaceable)
    if not replaceable(ready):  # it came after the last look
        exchange(ready, path)
        raise taken(path)


def _move_aside(ready: Path, path: Path, aside: Path, replaceable: Replaceable) -> None:
    """In two renames; what is there comes back if the second fails. A kill between the two is `tidy`'s to mend."""
    path.rename(aside)
    try:
        if not replaceable(aside):
            raise taken(path)
        rename_new(ready, path)
    except BaseException as error:
        with contextlib.suppress(FileExistsError):
            rename_new(aside, path)
        if isinstance(error, FileExistsError):
            raise taken(path) from error
        raise
