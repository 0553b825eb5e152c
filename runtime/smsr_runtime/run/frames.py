"""Frames of a video or camera through the network, with theta fixed or governed, and each stage measured."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Callable, Sequence

from smsr_runtime.governor import Governor, Target
from smsr_runtime.live.stats import Stats
from smsr_runtime.media.masks import heat
from smsr_runtime.run.upscale import upscale_with_margins
from smsr_runtime.session import Upscaler

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_REPORT_EVERY = 1.0
"""Seconds."""


class FrameUpscaler:
    """Callable: a frame -> it `scale` times larger, and its active shares per module."""

    def __init__(self, upscaler: Upscaler, target: Target | None) -> None:
        self._upscaler = upscaler
        self._governor = None if target is None else Governor(target)
        self._margins: list[NDArray[np.float32]] = []

    @property
    def theta(self) -> float:
        return self._upscaler.theta

    def __call__(self, pixels: NDArray[Any]) -> tuple[NDArray[Any], Sequence[float]]:
        if self._governor is not None:
            self._upscaler.theta = self._governor.theta
        larger, self._margins = upscale_with_margins(self._upscaler, pixels)
        return larger, self._upscaler.active_shares(self._margins)

    def heat(self, upscaled: NDArray[Any]) -> NDArray[np.uint8]:
        """Where the network worked on the frame that it made last, over that."""
        return heat(upscaled, [margin - self.theta > 0 for margin in self._margins])

    def spent(self, seconds: float) -> None:
        """What the last frame took in all, waiting for it left out."""
        if self._governor is not None:
            self._governor.see(self._margins, seconds)


class MeasuredUpscaler:
    """The same for a file's frames, which come as soon as the last is encoded: from call to call is a frame's time."""

    def __init__(self, frames: FrameUpscaler, show: Callable[[str], None]) -> None:
        """show: takes a line of figures now and then."""
        self.stats = Stats()
        self._frames, self._show = frames, show
        self._start: float | None = None
        self._end = 0.0
        self._shown = time.monotonic()

    def __call__(self, pixels: NDArray[Any]) -> tuple[NDArray[Any], Sequence[float]]:
        start = time.monotonic()
        if self._start is not None:
            self._frames.spent(start - self._start)
        self._start = start
        larger, shares = self._frames(pixels)
        self._count(start, shares)
        return larger, shares

    def _count(self, start: float, shares: Sequence[float]) -> None:
        end = time.monotonic()
        if self.stats.frames:
            self.stats.add("decode and encode", start - self._end)
        self.stats.add("network", end - start)
        self.stats.done(None, self._frames.theta, shares)
        self._end = end
        if end - self._shown >= _REPORT_EVERY:
            self._show(self.stats.line())
            self._shown = end
