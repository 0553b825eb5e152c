"""Results as Markdown (beside the paper's table), CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from smsr import complexity
from smsr.complexity import Work
from smsr.evaluation import paper
from smsr.evaluation.measure import Result
from smsr_runtime import files

OUTPUT_PIXELS = 1280 * 720
"""MACs are reported for an output of this size, as in the paper."""


def markdown(results: Sequence[Result]) -> str:
    """A table of the results, and for each scale the paper's with ours below."""
    parts = [_results_table(results)]
    for scale in dict.fromkeys(result.model.config.scale for result in results):
        parts.append(_paper_table([result for result in results if result.model.config.scale == scale], scale))
    notes = {note for result in results for note in _notes(result)}
    return "\n\n".join([*parts, *sorted(notes)]) + "\n"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table with aligned columns."""
    widths = [max(len(cell) for cell in column) for column in zip(head, *rows, strict=True)]
    lines = [head, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )


def giga_macs(per_pixel: float, scale: int) -> str:
    return f"{per_pixel * OUTPUT_PIXELS / scale**2 / 1e9:.1f}G"


def _results_table(results: Sequence[Result]) -> str:
    head = ["model", "engine", "set", "x", "PSNR Y", "SSIM Y", "active share", "by module", "MACs", "dense", "params"]
    rows = []
    for result in results:
        work, scale = result.work, result.model.config.scale
        rows.append([
            result.model.name, result.model.backend, f"{result.dataset} ({len(result.rows)})", str(scale),
            f"{result.psnr:.3f}", f"{result.ssim:.4f}", f"{work.active_share:.3f}",
            " ".join(f"{share:.2f}" for share in work.shares),
            f"{giga_macs(work.remaining, scale)} ({work.macs_share:.0%})", giga_macs(work.dense, scale),
            f"{complexity.parameters(result.model.config) / 1e3:.0f}K",
        ])  # fmt: skip
    return table(head, rows)


def _paper_table(results: Sequence[Result], scale: int) -> str:
    """The published methods on the sets of these results, then these."""
    names = [name for name in paper.SETS if any(result.dataset.lower() == name.lower() for result in results)]
    if not names:
        return f"x{scale}: none of these sets is in the paper's table ({', '.join(paper.SETS)})."
    columns = [paper.SETS.index(name) for name in names]
    rows = [
        [row.method, row.params, row.macs, *(_cell(row.quality[column]) for column in columns)]
        for row in paper.TABLES[scale]
    ]
    for model in dict.fromkeys(result.model for result in results):
        ours = [result for result in results if result.model is model]
        quality = {result.dataset.lower(): (result.psnr, result.ssim) for result in ours}
        first = ours[0].work
        rows.append([
            f"**{model.name}**", f"{complexity.parameters(model.config) / 1e3:.0f}K",
            f"{giga_macs(first.remaining, scale)} ({giga_macs(first.dense, scale)})",
            *(_cell(quality.get(name.lower())) for name in names),
        ])  # fmt: skip
    title = f"x{scale}, beside the paper's table (MACs at 1280x720, ours at the active share of {results[0].dataset}):"
    return f"{title}\n\n{table(['method', 'params', 'MACs (dense)', *names], rows)}"


def _cell(quality: paper.Quality | None) -> str:
    return "-" if quality is None else f"{quality[0]:.2f}/{quality[1]:.4f}".replace("/0.", "/.")


def _notes(result: Result) -> list[str]:
    if not result.gray:
        return []
    return [
        f"{result.dataset}: {', '.join(result.gray)} has one channel and is taken as R = G = B, as the authors of SMSR "
        "do; the literature's bicubic rows take its gray values as Y without the 16..235 range "
        "(0.09 dB less on Set14 as a whole)."
    ]


_CSV_HEAD = (
    "model", "engine", "dataset", "scale", "picture", "psnr_y", "ssim_y", "active_share", "macs_per_pixel", "dense",
)  # fmt: skip


def csv_text(results: Sequence[Result]) -> str:
    """One line per picture, and one per mean."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(_CSV_HEAD)
    for result in results:
        start = [result.model.name, result.model.backend, result.dataset, result.model.config.scale]
        lines = [(row.picture, row.psnr, row.ssim, row.work) for row in result.rows]
        for name, psnr, ssim, work in [*lines, ("mean", result.psnr, result.ssim, result.work)]:
            numbers = [f"{psnr:.4f}", f"{ssim:.5f}", f"{work.active_share:.4f}", f"{work.remaining:.0f}"]
            writer.writerow([*start, name, *numbers, f"{work.dense:.0f}"])
    return file.getvalue()


def json_text(results: Sequence[Result]) -> str:
    """Every number of every picture, and the means."""
    return json.dumps([_as_json(result) for result in results], indent=2) + "\n"


def _as_json(result: Result) -> dict[str, object]:
    config = result.model.config
    return {
        "model": result.model.name,
        "engine": result.model.backend,
        "dataset": result.dataset,
        "scale": config.scale,
        "parameters": complexity.parameters(config),
        "dense_channels": result.model.dense,
        "mean": _numbers(result.psnr, result.ssim, result.work),
        "pictures": [{"picture": row.picture, **_numbers(row.psnr, row.ssim, row.work)} for row in result.rows],
    }


def _numbers(psnr: float, ssim: float, work: Work) -> dict[str, object]:
    return {
        "psnr_y": round(psnr, 4) if np.isfinite(psnr) else None,
        "ssim_y": round(ssim, 5),
        "active_share": round(work.active_share, 4),
        "active_shares": [round(share, 4) for share in work.shares],
        "macs_per_pixel_dense": round(work.dense),
        "macs_per_pixel": round(work.remaining),
    }


def write(results: Sequence[Result], folder: Path) -> list[Path]:
    """results.md, results.csv and results.json in a folder. Raises OutputError."""
    contents = {"md": markdown(results), "csv": csv_text(results), "json": json_text(results)}
    files.make_folder(folder)
    for suffix, text in contents.items():
        files.write_bytes(folder / f"results.{suffix}", text.encode())
    return [folder / f"results.{suffix}" for suffix in contents]
