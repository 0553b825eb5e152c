"""Rows of a benchmark as Markdown and JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from tabulate import tabulate

from smsr_bench.engines import ENGINES, OURS, OURS_IN_ALL_PRECISIONS

NOT_EXACT = "Not numerically equal to the network (masks its outputs only)"


@dataclass(frozen=True)
class Row:
    """One picture. seconds: medians; ratios: how many times longer than ours; memory: peak bytes of a process.

    active_shares: 0..1, one per module; gmacs, dense_gmacs: remaining and dense multiply-adds of the picture, 1e9;
    peak: this machine's float32 multiply-adds per second in the same rounds; bf16_ratio: OpenVINO's bf16 over ours;
    psnr: dB on Y of engines that compute the network, where the high-resolution picture is at hand.
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
    psnr: dict[str, float] = field(default_factory=dict)

    @property
    def megapixels(self) -> float:
        return self.pixels / 1e6

    @property
    def pixels(self) -> int:
        return self.width * self.height

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
    """facts: machine, threads, versions; shares: one picture at 0..100 % active; sizes: 0.06..2 megapixels.

    span_macs: SPAN's multiply-adds per low-resolution pixel.
    """

    facts: Mapping[str, Any]
    engines: Sequence[str]
    pictures: Sequence[Row]
    span_macs: int
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


def quality(rows: Sequence[Row], engines: Sequence[str]) -> str:
    """PSNR of each engine, over the pictures whose high-resolution side is at hand; empty without such pictures."""
    rows = [row for row in rows if row.psnr]
    names = [name for name in engines if any(name in row.psnr for row in rows)]
    head = ["picture", *(ENGINES[name].label for name in names)]
    cells = [[row.picture, *(f"{row.psnr[name]:.2f}" if name in row.psnr else "" for name in names)] for row in rows]
    everywhere = [name for name in names if all(name in row.psnr for row in rows)]  # large pictures are not for all
    means = {name: float(np.mean([row.psnr[name] for row in rows])) for name in everywhere}
    cells.append(["mean", *(f"{means[name]:.3f}" if name in means else "" for name in names)])
    if OURS in means:
        cells.append(["to smsr", *(f"{means[name] - means[OURS]:+.3f}" if name in means else "" for name in names)])
    return tabulate(cells, head, tablefmt="github", disable_numparse=True) if rows else ""


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
    text += notes(results)
    text += ["## Each engine", _MEANING, details(results.pictures, engines)]
    if decibels := quality(results.pictures, engines):
        text += ["## Quality", _QUALITY, decibels]
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
_SPAN = (
    "SPAN ([arXiv 2311.12770](https://arxiv.org/abs/2311.12770), 48 channels) is another network, dense and small: "
    "{span:.0f} thousand multiply-adds per low-resolution pixel, where the bundle's has {dense:.0f} with every pixel "
    "active. Its weights here are random, so only its time counts."
)
_QUALITY = (
    "PSNR in dB on Y, as `smsr-eval` measures it, of what these runs computed. int8: NNCF's post-training quantisation "
    "of all layers but bicubic interpolation and mask branches, which lose several dB in int8."
)
_SERIES = {
    "Other active shares": "The first picture; every module's margin shifted so that this share of pixels is active.",
    "Sizes": "The first picture repeated by reflection, so that texture and active share stay alike.",
}


def headline(results: Results) -> str:
    facts, rounds = results.facts, sorted({row.rounds for row in results.pictures})
    threads = "1 thread" if facts["threads"] == 1 else f"{facts['threads']} threads"
    count = f"{rounds[0]}" if len(rounds) == 1 else f"{rounds[0]} to {rounds[-1]}"
    peak = np.median([row.peak for row in results.pictures]) / 1e9
    return (
        f"{facts['processor']}, {threads}, medians of {count} interleaved rounds, "
        f"peak {peak:.0f} GMAC/s float32 (measured in the same rounds)."
    )


def notes(results: Results) -> list[str]:
    """What the rivals are, and which of them are faster."""
    engines = results.engines
    return [text for text in (not_exact(engines), other_network(results), faster(results.pictures, engines)) if text]


def not_exact(engines: Sequence[str]) -> str:
    chosen = [ENGINES[name] for name in engines]
    labels = [engine.label for engine in chosen if not engine.exact and not engine.other_network]
    return f"{NOT_EXACT}: {'; '.join(labels)}." if labels else ""


def other_network(results: Results) -> str:
    """What SPAN's rows mean; empty where it was not timed."""
    if not any(ENGINES[name].other_network for name in results.engines):
        return ""
    dense = 1e6 * np.mean([row.dense_gmacs / row.pixels for row in results.pictures])
    return _SPAN.format(span=results.span_macs / 1e3, dense=dense)


def faster(rows: Sequence[Row], engines: Sequence[str]) -> str:
    """The rivals that take less time than smsr, for each of smsr's precisions; geometric means over the pictures."""
    return " ".join(_faster_than(base, rows, engines) for base in OURS_IN_ALL_PRECISIONS if base in engines)


def _faster_than(base: str, rows: Sequence[Row], engines: Sequence[str]) -> str:
    rivals = {}
    for name in engines:
        both = [row.ratios[name] / row.ratios[base] for row in rows if {name, base} <= row.ratios.keys()]
        if both and not ENGINES[name].exact:
            rivals[ENGINES[name].label] = geometric_mean(both)
    words = [f"{label} ({ratio:.2f}x)" for label, ratio in rivals.items() if ratio < 1]
    return f"Rivals faster than {ENGINES[base].label}: {'; '.join(words) or 'none'}."


def milliseconds(row: Row, engine: str) -> str:
    return f"{1e3 * row.seconds[engine]:.0f}" if engine in row.seconds else ""


def _mean_ratio(rows: Sequence[Row], engine: str) -> str:
    """Geometric mean over the rows that the engine ran on, with their number unless it ran on all."""
    ratios = [row.ratios[engine] for row in rows if engine in row.ratios]
    if not ratios:
        return ""
    count = f", {len(ratios)} of {len(rows)}" if len(ratios) < len(rows) else ""
    return f"({geometric_mean(ratios):.2f}x{count})"


def geometric_mean(values: Sequence[float]) -> float:
    return float(np.exp(np.mean(np.log(values))))
