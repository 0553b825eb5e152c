"""What a file says reaches a terminal as plain text of a bounded length; streams that take no more are one line."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from smsr_runtime import console
from smsr_runtime.errors import SmsrError, is_printable, one_line, printable
from tests.helpers import REPOSITORY, run_python
from tests.runtime.helpers import Run

BAD = ["\x1b[31m", "\x00", "\x7f", "\x9b31m", "\u2028", "\u202e", "\u2066", "\ud800"]


@pytest.mark.parametrize("bad", BAD, ids=ascii)
def test_control_characters_and_surrogates_do_not_get_through(bad: str) -> None:
    assert not is_printable(bad) and is_printable(printable(bad)) and is_printable(one_line(f"a{bad}b"))
    error = SmsrError(f"w{bad}", f"e{bad}", f"g{bad}", f"t{bad}")
    assert is_printable(str(error)) and all(is_printable(text) for text in error.as_json().values())


def test_plain_text_stays_as_it_is() -> None:
    for text in ("größe 4×5, 画像, 😀", "two\nlines"):
        assert printable(text) == text
    assert one_line("two\nlines") == "two lines" and printable("tab\there") == "tab here"


def test_long_values_are_cut_in_the_middle() -> None:
    error = SmsrError("a" * 100_000, "b", "begin" + "c" * 100_000 + "end", "d")
    assert len(str(error)) < 2500 and error.got.startswith("begin") and error.got.endswith("end")
    assert error.as_json()["got"] == error.got


def test_what_an_encoding_lacks_is_escaped() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), "ascii")
    console.put("größe", stream)
    assert isinstance(stream.buffer, io.BytesIO) and stream.buffer.getvalue() == b"gr\\xf6\\xdfe\n"


def test_names_of_pictures_with_escapes_are_shown_without(run: Run, tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "in").mkdir()
    for name in ("\x1b[2Ja.png", "b\udcff.png", "c\x9b.png"):
        Image.new("RGB", (4, 4)).save(tmp_path / "in" / name, "PNG")
    (tmp_path / "in" / "\x1b[31mno.png").write_text("no picture")
    done = run("in", "-o", "out", cwd=tmp_path)
    assert done.returncode == 1 and len(list((tmp_path / "out").iterdir())) == 3
    shown = done.stdout + done.stderr
    assert all(is_printable(line) for line in shown.splitlines()) and "[2Ja.png" in done.stdout
    done = run("in", "-o", "out", "--force", "--json", cwd=tmp_path)
    assert all(is_printable(line) for line in done.stdout.splitlines())


COMMANDS = {
    "smsr-run": "smsr_runtime.run.command", "smsr-export": "smsr_export.cli", "smsr-train": "smsr.training.cli",
    "smsr-eval": "smsr.evaluation.cli", "smsr-bench": "smsr_bench.cli",
}  # fmt: skip


@pytest.mark.parametrize("program", COMMANDS)
@pytest.mark.parametrize("stream", ["full", "closed", "pipe"])
def test_help_that_cannot_be_printed_is_one_line(program: str, stream: str, tmp_path: Path) -> None:
    paths = [str(REPOSITORY / part) for part in ("", "export", "runtime", "benchmarks")]
    code = f"import sys; from {COMMANDS[program]} import main; sys.argv = [{program!r}, '--help']; sys.exit(main())"
    redirection = {"full": ">/dev/full", "closed": ">&-", "pipe": "| true"}[stream]
    done = subprocess.run(
        ["/bin/bash", "-c", f'set -o pipefail; "$0" -c "$1" {redirection}', sys.executable, code], check=False,
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)}, cwd=tmp_path,
    )  # fmt: skip
    lines = done.stderr.splitlines()
    if stream == "full":
        assert done.returncode == 1 and len(lines) == 1, done.stderr
        assert lines[0].startswith(f"{program}: error: standard output: expected ") and "no space left" in lines[0]
    elif stream == "closed":  # then argparse shows it on stderr
        assert done.returncode == 0 and lines[0].startswith(f"usage: {program}"), done.stderr
    else:
        assert done.returncode == 0 and not lines, done.stderr


def test_a_json_document_that_cannot_be_printed_is_one_line(bundle: Path, tmp_path: Path) -> None:
    code = "import sys; from smsr_runtime.run.command import main; sys.exit(main())"
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", code, str(bundle), "--selftest", "--json", "--quiet"], stdout=full,
            stderr=subprocess.PIPE, text=True, check=False, env={"PYTHONPATH": str(REPOSITORY / "runtime")},
        )  # fmt: skip
    assert done.returncode == 1 and done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("smsr-run: error: standard output: expected room for what is printed")


def test_arguments_with_escapes_are_shown_without(tmp_path: Path) -> None:
    done = run_python("-m", "smsr_export.cli", "--\x1b[31mevil", cwd=tmp_path)
    assert done.returncode == 2 and "\x1b" not in done.stderr
