"""One machine's entry for docs/benchmark/machines/: smsr in each precision, with and without reading and writing files.

int8 is the dense rival's in OpenVINO, since smsr has none (docs/adr/0007-int8.md).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from smsr import metrics
from smsr.images import Source
from smsr_bench import engines, machine, measure, power
from smsr_bench.engines import OURS
from smsr_bench.runs import Run
from smsr_bench.subject import Subject
from smsr_runtime import files
from smsr_runtime.arrays import to_pixels, to_planes

PRECISIONS = {"fp32": OURS, "bf16": "native-bf16", "int8, dense rival": "openvino-int8"}
LEAST_ROUNDS, POWER_SECONDS = 20, 3.0
HEADER = ("processor", "threads", "kernels", "power mode", "watts", "picture", *PRECISIONS)


def measured(subject: Subject, source: Source, names: Sequence[str], threads: int, rounds: int) -> dict[str, Any]:
    """The entry, as it is written to JSON. names: engines to choose from; rounds: LEAST_ROUNDS at least, for p95."""
    image = to_planes(source.high())
    chosen = {precision: name for precision, name in PRECISIONS.items() if name in names}
    runs = engines.make(list(chosen.values()), subject, threads)
    upscaler = subject.upscaler(threads)
    with tempfile.TemporaryDirectory() as folder:
        with_files = {f"{name} with files": _with_files(run, source, Path(folder)) for name, run in runs.items()}
        rounds = max(rounds, LEAST_ROUNDS)
        timing = measure.time_engines({**runs, **with_files}, image, rounds, lambda: 0.0)
    share = float(np.mean(upscaler.active_shares(upscaler.upscale_float(image, margins=True)[1])))
    return {
        "machine": {**machine.describe(), "threads": threads},
        "power": {"mode": power.mode(), "watts": power.watts(lambda: runs[OURS](image), POWER_SECONDS)},
        "picture": {"name": source.name, "width": image.shape[3], "height": image.shape[2], "share": share},
        "rounds": rounds,
        "seconds": {
            precision: {
                "network": _figures(timing.seconds[name]), "with files": _figures(timing.seconds[f"{name} with files"])
            }
            for precision, name in chosen.items()
        },
    }  # fmt: skip


def row(entry: dict[str, Any]) -> list[str]:
    """The entry's cells, under HEADER; times are "median / p95 (with files: median / p95)", milliseconds."""
    watts = ", ".join(f"{name} {value:.1f}" for name, value in entry["power"]["watts"].items())
    picture = "{name} {width}x{height}, active {share:.2f}".format(**entry["picture"])
    facts = [entry["machine"]["processor"], str(entry["machine"]["threads"]), entry["machine"]["kernels"]]
    times = [_times(entry["seconds"][name]) if name in entry["seconds"] else "" for name in PRECISIONS]
    return [*facts, entry["power"]["mode"], watts or "not readable", picture, *times]


def _with_files(run: Run, source: Source, folder: Path) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """Decodes the picture's file, runs, and writes a PNG, as smsr-run does."""

    def whole(_image: NDArray[np.float32]) -> NDArray[np.float32]:
        upscaled = run(to_planes(source.high()))
        _, coded = cv2.imencode(".png", to_pixels(metrics.quantise(upscaled))[..., ::-1])
        files.write_bytes(folder / "upscaled.png", coded.tobytes())
        return upscaled

    return whole


def _figures(seconds: Sequence[float]) -> dict[str, float]:
    return {"median": float(np.median(seconds)), "p95": float(np.percentile(seconds, 95))}


def _times(seconds: dict[str, dict[str, float]]) -> str:
    network, whole = (f"{1e3 * part['median']:.0f} / {1e3 * part['p95']:.0f}" for part in seconds.values())
    return f"{network} (with files: {whole})"
