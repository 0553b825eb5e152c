"""tools/mutants.py on a toy repository: what it tells apart; and whether the real lists still fit their files."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import missing
from tools import mutants
from tools.mutation import entries, page

TOY = """
def double(number: int) -> int:
    return 2 * number


def shown(number: int) -> str:
    return f"{number} of 4"
"""
TEST = """
import os
import pytest
from toy import double


def test_double():
    assert double(3) == 6


@pytest.mark.skipif(True, reason="never here")
def test_skipped():
    assert double(1) == 2
"""
NOTICED = """
[[mutant]]
name = "three times"
file = "toy.py"
text = "2 * number"
replacement = "3 * number"
test = "test_toy.py::test_double"
"""
SURVIVOR = """
[[mutant]]
name = "of five"
file = "toy.py"
text = "of 4"
replacement = "of 5"
test = "test_toy.py::test_double"
"""


@pytest.fixture
def toy(tmp_path: Path) -> entries.Project:
    """A repository with one module, one test and an empty list."""
    if shutil.which("git") is None:
        missing("no git: mistakes were not put in (apt install git)")
    project = entries.Project(tmp_path, packages={"toy": ""})
    project.lists.mkdir(parents=True)
    for name, text in {"toy.py": TOY, "test_toy.py": TEST, "pytest.ini": "[pytest]\n"}.items():
        (tmp_path / name).write_text(text)
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    return project


def outcome(toy: entries.Project, capsys: pytest.CaptureFixture[str], text: str, *words: str) -> tuple[int, str]:
    (toy.lists / "a.toml").write_text(text)
    code = mutants.main(words, toy)
    captured = capsys.readouterr()
    assert (toy.root / "toy.py").read_text() == TOY
    return code, captured.out + captured.err


def test_a_mistake_that_its_test_notices_passes_and_a_survivor_is_named(
    toy: entries.Project, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text = outcome(toy, capsys, NOTICED)
    assert code == 0 and "1 of 1 mutants noticed" in text
    code, text = outcome(toy, capsys, NOTICED + SURVIVOR)
    assert code == 1 and "survived: a: of five (toy.py); test_toy.py::test_double passes" in text
    assert "1 of 2 mutants noticed" in text
    assert outcome(toy, capsys, NOTICED + SURVIVOR, "three")[0] == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (NOTICED.replace("2 * number", "4 * number"), "three times: expected its text once in toy.py, got it 0 times"),
        (NOTICED.replace("2 * number", "number"), "three times: expected its text once in toy.py, got it 4 times"),
        (NOTICED.replace("toy.py\"\ntext", "none.py\"\ntext"), "expected its text once in none.py"),
        (NOTICED.replace("3 * number", "2 * number"), "three times: expected its text once"),
        (NOTICED.replace("test = ", "tset = "), "expected file, name, replacement, text and test or command"),
        (NOTICED + 'command = "true"\n', "and test or command"),
        (NOTICED.replace("[[mutant]]", "[[mutant"), "a.toml"),
        ("", "expected an entry"),
        (NOTICED.replace("::test_double", "::test_skipped"), "test_skipped: expected it to pass without a mistake"),
        (NOTICED.replace("::test_double", "::test_none"), "expected it to pass without a mistake, got exit code 4"),
        (NOTICED.replace("3 * number", "3 *"), "three times: expected a failed test, got exit code"),
        (NOTICED.replace('test = "test_toy.py::test_double"', 'command = "false"'), "false: expected it to pass"),
        (NOTICED + 'build = "grep -q 2 toy.py"\n', "three times: expected it to build"),
    ],
)  # fmt: skip
def test_an_entry_that_cannot_be_used_is_an_error_that_names_it(
    toy: entries.Project, capsys: pytest.CaptureFixture[str], text: str, words: str
) -> None:
    code, printed = outcome(toy, capsys, text)
    assert code == 2 and words in printed, printed


def test_what_cannot_be_used_stops_nothing_else(toy: entries.Project, capsys: pytest.CaptureFixture[str]) -> None:
    """An entry of a list, and a list by itself."""
    (toy.lists / "b.toml").write_text(NOTICED.replace("three times", "in b").replace("::test_double", "::test_none"))
    broken = NOTICED.replace("three times", "broken").replace("3 *", "3 * )")
    code, text = outcome(toy, capsys, broken + NOTICED)
    assert code == 2 and "a: broken: expected a failed test" in text and "test_none" in text
    assert "1 of 3 mutants noticed" in text
    assert outcome(toy, capsys, NOTICED, "a:")[0] == 0


def test_commands_judge_after_builds(toy: entries.Project, capsys: pytest.CaptureFixture[str]) -> None:
    """The list's own command runs once, the entry's build each time."""
    text = 'prepare = "echo once >> prepared"\n' + NOTICED.replace(
        'test = "test_toy.py::test_double"',
        'build = "cp toy.py built.py"\ncommand = "grep -q \'2 . number\' built.py && test $(wc -l < prepared) = 1"',
    )
    assert outcome(toy, capsys, text)[0] == 0


def test_every_entry_of_the_real_lists_fits_its_file() -> None:
    listed = entries.read(mutants.SMSR.lists)
    entries.check_texts(listed, mutants.REPOSITORY)
    names = [one.name for one in listed]
    assert len(names) == len(set(names)) > 60
    for one in listed:
        for test in one.test:
            file, _, name = test.partition("::")
            assert f"def {name}(" in (mutants.REPOSITORY / file).read_text() or not name, test


def test_no_mistake_is_listed_twice() -> None:
    """Under another name, or with more of the lines around it."""
    seen: dict[tuple[str, str], str] = {}
    for one in entries.read(mutants.SMSR.lists):
        content = (mutants.REPOSITORY / one.file).read_text()
        key = one.file, content.replace(one.text, one.replacement)
        assert key not in seen, f"{one.name} is {seen[key]}"
        seen[key] = one.name


def test_the_page_has_the_table_of_these_lists() -> None:
    """python tools/mutants.py --table writes it."""
    assert page.table(entries.read(mutants.SMSR.lists)) in mutants.PAGE.read_text()
