"""Published results: table 1 of SMSR (CVPR 2021) and table 7 of its follow-up (TPAMI 2022), as printed.

PSNR and SSIM on Y; MACs ("FLOPs" there) in G at an output of 1280x720.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

SETS = ("Set5", "Set14", "B100", "Urban100", "Manga109")
Quality = tuple[float, float]


@dataclass(frozen=True)
class Published:
    """params and macs as printed (sparse; dense in parentheses); quality: PSNR, SSIM for each of SETS, or None."""

    method: str
    params: str
    macs: str
    quality: tuple[Quality | None, ...]


def _table(text: str) -> tuple[Published, ...]:
    """From lines of `method | params | macs | PSNR/SSIM per set`, with - for a missing value."""
    rows = []
    for line in text.strip().splitlines():
        method, params, macs, *cells = (cell.strip() for cell in line.split("|"))
        rows.append(Published(method, params, macs, tuple(_quality(cell) for cell in cells)))
        assert len(cells) == len(SETS)
    return tuple(rows)


def _quality(cell: str) -> Quality | None:
    if cell == "-":
        return None
    psnr, ssim = cell.split("/")
    return float(psnr), float(ssim)


PICTURES = {
    "Set5": ("baby", "bird", "butterfly", "head", "woman"),
    "Set14": (
        "baboon", "barbara", "bridge", "coastguard", "comic", "face", "flowers", "foreman", "lenna", "man", "monarch",
        "pepper", "ppt3", "zebra",
    ),
}  # fmt: skip
"""The pictures of the sets that are small enough to be known by name."""

TABLES = {
    2: _table("""
        Bicubic | - | - | 33.66/.9299 | 30.24/.8688 | 29.56/.8431 | 26.88/.8403 | 30.80/.9339
        SRCNN | 57K | 52.7G | 36.66/.9542 | 32.45/.9067 | 31.36/.8879 | 29.50/.8946 | 35.60/.9663
        FSRCNN | 12K | 6.0G | 37.00/.9558 | 32.63/.9088 | 31.53/.8920 | 29.88/.9020 | 36.67/.9710
        VDSR | 665K | 612.6G | 37.53/.9590 | 33.05/.9130 | 31.90/.8960 | 30.77/.9140 | 37.22/.9750
        LapSRN | 813K | 29.9G | 37.52/.9591 | 33.08/.9130 | 31.08/.8950 | 30.41/.9101 | 37.27/.9740
        MemNet | 677K | 623.9G | 37.78/.9597 | 33.28/.9142 | 32.08/.8978 | 31.31/.9195 | 37.72/.9740
        SRFBN-S | 282K | 574.4G | 37.78/.9597 | 33.35/.9156 | 32.00/.8970 | 31.41/.9207 | 38.06/.9757
        IDN | 553K | 127.7G | 37.83/.9600 | 33.30/.9148 | 32.08/.8985 | 31.27/.9196 | 38.01/.9749
        CARN | 1592K | 222.8G | 37.76/.9590 | 33.52/.9166 | 32.09/.8978 | 31.92/.9256 | 38.36/.9765
        FALSR-A | 1021K | 234.7G | 37.82/.9595 | 33.55/.9168 | 32.12/.8987 | 31.93/.9256 | 38.51/.9766
        ECBSR | 596K | 137.3G | 37.90/.9615 | 33.34/.9178 | 32.10/.9018 | 31.71/.9250 | -
        SMSR (paper) | 985K | 131.6G (224.1G) | 38.00/.9601 | 33.64/.9179 | 32.17/.8990 | 32.19/.9284 | 38.76/.9771
    """),
    3: _table("""
        Bicubic | - | - | 30.39/.8682 | 27.55/.7742 | 27.21/.7385 | 24.46/.7349 | 26.95/.8556
        SRFBN-S | 375K | 686.4G | 34.20/.9255 | 30.10/.8372 | 28.96/.8010 | 27.66/.8415 | 33.02/.9404
        IDN | 553K | 57.0G | 34.11/.9253 | 29.99/.8354 | 28.95/.8013 | 27.42/.8359 | 32.71/.9381
        CARN | 1592K | 118.8G | 34.29/.9255 | 30.29/.8407 | 29.06/.8034 | 28.06/.8493 | 33.50/.9440
        SMSR (paper) | 993K | 67.8G (100.5G) | 34.40/.9270 | 30.33/.8412 | 29.10/.8050 | 28.25/.8536 | 33.68/.9445
    """),
    4: _table("""
        Bicubic | - | - | 28.42/.8104 | 26.00/.7027 | 25.96/.6675 | 23.14/.6577 | 24.89/.7866
        LapSRN | 813K | 149.4G | 31.54/.8850 | 28.19/.7720 | 27.32/.7270 | 25.21/.7560 | 29.09/.8900
        SRFBN-S | 483K | 852.9G | 31.98/.8923 | 28.45/.7779 | 27.44/.7313 | 25.71/.7719 | 29.91/.9008
        IDN | 553K | 32.3G | 31.82/.8903 | 28.25/.7730 | 27.41/.7297 | 25.41/.7632 | 29.41/.8942
        CARN | 1592K | 90.9G | 32.13/.8937 | 28.60/.7806 | 27.58/.7349 | 26.07/.7837 | 30.47/.9084
        ECBSR | 602K | 34.7G | 31.92/.8946 | 28.34/.7817 | 27.48/.7393 | 25.81/.7773 | -
        ClassSR-CARN | 645K | 44.7G | 31.82/.8864 | 28.30/.7740 | 27.37/.7250 | 25.58/.7669 | 29.77/.8956
        SMSR (paper) | 1006K | 41.6G (57.2G) | 32.12/.8932 | 28.55/.7808 | 27.55/.7351 | 26.11/.7868 | 30.54/.9085
    """),
}


def published(scale: int, pictures: Sequence[str]) -> tuple[str, float] | None:
    """The set that has these pictures, by their names, and the PSNR that SMSR's paper has for it; None for others."""
    name = next((name for name, members in PICTURES.items() if sorted(members) == sorted(pictures)), None)
    ours = [row for row in TABLES.get(scale, ()) if row.method == "SMSR (paper)"]
    quality = ours[0].quality[SETS.index(name)] if name and ours else None
    return (name, quality[0]) if name and quality else None
