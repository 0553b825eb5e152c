"""Interleaved timing: every round runs every engine once, so that whatever slows the machine slows all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from smsr_bench.engines import naming
from smsr_bench.runs import Run

PAUSE_SECONDS = 0.1
"""Before each timed call: the previous engine's threads keep spinning for a while and would slow the next one."""


@dataclass(frozen=True)
class Timing:
    """seconds: per engine, of each round, the same rounds for all; peaks: multiply-adds per second, per round.

    upscaled: per engine, its result (1, 3, sH, sW), where it was kept.
    """

    seconds: Mapping[str, list[float]]
    peaks: list[float]
    upscaled: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)

    def median(self, engine: str) -> float:
        return float(np.median(self.seconds[engine]))

    def ratio(self, engine: str, base: str) -> float:
        """How many times longer `engine` takes than `base`: median of the rounds' ratios."""
        pairs = zip(self.seconds[engine], self.seconds[base], strict=True)
        return float(np.median([ours / theirs for ours, theirs in pairs]))

    @property
    def peak(self) -> float:
        return float(np.median(self.peaks))


def merged(timings: Sequence[Timing]) -> Timing:
    """The rounds of all; every one has the same engines."""
    seconds = {name: [second for timing in timings for second in timing.seconds[name]] for name in timings[0].seconds}
    return Timing(seconds, [peak for timing in timings for peak in timing.peaks])


def time_engines(
    runs: Mapping[str, Run],
    image: NDArray[np.float32],
    rounds: int,
    probe: Callable[[], float],
    *,
    keep: Collection[str] = (),
) -> Timing:
    """One warm-up each, then `rounds` interleaved rounds; image: (1, 3, H, W) float32 0..255.

    probe: measures the machine's multiply-adds per second; keep: engines whose result is kept. Raises DataError.
    """
    upscaled = {}
    for name, run in runs.items():
        with naming(name):
            result = run(image)
        if name in keep:
            upscaled[name] = result
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    peaks = []
    for _ in range(rounds):
        for name, run in runs.items():
            time.sleep(PAUSE_SECONDS)
            start = time.perf_counter()
            run(image)
            seconds[name].append(time.perf_counter() - start)
        time.sleep(PAUSE_SECONDS)
        peaks.append(probe())
    return Timing(seconds, peaks, upscaled)
