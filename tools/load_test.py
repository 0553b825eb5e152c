"""Many runs in one process: no growth of memory, open files or threads, and always the same bytes.

    python tools/load_test.py BUNDLE [--runs 10000] [--threads 8] [--sessions 300]    (make load)

First THREADS threads share one opened bundle for RUNS pictures, then SESSIONS bundles are opened and closed one after
the other. Memory is compared between the end of a warm-up (a fifth of the work) and the end. Exit code 1 where
something grows or a result has other bytes.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import smsr_runtime

ALLOWED_GROWTH_KB = 16 * 1024
"""Of resident memory after the warm-up: allocators keep and return pages as they like; a leak of one session's weights
(3 MB) or of one result in ten is far above it."""
PICTURES = [np.random.default_rng(seed).integers(0, 256, (24, 32 + 8 * seed, 3), dtype=np.uint8) for seed in range(3)]


@dataclass(frozen=True)
class State:
    """Of this process: resident memory in kB, open file descriptors, threads of the operating system."""

    memory: int
    files: int
    threads: int

    @classmethod
    def now(cls) -> State:
        gc.collect()
        lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        return cls(int(lines["VmRSS"].split()[0]), len(os.listdir("/proc/self/fd")), int(lines["Threads"]))


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="load_test", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    for name, default in (("runs", 10_000), ("threads", 8), ("sessions", 300)):
        parser.add_argument(f"--{name}", type=int, default=default, metavar="N")
    wanted = parser.parse_args(arguments)
    expected = [digest(smsr_runtime.load(wanted.bundle)(picture)) for picture in PICTURES]
    upscaler = smsr_runtime.load(wanted.bundle)

    def run(number: int) -> bool:
        which = number % len(PICTURES)
        return digest(upscaler(PICTURES[which])) == expected[which]

    def open_one(number: int) -> bool:
        which = number % len(PICTURES)
        return digest(smsr_runtime.load(wanted.bundle)(PICTURES[which])) == expected[which]

    good = measured(f"{wanted.runs} pictures on {wanted.threads} threads", run, wanted.runs, wanted.threads)
    return 0 if measured(f"{wanted.sessions} sessions", open_one, wanted.sessions, 1) and good else 1


def digest(picture: np.ndarray) -> str:
    return hashlib.sha256(picture.tobytes()).hexdigest()


def measured(what: str, work: Callable[[int], bool], count: int, threads: int) -> bool:
    """Does the work 0 .. count - 1 and prints one line; whether nothing grew and all of it was right."""
    started, first = time.monotonic(), max(1, count // 5)
    wrong = spread(work, range(first), threads)
    before = State.now()
    wrong += spread(work, range(first, count), threads)
    after = State.now()
    grown = after.memory - before.memory
    good = not wrong and grown <= ALLOWED_GROWTH_KB and (after.files, after.threads) == (before.files, before.threads)
    seconds = time.monotonic() - started
    print(
        f"{what}: {seconds:.0f} s, {wrong} other results, memory {before.memory} -> {after.memory} kB "
        f"({grown:+d}), files {before.files} -> {after.files}, threads {before.threads} -> {after.threads}: "
        f"{'good' if good else 'NOT GOOD'}",
        flush=True,
    )
    return good


def spread(work: Callable[[int], bool], numbers: range, threads: int) -> int:
    """The number of wrong results. An exception of a thread ends the program."""
    wrong = [0] * threads
    failures: list[BaseException] = []

    def of_thread(index: int) -> None:
        try:
            wrong[index] = sum(not work(number) for number in numbers[index::threads])
        except BaseException as error:
            failures.append(error)

    started = [threading.Thread(target=of_thread, args=(index,)) for index in range(threads)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
    if failures:
        raise failures[0]
    return sum(wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
