"""The governor with a real network, on a clip that goes from flat to busy: the time that it holds, and what it costs.

python -m tests.runtime.governing BUNDLE Set5 --budget-ms 20 [--theta-range=-4:6]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import cv2
import numpy as np

from smsr_runtime.governor import Target
from smsr_runtime.run.frames import FrameUpscaler
from smsr_runtime.session import load

FLAT, BUSY, SETTLED = 40, 120, 20
"""Frames of each part, and how many the governor has to settle in."""
WINDOW = 112


def clip(folder: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Frames and what they should become: a smooth gradient, then a window that moves over Set5's butterfly."""
    small, large = (_read(folder / name) for name in ("LR_bicubic/X2/butterflyx2.png", "HR/butterfly.png"))
    ramp = np.linspace(60, 180, 2 * WINDOW)
    smooth = np.rint(np.add.outer(ramp, ramp) / 2).astype(np.uint8)[..., None].repeat(3, axis=2)
    frames: list[tuple[np.ndarray, np.ndarray]] = [(smooth[::2, ::2], smooth)] * FLAT
    for number in range(BUSY):
        y = x = abs(number % 32 - 16)
        frames.append(
            (small[y : y + WINDOW, x : x + WINDOW], large[2 * y : 2 * (y + WINDOW), 2 * x : 2 * (x + WINDOW)])
        )
    return frames


def _read(path: Path) -> np.ndarray:
    pixels = cv2.imread(str(path))
    assert pixels is not None, path
    return np.asarray(pixels)[..., ::-1]


def psnr(result: np.ndarray, wanted: np.ndarray) -> float:
    """In dB, over the three colours."""
    return float(10 * np.log10(255**2 / np.mean((result.astype(float) - wanted) ** 2)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--budget-ms", type=float, required=True)
    parser.add_argument("--theta-range", default="0:6")
    options = parser.parse_args()
    upscaler, frames = load(options.bundle), clip(options.data)
    for target in (None, Target.parse(None, options.budget_ms, options.theta_range)):
        upscale = FrameUpscaler(upscaler, target)
        upscaler.theta = 0.0
        figures = []
        for pixels, wanted in frames:
            start = time.perf_counter()
            larger, shares = upscale(np.ascontiguousarray(pixels))
            seconds = time.perf_counter() - start
            figures.append((1000 * seconds, upscale.theta, float(np.mean(shares)), psnr(larger, wanted)))
            upscale.spent(seconds)
        for name, part in (("flat", figures[5:FLAT]), ("busy, settled", figures[FLAT + SETTLED :])):
            ms, theta, share, quality = np.array(part).T
            what = "theta 0" if target is None else f"{options.budget_ms:g} ms"
            print(
                f"{what}, {name}: mean {ms.mean():.2f} ms, median {np.median(ms):.2f} ms, theta {theta.mean():.2f} "
                f"+- {theta.std():.2f}, share {share.mean():.3f}, {quality.mean():.2f} dB"
            )


if __name__ == "__main__":
    main()
