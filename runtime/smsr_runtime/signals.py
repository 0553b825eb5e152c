"""Stopping signals held while something must not be interrupted.

TensorRT's bindings print, and then drop, what a callback raises; between two renames a folder has no name.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import Any, Iterator

_STOPPING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


@contextlib.contextmanager
def held_signals() -> Iterator[list[int]]:
    """Yields a list that collects the stopping signals received inside; their handlers run at the end.

    Only signals with a handler in Python; outside of the main thread there is none, and nothing is held.
    """
    received: list[int] = []
    handlers: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        handlers = {int(number): signal.getsignal(number) for number in _STOPPING}
        handlers = {number: handler for number, handler in handlers.items() if callable(handler)}
    for number in handlers:
        signal.signal(number, lambda number, _: received.append(number))
    try:
        yield received
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for number in received:
            handlers[number](number, None)
