"""Our own sample picture, drawn by code: serves as golden input, for parity without `--verify`, and in the demo."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_TEXT = "sparse where it can be, dense where it must"


def sample_picture(height: int, width: int, seed: int = 7) -> NDArray[np.uint8]:
    """(H, W, 3) RGB uint8, the same bytes for the same arguments: sky, texture, lines, discs and lettering.

    Smooth and busy parts side by side, so that spatial masks have something to choose from.
    """
    canvas = _sky(4 * height, 4 * width)
    _grass(canvas, np.random.default_rng(seed))
    _fan(canvas)
    _discs(canvas)
    _lettering(canvas)
    return np.asarray(cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _sky(height: int, width: int) -> NDArray[np.uint8]:
    y, x = np.mgrid[:height, :width] / max(height, width)
    planes = [90 + 120 * y, 140 + 70 * y + 15 * x, 225 - 60 * y]
    return np.ascontiguousarray(np.clip(np.stack(planes, axis=-1), 0, 255).astype(np.uint8))


def _grass(canvas: NDArray[np.uint8], random: np.random.Generator) -> None:
    height, width = canvas.shape[:2]
    for _ in range(width):
        x, base = int(random.integers(width)), int(height * random.uniform(0.84, 1.05))
        tip = (x + int(random.normal(0, height / 60)), base - int(height * random.uniform(0.03, 0.14)))
        colour = (int(random.integers(20, 110)), int(random.integers(80, 190)), int(random.integers(10, 70)))
        cv2.line(canvas, (x, base), tip, colour, max(1, height // 200), cv2.LINE_AA)


def _fan(canvas: NDArray[np.uint8]) -> None:
    height, width = canvas.shape[:2]
    centre, radius = (int(0.78 * width), int(0.36 * height)), 0.3 * min(height, width)
    for step in range(36):
        first, second = (np.pi * (2 * step + turn) / 36 for turn in (0.0, 0.9))
        corners = [centre, *((centre[0] + radius * np.cos(a), centre[1] + radius * np.sin(a)) for a in (first, second))]
        cv2.fillPoly(canvas, [np.array(corners, np.int32)], (245, 235, 210), cv2.LINE_AA)


def _discs(canvas: NDArray[np.uint8]) -> None:
    height, width = canvas.shape[:2]
    for index, colour in enumerate([(200, 40, 30), (250, 190, 40), (40, 60, 140)]):
        centre = (int((0.14 + 0.16 * index) * width), int(0.3 * height))
        cv2.circle(canvas, centre, int(0.07 * min(height, width)), colour, -1, cv2.LINE_AA)


def _lettering(canvas: NDArray[np.uint8]) -> None:
    height, width = canvas.shape[:2]
    size = width / 900.0
    place = (int(0.05 * width), int(0.62 * height))
    cv2.putText(
        canvas, _TEXT, place, cv2.FONT_HERSHEY_COMPLEX, size, (25, 25, 35), max(1, round(2 * size)), cv2.LINE_AA
    )
