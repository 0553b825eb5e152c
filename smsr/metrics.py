"""PSNR and SSIM as the super-resolution literature measures them: on Y, 8 bits, a border of `scale` cut."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Y_WEIGHTS = (65.738 / 256.0, 129.057 / 256.0, 25.064 / 256.0)
"""R, G, B weights of Y in 16..235 (offset 16), as in the authors' `utility.py` (BT.601)."""


SSIM_WINDOW = 11
"""Side of SSIM's Gaussian window, and so of the smallest picture, without its border, that has an SSIM."""


def quantise(image: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Float 0..255, any shape -> uint8, clipped and rounded half to even."""
    return np.clip(np.round(image), 0, 255).astype(np.uint8)


def luminance(image: NDArray[np.generic]) -> NDArray[np.float64]:
    """(H, W, 3) RGB 0..255 -> Y (H, W) float64 in 16..235."""
    return np.asarray(image.astype(np.float64) @ np.array(Y_WEIGHTS) + 16.0, np.float64)


def _cut(image: NDArray[np.float64], border: int) -> NDArray[np.float64]:
    return image[border : image.shape[0] - border, border : image.shape[1] - border]


def psnr_y(first: NDArray[np.generic], second: NDArray[np.generic], border: int) -> float:
    """PSNR in dB on Y of two (H, W, 3) RGB images in 0..255, `border` pixels cut on each side.

    Equal images give infinity.
    """
    difference = _cut(luminance(first), border) - _cut(luminance(second), border)
    mean_square = float(np.mean(difference**2))
    return float("inf") if mean_square == 0.0 else 10.0 * float(np.log10(255.0**2 / mean_square))


def ssim_y(first: NDArray[np.generic], second: NDArray[np.generic], border: int) -> float:
    """SSIM on Y of two (H, W, 3) RGB images in 0..255: 11x11 Gaussian, sigma 1.5, valid part only."""
    x, y = (_cut(luminance(image), border) for image in (first, second))
    kernel, reach = cv2.getGaussianKernel(SSIM_WINDOW, 1.5), SSIM_WINDOW // 2

    def blur(image: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(cv2.sepFilter2D(image, cv2.CV_64F, kernel, kernel)[reach:-reach, reach:-reach], np.float64)

    mean_x, mean_y = blur(x), blur(y)
    variance_x, variance_y = blur(x * x) - mean_x**2, blur(y * y) - mean_y**2
    covariance = blur(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * 255.0) ** 2, (0.03 * 255.0) ** 2
    ratio = ((2 * mean_x * mean_y + c1) * (2 * covariance + c2)) / (
        (mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2)
    )
    return float(ratio.mean())
