"""Files are written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from smsr.errors import DataError


def write_bytes(path: Path, data: bytes | memoryview, todo: str = "make room, or name another place") -> None:
    """Writes to a file beside `path`, then renames it; a failure leaves the file that was there. Raises DataError."""
    partial = path.with_name(f"{path.name}.partial")
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        kept = "the last good one is still there" if path.exists() else "nothing was left behind"
        got = f"{error.strerror or error} ({kept})"
        raise DataError(path, "room and permission to save", got, todo) from error
