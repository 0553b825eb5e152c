"""The newest frame of a live source: a thread takes every frame; one not taken before the next comes is dropped."""

from __future__ import annotations

import threading

from smsr_runtime.errors import VideoError
from smsr_runtime.live.source import LiveFrame, LiveSource

_PATIENCE = 15.0
"""Seconds without a frame after which a source counts as lost."""
_TICK = 0.2
"""Seconds of one wait; Ctrl-C is heard in between."""


class Newest:
    """A queue of one. `seen`: frames that came; `dropped`: those that were too old when the network was free."""

    def __init__(self, source: LiveSource) -> None:
        self.seen = self.dropped = 0
        self._source = source
        self._frame: LiveFrame | None = None
        self._error: BaseException | None = None
        self._ended = self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._take_all, name="newest frame", daemon=True)

    def __enter__(self) -> Newest:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """The source is closed by the thread that reads it, as soon as it is free."""
        self._closed = True
        self._thread.join(_TICK)

    def get(self) -> LiveFrame | None:
        """Waits for a frame newer than the last; None at the end.

        Raises what the source raised, VideoError where no frame comes or its size changes.
        """
        waits = 0  # and not the clock: a process that was stopped has not waited
        with self._changed:
            while self._frame is None and not self._ended:
                if waits * _TICK > _PATIENCE:
                    got = f"none for {_PATIENCE:g} s"
                    raise VideoError(self._source.name, "frames until it is stopped", got, "check the sender")
                self._changed.wait(_TICK)
                waits += 1
            frame, self._frame = self._frame, None
        if frame is None and self._error is not None:
            raise self._error
        return frame

    def _take_all(self) -> None:
        try:
            size = None
            while not self._closed:
                frame = self._source.read()
                if frame is None:
                    break
                size = size or frame.pixels.shape
                self._check_size(size, frame.pixels.shape)
                self._put(frame)
        except Exception as error:  # handed over to the thread that asks for frames
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify()
            self._source.close()

    def _put(self, frame: LiveFrame) -> None:
        with self._changed:
            self.seen += 1
            self.dropped += self._frame is not None
            self._frame = frame
            self._changed.notify()

    def _check_size(self, first: tuple[int, ...], now: tuple[int, ...]) -> None:
        if first != now:
            before, after = (f"{shape[1]}x{shape[0]}" for shape in (first, now))
            todo = "start again for the new frames"
            raise VideoError(self._source.name, f"frames of one size, {before}", after, todo)
