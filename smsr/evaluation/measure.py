"""Runs models over benchmark pictures and measures them.

PSNR and SSIM on Y of the output rounded to 8 bits, a border of `scale` pixels cut (SMSR, section 4.2).
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from smsr import complexity, images, metrics
from smsr.complexity import Work
from smsr.evaluation.models import Model
from smsr.images import Source
from smsr_runtime.errors import DataError

_GRAY_MODES = ("1", "L", "LA", "I", "I;16")
"""Pillow's modes of one-channel pictures."""


@dataclass(frozen=True)
class Row:
    """One picture: PSNR in dB and SSIM on Y, and the work done."""

    picture: str
    psnr: float
    ssim: float
    work: Work


@dataclass(frozen=True)
class Result:
    """One model on one data set; `gray` names its one-channel pictures."""

    model: Model
    dataset: str
    rows: list[Row]
    gray: list[str]

    @property
    def psnr(self) -> float:
        return float(np.mean([row.psnr for row in self.rows]))

    @property
    def ssim(self) -> float:
        return float(np.mean([row.ssim for row in self.rows]))

    @property
    def work(self) -> Work:
        """Mean over the pictures, as the paper averages."""
        shares = np.mean([row.work.shares for row in self.rows], axis=0).tolist()
        return complexity.work(self.model.config, self.model.dense, shares)


def dataset_name(folder: Path) -> str:
    folder = folder.resolve()
    return folder.parent.name if folder.name == "HR" else folder.name


def evaluate(model: Model, folder: Path) -> Iterator[Row]:
    """One row per picture of a data set, in order of names. Raises DataError for what cannot be read."""
    for source in images.find(folder, model.config.scale, "auto"):
        yield measure(model, source)


def measure(model: Model, source: Source) -> Row:
    """Raises DataError for what cannot be read, and for pictures too small to be measured."""
    scale = model.config.scale
    low, high = images.read_pair(source, scale)
    smallest = metrics.SSIM_WINDOW + 2 * scale
    if min(high.shape[:2]) < smallest:
        got = f"{high.shape[1]}x{high.shape[0]}"
        raise DataError(source, f"at least {smallest}x{smallest} pixels for SSIM without its border", got, "remove it")
    pixels, margins = model.upscale(low)
    shares = [float((margin > 0).mean()) for margin in margins]
    psnr, ssim = metrics.psnr_y(pixels, high, scale), metrics.ssim_y(pixels, high, scale)
    return Row(source.name, psnr, ssim, complexity.work(model.config, model.dense, shares))


def gray_pictures(folder: Path) -> list[str]:
    """Names of the one-channel pictures of a data set."""
    from PIL import Image as Pillow

    names = []
    for source in images.find(folder, 2):
        with Pillow.open(io.BytesIO(source.data())) as picture:
            if picture.mode in _GRAY_MODES:
                names.append(source.name)
    return names
