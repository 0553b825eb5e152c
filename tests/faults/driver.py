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
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from tests.faults.scenarios import Scenario, make_start, same_run, scenarios, write_old

FAULTS = ("kill", "kill without renameat2", "ENOSPC", "EIO", "EROFS", "EDQUOT")
_LEFTOVER = re.compile(r"\.smsr-[a-z0-9_]{8}\.|\.part|\.partial")


@dataclass
class Outcome:
    """steps: of the command without a fault; runs: with one; ends: how often each exit code; wrong: what went wrong."""

    steps: int = 0
    runs: int = 0
    ends: dict[str, int] = field(default_factory=dict)
    states: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)


def in_child(work: Callable[[], int], errors: Path) -> int:
    """Exit code of `work` in a forked child, -9 where it was killed; its output goes to `errors`."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        code = 70
        try:
            handle = os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(handle, 2)
            os.dup2(handle, 1)
            code = work()
            sys.stdout.flush()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


class Driver:
    """One scenario with one kind of fault."""

    def __init__(self, home: Path, name: str, fault: str) -> None:
        self.scenario: Scenario = scenarios()[name]
        self.home, self.name = home, name
        kind, _, how = fault.partition(" ")
        self.number = 0 if kind == "kill" else getattr(errno, kind)
        self.without_renameat2 = how == "without renameat2"
        self.work = home / "work"
        self.library = ctypes.CDLL(None)
        self.outcome = Outcome()

    def run(self, every: int) -> Outcome:
        self._restart()
        self.outcome.steps = self._faulty(0)
        self.end = self._states()
        keep = self.home / "finished"
        shutil.rmtree(keep, ignore_errors=True)
        shutil.copytree(self.work, keep)
        for step in range(1, self.outcome.steps + 1, every):
            self._restart()
            self.start = self._states()
            code = self._faulty(step)
            self.outcome.runs += 1
            end = "killed" if code == -signal.SIGKILL else f"exit {code}"
            self.outcome.ends[end] = self.outcome.ends.get(end, 0) + 1
            self._check(step, code)
        return self.outcome

    def _restart(self) -> None:
        shutil.rmtree(self.work, ignore_errors=True)
        shutil.copytree(self.home / ("old" if self.scenario.old else "start"), self.work)

    def _faulty(self, step: int) -> int:
        """Runs the command; its exit code, or without a fault its number of steps."""
        counted = self.home / "steps"

        def command() -> int:
            os.chdir(self.work)
            self.library.fault_arm(str(self.work).encode(), step, self.number, int(self.without_renameat2))
            code = self.scenario.main(self._absolute(self.scenario.arguments))
            if step == 0:
                counted.write_text(f"{code} {self.library.fault_steps()}")
            return code

        code = in_child(command, self.home / "errors")
        if step:
            return code
        code_, steps = counted.read_text().split()
        assert code_ == "0", (self.home / "errors").read_text()
        return int(steps)

    def _absolute(self, arguments: object) -> list[str]:
        """Names of files with their folder, since steps are counted by path."""
        assert isinstance(arguments, list | tuple)
        names = ("run", "out", "x.smsr", "x.onnx", "out.png", "out.mp4")
        return [str(self.work / word) if word in names else word for word in arguments]

    def _states(self) -> list[str]:
        return [self.scenario.state(self.work / name) for name in self.scenario.results]

    def _check(self, step: int, code: int) -> None:
        where = f"{self.name}, step {step}"
        errors = (self.home / "errors").read_text()
        if code not in (-signal.SIGKILL, 0, 1) or "Traceback" in errors or "internal error" in errors:
            self.outcome.wrong.append(f"{where}: exit {code}: {errors[-300:]}")
        if code == 1 and not 1 <= errors.count("error: ") <= len(self.scenario.results):
            self.outcome.wrong.append(f"{where}: not one line of error: {errors[-300:]}")
        if code == 0 and self._try_states(where) != self.end:
            self.outcome.wrong.append(f"{where}: exit 0 without the result")
        if code >= 0 and self._leftovers():
            self.outcome.wrong.append(f"{where}: left {self._leftovers()}")
        self._check_states(where)
        self._check_next(where)

    def _try_states(self, where: str) -> list[str]:
        try:
            return self._states()
        except Exception as error:  # whatever reading half a result raises
            self.outcome.wrong.append(f"{where}: half a result: {error}")
            return []

    def _check_states(self, where: str) -> None:
        for state, old, new in zip(self._try_states(where), self.start, self.end, strict=False):
            kind = "new" if state == new else "old" if state == old else state
            self.outcome.states[kind] = self.outcome.states.get(kind, 0) + 1
            moved_aside = self.without_renameat2 and kind == "absent" and self._leftovers()
            if kind not in ("new", "old") and not kind.startswith("step ") and not moved_aside:
                self.outcome.wrong.append(f"{where}: {kind} instead of what was there")

    def _check_next(self, where: str) -> None:
        def command() -> int:
            os.chdir(self.work)
            return self.scenario.main(self._absolute(self.scenario.again))

        code = in_child(command, self.home / "errors")
        if code != 0 or self._try_states(where) != self.end:
            text = (self.home / "errors").read_text()[-300:]
            self.outcome.wrong.append(f"{where}: the next run ended with {code}: {text}")
        if self.name == "train" and code == 0 and not same_run(self.work / "run", self.home / "finished" / "run"):
            self.outcome.wrong.append(f"{where}: resumed to another end")
        if self._leftovers():
            self.outcome.wrong.append(f"{where}: the next run left {self._leftovers()}")

    def _leftovers(self) -> list[str]:
        return [str(file.relative_to(self.work)) for file in self.work.rglob("*") if _LEFTOVER.search(file.name)]


def main() -> int:
    """Prints a row per scenario and fault; the exit code is 1 where anything went wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenarios", nargs="*", default=list(scenarios()))
    parser.add_argument("--faults", nargs="+", choices=FAULTS, default=list(FAULTS))
    parser.add_argument("--every", type=int, default=1, metavar="K", help="at every K-th step only")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if importlib.util.find_spec("tensorboard"):  # here, so that not each child imports it
        importlib.import_module("torch.utils.tensorboard")
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder).resolve()
        _prepare(home)
        for name in options.scenarios or list(scenarios()):
            for fault in options.faults:
                begun = time.monotonic()
                outcome = Driver(home, name, fault).run(options.every)
                failed += len(outcome.wrong)
                ends = ", ".join(f"{times} {end}" for end, times in sorted(outcome.ends.items()))
                states = ", ".join(f"{times} {state}" for state, times in sorted(outcome.states.items()))
                print(
                    f"| {name} | {fault} | {outcome.steps} | {outcome.runs} | {ends} | {states} | "
                    f"{len(outcome.wrong)} | {time.monotonic() - begun:.0f} s |",
                    *outcome.wrong[:5], sep="\n", flush=True,
                )  # fmt: skip
    return 1 if failed else 0


def _prepare(home: Path) -> None:
    def start() -> int:
        make_start(home / "start")
        return 0

    def old() -> int:
        write_old(home / "old")
        return 0

    code = in_child(start, home / "errors")
    assert code == 0, (home / "errors").read_text()
    shutil.copytree(home / "start", home / "old")
    code = in_child(old, home / "errors")
    assert code == 0, (home / "errors").read_text()


if __name__ == "__main__":
    sys.exit(main())
