"""Keeps an encoder from making this process's threads real-time ones."""

from __future__ import annotations

import contextlib
import os
from typing import Iterator


@contextlib.contextmanager
def usual_priority() -> Iterator[None]:
    """What is opened meanwhile gets the caller's priority.

    Where it may, as root, SVT-AV1 gives its threads and the caller's the highest real-time one: no other program on
    those processors would get any time.
    """
    if not hasattr(os, "sched_setscheduler"):
        yield
        return
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    before = {thread: os.sched_getscheduler(thread) for thread in threads()}
    try:
        yield
    finally:
        for thread in threads():
            with contextlib.suppress(ProcessLookupError):  # it has ended
                if os.sched_getscheduler(thread) != before.get(thread, policy):
                    os.sched_setscheduler(thread, policy, parameters)


def threads() -> list[int]:
    """Numbers of this process's threads, as Linux has them."""
    return [int(name) for name in os.listdir("/proc/self/task")]
