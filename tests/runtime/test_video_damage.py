"""Damaged videos: no run hangs, what can be decoded is kept, what is missing is counted."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.runtime.helpers import RUNTIME

FRAMES, RATE = 100, 25
DAMAGED_FILES = 40
_STOPPED = f"""
import sys
sys.path.insert(0, {str(RUNTIME)!r})
from pathlib import Path
from smsr_runtime.errors import VideoError
from smsr_runtime.media.video.options import VideoOptions
from smsr_runtime.media.video.source import pyav
from smsr_runtime.media.video.transfer import upscale_video

class Stopped(Exception):
    pass

def upscale(pixels):
    left.pop()
    if not left:
        raise Stopped
    return pixels, []

for name in sys.argv[1:]:
    left = [None] * 4
    try:
        upscale_video(upscale, Path(name), Path(name).with_suffix(".mp4"), VideoOptions(), lambda: None)
        print("whole", flush=True)
    except (VideoError, Stopped) as error:
        print(type(error).__name__, flush=True)
"""
"""Upscales each file as far as its fourth frame: the decoder is freed in the midst of its work, as by Ctrl-C."""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A moving pattern in H.264, with a keyframe every second."""
    path = tmp_path_factory.mktemp("clips") / "clip.mkv"
    blocks = np.random.default_rng(3).integers(0, 256, (6, 8, 3), np.uint8)
    pattern = blocks.repeat(8, axis=0).repeat(8, axis=1)
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=RATE, options={"crf": "20", "g": str(RATE)})
        video.width, video.height = 64, 48
        for number in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(np.roll(pattern, number, 1)), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    return path


def damaged(clip: Path, folder: Path, seed: int) -> Path:
    """A copy of `clip` with 1 to 200 bytes changed behind its header."""
    rng, data = np.random.default_rng(seed), bytearray(clip.read_bytes())
    for position in rng.integers(600, len(data) - 300, rng.integers(1, 200)):
        data[position] = rng.integers(0, 256)
    path = folder / f"{seed}.mkv"
    path.write_bytes(data)
    return path


def test_no_damaged_file_hangs_a_run_that_stops(clip: Path, tmp_path: Path) -> None:
    names = [str(damaged(clip, tmp_path, seed)) for seed in range(DAMAGED_FILES)]
    command = [sys.executable, "-c", _STOPPED, *names]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
    ends = done.stdout.split()
    assert len(ends) == DAMAGED_FILES
    assert "Stopped" in ends
    assert not list(tmp_path.glob(".*"))
