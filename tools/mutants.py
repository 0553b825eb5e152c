"""Puts known mistakes into a copy of the repository, one at a time, and runs the test that must notice each.

    python tools/mutants.py [WORD ...]     (make mutants ONLY="WORD ..."): those whose list, file or name holds a WORD;
                                           a list alone: `runtime:`
    python tools/mutants.py --table        writes the table in docs/mutations.md

The mistakes are in tests/mutants/*.toml (docs/mutations.md describes the format). Exit code 1 where one
survives: its test passes although the mistake is there. A list that no longer fits the sources, a test that fails
or is skipped without the mistake, and a mistake that does not build are errors that name the entry (exit code 2); the
other lists and entries are tried all the same.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest, coverage and mypy need it there

REPOSITORY = Path(__file__).resolve().parent.parent
LISTS = REPOSITORY / "tests" / "mutants"
PAGE, MARK = REPOSITORY / "docs" / "mutations.md", "<!-- table: python tools/mutants.py --table -->"
PACKAGES = {"smsr": "", "smsr_export": "export", "smsr_runtime": "runtime", "smsr_bench": "benchmarks"}
"""Each package and the folder it lies in."""
LIMIT_SECONDS = 900
"""Of one build or test; of many tests at once for each, since a machine may be busy."""
NOT_THE_INSTALLED = """\
import sys

sys.meta_path[:] = [finder for finder in sys.meta_path if not type(finder).__name__.startswith("ScikitBuild")]
"""
"""sitecustomize.py of the copy: an editable installation's finder would import the packages from the repository."""

