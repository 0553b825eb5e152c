"""Frames of a video or camera through the network, with theta fixed or governed, and each stage measured."""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING, Any, Callable, Sequence

from smsr_runtime.governor import Governor, Target
from smsr_runtime.live.stats import Stats
from smsr_runtime.media.masks import heat
from smsr_runtime.run.upscale import begin_frame
from smsr_runtime.session import Upscaler

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_REPORT_EVERY = 1.0
"""Seconds."""


class FrameUpscaler:
    """Callable: a frame -> it `scale` times larger, and its active shares per module.

    ahead, begin: see `smsr_runtime.media.video.ahead`.
    """

    def __init__(self, upscaler: Upscaler, target: Target | None) -> None:
        self._upscaler = upscaler
        self._governor = None if target is None else Governor(target)
        self._margins: list[NDArray[np.float32]] = []

    @property
    def theta(self) -> float:
        return self._upscaler.theta

    @property
    def ahead(self) -> int:
        """0 where theta is governed: by the margins of the frame before."""
        return 0 if self._governor is not None else self._upscaler.ahead

    def __call__(self, pixels: NDArray[Any]) -> tuple[NDArray[Any], Sequence[float]]:
        return self.begin(pixels)()

    def begin(self, pixels: NDArray[Any]) -> Callable[[], tuple[NDArray[Any], Sequence[float]]]:
        if self._governor is not None:
            self._upscaler.theta = self._governor.theta
        return functools.partial(self._finish, begin_frame(self._upscaler, pixels))

    def _finish(
        self, begun: Callable[[], tuple[NDArray[Any], list[NDArray[np.float32]]]]
    ) -> tuple[NDArray[Any], Sequence[float]]:
        larger, self._margins = begun()
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
        self._network = 0.0  # seconds since then
        self._shown = time.monotonic()

    @property
    def ahead(self) -> int:
        return self._frames.ahead

    def __call__(self, pixels: NDArray[Any]) -> tuple[NDArray[Any], Sequence[float]]:
        return self.begin(pixels)()

    def begin(self, pixels: NDArray[Any]) -> Callable[[], tuple[NDArray[Any], Sequence[float]]]:
        start = time.monotonic()
        if self._start is not None:
            self._frames.spent(start - self._start)
        self._start = start
        begun = self._frames.begin(pixels)
        self._network += time.monotonic() - start
        return functools.partial(self._finish, begun)

    def _finish(
        self, begun: Callable[[], tuple[NDArray[Any], Sequence[float]]]
    ) -> tuple[NDArray[Any], Sequence[float]]:
        start = time.monotonic()
        larger, shares = begun()
        self._network += time.monotonic() - start
        self._count(shares)
        return larger, shares

    def _count(self, shares: Sequence[float]) -> None:
        end = time.monotonic()
        if self.stats.frames:
            self.stats.add("decode and encode", end - self._end - self._network)
        self.stats.add("network", self._network)
        self.stats.done(None, self._frames.theta, shares)
        self._end, self._network = end, 0.0
        if end - self._shown >= _REPORT_EVERY:
            self._show(self.stats.line())
            self._shown = end
