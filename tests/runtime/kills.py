"""Kills runs of a video at random moments and resumes them: the result must be that of one run, byte for byte.

python -m tests.runtime.kills BUNDLE --kills 200
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from tests.runtime.helpers import RUNTIME
from tests.runtime.video import RATE, rgb_frames

FRAMES = 250
"""Four segments of 60 frames, and a shorter one."""


SIZE = (72, 56)
"""Width and height; upscaled the width is no multiple of 8 macroblocks, where x264 needs care to repeat itself."""


def clip_with_sound(path: Path, frames: int = FRAMES) -> Path:
    """A moving pattern, every tenth frame shown twice as long, and a tone."""
    times = np.cumsum([1 + (number % 10 == 0) for number in range(frames)])
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=RATE, options={"crf": "20"})
        video.width, video.height, video.codec_context.time_base = *SIZE, Fraction(1, RATE)
        sound = container.add_stream("aac", rate=44100)
        for moment, frame in zip(times, rgb_frames(frames, SIZE)):
            frame.pts, frame.time_base = int(moment), Fraction(1, RATE)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        for start in range(0, int(times[-1]) * 44100 // RATE, 1024):
            wave = np.sin(np.arange(start, start + 1024) / 20)[None].astype(np.float32)
            piece = av.AudioFrame.from_ndarray(np.repeat(wave, 2, 0), format="fltp", layout="stereo")
            piece.sample_rate, piece.pts, piece.time_base = 44100, start, Fraction(1, 44100)
            container.mux(sound.encode(piece))
        container.mux(sound.encode(None))
    return path


class Killer:
    """Runs one job again and again; `kills` and `results` are counted."""

    def __init__(self, command: list[str], results: list[Path], seed: int = 0) -> None:
        """command: the whole one, with --resume; results: what it makes."""
        self.kills = self.results = 0
        self._command, self._made = command, results
        self._random = random.Random(seed)
        start = time.monotonic()
        self._run(None)
        self.seconds = time.monotonic() - start
        self.expected = [result.read_bytes() for result in results]
        self._remove()

    def kill(self, times: int) -> None:
        """Until so many kills have hit, and the last result is compared. Raises AssertionError."""
        while self.kills < times:
            self._attempt(self._random.uniform(0, self.seconds))
        while not self._there():
            self._attempt(None)
        self._compare()

    def _attempt(self, seconds: float | None) -> None:
        if self._there():
            self._compare()
        self.kills += self._run(seconds)

    def _run(self, seconds: float | None) -> bool:
        """Whether it was killed."""
        with subprocess.Popen(self._command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
            try:
                _, errors = process.communicate(timeout=seconds)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.communicate()
            else:
                assert process.returncode == 0, errors.decode()
        return process.returncode == -signal.SIGKILL

    def _compare(self) -> None:
        if self._left():  # killed between the result and the end: another run finds it done, and tidies up
            self._run(None)
        made = [result.read_bytes() for result in self._made]
        assert made == self.expected, f"another result after {self.kills} kills"
        assert not self._left()
        self.results += 1
        print(f"{self.kills} kills", flush=True)
        self._remove()

    def _there(self) -> bool:
        return all(result.exists() for result in self._made)

    def _remove(self) -> None:
        for result in self._made:
            result.unlink()

    def _left(self) -> set[str]:
        """What lies beside input and results."""
        return {path.name for path in self._made[0].parent.iterdir()} - {"in.mp4", *(path.name for path in self._made)}


def killer(bundle: Path, folder: Path, suffix: str = ".mp4", seed: int = 0, *, masks: bool = False) -> Killer:
    clip, out = clip_with_sound(folder / "in.mp4"), folder / f"out{suffix}"
    command = [sys.executable, str(RUNTIME / "run.py"), str(bundle), str(clip), "-o", str(out), "--resume", "--quiet"]
    if not masks:
        return Killer(command, [out], seed)
    return Killer([*command, "--show-masks"], [out, folder / f"out.masks{suffix}"], seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--suffix", default=".mp4")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show-masks", action="store_true", help="kill a job that also makes a video of the masks")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        job = killer(options.bundle, Path(folder), options.suffix, options.seed, masks=options.show_masks)
        job.kill(options.kills)
    print(f"{job.kills} kills, {job.results} results of {FRAMES} frames, all identical to that of one run")


if __name__ == "__main__":
    main()
