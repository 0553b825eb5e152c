"""docs/operators.md is that of the contract, and a page of another contract is noticed."""

from __future__ import annotations

import re
from pathlib import Path

from smsr import contract
from tests.helpers import REPOSITORY, run_python

TOOL = REPOSITORY / "tools" / "operators_page.py"


def test_the_repository_s_page_is_that_of_the_contract() -> None:
    done = run_python(TOOL, cwd=REPOSITORY)
    assert done.returncode == 0, done.stdout + done.stderr


def test_another_page_is_noticed_and_written_anew(tmp_path: Path) -> None:
    page = tmp_path / "operators.md"
    assert run_python(TOOL, "--page", page, cwd=tmp_path).returncode == 1
    page.write_text("the page of an older contract")
    done = run_python(TOOL, "--page", page, cwd=tmp_path)
    assert done.returncode == 1 and f"{page}: expected the page of smsr/contract.py" in done.stdout
    assert run_python(TOOL, "--page", page, "--write", cwd=tmp_path).returncode == 0
    assert page.read_text() == (REPOSITORY / "docs" / "operators.md").read_text()


def test_tables_have_all_tensors_in_order_and_no_cell_is_cut() -> None:
    page = (REPOSITORY / "docs" / "operators.md").read_text()
    for operator in contract.OPERATORS:
        section = page.split(f"\n## {operator.name}\n")[1].split("\n## ")[0]
        rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in section.splitlines() if line.startswith("|")]
        assert {len(row) for row in rows} == {4}
        named = [row[1].strip(" `") for row in rows if row[0].strip() == "in"]
        assert named == [tensor.name for tensor in operator.inputs]
        assert all(f"| `{attribute.name}` " in section for attribute in operator.attributes)
        assert not re.search(r"(?<!\\)\*", section)
