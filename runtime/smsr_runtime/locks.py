"""Locks between processes, which the kernel releases when their holder ends, however it ends.

Windows has no such locks, and some network file systems neither: there nothing is locked, and nothing is refused.
"""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path
from typing import Callable, Iterator

_held: set[int] = set()
"""Open files with a lock. Forked children close them: a worker that outlives its parent must not keep the lock."""


def try_lock(handle: int) -> bool | None:
    """Whether the open file is now locked by this process; None where the system cannot lock it."""
    try:
        import fcntl
    except ImportError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    _held.add(handle)
    return True


def release(handle: int | None) -> None:
    """Closes the file, and so gives its lock back."""
    if handle is not None:
        _held.discard(handle)
        os.close(handle)


@contextlib.contextmanager
def exclusive(file: Path, refuse: Callable[[str], Exception]) -> Iterator[bool]:
    """Holds the lock of `file`, which is made and stays; yields whether the system can lock at all.

    refuse: makes the exception to raise, from what the file says about the process that holds the lock. Raises OSError.
    """
    handle = os.open(file, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
    try:
        locked = try_lock(handle)
        if locked is False:
            raise refuse(os.read(handle, 200).decode("utf-8", "replace").strip() or "another process")
        if locked:
            os.ftruncate(handle, 0)
            os.write(handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        yield bool(locked)
    finally:
        release(handle)


def _forget_in_child() -> None:
    for handle in list(_held):
        release(handle)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
