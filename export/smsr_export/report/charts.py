"""A small line chart as numbers for a template: places in an SVG, labels as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 320, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 22.0, 22.0, 46.0, 30.0


@dataclass(frozen=True)
class Point:
    """x, y: places in the drawing; at, value: the labels below the axis and at the point."""

    x: float
    y: float
    at: str
    value: str


@dataclass(frozen=True)
class Chart:
    """points: from left to right; path: the line through them."""

    title: str
    axis: str
    points: list[Point]
    width: int = WIDTH
    height: int = HEIGHT

    @property
    def path(self) -> str:
        return "M" + " L".join(f"{point.x:g} {point.y:g}" for point in self.points)

    @property
    def base(self) -> float:
        """Where the axis lies."""
        return HEIGHT - _BOTTOM + 6


def chart(title: str, axis: str, places: Sequence[float], values: Sequence[float], form: str) -> Chart:
    """places: rising; values: what the line shows, each written by `form`, such as "{:.0%}"."""
    xs, ys = _spread(places, _LEFT, WIDTH - _RIGHT), _spread(values, HEIGHT - _BOTTOM, _TOP)
    points = [
        Point(round(x, 1), round(y, 1), f"{place:g}", form.format(value))
        for x, y, place, value in zip(xs, ys, places, values, strict=True)
    ]
    return Chart(title, axis, points)


def _spread(values: Sequence[float], low: float, high: float) -> list[float]:
    """The least value to `low`, the greatest to `high`; all to the middle where they are equal."""
    least, span = min(values), max(values) - min(values)
    return [low + (high - low) * ((value - least) / span if span else 0.5) for value in values]
