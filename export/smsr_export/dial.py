"""Measures the dial's curve on the verify pictures: theta, active share, PSNR and MACs (`smsr_runtime.dial` reads it).

The thetas are those that leave equal steps of the share that the network has as trained, down to LOWEST of it, by
the margins as trained; the shares and PSNR are then measured at each theta, since masks change later margins too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smsr import complexity, metrics
from smsr.network_config import NetworkConfig
from smsr_export.parity.pictures import Picture
from smsr_runtime.arrays import to_pixels, to_planes
from smsr_runtime.session import Upscaler

STEPS = 5
LOWEST = 0.4
"""The authors' x2 network loses 0.36 dB there (Set5)."""

Point = dict[str, Any]


def measure(upscaler: Upscaler, pictures: Sequence[Picture]) -> dict[str, Any] | None:
    """The manifest's entry "dial"; None where theta changes nothing, as with no active pixel."""
    margins = [upscaler.upscale_float(to_planes(picture.low), margins=True)[1] for picture in pictures]
    points: list[Point] = []
    for theta in thetas(np.concatenate([margin.ravel() for of_picture in margins for margin in of_picture])):
        point = _point(upscaler, pictures, theta)
        if not points or point["active_share"] < points[-1]["active_share"]:
            points.append(point)
    return {"pictures": len(pictures), "points": points} if len(points) > 1 else None


def thetas(margins: NDArray[np.float32]) -> list[float]:
    """0, then up to STEPS rising values, rounded to 0.01; margins: of all modules and pixels."""
    active = np.sort(margins[margins > 0])
    if not active.size:
        return [0.0]
    steps = [(1 - LOWEST) * step / STEPS for step in range(1, STEPS + 1)]
    return [0.0, *sorted({value for value in (round(float(np.quantile(active, step)), 2) for step in steps) if value})]


def _point(upscaler: Upscaler, pictures: Sequence[Picture], theta: float) -> Point:
    """At this theta, which the upscaler has only meanwhile."""
    before, upscaler.theta = upscaler.theta, theta
    try:
        results = [upscaler.upscale_float(to_planes(picture.low), margins=True) for picture in pictures]
    finally:
        upscaler.theta = before
    pixels = sum(margins[0].size for _, margins in results)
    active = [sum(int((margin - theta > 0).sum()) for margin in of_module) for of_module in _by_module(results)]
    work = complexity.work(_config(upscaler), upscaler.bundle.dense_channels, [count / pixels for count in active])
    decibels = [
        metrics.psnr_y(metrics.quantise(to_pixels(upscaled)), picture.high, upscaler.scale)
        for (upscaled, _), picture in zip(results, pictures, strict=True)
        if picture.high is not None
    ]
    finite = [value for value in decibels if np.isfinite(value)]  # JSON has no infinity
    return {
        "theta": theta,
        "active_share": round(work.active_share, 6),
        "macs_share": round(work.macs_share, 6),
        "psnr": round(float(np.mean(finite)), 4) if finite else None,
    }


def _by_module(results: Sequence[tuple[Any, list[NDArray[np.float32]]]]) -> list[tuple[NDArray[np.float32], ...]]:
    return list(zip(*(margins for _, margins in results), strict=True))


def _config(upscaler: Upscaler) -> NetworkConfig:
    bundle = upscaler.bundle
    return NetworkConfig(bundle.scale, bundle.features, bundle.modules, bundle.layers)
