"""Figures of a run as it goes: time of each stage, latency, frames per second, theta and active share."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from typing import Any, Iterator, Sequence

_RECENT = 500
"""Frames that medians are taken of."""


class Stats:
    """`frames`: how many were made. Times are in seconds, of the clock given; figures in milliseconds."""

    def __init__(self) -> None:
        self.frames = 0
        self.theta = 0.0
        self._thetas: tuple[float, float] | None = None
        self._active = 0.0
        self._stages: dict[str, deque[float]] = {}
        self._latencies: deque[float] = deque(maxlen=_RECENT)
        self._ends: deque[float] = deque(maxlen=_RECENT)
        self._sums: list[float] = []

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measures one stage of one frame."""
        start = time.monotonic()
        yield
        self.add(name, time.monotonic() - start)

    def add(self, name: str, seconds: float) -> None:
        """A stage that was measured elsewhere."""
        self._stages.setdefault(name, deque(maxlen=_RECENT)).append(seconds)

    def done(self, captured: float | None, theta: float, shares: Sequence[float]) -> None:
        """One frame is out. captured: when it came, None where that does not matter; shares: active ones, 0..1."""
        now = time.monotonic()
        if captured is not None:
            self._latencies.append(now - captured)
        self.frames += 1
        self.theta = theta
        low, high = self._thetas or (theta, theta)
        self._thetas = min(low, theta), max(high, theta)
        self._ends.append(now)
        self._sums = [a + b for a, b in zip(self._sums or [0.0] * len(shares), shares)]
        self._active = sum(shares) / len(shares) if shares else 0.0

    @property
    def active(self) -> list[float]:
        """Per module the mean share of active pixels."""
        return [total / self.frames for total in self._sums]

    def as_json(self) -> dict[str, Any]:
        """Medians of the last frames, and of latency also what 95 of 100 frames stay below."""
        figures: dict[str, Any] = {
            "frames_per_second": round(self._rate(), 2),
            "theta": round(self.theta, 4),
            "theta_range": [round(theta, 4) for theta in self._thetas or ()],
            "stages_ms": {name: _milliseconds(times, 0.5) for name, times in self._stages.items()},
        }
        if self._latencies:
            of = self._latencies
            figures["latency_ms"] = {"median": _milliseconds(of, 0.5), "p95": _milliseconds(of, 0.95)}
        return figures

    def _rate(self) -> float:
        duration = self._ends[-1] - self._ends[0] if len(self._ends) > 1 else 0.0
        return (len(self._ends) - 1) / duration if duration > 0 else 0.0

    def line(self) -> str:
        """For people, such as "12.1 frames/s, theta 1.50, 23% active, network 70.1 ms, latency 85 ms (95 %: 120)"."""
        figures = self.as_json()
        parts = [
            f"{figures['frames_per_second']:.1f} frames/s",
            f"theta {self.theta:.2f}",
            f"{self._active:.0%} active",
        ]
        parts += [f"{name} {value:.1f} ms" for name, value in figures["stages_ms"].items()]
        if "latency_ms" in figures:
            parts.append("latency {median:.0f} ms (95 of 100 frames below {p95:.0f})".format(**figures["latency_ms"]))
        return ", ".join(parts)


def _milliseconds(times: deque[float], share: float) -> float:
    """The value that `share` of the times stay at or below."""
    ordered = sorted(times)
    return round(1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))], 2)
