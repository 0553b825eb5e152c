"""The machine a benchmark runs on, and its peak of float32 multiply-adds."""

from __future__ import annotations

import ctypes
import os
import platform
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

_ROUNDS = 20_000_000
"""Rounds of the native loop: about 70 ms with AVX-512, so that starting the threads does not matter."""


def describe() -> dict[str, Any]:
    """Processor, cores, system."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = lines[0] if lines else model
    return {"processor": model, "cores": os.cpu_count(), "system": platform.platform()}


def peak_probe(library: Path, threads: int) -> Callable[[], float]:
    """A call that measures the multiply-adds per second of `threads` threads together, float32, in registers only.

    library: libsmsr_ort, which has the loop (docs/interfaces.md) and runs it without Python's lock.
    """
    multiply_adds = ctypes.CDLL(str(library)).smsr_multiply_adds
    multiply_adds.restype, multiply_adds.argtypes = ctypes.c_double, [ctypes.c_int64]
    places = _places(threads)
    pool = ThreadPoolExecutor(threads, initializer=lambda: _stay_on(places.pop() if places else None))

    def measure() -> float:
        start = time.perf_counter()
        done: float = sum(pool.map(multiply_adds, [_ROUNDS] * threads))
        return done / (time.perf_counter() - start)

    return measure


def _places(threads: int) -> list[int]:
    """One processor per thread, where the system can pin threads and has enough processors; else none."""
    usable = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    return usable[:threads] if len(usable) >= threads else []


def _stay_on(processor: int | None) -> None:
    """Pins the thread: short loops would end before the system has given each thread a processor of its own."""
    if processor is not None:
        os.sched_setaffinity(0, {processor})
