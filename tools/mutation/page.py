"""The table of all known mistakes in docs/mutations.md."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tools.mutation.entries import Mutant

MARK = "<!-- table: python tools/mutants.py --table -->"


def table(mutants: Sequence[Mutant]) -> str:
    """Markdown: every mistake, its file and the test that notices it."""
    rows = ["| in | mistake | noticed by |", "|---|---|---|"]
    for one in mutants:
        tests = "<br>".join(f"`{name}`" for name in one.test) or f"`{one.command}`"
        rows.append(f"| `{one.file}` | {one.name} | {tests} |")
    return "\n".join(rows)


def write_table(page: Path, mutants: Sequence[Mutant]) -> None:
    """Puts the table behind its mark in the page, up to the next heading."""
    before, _, rest = page.read_text(encoding="utf-8").partition(MARK)
    heading = rest.find("\n## ")
    after = rest[heading:] if heading >= 0 else ""
    page.write_text(f"{before}{MARK}\n\n{table(mutants)}\n{after}", encoding="utf-8")
