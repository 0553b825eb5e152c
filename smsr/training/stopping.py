"""Reasons to stop before the end: a signal or the time limit; both leave a checkpoint to resume from."""

from __future__ import annotations

import signal
import time
from types import FrameType

TIME_LIMIT = -1
"""The code of the time limit; a signal's code is its number; 0: go on."""


class Stopper:
    """Context in which SIGINT and SIGTERM only ask to stop; a second SIGINT interrupts at once."""

    def __init__(self, minutes: float) -> None:
        self.deadline = time.monotonic() + minutes * 60.0 if minutes else None
        self.signal = 0
        self._before: dict[int, object] = {}

    def __enter__(self) -> Stopper:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def code(self) -> int:
        """Why to stop now: a signal number, TIME_LIMIT, or 0."""
        if self.signal:
            return self.signal
        return TIME_LIMIT if self.deadline is not None and time.monotonic() >= self.deadline else 0

    def _ask(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self.signal and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number