PRELOADED = ("numpy", "cv2", "torch", "onnx", "onnx_graphsurgeon", "onnxruntime", "PIL.Image", "av")
"""Packages that the tests' processes share: importing them takes most of a short test's time."""
SERVER = """\
import importlib, importlib.util, json, os, sys
import pytest

for name in sys.argv[1:]:
    if importlib.util.find_spec(name.partition(".")[0]):
        importlib.import_module(name)
for line in sys.stdin:
    words, log = json.loads(line)
    child = os.fork()
    if child == 0:
        output = os.open(log, os.O_WRONLY | os.O_CREAT)
        for number, file in enumerate((os.open(os.devnull, os.O_RDONLY), output, output)):
            os.dup2(file, number)
        code = int(pytest.main(words))
        sys.stdout.flush()
        os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
"""Runs pytest in a fork of itself for each line of words and a file for the output; answers with its exit code."""


class MutantError(Exception):
    """A list, or an entry of it, cannot be used; the message names it."""


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
        """What must fail, as tables show it."""
        return self.command or " ".join(self.test)


def main(words: Sequence[str]) -> int:
    start = time.monotonic()
    try:
        if list(words) == ["--table"]:
            write_table()
            return 0
        mutants = [one for one in read(LISTS) if chosen(one, words)]
        check_texts(mutants, REPOSITORY)
        if not mutants:
            raise MutantError(f"{LISTS}: expected an entry with {' or '.join(words) or 'a name'}, got none")
        with tempfile.TemporaryDirectory(prefix="smsr-mutants-") as folder, Copy(Path(folder) / "smsr") as copy:
            found = tried(copy, mutants)
    except MutantError as error:
        _say(error)
        return 2
    for one in found.survivors:
        print(f"mutants: survived: {one.list}: {one.name} ({one.file}); {one.judge} passes")
    minutes = (time.monotonic() - start) / 60
    print(f"{found.noticed} of {len(mutants)} mutants noticed in {minutes:.0f} min")
    return 2 if found.errors else 1 if found.survivors else 0


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
            _say(error)
            found.errors += 1
            continue
        for one in of_list:
            try:
                if noticed(copy, one):
                    found.noticed += 1
                else:
                    found.survivors.append(one)
            except MutantError as error:
                _say(error)
                found.errors += 1
    return found


def _say(error: MutantError) -> None:
    print(f"mutants: error: {error}", file=sys.stderr, flush=True)


def chosen(mutant: Mutant, words: Sequence[str]) -> bool:
    return not words or any(word in f"{mutant.list}: {mutant.file} {mutant.name}" for word in words)


def read(folder: Path) -> list[Mutant]:
    """All entries of the lists of a folder. Raises MutantError."""
    return [mutant for file in sorted(folder.glob("*.toml")) for mutant in _entries(file)]


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


class Copy:
    """The repository's files that git does not ignore, and the built native library, in a folder of their own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._server: subprocess.Popen[str] | None = None
        listed = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
            cwd=REPOSITORY, capture_output=True, text=True, check=True,
        ).stdout.split("\0")  # fmt: skip
        built = [str(file.relative_to(REPOSITORY)) for file in REPOSITORY.glob("runtime/smsr_runtime/native/*.so")]
        for name in [*listed, *built]:
            if name and (REPOSITORY / name).is_file():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(REPOSITORY / name, root / name)
        (root / "build" / "site").mkdir(parents=True)
        (root / "build" / "site" / "sitecustomize.py").write_text(NOT_THE_INSTALLED)
        self._check_imports()

    def __enter__(self) -> Copy:
        return self

    def __exit__(self, *_: object) -> None:
        self._end_server()

    def _end_server(self) -> None:
        """The next test starts another."""
        if self._server is not None:
            os.killpg(self._server.pid, signal.SIGKILL)  # a test that still runs too
            self._server.communicate()
            self._server = None

    def pytest(self, *words: str) -> tuple[int, str]:
        """Exit code and output of pytest in the copy. Raises MutantError past the limit."""
        if self._server is None:
            self._server = subprocess.Popen(
                [sys.executable, "-c", SERVER, *PRELOADED], cwd=self.root, env=self._environment(), text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
            )  # fmt: skip
        assert self._server.stdin is not None and self._server.stdout is not None
        log = self.root / "build" / "pytest.log"
        log.unlink(missing_ok=True)
        print(json.dumps([[*PYTEST, *words], str(log)]), file=self._server.stdin, flush=True)
        limit = LIMIT_SECONDS * max(1, sum("::" in word for word in words))
        if not select.select([self._server.stdout], [], [], limit)[0]:
            self._end_server()
            raise MutantError(f"{' '.join(words)}: still running after {limit} s")
        status = self._server.stdout.readline()
        if not status:
            self._end_server()
            raise MutantError(f"{' '.join(words)}: expected pytest to start, got an end of its process")
        return int(status), log.read_text(encoding="utf-8", errors="replace")

    def run(self, command: str | Sequence[str]) -> tuple[int, str]:
        """Exit code and output of a command, or of a shell's line, in the copy. Raises MutantError past the limit."""
        shell = isinstance(command, str)
        try:
            done = subprocess.run(
                command, shell=shell, cwd=self.root, env=self._environment(), text=True, errors="replace", check=False,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=LIMIT_SECONDS,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise MutantError(f"{command}: still running after {LIMIT_SECONDS} s") from error
        return done.returncode, done.stdout

    def _environment(self) -> Mapping[str, str]:
        paths = [self.root / "build" / "site", *(self.root / folder for folder in PACKAGES.values())]
        return {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
            "PYTHONDONTWRITEBYTECODE": "1",  # a changed source of the same size and second would not be compiled again
            "SMSR_SHARED": os.environ.get("SMSR_SHARED") or str(REPOSITORY.parent / "shared"),
        }

    def _check_imports(self) -> None:
        """Raises MutantError where a package would be imported from anywhere else."""
        code = f"import {', '.join(PACKAGES)}; print({', '.join(f'{name}.__file__' for name in PACKAGES)}, sep='\\n')"
        status, output = self.run([sys.executable, "-c", code])
        outside = [line for line in output.splitlines() if not Path(line).is_relative_to(self.root)]
        if status or outside:
            raise MutantError(f"expected packages imported from {self.root}, got {output.strip()}")


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


def table(mutants: Sequence[Mutant]) -> str:
    """Markdown: every mistake, its file and the test that notices it."""
    rows = ["| in | mistake | noticed by |", "|---|---|---|"]
    for one in mutants:
        tests = "<br>".join(f"`{name}`" for name in one.test) or f"`{one.command}`"
        rows.append(f"| `{one.file}` | {one.name} | {tests} |")
    return "\n".join(rows)


def write_table() -> None:
    """Puts the table behind its mark in docs/mutations.md, up to the next heading."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(MARK)
    heading = rest.find("\n## ")
    after = rest[heading:] if heading >= 0 else ""
    PAGE.write_text(f"{before}{MARK}\n\n{table(read(LISTS))}\n{after}", encoding="utf-8")


PYTEST = ("-q", "-n", "0", "-x", "-p", "no:cacheprovider")


def _must_pass(shown: str, status: int, output: str) -> str:
    if status:
        raise MutantError(f"{shown}: expected it to pass without a mistake, got exit code {status}:\n{output[-3000:]}")
    return output


def noticed(copy: Copy, mutant: Mutant) -> bool:
    """Whether the test fails with the mistake. Raises MutantError for one that does not build or cannot be tested."""
    path, start = copy.root / mutant.file, time.monotonic()
    content = path.read_text(encoding="utf-8")
    try:
        path.write_text(content.replace(mutant.text, mutant.replacement), encoding="utf-8")
        if mutant.build:
            status, output = copy.run(mutant.build)
            if status:
                raise MutantError(f"{mutant.list}: {mutant.name}: expected it to build, got:\n{output[-3000:]}")
        status, output = copy.run(mutant.command) if mutant.command else copy.pytest(*mutant.test)
    finally:
        path.write_text(content, encoding="utf-8")
    if mutant.test and status not in (0, 1):  # pytest's codes for tests that passed and failed
        raise MutantError(
            f"{mutant.list}: {mutant.name}: expected a failed test, got exit code {status}:\n{output[-3000:]}"
        )
    print(
        f"{'noticed ' if status else 'SURVIVED'} {time.monotonic() - start:5.1f} s  {mutant.list}: {mutant.name}",
        flush=True,
    )
    return status != 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
