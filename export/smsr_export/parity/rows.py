"""The numbers of one picture on one path, and those of all pictures together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ParityRow:
    """One picture on one path.

    mask_pixels: pixels of all modules' spatial masks; flips: those that PyTorch decides otherwise; max_abs: largest
    difference (0..255) that no flip can reach; rmse: over the whole picture; active_share: 0..1, module_shares: the
    same of each module; psnr_torch, psnr: dB on Y, None without an original.
    """

    picture: str
    path: str
    width: int
    height: int
    mask_pixels: int
    flips: int
    max_abs: float
    rmse: float
    active_share: float
    module_shares: list[float]
    psnr_torch: float | None
    psnr: float | None

    @property
    def size(self) -> str:
        return f"{self.width}x{self.height}" if self.width else ""


def summaries(rows: Sequence[ParityRow]) -> list[ParityRow]:
    """One row for each path with more than one picture."""
    paths = dict.fromkeys(row.path for row in rows)
    groups = [[row for row in rows if row.path == path] for path in paths]
    return [summary(group) for group in groups if len(group) > 1]


def summary(rows: Sequence[ParityRow]) -> ParityRow:
    """The rows of one path as one: sums of flips, largest difference, mean PSNR."""
    # a picture that both reproduce exactly would make both means infinite and hide the others
    finite = [row for row in rows if not row.psnr == row.psnr_torch == math.inf] or rows
    return ParityRow(
        picture="all",
        path=rows[0].path,
        width=0,
        height=0,
        mask_pixels=sum(row.mask_pixels for row in rows),
        flips=sum(row.flips for row in rows),
        max_abs=float(np.max([row.max_abs for row in rows])),  # numpy's: Python's max() loses a NaN
        rmse=float(np.sqrt(np.mean([row.rmse**2 for row in rows]))),
        active_share=float(np.mean([row.active_share for row in rows])),
        module_shares=np.mean([row.module_shares for row in rows], axis=0).tolist(),
        psnr_torch=_mean([row.psnr_torch for row in finite]),
        psnr=_mean([row.psnr for row in finite]),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
