"""Puts mistakes into a copy, one at a time, and looks whether the tests named for them fail."""

from __future__ import annotations

import itertools
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from tools.mutation.entries import Mutant, MutantError
from tools.mutation.working_copy import Copy


@dataclass
class Found:
    """noticed: how many were; survivors: whose tests passed; errors: how many entries and lists could not be used."""

    noticed: int = 0
    survivors: list[Mutant] = field(default_factory=list)
    errors: int = 0


def tried(copy: Copy, mutants: Sequence[Mutant]) -> Found:
    """List by list, each after its tests without a mistake. What cannot be used is said, and the rest goes on."""
    found = Found()
    for _, entries in itertools.groupby(mutants, lambda one: one.list):
        of_list = list(entries)
        try:
            check_unchanged(copy, of_list)
        except MutantError as error:
            say(error)
            found.errors += 1
            continue
        for one in of_list:
            try:
                if noticed(copy, one):
                    found.noticed += 1
                else:
                    found.survivors.append(one)
            except MutantError as error:
                say(error)
                found.errors += 1
    return found


def say(error: MutantError) -> None:
    print(f"mutants: error: {error}", file=sys.stderr, flush=True)


def check_unchanged(copy: Copy, mutants: Sequence[Mutant]) -> None:
    """Every test and command passes without a mistake, and is not skipped. Raises MutantError."""
    for line in dict.fromkeys(line for one in mutants for line in (one.prepare, one.build) if line):
        _must_pass(line, *copy.run(line))
    names = list(dict.fromkeys(name for one in mutants for name in one.test))
    if names:
        print(f"{mutants[0].list}: without a mistake: {len(names)} tests", flush=True)
        output = _must_pass(" ".join(["pytest", *names]), *copy.pytest("-rp", *names))
        passed = re.findall(r"^PASSED (\S+)", output, re.MULTILINE)
        for name in names:
            if not any(one == name or one.startswith((f"{name}[", f"{name}::")) for one in passed):
                raise MutantError(f"{name}: expected it to pass without a mistake, got it skipped")
    for command in dict.fromkeys(one.command for one in mutants if one.command):
        _must_pass(command, *copy.run(command))


def noticed(copy: Copy, mutant: Mutant) -> bool:
    """Whether the test fails with the mistake. Raises MutantError for one that does not build or cannot be tested."""
    path, start = copy.root / mutant.file, time.monotonic()
    content = path.read_text(encoding="utf-8")
    try:
        path.write_text(content.replace(mutant.text, mutant.replacement), encoding="utf-8")
        status = _judged(copy, mutant)
    finally:
        path.write_text(content, encoding="utf-8")
    said = "noticed " if status else "SURVIVED"
    print(f"{said} {time.monotonic() - start:5.1f} s  {mutant.list}: {mutant.name}", flush=True)
    return status != 0


def _judged(copy: Copy, mutant: Mutant) -> int:
    """The exit code of the entry's test or command, with the mistake in the copy."""
    where = f"{mutant.list}: {mutant.name}"
    if mutant.build:
        status, output = copy.run(mutant.build)
        if status:
            raise MutantError(f"{where}: expected it to build, got:\n{output[-3000:]}")
    status, output = copy.run(mutant.command) if mutant.command else copy.pytest(*mutant.test)
    if mutant.test and status not in (0, 1):  # pytest's codes for tests that passed and failed
        raise MutantError(f"{where}: expected a failed test, got exit code {status}:\n{output[-3000:]}")
    return status


def _must_pass(shown: str, status: int, output: str) -> str:
    if status:
        raise MutantError(f"{shown}: expected it to pass without a mistake, got exit code {status}:\n{output[-3000:]}")
    return output
