"""Runs commands with a fault at each of their write steps; see inject.c. `make faults` runs all of it.

LD_PRELOAD=inject.so python -m tests.faults.driver [SCENARIO ...] [--faults kill ENOSPC ...] [--every K]

Each run is a forked child of this process, which has imported everything and computed nothing. After each: no result is
half there, none that was there before is lost, an error is one line, and the next run succeeds and leaves nothing else.
"""

from __future__ import annotations

import argparse
import ctypes
import errno
import importlib.util
import os
import shutil
import sys
from pathlib import Path

from tests.faults.checking import Checks, Outcome, in_child, print_rows
from tests.faults.scenarios import scenarios

FAULTS = ("kill", "kill without renameat2", "ENOSPC", "EIO", "EROFS", "EDQUOT")


class Driver(Checks):
    """One scenario with one kind of fault."""

    def __init__(self, home: Path, name: str, fault: str) -> None:
        super().__init__(home, name)
        kind, _, how = fault.partition(" ")
        self.number = 0 if kind == "kill" else getattr(errno, kind)
        self.moved_aside = how == "without renameat2"
        self.library = ctypes.CDLL(None)

    def run(self, every: int) -> Outcome:
        self.restart()
        self.outcome.steps = self._faulty(0)
        self.end = self.states()
        keep = self.home / "finished"
        shutil.rmtree(keep, ignore_errors=True)
        shutil.copytree(self.work, keep)
        for step in range(1, self.outcome.steps + 1, every):
            self.restart()
            self.start = self.states()
            code = self._faulty(step)
            self.outcome.ended(code)
            self.check(f"{self.name}, step {step}", code)
        return self.outcome

    def _faulty(self, step: int) -> int:
        """Runs the command; its exit code, or without a fault its number of steps."""
        counted = self.home / "steps"

        def command() -> int:
            os.chdir(self.work)
            self.library.fault_arm(str(self.work).encode(), step, self.number, int(self.moved_aside))
            code = self.scenario.main(self.absolute(self.scenario.arguments))
            if step == 0:
                counted.write_text(f"{code} {self.library.fault_steps()}")
            return code

        code = in_child(command, self.home / "errors")
        if step:
            return code
        code_, steps = counted.read_text().split()
        assert code_ == "0", (self.home / "errors").read_text()
        return int(steps)


def main() -> int:
    """Prints a row per scenario and fault; the exit code is 1 where anything went wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenarios", nargs="*", default=list(scenarios()))
    parser.add_argument("--faults", nargs="+", choices=FAULTS, default=list(FAULTS))
    parser.add_argument("--every", type=int, default=1, metavar="K", help="at every K-th step only")
    options = parser.parse_args()
    if importlib.util.find_spec("tensorboard"):  # here, so that not each child imports it
        importlib.import_module("torch.utils.tensorboard")

    def tried(home: Path, name: str, fault: str) -> tuple[Outcome, str]:
        outcome = Driver(home, name, fault).run(options.every)
        return outcome, str(outcome.steps)

    return print_rows(options.scenarios, options.faults, tried)


if __name__ == "__main__":
    sys.exit(main())
