"""What must not happen while hostile bytes are read: code run, files or libraries opened elsewhere, too much taken."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

SECONDS, WAITING = 10, 60
"""Of the processor, and of a clock on the wall, which machines that others use too make run."""
MEMORY_BASE, MEMORY_FACTOR = 96 << 20, 16
"""A reader may take this many bytes, and this many times the file, beside what the process has already."""
_NEVER = (
    "exec", "os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "os.fork", "ctypes.dlopen", "socket.connect",
    "os.remove", "os.rename", "os.mkdir", "shutil.rmtree",
)  # fmt: skip
_READABLE = (sys.prefix, sys.base_prefix, "/proc/", "/sys/fs/cgroup", "/dev/null")


class ViolationError(BaseException):
    """No Exception, so that no reader can catch it."""


_allowed: Path | None = None
"""The only folder that may be opened now; None: nothing is being read."""
_seen: list[str] = []
_running = False


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if _allowed is None:
        return
    if event in _NEVER:
        _seen.append(f"{event} {arguments!r:.200}")
    if event == "open" and isinstance(arguments[0], str):
        path, flags = os.path.realpath(arguments[0]), arguments[2]
        writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if not path.startswith(str(_allowed)) and (writes or not path.startswith(_READABLE)):
            _seen.append(f"open {arguments!r:.200}")


def install() -> None:
    """Once per process: the interpreter's own report of what is opened and run (PEP 578)."""
    sys.addaudithook(_watch)
    for number in (signal.SIGALRM, signal.SIGPROF):
        signal.signal(number, _too_late)


@contextlib.contextmanager
def guarded(folder: Path, size: int) -> Iterator[None]:
    """Raises ViolationError where reading `size` bytes, in `folder`, does what it must not."""
    global _allowed  # noqa: PLW0603  the audit hook cannot be given anything else
    _seen.clear()
    before = _resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.alarm(WAITING)
    faulthandler.dump_traceback_later(2 * WAITING, exit=True)  # for native code, which no signal interrupts
    _allowed = folder
    try:
        yield
    finally:
        _allowed = None
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)
        faulthandler.cancel_dump_traceback_later()
    if _seen:
        raise ViolationError(f"it did: {'; '.join(_seen[:3])}")
    taken = _resident("VmHWM") - before
    if taken > MEMORY_BASE + MEMORY_FACTOR * size:
        raise ViolationError(f"it took {taken >> 20} MiB for a file of {size} bytes")


def _too_late(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise ViolationError(f"it took more than {SECONDS} s")


def _resident(entry: str) -> int:
    """Bytes of memory now ("VmRSS") or at most since the mark was cleared ("VmHWM")."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{entry}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {entry}")
