"""Hours of small frames from a simulated source through queue, recorder and figures: memory must not grow.

python -m tests.runtime.hours --frames 90000: an hour at 25 frames per second, as fast as they can be made.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from fractions import Fraction
from pathlib import Path

import numpy as np

from smsr_runtime.live.loop import LiveRun
from smsr_runtime.live.newest import Newest
from smsr_runtime.live.sinks import RecordSink
from smsr_runtime.live.source import LiveFrame
from smsr_runtime.media.video.options import VideoOptions

SIZE = (32, 48)


class LockStep:
    """A source whose next frame comes when the last is made, so that none is dropped."""

    name, rate = "simulated", Fraction(25)

    def __init__(self, count: int) -> None:
        self.made = threading.Semaphore(1)
        self._count, self._number = count, 0
        self._begin = time.monotonic()
        self._noise = np.random.default_rng(0).integers(0, 256, (64, *SIZE, 3), np.uint8)

    def read(self) -> LiveFrame | None:
        self.made.acquire()
        if self._number == self._count:
            return None
        self._number += 1
        return LiveFrame(self._noise[self._number % 64], self._begin + self._number / 25)

    def close(self) -> None:
        pass


def resident() -> int:
    """Bytes of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def growth(target: Path, first: int, last: int) -> tuple[int, int]:
    """Bytes in memory after `first` and after `last` frames."""
    source = LockStep(last)
    sink = RecordSink("simulated", target, source.rate, VideoOptions())
    sizes: dict[int, int] = {}
    count = 0

    def upscale(pixels: np.ndarray) -> tuple[np.ndarray, list[float]]:
        return pixels.repeat(2, axis=0).repeat(2, axis=1), [0.5] * 5

    def spent(_: float) -> None:
        nonlocal count
        count += 1
        if count in (first, last):
            sizes[count] = resident()
        source.made.release()

    run, newest = LiveRun(upscale, lambda: 0.0, [sink]), Newest(source)
    with newest:
        run.run(newest, spent, lambda _: None)
    sink.finish()
    assert newest.dropped == 0
    assert run.stats.frames == last
    return sizes[first], sizes[last]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=90000)
    frames = parser.parse_args().frames
    with tempfile.TemporaryDirectory() as folder:
        start = time.monotonic()
        first, last = growth(Path(folder) / "out.mkv", frames // 10, frames)
    print(
        f"{frames} frames ({frames / 25 / 60:.0f} minutes at 25 per second) in {time.monotonic() - start:.0f} s: "
        f"{first / 1e6:.1f} MB after a tenth, {last / 1e6:.1f} MB at the end"
    )


if __name__ == "__main__":
    main()
