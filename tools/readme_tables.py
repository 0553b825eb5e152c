"""Figures of README.md and docs/why.md, taken from the reports in docs/benchmark/ and our own weights' model card.

`python tools/readme_tables.py --write` after a new report or new weights; without --write it only compares, as a test
does.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import geometric_mean
from typing import Any

ROOT = Path(__file__).parent.parent
README, WHY = ROOT / "README.md", ROOT / "docs" / "why.md"
CARD = ROOT / "smsr" / "pretrained" / "README.md"
SET5 = ("baby", "bird", "butterfly", "head", "woman")
RIVALS = {
    "rival": "dense rival, same ONNX Runtime",
    "openvino": "dense rival, OpenVINO",
    "torch-sparse": "index and matmul, PyTorch",
}
ALTERNATIVES = {
    "native": "smsr",
    "native-bf16": "smsr, bf16",
    "openvino": "dense rival, OpenVINO f32",
    "openvino-bf16": "dense rival, OpenVINO bf16",
    "openvino-int8": "dense rival, OpenVINO int8 (NNCF)",
    "span": "SPAN, ONNX Runtime f32",
    "span-openvino": "SPAN, OpenVINO f32",
    "span-bf16": "SPAN, OpenVINO bf16",
    "span-int8": "SPAN, OpenVINO int8 (NNCF)",
}
Row = dict[str, Any]


def speed_table(pictures: Sequence[Row]) -> str:
    """The quietest and the busiest picture of Set5, then the geometric means of Set5 and Set14."""
    stills = [row for row in pictures if " " not in row["picture"]]  # frames are "NAME SIZE"
    set5 = [row for row in stills if _name(row) in SET5]
    set14 = [row for row in stills if _name(row) not in SET5]
    header = ["picture", "active share", "smsr", *RIVALS.values()]
    lines = [_line(header), "|" + "---|" * len(header)]
    lines += [_picture(row) for row in (min(set5, key=_share), max(set5, key=_share))]
    lines += [_means("Set5, geometric mean", set5), _means(f"Set14, geometric mean of {len(set14)}", set14)]
    return "\n".join(lines)


def alternatives_table(pictures: Sequence[Row]) -> str:
    """What else a user could take: geometric means of time over smsr's, and mean PSNR."""
    lines = [_line(["engine, Set5", "time, of smsr's", "PSNR on Y"]), "|---|---|---|"]
    for name, label in ALTERNATIVES.items():
        if all(name in row["ratios"] for row in pictures):
            ratio = geometric_mean(row["ratios"][name] for row in pictures)
            decibels = [row["psnr"][name] for row in pictures if name in row["psnr"]]
            psnr = f"{sum(decibels) / len(decibels):.2f} dB" if decibels else "random weights"
            lines.append(_line([label, f"{ratio:.2f}", psnr]))
    return "\n".join(lines)


def summary(results: dict[str, list[Row]]) -> str:
    """The README's sentence about all pixels active and about the largest frame."""
    full, frame = results["shares"][-1], results["pictures"][-1]
    memory = frame["memory"]["native"] / frame["memory"]["rival"]
    return (
        f"With every pixel active smsr is still {full['ratios']['rival']:.1f}x faster than it; at "
        f"{frame['width']}x{frame['height']} (active share {_share(frame):.2f}) "
        f"{frame['ratios']['rival']:.1f}x, in {memory:.2f} of its memory."
    )


def weights_table(card: str) -> str:
    """PSNR and SSIM, active share and MACs of each of our own networks."""
    lines = ["| | Set5 PSNR / SSIM | Set14 PSNR / SSIM | active share | MACs of dense |", "|---|---|---|---|---|"]
    for line in card.splitlines():
        if line.startswith("| x"):
            name, _, *figures = (cell.strip() for cell in line.strip("|").split("|"))
            lines.append(_line([f"`smsr-export {name}`", *figures[:4]]))
    return "\n".join(lines)


def replaced(text: str, table: str) -> str:
    """`text` with `table` in place of the one that starts with the same line."""
    first = table.partition("\n")[0]
    before, separator, after = text.partition(f"{first}\n")
    if not separator:
        raise SystemExit(f"expected a table that starts with {first!r}, got none; put that line back")
    rest = after.splitlines(keepends=True)
    while rest and rest[0].startswith("|"):
        rest.pop(0)
    return f"{before}{table}\n{''.join(rest)}"


def _picture(row: Row) -> str:
    rivals = [_time(row, rival, row["ratios"][rival]) for rival in RIVALS]
    name = f"{_name(row)} {row['width']}x{row['height']}"
    return _line([name, f"{_share(row):.2f}", f"**{1e3 * row['seconds']['native']:.0f} ms**", *rivals])


def _means(name: str, rows: Sequence[Row]) -> str:
    rival, *others = (_mean(row["ratios"][rival] for row in rows) for rival in RIVALS)
    return _line([name, "", "", f"**{rival}**", *others])


def _mean(ratios: Iterable[float]) -> str:
    return f"{geometric_mean(ratios):.1f}x"


def _time(row: Row, engine: str, ratio: float) -> str:
    return f"{1e3 * row['seconds'][engine]:.0f} ms ({ratio:.1f}x)"


def _name(row: Row) -> str:
    return str(row["picture"]).removesuffix("x2")


def _share(row: Row) -> float:
    return float(sum(row["active_shares"]) / len(row["active_shares"]))


def _line(cells: Sequence[str]) -> str:
    return f"|{'|'.join(f' {cell} ' if cell else ' ' for cell in cells)}|"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="replace the tables in the documents")
    options = parser.parse_args()
    results = json.loads((ROOT / "docs" / "benchmark" / "bench.json").read_text())
    set5 = json.loads((ROOT / "docs" / "benchmark" / "set5" / "bench.json").read_text())
    tables = {
        README: [speed_table(results["pictures"]), weights_table(CARD.read_text())],
        WHY: [alternatives_table(set5["pictures"])],
    }
    for page, wanted in tables.items():
        before = after = page.read_text()
        for table in wanted:
            after = replaced(after, table)
        if options.write:
            page.write_text(after)
        elif before != after:
            print(f"{page.name}: expected the figures of the reports and the model card, got others; run with --write")
            return 1
    if (sentence := summary(results)) not in " ".join(README.read_text().split()):
        print(f"README.md: expected the sentence {sentence!r}, got another; write it there")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
