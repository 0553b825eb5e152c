"""The verdict over all rows, as a table for people and as JSON for the manifest."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field

from tabulate import tabulate

from smsr_export.parity.rows import ParityRow, summaries


@dataclass(frozen=True)
class Parity:
    """Verdict over all rows; `failures` says each limit that was broken, in words.

    in_reduced_precision: whether any path computed in `precision` here; always so for fp32.
    """

    precision: str
    rows: list[ParityRow]
    failures: list[str] = field(default_factory=list)
    in_reduced_precision: bool = True

    @property
    def passed(self) -> bool:
        return not self.failures

    def as_json(self) -> dict[str, object]:
        """Plain JSON data; a number that is not finite becomes null."""
        rows = [{key: _json_number(value) for key, value in dataclasses.asdict(row).items()} for row in self.rows]
        return {
            "passed": self.passed,
            "in_reduced_precision": self.in_reduced_precision,
            "failures": self.failures,
            "rows": rows,
        }

    def table(self) -> str:
        """The rows, then a summary of each path, as plain text."""
        head = ["picture", "path", "size", "active", "mask flips", "max diff", "RMSE", "PSNR PyTorch", "PSNR"]
        cells = [
            [row.picture, row.path, row.size, f"{row.active_share:.3f}", row.flips,
             f"{row.max_abs:.1e}", f"{row.rmse:.1e}", _decibel(row.psnr_torch), _decibel(row.psnr)]
            for row in [*self.rows, *summaries(self.rows)]
        ]  # fmt: skip
        return tabulate(cells, head, disable_numparse=True, colalign=("left", "left", *["right"] * 7))


def together(first: Parity, second: Parity) -> Parity:
    """One verdict over the rows of both; each was held to its own precision's limits."""
    rows, failures = [*first.rows, *second.rows], [*first.failures, *second.failures]
    return dataclasses.replace(second, rows=rows, failures=failures)


def _json_number(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _decibel(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
