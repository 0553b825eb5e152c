"""Rows of a benchmark as Markdown and JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from tabulate import tabulate

from smsr_bench.engines import ENGINES, OURS

NOT_EXACT = "Not numerically equal to the network (masks its outputs only)"


@dataclass(frozen=True)
class Row:
    """One picture. seconds: medians; ratios: how many times longer than ours; memory: peak bytes of a process.

    active_shares: 0..1, one per module; gmacs, dense_gmacs: remaining and dense multiply-adds of the picture, 1e9;
    peak: this machine's float32 multiply-adds per second in the same rounds; bf16_ratio: OpenVINO's bf16 over ours.
    """

    picture: str
    width: int
    height: int
    rounds: int
    active_shares: list[float]
    gmacs: float
    dense_gmacs: float
    peak: float
    seconds: dict[str, float]
    ratios: dict[str, float]
    bf16_ratio: float | None = None
    memory: dict[str, int] = field(default_factory=dict)

    @property
    def megapixels(self) -> float:
        return self.width * self.height / 1e6

    @property
    def active_share(self) -> float:
        return float(np.mean(self.active_shares))

    def gmacs_per_second(self, engine: str = OURS) -> float:
        """Remaining GMAC per second: what the network needs, whatever the engine computes."""
        return self.gmacs / self.seconds[engine]

    def of_peak(self, engine: str = OURS) -> float:
        return 1e9 * self.gmacs_per_second(engine) / self.peak


@dataclass(frozen=True)
class Results:
    """facts: machine, threads, versions; shares: one picture at 0..100 % active; sizes: 0.06..2 megapixels."""

    facts: Mapping[str, Any]
    engines: Sequence[str]
    pictures: Sequence[Row]
    shares: Sequence[Row] = ()
    sizes: Sequence[Row] = ()

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def summary(rows: Sequence[Row], engines: Sequence[str]) -> str:
    """One row per picture, then the geometric means of the ratios."""
    others = [name for name in engines if name != OURS]
    head = ["picture", "size", "active", "GMAC of dense", "smsr ms", "GMAC/s", "of peak"]
    head += [f"{ENGINES[name].label} ms (x)" for name in others]
    if {"native-bf16", "openvino-bf16"} <= set(engines):
        head.append("OpenVINO bf16 over smsr bf16")
    cells = [
        [row.picture, f"{row.width}x{row.height}", f"{row.active_share:.2f}",
         f"{row.gmacs:.1f} / {row.dense_gmacs:.1f}", milliseconds(row, OURS), f"{row.gmacs_per_second():.0f}",
         f"{100 * row.of_peak():.0f} %",
         *(f"{milliseconds(row, name)} ({row.ratios[name]:.2f}x)" if name in row.seconds else "" for name in others),
         *([f"{row.bf16_ratio:.2f}x"] if row.bf16_ratio else [])]
        for row in rows
    ]  # fmt: skip
    if len(rows) > 1:
        means = [_mean_ratio(rows, name) for name in others]
        bf16 = [row.bf16_ratio for row in rows if row.bf16_ratio]
        cells.append(["geometric mean", *[""] * 6, *means, *([f"({geometric_mean(bf16):.2f}x)"] if bf16 else [])])
    return tabulate(cells, head, tablefmt="github", disable_numparse=True)


def memory(rows: Sequence[Row], engines: Sequence[str]) -> str:
    """Peak memory of each engine's process, on the picture it was measured with; empty where it was not measured."""
    row = next((row for row in rows if row.memory), None)
    if row is None:
        return ""
    head = ["engine", f"peak memory MiB, {row.width}x{row.height}", "of the rival's"]
    rival = row.memory.get("rival")
    cells = [
        [ENGINES[name].label, f"{row.memory[name] / 2**20:.0f}", f"{row.memory[name] / rival:.2f}" if rival else ""]
        for name in engines if name in row.memory
    ]  # fmt: skip
    return tabulate(cells, head, tablefmt="github", disable_numparse=True)


def details(rows: Sequence[Row], engines: Sequence[str]) -> str:
    """One row per picture and engine: speed on the remaining work, share of the machine's peak."""
    head = ["picture", "engine", "ms", "x", "GMAC/s remaining", "of peak"]
    cells = [
        [row.picture, ENGINES[name].label, milliseconds(row, name), f"{row.ratios[name]:.2f}",
         f"{row.gmacs_per_second(name):.0f}", f"{100 * row.of_peak(name):.0f} %"]
        for row in rows for name in engines if name in row.seconds
    ]  # fmt: skip
    return tabulate(cells, head, tablefmt="github", disable_numparse=True)


