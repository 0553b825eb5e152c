"""Known mistakes as tests/mutants/*.toml lists them; docs/mutations.md describes the format."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest, coverage and mypy need it there


class MutantError(Exception):
    """A list, or an entry of it, cannot be used; the message names it."""


@dataclass(frozen=True)
class Project:
    """Whose sources the mistakes are put into.

    packages: each package of its own and the folder below root it lies in; preloaded: packages of others that the
    tests' processes share, since importing them takes most of a short test's time.
    """

    root: Path
    packages: Mapping[str, str]
    preloaded: tuple[str, ...] = ()

    @property
    def lists(self) -> Path:
        return self.root / "tests" / "mutants"


@dataclass(frozen=True)
class Mutant:
    """One mistake and what must notice it.

    file: of the repository; text: what stands there exactly once; replacement: the mistake. test: names for pytest;
    or command: a shell command that fails; build: a shell command before either, "" for none; prepare: the list's own,
    once for all its entries.
    """

    list: str
    name: str
    file: str
    text: str
    replacement: str
    test: tuple[str, ...] = ()
    command: str = ""
    build: str = ""
    prepare: str = ""

    @property
    def judge(self) -> str:
        """What must fail, as messages show it."""
        return self.command or " ".join(self.test)


def read(folder: Path) -> list[Mutant]:
    """All entries of the lists of a folder. Raises MutantError."""
    return [mutant for file in sorted(folder.glob("*.toml")) for mutant in _entries(file)]


def chosen(mutant: Mutant, words: Sequence[str]) -> bool:
    return not words or any(word in f"{mutant.list}: {mutant.file} {mutant.name}" for word in words)


def check_texts(mutants: Sequence[Mutant], root: Path) -> None:
    """Raises MutantError for every entry whose text is not in its file exactly once, or that changes nothing."""
    wrong = []
    for one in mutants:
        path = root / one.file
        times = path.read_text(encoding="utf-8").count(one.text) if path.is_file() else 0
        if times != 1 or not one.text or one.text == one.replacement:
            wrong.append(f"{one.list}: {one.name}: expected its text once in {one.file}, got it {times} times")
    if wrong:
        raise MutantError("\n".join(wrong))


def _entries(file: Path) -> Iterator[Mutant]:
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise MutantError(f"{file}: {error}") from error
    for number, entry in enumerate(content.get("mutant", []), 1):
        name = entry.get("name", f"entry {number}")
        required, optional = {"name", "file", "text", "replacement"}, {"test", "command", "build"}
        if not required <= entry.keys() <= required | optional or ("test" in entry) == ("command" in entry):
            raise MutantError(f"{file}: {name}: expected {', '.join(sorted(required))} and test or command")
        facts: dict[str, Any] = {**entry, "test": tuple(entry.get("test", "").split())}
        yield Mutant(list=file.stem, prepare=content.get("prepare", ""), **facts)
