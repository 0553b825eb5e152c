"""Files are written whole or not at all: into a temporary one beside the result, then renamed.

Every function raises OutputError, which names the result, for a full disk, a missing permission and the like.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import sys
import tempfile
from pathlib import Path
from typing import BinaryIO, Iterator

from smsr_runtime import locks
from smsr_runtime.console import detach
from smsr_runtime.errors import InputError, OutputError, reason
from smsr_runtime.renames import rename_new
from smsr_runtime.resources import check_file

_ELSEWHERE = "choose another place with -o"
_PIECE = 1 << 24
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_MARK = ".smsr-"
_LEFTOVER = re.compile(r"\..{0,40}\.smsr-[a-z0-9_]{8}\.part(\.[^.]*)?", re.DOTALL)
_tidied: set[str] = set()
"""Folders without leftovers."""


@contextlib.contextmanager
def replacing(
    path: Path, todo: str = _ELSEWHERE, *, replace: bool = True, folder: Path | None = None
) -> Iterator[Path]:
    """Yields a temporary name beside `path`, with its extension; renamed to it on success, removed on failure.

    todo: what to do where `path` cannot be written, unless the disk is full. replace: False: what appears at `path`
    while the work runs is kept, and OutputError raised. folder: another place for the temporary file, on the same disk.
    """
    part, lock = None, None
    try:
        remove_leftovers(path.parent)
        part, lock = _temporary(path, folder or path.parent)
        yield part
        _publish(part, path, replace=replace)
    except OSError as error:
        raise not_written(path, error, todo) from error
    finally:
        if part is not None and part.exists():
            part.unlink()
        locks.release(lock)


def write_bytes(path: Path, data: bytes | memoryview, todo: str = _ELSEWHERE, *, replace: bool = True) -> None:
    """Writes `data` to `path` by way of `replacing`."""
    with replacing(path, todo, replace=replace) as part:
        part.write_bytes(data)


def open_regular(path: Path) -> BinaryIO:
    """A file to read. Raises OSError, for pipes and devices too, which might never end: nothing is read of those."""
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError("a folder, pipe or device")
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_regular(path: Path, most: int = -1) -> bytes:
    """The file's content, or its first `most` bytes. Raises OSError as `open_regular`."""
    with open_regular(path) as stream:
        return stream.read(most)


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


def make_folder(path: Path) -> None:
    """Creates an output folder and its parents."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(path, "a folder to write to", reason(error), _ELSEWHERE) from error


def not_written(path: Path, error: OSError, todo: str = _ELSEWHERE) -> OutputError:
    """What a failed write means for the result `path`."""
    kept = "what was there before is kept" if path.exists() else "nothing was left behind"
    todo = "free some space" if error.errno in _FULL else todo
    return OutputError(path, "to write the result", f"{reason(error)} ({kept})", todo)


def taken(path: Path) -> OutputError:
    """The name was free, or had what may be replaced, when the work began."""
    todo = "give --force to replace a result of smsr, or name another -o"
    return OutputError(path, "a free name still", "one that was taken while this ran (it is kept)", todo)


def flush(file: Path) -> None:
    """Has the disk store a file's content. Raises OSError."""
    with file.open("rb+") as stream:
        os.fsync(stream.fileno())


def flush_folder(folder: Path) -> None:
    """Has the disk store a folder's names, where the system can. Raises OSError."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EBADF):  # some network file systems cannot
            raise
    finally:
        os.close(handle)


def _temporary(path: Path, folder: Path) -> tuple[Path, int | None]:
    """A new file in `folder`, named after `path`, and its handle with a lock, which tells others that it is in use."""
    while True:
        prefix = f".{path.stem[:40]}{_MARK}"
        handle, name = tempfile.mkstemp(prefix=prefix, suffix=f".part{path.suffix}", dir=str(folder))
        if locks.try_lock(handle) is None:  # no locks here; on Windows an open file could not be renamed either
            os.close(handle)
            return Path(name), None
        if os.path.exists(name):
            return Path(name), handle
        locks.release(handle)  # another process took it for a leftover before it was locked


def remove_leftovers(folder: Path) -> None:
    """Once per process and folder: temporary files of processes that were killed, whose locks are free."""
    if str(folder.absolute()) in _tidied:
        return
    for file in [entry for entry in os.scandir(folder) if _LEFTOVER.fullmatch(entry.name)]:
        with contextlib.suppress(OSError):  # another process's user, or tidied by another process
            _remove_leftover(file.path)
    _tidied.add(str(folder.absolute()))


def _remove_leftover(name: str) -> None:
    handle = os.open(name, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    try:
        if stat.S_ISREG(os.fstat(handle).st_mode) and locks.try_lock(handle):
            os.unlink(name)
    finally:
        locks.release(handle)


def _publish(part: Path, path: Path, *, replace: bool) -> None:
    """Flushes to the disk, gives the file its usual permissions (mkstemp makes it private), renames."""
    os.chmod(part, 0o666 & ~_umask())
    flush(part)
    try:
        if replace:
            os.replace(part, path)
        else:
            rename_new(part, path)
    except FileExistsError:
        raise taken(path) from None
    flush_folder(path.parent)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