def modules(rows: Sequence[Row]) -> str:
    """Active share per module."""
    head = ["picture", *(f"module {index}" for index in range(1, len(rows[0].active_shares) + 1)), "mean"]
    cells = [[row.picture, *(f"{share:.3f}" for share in (*row.active_shares, row.active_share))] for row in rows]
    return tabulate(cells, head, tablefmt="github", disable_numparse=True)


def series(rows: Sequence[Row], engines: Sequence[str]) -> str:
    """Rows of one picture at other active shares or sizes: time, time per megapixel, ratio."""
    head = ["size", "megapixels", "active", "GMAC", *(f"{ENGINES[name].label} ms" for name in engines)]
    head += ["smsr ms/megapixel", *(f"x {ENGINES[name].label}" for name in engines if name != OURS)]
    cells = [
        [f"{row.width}x{row.height}", f"{row.megapixels:.2f}", f"{row.active_share:.2f}", f"{row.gmacs:.1f}",
         *(milliseconds(row, name) for name in engines), f"{1e3 * row.seconds[OURS] / row.megapixels:.0f}",
         *(f"{row.ratios[name]:.2f}" if name in row.ratios else "" for name in engines if name != OURS)]
        for row in rows
    ]  # fmt: skip
    return tabulate(cells, head, tablefmt="github", disable_numparse=True)


def markdown(results: Results) -> str:
    """The whole report."""
    facts, engines = results.facts, results.engines
    text = ["# Benchmark", headline(results), summary(results.pictures, engines)]
    if inexact := not_exact(engines):
        text.append(inexact)
    text += ["## Each engine", _MEANING, details(results.pictures, engines)]
    if peaks := memory(results.pictures, engines):
        text += ["## Peak memory", "Each engine alone in a process of its own, whole, on the largest picture.", peaks]
    text += ["## Active share", modules(results.pictures)]
    for title, rows in (("Other active shares", results.shares), ("Sizes", results.sizes)):
        if rows:
            text += [f"## {title}", _SERIES[title], series(rows, list(rows[0].seconds))]
    text += ["## Measured with", "\n".join(f"- {name}: {value}" for name, value in facts.items())]
    return "\n\n".join(text) + "\n"


_MEANING = (
    "GMAC/s and share of peak count what the network needs (active pixels in full, others dense channels only, as "
    "direct convolutions), whatever an engine computes. Winograd multiplies less, so more than 100 % is possible. The "
    "peak is float32's, for bf16 engines too."
)
_SERIES = {
    "Other active shares": "The first picture; every module's margin shifted so that this share of pixels is active.",
    "Sizes": "The first picture repeated by reflection, so that texture and active share stay alike.",
}


def headline(results: Results) -> str:
    facts, rounds = results.facts, sorted({row.rounds for row in results.pictures})
    count = f"{rounds[0]}" if len(rounds) == 1 else f"{rounds[0]} to {rounds[-1]}"
    peak = np.median([row.peak for row in results.pictures]) / 1e9
    return (
        f"{facts['processor']}, {facts['threads']} threads, medians of {count} interleaved rounds, "
        f"peak {peak:.0f} GMAC/s float32 (measured in the same rounds)."
    )


def not_exact(engines: Sequence[str]) -> str:
    labels = [ENGINES[name].label for name in engines if not ENGINES[name].exact]
    return f"{NOT_EXACT}: {'; '.join(labels)}." if labels else ""


def milliseconds(row: Row, engine: str) -> str:
    return f"{1e3 * row.seconds[engine]:.0f}" if engine in row.seconds else ""


def _mean_ratio(rows: Sequence[Row], engine: str) -> str:
    """Over the rows that the engine ran on, and their number where it ran on some only."""
    ratios = [row.ratios[engine] for row in rows if engine in row.ratios]
    if not ratios:
        return ""
    count = f", {len(ratios)} of {len(rows)}" if len(ratios) < len(rows) else ""
    return f"({geometric_mean(ratios):.2f}x{count})"


def geometric_mean(values: Sequence[float]) -> float:
    return float(np.exp(np.mean(np.log(values))))
