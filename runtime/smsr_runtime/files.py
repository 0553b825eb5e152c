"""Results are written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from pathlib import Path
from typing import Iterator

from smsr_runtime.errors import OutputError, reason

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary name beside `path`, with its extension; renamed to it on success, removed on failure.

    An OSError inside (a full disk, no permission) becomes an OutputError naming `path`.
    """
    part = None
    try:
        handle, name = tempfile.mkstemp(
            prefix=f".{path.stem[:40]}.", suffix=f".part{path.suffix}", dir=str(path.parent)
        )
        os.close(handle)
        part = Path(name)
        yield part
        _publish(part, path)
    except OSError as error:
        todo = "free some space" if error.errno in _FULL else "choose another place with -o"
        raise OutputError(path, "to write the result", reason(error), todo) from error
    finally:
        if part is not None and part.exists():
            part.unlink()


def write_bytes(path: Path, data: bytes) -> None:
    """Writes `data` to `path` by way of `replacing`."""
    with replacing(path) as part:
        part.write_bytes(data)


def make_folder(path: Path) -> None:
    """Creates an output folder and its parents. Raises OutputError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(path, "a folder to write to", reason(error), "choose another place with -o") from error


def _publish(part: Path, path: Path) -> None:
    """Flushes to the disk, gives the file its usual permissions (mkstemp makes it private), renames."""
    mask = os.umask(0)
    os.umask(mask)
    os.chmod(part, 0o666 & ~mask)
    with part.open("rb+") as stream:
        os.fsync(stream.fileno())
    os.replace(part, path)
