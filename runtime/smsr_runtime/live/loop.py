"""The loop of a live run: newest frame, network, sinks; it ends with the source, the window, Ctrl-C or an error."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Callable, Protocol, Sequence, Tuple

from smsr_runtime.live.newest import Newest
from smsr_runtime.live.stats import Stats

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Upscale = Callable[[NDArray[Any]], Tuple[NDArray[Any], Sequence[float]]]

_REPORT_EVERY = 1.0
"""Seconds."""


class Sink(Protocol):
    """Where results go. name: of its stage in the figures; closed: whether it wants no more."""

    name: str

    @property
    def closed(self) -> bool: ...

    def write(self, pixels: NDArray[Any], seconds: float, shares: Sequence[float]) -> None:
        """pixels: (sH, sW, 3) uint8; seconds: since the first frame."""
        ...

    def finish(self) -> None: ...


class Governor(Protocol):
    """Chooses theta for the next frame, see `smsr_runtime.governor`."""

    @property
    def theta(self) -> float: ...

    def spent(self, seconds: float) -> None:
        """The time that the last frame took, waiting left out."""
        ...


class LiveRun:
    """`sizes`: (height, width) of frames before and after, once there was one."""

    def __init__(self, upscale: Upscale, theta: Callable[[], float], sinks: Sequence[Sink]) -> None:
        """theta: what the last frame was made with."""
        self.stats = Stats()
        self.sizes: tuple[Sequence[int], Sequence[int]] | None = None
        self._upscale, self._theta, self._sinks = upscale, theta, sinks
        self._first: float | None = None

    def run(self, newest: Newest, spent: Callable[[float], None], show: Callable[[str], None]) -> None:
        """Until the source ends or a sink closes. spent: takes each frame's seconds; show: takes a line now and then.

        Raises what the source, the network and the sinks raise, KeyboardInterrupt.
        """
        shown = time.monotonic()
        while not any(sink.closed for sink in self._sinks):
            with self.stats.stage("wait"):
                frame = newest.get()
            if frame is None:
                return
            start = time.monotonic()
            self._make(frame.pixels, frame.captured)
            spent(time.monotonic() - start)
            if time.monotonic() - shown >= _REPORT_EVERY:
                show(self.stats.line())
                shown = time.monotonic()

    def _make(self, pixels: NDArray[Any], captured: float) -> None:
        self._first = captured if self._first is None else self._first
        with self.stats.stage("network"):
            larger, shares = self._upscale(pixels)
        self.sizes = self.sizes or (pixels.shape[:2], larger.shape[:2])
        for sink in self._sinks:
            with self.stats.stage(sink.name):
                sink.write(larger, captured - self._first, shares)
        self.stats.done(captured, self._theta(), shares)
