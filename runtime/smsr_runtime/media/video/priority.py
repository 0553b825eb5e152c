"""Keeps an encoder from making this process's threads real-time ones."""

from __future__ import annotations

import contextlib
import os
from typing import Iterator

_THREADS = "/proc/self/task"
"""A folder for each of this process's threads, on Linux."""


@contextlib.contextmanager
def usual_priority() -> Iterator[None]:
    """What is opened meanwhile gets the caller's priority.

    Where it may, as root, SVT-AV1 gives its threads and the caller's the highest real-time one: no other program on
    those processors would get any time.
    """
    if not os.path.isdir(_THREADS):
        yield
        return
    policy, parameters, before = os.sched_getscheduler(0), os.sched_getparam(0), policies()
    try:
        yield
    finally:
        for thread, now in policies().items():
            if now != before.get(thread, policy):
                with contextlib.suppress(ProcessLookupError):  # it has ended
                    os.sched_setscheduler(thread, policy, parameters)


def policies() -> dict[int, int]:
    """The scheduling policy of each of this process's threads, by its number; Linux."""
    found = {}
    for thread in map(int, os.listdir(_THREADS)):
        with contextlib.suppress(ProcessLookupError):  # it has ended
            found[thread] = os.sched_getscheduler(thread)
    return found
