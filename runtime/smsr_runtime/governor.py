"""Holds a time per frame by moving theta: an integral controller of the active share, with the picture fed forward.

A frame takes about a + b * share seconds, whatever a and b are on this machine. The controller moves the logarithm of
the wanted share by GAIN times that of budget / time. As d log time / d log share = b * share / time lies between 0 and
1, each step leaves between 1 - GAIN and 1 of the error: it is approached from one side, without oscillation. The last
frame's margins say which theta gives the wanted share: so another picture changes theta at once, and not the time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Sequence

import numpy as np

from smsr_runtime.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

GAIN = 0.4
_DEAD_BAND = 0.015
"""Relative error of time that is left alone: noise."""
_LONGEST_STEP = 0.2
"""In the logarithm of the share: a frame that something else has held up changes little."""
_SAMPLES = 20000
"""Margins per module that theta is chosen by."""
_LEAST_SHARE, _MOST_SHARE = 1e-4, 1.0


@dataclass(frozen=True)
class Target:
    """budget: seconds per frame; low, high: bounds of theta."""

    budget: float
    low: float = 0.0
    high: float = 6.0

    @classmethod
    def parse(cls, fps: float | None, milliseconds: float | None, bounds: str | None) -> Target | None:
        """As the command line states it; None where it states no target. Raises UsageError."""
        if fps is not None and milliseconds is not None:
            raise UsageError("--target-fps, --budget-ms", "one of the two", "both", "leave one out")
        if fps is None and milliseconds is None:
            if bounds is not None:
                raise UsageError("--theta-range", "--target-fps or --budget-ms with it", "none", "add one")
            return None
        name, value = ("--target-fps", fps) if fps is not None else ("--budget-ms", milliseconds)
        assert value is not None
        if not (math.isfinite(value) and value > 0):
            raise UsageError(name, "a number above 0", f"{value:g}", "name what the frames may take")
        low, high = (cls.low, cls.high) if bounds is None else _bounds(bounds)
        return cls(1 / value if fps is not None else value / 1000, low, high)


def _bounds(text: str) -> tuple[float, float]:
    try:
        low, high = (float(part) for part in text.split(":"))
    except ValueError:
        low = high = math.nan
    if not (low < high and math.isfinite(low) and math.isfinite(high)):
        raise UsageError("--theta-range", "LOW:HIGH, two numbers", repr(text), "write for example 0:6")
    return low, high


class Governor:
    """`theta`: for the next frame."""

    def __init__(self, target: Target) -> None:
        self.theta = target.low
        self._target = target
        self._wanted = _MOST_SHARE

    def see(self, margins: Sequence[NDArray[Any]], seconds: float) -> None:
        """One frame. margins: per module (H, W), as `theta` gave them; seconds: that it took in all."""
        ordered = _ordered(margins)
        error = math.log(self._target.budget / seconds)
        if abs(error) > _DEAD_BAND:
            step = min(max(GAIN * error, -_LONGEST_STEP), _LONGEST_STEP)
            self._wanted = min(max(self._from(ordered, error) * math.exp(step), _LEAST_SHARE), _MOST_SHARE)
        self.theta = self._theta_of(ordered, self._wanted)

    def _from(self, ordered: NDArray[Any], error: float) -> float:
        """The share that is changed: at a bound of theta the real one, which the wanted one has left behind."""
        if self.theta <= self._target.low and error < 0:
            return min(self._wanted, _share(ordered, self.theta))
        if self.theta >= self._target.high:
            return max(self._wanted, _share(ordered, self.theta))
        return self._wanted

    def _theta_of(self, ordered: NDArray[Any], share: float) -> float:
        theta = float(ordered[min(len(ordered) - 1, int((1 - share) * len(ordered)))])
        return min(max(theta, self._target.low), self._target.high)


def _ordered(margins: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Every n-th margin of all modules, in rising order."""
    parts = [margin.ravel()[:: max(1, margin.size // _SAMPLES)] for margin in margins]
    return np.sort(np.concatenate(parts))


def _share(ordered: NDArray[Any], theta: float) -> float:
    return float(1 - np.searchsorted(ordered, theta, side="right") / len(ordered))
