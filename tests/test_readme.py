"""The README's figures are those of the benchmark's report and of the model card."""

from __future__ import annotations

from pathlib import Path

from tests.helpers import REPOSITORY, run_python


def test_the_readme_has_the_figures_of_report_and_model_card(tmp_path: Path) -> None:
    done = run_python(REPOSITORY / "tools" / "readme_tables.py", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
