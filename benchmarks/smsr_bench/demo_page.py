"""demo/index.html: the demo's sample before and after, where the network worked, parity and times of this machine."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import smsr_runtime
from smsr_bench import machine
from smsr_bench.engines import ENGINES, OURS_IN_ALL_PRECISIONS
from smsr_export.report import page, sections
from smsr_export.report.exhibits import exhibit
from smsr_runtime import files
from smsr_runtime.arrays import to_planes

_TEMPLATES = Path(__file__).parent / "templates"
_BODY = "body"


@dataclass(frozen=True)
class Timed:
    """One engine on the sample. seconds: median; ratio: how many times longer than the first one's; ours: smsr's."""

    label: str
    seconds: float
    ratio: float
    ours: bool
    exact: bool


@dataclass(frozen=True)
class Speed:
    """engines: smsr's first; rounds: interleaved; threads: of each engine; native: whether our library was there."""

    engines: Sequence[Timed]
    rounds: int
    threads: int
    versions: str
    native: bool


def speed(seconds: Mapping[str, float], ratios: Mapping[str, float], **facts: Any) -> Speed:
    """seconds, ratios: by engine, smsr's first; facts: the rest of `Speed`."""
    ours = (*OURS_IN_ALL_PRECISIONS, _BODY)
    timed = [
        Timed(ENGINES[name].label, value, ratios[name], name in ours, ENGINES[name].exact)
        for name, value in seconds.items()
    ]
    return Speed(timed, **facts)


def write(folder: Path, bundle: Path, sample: NDArray[np.uint8], measured: Speed) -> Path:
    """Runs the sample (H, W, 3) once more, for the masks. Raises OutputError."""
    upscaler = smsr_runtime.load(bundle)
    shown = exhibit("The sample", sample, *upscaler.upscale_float(to_planes(sample), margins=True))
    entries = upscaler.bundle.manifest
    tables = sections.parity(entries)
    html = page.render(
        "demo.html",
        folders=[_TEMPLATES],
        entries=entries,
        item=page.comparison(shown),
        tables=tables,
        worst=sections.worst(tables),
        limits=sections.limits(entries),
        work=sections.work_at(entries, shown.shares),
        speed=measured,
        slowest=max(one.seconds for one in measured.engines),
        path=str(upscaler.compute_path),
        machine=machine.describe(),
        bundle=bundle.name,
        bundle_path=shlex.quote(str(bundle)),
    )
    files.write_bytes(folder / "index.html", html.encode())
    return folder / "index.html"
