"""Rows of a benchmark as Markdown and JSON."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate

from smsr_bench.engines import ENGINES

LABELS = {engine.name: engine.label for engine in ENGINES}


@dataclass(frozen=True)
class Row:
    """One picture: seconds per engine (medians), how many times longer than ours each engine takes."""

    picture: str
    width: int
    height: int
    active_shares: list[float]
    gmacs: float
    dense_gmacs: float
    seconds: dict[str, float]
    ratios: dict[str, float]

    @property
    def gmacs_per_second(self) -> float:
        """Remaining GMAC a second, ours."""
        return self.gmacs / self.seconds["native"]


def machine() -> dict[str, Any]:
    """What was measured on: processor, cores, system."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = lines[0] if lines else model
    return {"processor": model, "cores": os.cpu_count(), "system": platform.platform()}


def markdown(rows: Sequence[Row], engines: Sequence[str]) -> str:
    """The table: a row a picture, then the geometric means of the ratios."""
    others = [name for name in engines if name != "native"]
    head = ["picture", "size", "active", "GMAC of dense", "smsr ms", "GMAC/s"]
    head += [f"{LABELS[name]} ms (x)" for name in others]
    cells = [
        [row.picture, f"{row.width}x{row.height}", f"{np.mean(row.active_shares):.2f}",
         f"{row.gmacs:.1f} / {row.dense_gmacs:.1f}", f"{1e3 * row.seconds['native']:.0f}",
         f"{row.gmacs_per_second:.0f}",
         *(f"{1e3 * row.seconds[name]:.0f} ({row.ratios[name]:.2f}x)" for name in others)]
        for row in rows
    ]  # fmt: skip
    if len(rows) > 1:
        means = [f"({geometric_mean([row.ratios[name] for row in rows]):.2f}x)" for name in others]
        cells.append(["geometric mean", "", "", "", "", "", *means])
    return tabulate(cells, head, tablefmt="github", disable_numparse=True)


def geometric_mean(values: Sequence[float]) -> float:
    return float(np.exp(np.mean(np.log(values))))


def write_json(path: Path, rows: Sequence[Row], facts: dict[str, Any]) -> None:
    document = {"machine": machine(), **facts, "rows": [asdict(row) for row in rows]}
    path.write_text(json.dumps(document, indent=2) + "\n")
