"""Runs commands on a disk, or with files, of every size up to what they need. `make full-disk` runs all of it.

python -m tests.faults.full_disk [SCENARIO ...] [--limits disk file] [--growth G]

disk: the folder is a file system in memory with so much room, mounted in a mount namespace of its own (no root needed
where the system allows that); file: no file may become larger (RLIMIT_FSIZE). The sizes grow by the factor G, from a
page and from 16 bytes on, until the command succeeds twice. What must hold is the same as after an injected fault
(checking.py).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.faults.checking import Checks, Outcome, in_child, print_rows

LIMITS = ("disk", "file")
_UNITS = {"disk": 4096, "file": 16}
"""Bytes; a file system in memory has whole pages."""
_AMPLE = 1 << 30
_INSIDE = "SMSR_TEST_IN_NAMESPACE"


class Limited(Checks):
    """One scenario with little room."""

    def __init__(self, home: Path, name: str, limit: str) -> None:
        super().__init__(home, name)
        self.limit = limit
        self.largest = 0

    def run(self, growth: float) -> Outcome:
        with self._disk() if self.limit == "disk" else contextlib.nullcontext():
            self.restart()
            code = self._once(_AMPLE)
            assert code == 0, (self.home / "errors").read_text()
            self.end = self.states()
            shutil.rmtree(self.home / "finished", ignore_errors=True)
            shutil.copytree(self.work, self.home / "finished")
            for room in sizes(growth, _UNITS[self.limit]):
                self.restart()
                self.start = self.states()
                code = self._once(room)
                self.outcome.ended(code)
                self.check(f"{self.name}, {self.limit} of {room} bytes", code)
                self.largest = room
                if self.outcome.ends.get("exit 0", 0) == 2:
                    return self.outcome
        raise AssertionError("sizes end only with the command's success")

    @contextlib.contextmanager
    def _disk(self) -> Iterator[None]:
        self.work.mkdir(exist_ok=True)
        mount("-t", "tmpfs", "-o", f"size={_AMPLE}", "tmpfs", self.work)
        try:
            yield
        finally:
            subprocess.run(["umount", self.work], check=True)

    def restart(self) -> None:
        if self.limit == "file":
            super().restart()
            return
        for path in self.work.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.copytree(self.home / ("old" if self.scenario.old else "start"), self.work, dirs_exist_ok=True)

    def _once(self, room: int) -> int:
        """The command's exit code with this room. Its output goes through a pipe, which no limit of a file touches."""
        if self.limit == "disk":
            usage = shutil.disk_usage(self.work)
            mount("-o", f"remount,size={usage.used + room}", self.work)

        def command() -> int:
            os.chdir(self.work)
            if self.limit == "file":
                resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
            return self.scenario.main(self.absolute(self.scenario.arguments))

        pipe = self.home / "pipe"
        pipe.unlink(missing_ok=True)
        os.mkfifo(pipe)
        keeper = threading.Thread(target=lambda: (self.home / "errors").write_bytes(pipe.read_bytes()), daemon=True)
        keeper.start()
        try:
            return in_child(command, pipe)
        finally:
            keeper.join()
            if self.limit == "disk":
                mount("-o", f"remount,size={_AMPLE}", self.work)


def mount(*words: object) -> None:
    subprocess.run(["mount", *map(str, words)], check=True)


def sizes(growth: float, unit: int) -> Iterator[int]:
    """In bytes, each so many units."""
    room = unit
    while True:
        yield room
        room = max(room + unit, round(room * growth) // unit * unit)


def main() -> int:
    """Prints a row per scenario and limit; the exit code is 1 where anything went wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenarios", nargs="*")
    parser.add_argument("--limits", nargs="+", choices=LIMITS, default=list(LIMITS))
    parser.add_argument("--growth", type=float, default=1.3, metavar="G")
    options = parser.parse_args()
    if "disk" in options.limits and _INSIDE not in os.environ:
        os.environ[_INSIDE] = "1"
        os.execvp("unshare", ["unshare", "-rm", sys.executable, "-m", "tests.faults.full_disk", *sys.argv[1:]])

    def tried(home: Path, name: str, limit: str) -> tuple[Outcome, str]:
        limited = Limited(home, name, limit)
        outcome = limited.run(options.growth)
        return outcome, f"{_UNITS[limit]} to {limited.largest} bytes"

    return print_rows(options.scenarios, options.limits, tried)


if __name__ == "__main__":
    sys.exit(main())
