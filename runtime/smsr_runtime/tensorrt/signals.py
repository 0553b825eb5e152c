"""Ctrl-C and SIGTERM while TensorRT works: its bindings print and swallow what Python raises inside a callback."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import Any, Iterator

_STOPPING = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def held_signals() -> Iterator[list[int]]:
    """Yields a list that fills with the stopping signals that come inside; they take effect at the end.

    Only those that Python code answers; in another thread than the main one Python answers none.
    """
    came: list[int] = []
    handlers: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        handlers = {int(number): signal.getsignal(number) for number in _STOPPING}
        handlers = {number: handler for number, handler in handlers.items() if callable(handler)}
    for number in handlers:
        signal.signal(number, lambda number, _: came.append(number))
    try:
        yield came
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for number in came:
            handlers[number](number, None)
