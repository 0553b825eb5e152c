"""Files and folders are written whole or not at all: into a temporary one beside the result, then renamed.

Every function raises OutputError, which names the result, for a full disk, a missing permission and the like.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Iterator

from smsr_runtime.console import detach
from smsr_runtime.errors import InputError, OutputError, reason
from smsr_runtime.resources import check_file

_PIECE = 1 << 24
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def replacing(path: Path, todo: str = "choose another place with -o", folder: Path | None = None) -> Iterator[Path]:
    """Yields a temporary name beside `path`, with its extension; renamed to it on success, removed on failure.

    todo: what to do where `path` cannot be written, unless the disk is full; folder: another place for the temporary
    file, on the same disk.
    """
    part = None
    try:
        handle, name = tempfile.mkstemp(
            prefix=f".{path.stem[:40]}.", suffix=f".part{path.suffix}", dir=str(folder or path.parent)
        )
        os.close(handle)
        part = Path(name)
        yield part
        _publish(part, path)
    except OSError as error:
        raise not_written(path, error, todo) from error
    finally:
        if part is not None and part.exists():
            part.unlink()


def write_bytes(path: Path, data: bytes | memoryview, todo: str = "choose another place with -o") -> None:
    """Writes `data` to `path` by way of `replacing`."""
    with replacing(path, todo) as part:
        part.write_bytes(data)


def read_stdin() -> bytes:
    """All of stdin. Raises MemoryLimitError, InputError where there is none."""
    if sys.stdin is None:
        raise InputError("standard input", "a picture", "a closed stream", "pipe one in or name a file")
    pieces: list[bytes] = []
    while not pieces or pieces[-1]:
        pieces.append(sys.stdin.buffer.read(_PIECE))
        check_file(sum(len(piece) for piece in pieces), "standard input")
    return b"".join(pieces)


def write_stdout(data: bytes) -> None:
    """Raises OutputError where the reader is gone or the disk behind it is full."""
    if sys.stdout is None:
        raise OutputError("standard output", "an open stream", "a closed one", "name a file with -o")
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        detach(sys.stdout)
        raise OutputError("standard output", "to write the result", reason(error), "read all of it") from error


@contextlib.contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yields a temporary folder: on success it takes `path`'s place, on failure it is removed."""
    path = path.absolute()
    try:
        work = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=str(path.parent)))
        try:
            work.chmod(0o777 & ~_umask())
            yield work
            _flush_all(work)
            _swap(work, path)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        raise not_written(path, error, "choose another place with -o") from error


def make_folder(path: Path) -> None:
    """Creates an output folder and its parents."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(path, "a folder to write to", reason(error), "choose another place with -o") from error


def not_written(path: Path, error: OSError, todo: str = "choose another place with -o") -> OutputError:
    """What an OSError at writing `path` means."""
    kept = "what was there before is kept" if path.exists() else "nothing was left behind"
    todo = "free some space" if error.errno in _FULL else todo
    return OutputError(path, "to write the result", f"{reason(error)} ({kept})", todo)


def _publish(part: Path, path: Path) -> None:
    """Flushes to the disk, gives the file its usual permissions (mkstemp makes it private), renames."""
    os.chmod(part, 0o666 & ~_umask())
    _flush(part)
    os.replace(part, path)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _flush(file: Path) -> None:
    with file.open("rb+") as stream:
        os.fsync(stream.fileno())


def _flush_all(folder: Path) -> None:
    for file in folder.rglob("*"):
        if file.is_file():
            _flush(file)


def _swap(work: Path, path: Path) -> None:
    """Puts `work` in `path`'s place; what is there is moved aside first and comes back if that fails."""
    if not path.exists():
        work.rename(path)
        return
    aside = Path(tempfile.mkdtemp(prefix=f".{path.name}.old.", dir=str(path.parent)))
    old = aside / path.name
    try:
        path.rename(old)
        work.rename(path)
    finally:  # after Ctrl-C too
        if old.exists() and not path.exists():
            old.rename(path)
        shutil.rmtree(aside, ignore_errors=True)
