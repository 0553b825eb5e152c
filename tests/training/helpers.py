"""Tiny pictures and tiny runs of smsr-train."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from tests.helpers import run_python

TINY = (
    "--steps", "2", "--features", "16", "--modules", "1", "--layers", "2",
    "--batch", "4", "--patch", "12", "--min-patch", "8", "--device", "cpu",
    "--threads", "1", "--workers", "0", "--hold-out", "1", "--log-every", "2",
)  # fmt: skip


def picture(height: int, width: int, seed: int) -> NDArray[np.uint8]:
    """(H, W, 3) uint8: smooth colours with hard edges, another one for each seed."""
    random = np.random.default_rng(seed)
    small = random.integers(0, 256, (height // 6 + 2, width // 6 + 2, 3), dtype=np.uint8)
    smooth = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    y, x = sorted(random.integers(0, height, 2)), sorted(random.integers(0, width, 2))
    smooth[y[0] : y[1], x[0] : x[1]] = random.integers(0, 256, 3)
    return np.asarray(smooth, np.uint8)


def write_pictures(folder: Path, count: int = 6, size: tuple[int, int] = (40, 52)) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        cv2.imwrite(str(folder / f"p{index}.png"), picture(*size, seed=index))
    return folder


def train(
    *arguments: object, cwd: Path, environment: dict[str, str] | None = None, limit_file_size: int | None = None
) -> subprocess.CompletedProcess[str]:
    """smsr-train in a process of its own, as a user starts it."""
    return run_python(
        "-m", "smsr.training", *arguments,
        cwd=cwd, environment={"OMP_NUM_THREADS": "1", **(environment or {})}, limit_file_size=limit_file_size,
    )  # fmt: skip


def read(path: Path) -> dict[str, Any]:
    return dict(torch.load(path, weights_only=True))


def equal(first: Any, second: Any) -> bool:
    """Whether two checkpoints hold the same, bit for bit."""
    if isinstance(first, torch.Tensor):
        return bool(torch.equal(first, second))
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(equal(value, second[key]) for key, value in first.items())
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(equal, first, second))
    return bool(first == second)
