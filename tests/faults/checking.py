"""What must hold after a command that a fault ended: nothing half there, nothing lost, and a next run that succeeds."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from tests.faults.scenarios import Scenario, make_start, plays, same_run, scenarios, write_old

_LEFTOVER = re.compile(r"\.smsr-[a-z0-9_]{8}\.|\.part|\.partial")


@dataclass
class Outcome:
    """steps: of the command without a fault; runs: with one; ends: how often each exit code; wrong: what went wrong."""

    steps: int = 0
    runs: int = 0
    ends: dict[str, int] = field(default_factory=dict)
    states: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def row(self, *names: object) -> str:
        """For a table in Markdown, the first things that went wrong below it."""
        ends = ", ".join(f"{times} {end}" for end, times in sorted(self.ends.items()))
        states = ", ".join(f"{times} {state}" for state, times in sorted(self.states.items()))
        cells = [*names, self.runs, ends, states, len(self.wrong)]
        return "\n".join([f"| {' | '.join(map(str, cells))} |", *self.wrong[:5]])

    def ended(self, code: int) -> None:
        """Counts a run."""
        self.runs += 1
        end = "killed" if code == -signal.SIGKILL else f"exit {code}"
        self.ends[end] = self.ends.get(end, 0) + 1


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


class Checks:
    """One scenario, in `work`; `start` and `end`: what its results were before, and are after a run without a fault."""

    moved_aside = False
    """Whether an old result may lie beside its name for a moment."""

    def __init__(self, home: Path, name: str) -> None:
        self.scenario: Scenario = scenarios()[name]
        self.home, self.name = home, name
        self.work = home / "work"
        self.outcome = Outcome()
        self.start: list[str] = []
        self.end: list[str] = []

    def restart(self) -> None:
        shutil.rmtree(self.work, ignore_errors=True)
        shutil.copytree(self.home / ("old" if self.scenario.old else "start"), self.work)

    def absolute(self, arguments: object) -> list[str]:
        """Names of files with their folder, since steps are counted by path."""
        assert isinstance(arguments, list | tuple)
        names = ("run", "out", "x.smsr", "x.onnx", "out.png", "out.mp4")
        return [str(self.work / word) if word in names else word for word in arguments]

    def states(self) -> list[str]:
        return [self.scenario.state(self.work / name) for name in self.scenario.results]

    def check(self, where: str, code: int) -> None:
        """After a run with a fault, of which `where` says which."""
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
            return self.states()
        except Exception as error:  # whatever reading half a result raises
            self.outcome.wrong.append(f"{where}: half a result: {error}")
            return []

    def _check_states(self, where: str) -> None:
        for state, old, new in zip(self._try_states(where), self.start, self.end, strict=False):
            kind = "new" if state == new else "old" if state == old else state
            self.outcome.states[kind] = self.outcome.states.get(kind, 0) + 1
            moved_aside = self.moved_aside and kind == "absent" and self._leftovers()
            if kind not in ("new", "old") and not kind.startswith("step ") and not moved_aside:
                self.outcome.wrong.append(f"{where}: {kind} instead of what was there")

    def _check_next(self, where: str) -> None:
        def command() -> int:
            os.chdir(self.work)
            return self.scenario.main(self.absolute(self.scenario.again))

        code = in_child(command, self.home / "errors")
        if code != 0 or self._try_states(where) != self.end:
            text = (self.home / "errors").read_text()[-300:]
            self.outcome.wrong.append(f"{where}: the next run ended with {code}: {text}")
        if self.name == "train" and code == 0 and not same_run(self.work / "run", self.home / "finished" / "run"):
            self.outcome.wrong.append(f"{where}: resumed to another end")
        if self._leftovers():
            self.outcome.wrong.append(f"{where}: the next run left {self._leftovers()}")

    def _leftovers(self) -> list[str]:
        """But for the part of a video that an error leaves, which must play."""
        named = [file for file in self.work.rglob("*") if _LEFTOVER.search(file.name)]
        return [str(file.relative_to(self.work)) for file in named if not (".partial." in file.name and plays(file))]


def prepare(home: Path) -> None:
    """Makes what the scenarios start from, in `home`/start, and with earlier results in `home`/old."""

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


def print_rows(
    names: Sequence[str], kinds: Sequence[str], tried: Callable[[Path, str, str], tuple[Outcome, str]]
) -> int:
    """Prints a row for each scenario (no names: all) and each kind of fault; 1 where anything went wrong, else 0.

    tried: gets the prepared folder, a scenario and a kind; gives what came of it, and its size in words.
    """
    torch.set_num_threads(1)
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder).resolve()
        prepare(home)
        for name in names or list(scenarios()):
            for kind in kinds:
                outcome, size = tried(home, name, kind)
                failed += len(outcome.wrong)
                print(outcome.row(name, kind, size), flush=True)
    return 1 if failed else 0
