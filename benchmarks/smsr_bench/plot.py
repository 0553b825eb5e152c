"""Time against active share, and time against size, as one SVG."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from smsr_bench.engines import ENGINES, OURS
from smsr_bench.report import Results, Row


def write(results: Results, file: Path) -> None:
    """Draws the series that were measured: active shares, sizes."""
    import matplotlib as mpl

    mpl.use("svg")
    # the same results give the same bytes
    mpl.rcParams.update({"svg.hashsalt": "smsr", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    from matplotlib import pyplot

    panels: list[tuple[Sequence[Row], str, Callable[[Row], float]]] = []
    if results.shares:
        row = results.shares[0]
        panels.append((results.shares, f"active share, {row.width}x{row.height}", lambda row: row.active_share))
    if results.sizes:
        panels.append((results.sizes, "megapixels", lambda row: row.megapixels))
    figure, axes = pyplot.subplots(1, len(panels), figsize=(5.2 * len(panels), 3.6), squeeze=False)
    for axis, (rows, label, place) in zip(axes[0], panels, strict=True):
        for name in rows[0].seconds:
            width = 2.5 if name == OURS else 1.2
            known = [row for row in rows if name in row.seconds]
            times = [1e3 * row.seconds[name] for row in known]
            axis.plot(
                [place(row) for row in known], times, marker="o", ms=3, lw=width, label=ENGINES[name].label,
                color=f"C{list(ENGINES).index(name)}",
            )  # fmt: skip
        axis.set_xlabel(label)
        axis.set_ylabel("ms")
        axis.set_ylim(bottom=0)
        axis.set_xlim(left=0)
    figure.tight_layout()
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="upper center", bbox_to_anchor=(0.5, 0), ncols=5)
    figure.savefig(file, metadata={"Date": None}, bbox_inches="tight")
    pyplot.close(figure)
