"""Reasons to stop before the end: a signal or the time limit; both leave a checkpoint to resume from."""

from __future__ import annotations

import signal
import time
from types import FrameType

GO_ON, TIME_LIMIT = 0, 255
"""Stop codes; a signal's code is its number, 1..64. Processes agree on the largest of their codes."""


class Stopper:
    """Context in which SIGINT and SIGTERM only request a stop; a second SIGINT interrupts at once.

    minutes: the time limit; 0: none.
    """

    def __init__(self, minutes: float) -> None:
        self.deadline = time.monotonic() + minutes * 60.0 if minutes else None
        self.signal = GO_ON
        self._before: dict[int, object] = {}

    def __enter__(self) -> Stopper:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def code(self) -> int:
        """Why to stop now: a signal number, TIME_LIMIT or GO_ON."""
        if self.signal:
            return self.signal
        return TIME_LIMIT if self.deadline is not None and time.monotonic() >= self.deadline else GO_ON

    def _ask(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self.signal and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number
