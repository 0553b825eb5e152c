"""Tables of what engine_bench measured: python table.py RESULTS.json ...; one file per engine, the network's own first.

Needs nothing but Python, because machines with a GPU are often bare. Prints Markdown.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

OURS = "smsr"
GROUPS = (
    ("reformats", r"^Reformatting CopyNode"),
    ("sparse mask modules", r"SparseMaskModule"),
    ("mask branches", r"\.mask\.|\.mask/|margin_\d|MaskBranch"),
    ("running collect", r"collect\.0"),
    ("bicubic", r"bicubic|image_padded"),
    ("dense modules", r"module_\d+\."),
)
"""Layers by name; the first that matches. A fused layer's name has all that it computes."""
Row = dict[str, Any]
Key = tuple[str, int]


def main(files: Sequence[str]) -> int:
    engines = {}
    for file in sorted(files, key=lambda name: (not Path(name).stem.startswith(OURS), Path(name).stem)):
        try:
            engines[Path(file).stem] = json.loads(Path(file).read_text())
        except (OSError, ValueError) as error:
            print(f"table.py: {file}: expected results of engine_bench, got {error}; measure again", file=sys.stderr)
            return 1
    if not engines:
        print("table.py: expected files of results, got none; see bench_tensorrt.sh", file=sys.stderr)
        return 2
    print("\n\n".join([facts(engines), times(engines), quality(engines), frames(engines), layers(engines)]))
    return 0


def facts(engines: dict[str, Row]) -> str:
    rows = []
    for name, engine in engines.items():
        built = engine["build_seconds"]
        rows.append([
            name, engine["gpu"], engine["tensorrt"], "loaded" if built is None else f"{built:.0f}",
            f"{engine['context_bytes'] / 1e6:.0f}", str(engine["failures"]),
        ])  # fmt: skip
    return markdown(["engine", "GPU", "TensorRT", "build, s", "context, MB", "failures"], rows)


def times(engines: dict[str, Row]) -> str:
    """Milliseconds of a CUDA graph's replay, or without one where it cannot be captured; the rivals' by ours."""
    of = {name: {key(row): row for row in engine["pictures"]} for name, engine in engines.items()}
    ours, rivals = [n for n in engines if n.startswith(OURS)], [n for n in engines if not n.startswith(OURS)]
    head = ["picture", "batch", "active", *engines, *(f"{rival} / {own}" for own in ours for rival in rivals)]
    rows = []
    for at in dict.fromkeys(one for rows_of in of.values() for one in rows_of):
        measured = {name: of[name].get(at) for name in engines}
        ratios = [ratio(measured[rival], measured[own]) for own in ours for rival in rivals]
        rows.append([at[0], str(at[1]), shares(measured), *(shown(row) for row in measured.values()), *ratios])
    return markdown(head, rows)


def key(row: Row) -> Key:
    return f"{row['name']} {row['width']}x{row['height']}", row["batch"]


def best(row: Row | None) -> float | None:
    if row is None:
        return None
    graph: float | None = row["graph_ms"]
    return row["ms"] if graph is None else graph


def shown(row: Row | None) -> str:
    milliseconds = best(row)
    if row is None or milliseconds is None:
        return "-"
    return f"{milliseconds:.3f}" + ("" if row["graph_ms"] is not None else " (no graph)")


def ratio(rival: Row | None, own: Row | None) -> str:
    above, below = best(rival), best(own)
    return f"{above / below:.2f}x" if above and below else "-"


def shares(measured: dict[str, Row | None]) -> str:
    """Of the first engine that has masks."""
    for row in measured.values():
        if row is not None and row["active"]:
            return " ".join(f"{share:.2f}".lstrip("0") for share in row["active"])
    return "-"


def quality(engines: dict[str, Row]) -> str:
    """Against each engine's float32 reference, the worst picture; on Y against the originals, the mean."""
    rows = []
    for name, engine in engines.items():
        pictures = engine["pictures"]
        psnr = [row["psnr"] for row in pictures if row["psnr"] is not None]
        on_y = [row["psnr_y"] for row in pictures if row["psnr_y"] is not None and row["batch"] == 1]
        flipped = [share for row in pictures for share in row["flipped"]]
        rows.append([
            name, f"{min(psnr):.2f}" if psnr else "-", f"{max(flipped):.5f}" if flipped else "-",
            f"{sum(on_y) / len(on_y):.4f} ({len(on_y)})" if on_y else "-",
        ])  # fmt: skip
    return markdown(
        ["engine", "least PSNR against float32, dB", "most flipped mask pixels", "mean PSNR on Y, dB (pictures)"], rows
    )


def frames(engines: dict[str, Row]) -> str:
    """Where the milliseconds of the largest picture go, alone; and what a frame takes whose pixels travel as bytes.

    float32: upload, engine, download one after the other; bytes: measured, from pinned memory to pinned memory, alone
    and with copies that overlap with other frames' engines, by plain launches / by a CUDA graph. Without what the CPU
    does: reading, numbers of one type from another (float32 alone needs that), writing.
    """
    rows = []
    for name, engine in engines.items():
        singles = [row for row in engine["pictures"] if row["batch"] == 1]
        if not singles:
            continue
        row = max(singles, key=lambda one: float(one["width"] * one["height"]))
        up, up_bytes, down, down_bytes = row["transfers_ms"]
        run = best(row) or 0.0
        alone, overlapped, graph_alone, graph_overlapped = row["frames_ms"]
        copies = [f"{up:.3f} / {up_bytes:.3f}", f"{run:.3f}", f"{down:.3f} / {down_bytes:.3f}"]
        frame = [f"{up + run + down:.3f}", pair(alone, graph_alone), pair(overlapped, graph_overlapped)]
        rows.append([f"{name}, {key(row)[0]}", *copies, *frame])
    head = ["a frame, ms", "upload, float32 / bytes", "engine", "download, float32 / bytes"]
    head += ["float32, alone", "bytes, alone", "bytes, overlapped"]
    return markdown(head, rows)


def pair(plain: float | None, graph: float | None) -> str:
    return " / ".join("-" if one is None else f"{one:.3f}" for one in (plain, graph))


def layers(engines: dict[str, Row]) -> str:
    """Microseconds of the last picture's layers, in groups."""
    sums = {name: grouped(engine["layers"]) for name, engine in engines.items()}
    groups = [group for group, _ in GROUPS] + ["others"]
    rows = [[group, *(f"{of.get(group, 0.0):.0f}" for of in sums.values())] for group in groups]
    rows.append(["all", *(f"{sum(of.values()):.0f}" for of in sums.values())])
    return markdown(["layers of the last picture, us", *engines], rows)


def grouped(measured: list[Row]) -> dict[str, float]:
    sums: dict[str, float] = {}
    for layer in measured:
        group = next((name for name, pattern in GROUPS if re.search(pattern, layer["name"])), "others")
        sums[group] = sums.get(group, 0.0) + layer["us"]
    return sums


def markdown(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
