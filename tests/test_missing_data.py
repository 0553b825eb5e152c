"""Without the real data a test is skipped by name and says why; under CI=true it fails instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers import REPOSITORY, run_python

TEST = "tests/smsr/test_checkpoint.py::test_the_published_checkpoint_reads"


@pytest.mark.parametrize(("ci", "code", "word"), [("", 0, "SKIPPED"), ("true", 1, "ERROR")])
def test_missing_data_skips_here_and_fails_in_ci(ci: str, code: int, word: str, tmp_path: Path) -> None:
    environment = {"SMSR_SHARED": str(tmp_path), "CI": ci, "PYTEST_ADDOPTS": "", "PYTEST_XDIST_WORKER": ""}
    done = run_python(
        "-m", "pytest", TEST, "-rsE", "-p", "no:cacheprovider", cwd=REPOSITORY, environment=environment
    )  # fmt: skip
    assert done.returncode == code and word in done.stdout, done.stdout
    assert "no real data" in done.stdout and "SMSR_SHARED" in done.stdout
