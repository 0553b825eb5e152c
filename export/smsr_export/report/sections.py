"""A manifest's entries as what a report shows: texts and shares, no numbers that do not stand there."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from smsr import contract
from smsr.complexity import ModuleMacs, NetworkMacs
from smsr.evaluation import paper
from smsr_export.parity.pictures import is_own
from smsr_export.parity.rows import ParityRow, summary
from smsr_export.report.charts import Chart, chart
from smsr_runtime.dial import ENTRY

Entries = Mapping[str, Any]
NONE = "–"


@dataclass(frozen=True)
class PathTable:
    """Parity of one path. rows: one per picture; total: of all pictures together, None for one picture."""

    path: str
    rows: list[ParityRow]
    total: ParityRow | None


@dataclass(frozen=True)
class ModuleWork:
    """share: of active pixels; remaining, dense: thousand MACs per pixel of the input; all of one module."""

    name: str
    share: float | None
    remaining: float
    dense: float


@dataclass(frozen=True)
class Work:
    """modules, then what is computed at every pixel; remaining, dense: thousand MACs per pixel of the input."""

    modules: list[ModuleWork]
    share: float
    remaining: float
    dense: float

    @property
    def macs_share(self) -> float:
        return self.remaining / self.dense


@dataclass(frozen=True)
class DialPoint:
    """dial: 100 as trained to 0; psnr: dB, or None."""

    dial: float
    theta: float
    share: float
    macs: float
    psnr: float | None


def parity(entries: Entries) -> list[PathTable]:
    """One table per path that was verified."""
    rows = [_row(row) for row in entries["parity"]["rows"]]
    groups = [[row for row in rows if row.path == path] for path in dict.fromkeys(row.path for row in rows)]
    return [PathTable(group[0].path, group, summary(group) if len(group) > 1 else None) for group in groups]


def _row(stored: Entries) -> ParityRow:
    """JSON has null for what was not finite; PSNR is None without an original too."""
    numbers = {name: math.nan if stored[name] is None else stored[name] for name in ("max_abs", "rmse")}
    return ParityRow(**{**stored, **numbers})


@dataclass(frozen=True)
class Worst:
    """flips: of the path that has most, of its mask_pixels; max_abs: the largest of any path, NaN where one is."""

    flips: int
    mask_pixels: int
    max_abs: float


def worst(tables: Sequence[PathTable]) -> Worst:
    totals = [table.total or table.rows[0] for table in tables]
    most = max(totals, key=lambda total: total.flips / total.mask_pixels)
    return Worst(most.flips, most.mask_pixels, float(np.max([total.max_abs for total in totals])))


def psnr(table: PathTable) -> float | None:
    """Mean over the pictures in dB, None without an original."""
    return (table.total or table.rows[0]).psnr


def is_own_sample(tables: Sequence[PathTable]) -> bool:
    """Whether nothing but smsr's own drawing was measured."""
    return all(is_own(row.picture) for row in tables[0].rows)


def published(entries: Entries, tables: Sequence[PathTable]) -> tuple[str, float] | None:
    """Name of the benchmark set that the pictures are, and the PSNR that the paper has for it."""
    return paper.published(entries["scale"], [row.picture for row in tables[0].rows])


def limits(entries: Entries) -> list[str]:
    """What each precision was held to, in words."""
    return [_limit(name) for name in dict.fromkeys((entries["precision"], "fp32"))]


def _limit(precision: str) -> str:
    allowed = contract.TOLERANCES[precision]
    difference = f"differences {allowed.max_abs:g}" if allowed.max_abs is not None else f"RMSE {allowed.rmse:g}"
    return (
        f"{precision}: flips {allowed.flips:.0e} of the mask pixels, {difference} of 255, PSNR {allowed.psnr_db:g} dB"
    )


def work(entries: Entries, tables: Sequence[PathTable]) -> Work:
    """On the verified pictures; shares are of all their pixels together, on the first path."""
    rows = tables[0].rows
    shares = np.average(
        [row.module_shares for row in rows], axis=0, weights=[row.width * row.height for row in rows]
    ).tolist()
    return work_at(entries, shares)


def work_at(entries: Entries, shares: Sequence[float]) -> Work:
    """shares: active share of each module, 0..1."""
    macs = _macs(entries)
    modules = [
        ModuleWork(f"module {number}", share, module.at(share) / 1e3, module.active / 1e3)
        for number, (module, share) in enumerate(zip(macs.modules, shares, strict=True), 1)
    ]
    modules.append(ModuleWork("everywhere", None, macs.fixed / 1e3, macs.fixed / 1e3))
    return Work(modules, float(np.mean(shares)), macs.remaining(shares) / 1e3, macs.dense / 1e3)


def _macs(entries: Entries) -> NetworkMacs:
    macs = entries["macs"]
    pairs = zip(macs["active_per_pixel"], macs["inactive_per_pixel"], strict=True)
    return NetworkMacs(macs["fixed_per_pixel"], tuple(ModuleMacs(active, inactive) for active, inactive in pairs))


def dial(entries: Entries) -> list[DialPoint]:
    """The measured curve, as trained first; empty where it was not measured."""
    points = entries[ENTRY]["points"] if ENTRY in entries else []
    if not points:
        return []
    most, least = points[0]["active_share"], points[-1]["active_share"]
    return [
        DialPoint(
            100 * (point["active_share"] - least) / (most - least),
            point["theta"], point["active_share"], point["macs_share"], point["psnr"],
        )
        for point in points
    ]  # fmt: skip


def dial_charts(points: Sequence[DialPoint]) -> list[Chart]:
    """What theta costs and what it saves; empty without a curve."""
    if not points:
        return []
    thetas = [point.theta for point in points]
    decibels = [point.psnr for point in points if point.psnr is not None]
    charts = [
        chart("active share", "theta", thetas, [point.share for point in points], "{:.2f}"),
        chart("MACs of dense", "theta", thetas, [point.macs for point in points], "{:.0%}"),
    ]
    if len(decibels) == len(points):
        charts.insert(0, chart("PSNR, dB", "theta", thetas, decibels, "{:.2f}"))
    return charts


def commands(entries: Entries) -> dict[str, str]:
    """What measures each part of the page, for a shell."""
    checkpoint, bundle = shlex.quote(entries["checkpoint"]["file"]), shlex.quote(f"{entries['name']}.smsr")
    return {
        "quality": f"smsr-export {checkpoint} --verify PICTURES",
        "dial": f"smsr-export {checkpoint} --verify PICTURES --dial",
        "speed": f"smsr-bench {bundle} PICTURES",
        "estimate": f"smsr-export {checkpoint} --estimate PICTURES_OR_CLIP",
        "engine": f"smsr-run {bundle} --selftest",
        "selftest": f"smsr-run {bundle} --selftest",
        "doctor": f"smsr-doctor --bundle {bundle}",
    }
