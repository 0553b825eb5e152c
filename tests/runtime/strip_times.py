"""What strips cost: a picture whole, in strips with its features in memory, and in a file, each way in its own process.

python -m tests.runtime.strip_times BUNDLE PICTURE [--size 1280x720] [--rounds 3]

A process's first picture takes fresh memory; those after it find the last one's, whole or in strips.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from smsr_runtime.ort.backend import OrtBackend
from smsr_runtime.ort.strip_memory import NATIVE_BYTES, Cutter
from smsr_runtime.session import Upscaler, load

WAYS = ("whole", "memory", "file")
PICTURES = 4
"""Per process."""


def cut_into(upscaler: Upscaler, way: str, height: int, width: int) -> None:
    """With as much memory as the whole picture takes, or a quarter of it."""
    backend, bundle = upscaler.opened, upscaler.bundle
    assert isinstance(backend, OrtBackend) and backend.path.native
    whole = 2400 * height * width
    cutter = Cutter(bundle.features, bundle.modules, bundle.scale, NATIVE_BYTES, native=True)
    cut = cutter.cut(height, width, whole if way == "memory" else whole // 4)
    assert cut.in_file == (way == "file"), cut
    backend.strips = lambda *_: cut  # type: ignore[method-assign]


def measure(bundle: Path, picture: Path, way: str, size: tuple[int, int]) -> None:
    """Seconds of each picture and what they became, as JSON."""
    upscaler, (width, height) = load(bundle, threads=2), size
    read = cv2.imread(str(picture))
    assert read is not None, picture
    times = (-(-height // read.shape[0]), -(-width // read.shape[1]), 1)
    pixels = np.ascontiguousarray(np.tile(read, times)[:height, :width, ::-1])
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        upscaler.folder = Path(folder)
        if way != "whole":
            cut_into(upscaler, way, height, width)
        for _ in range(PICTURES):
            start = time.perf_counter()
            result = upscaler(pixels)
            seconds.append(time.perf_counter() - start)
    digest = hashlib.sha256(result.tobytes()).hexdigest()
    print(json.dumps({"seconds": seconds, "result": digest, "cut": str(upscaler.strips)}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--size", default="1280x720", help="the picture is repeated to fill it; default: %(default)s")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--way", choices=WAYS, help="in this process")
    options = parser.parse_args()
    if options.way:
        width, height = map(int, options.size.split("x"))
        return measure(options.bundle, options.picture, options.way, (width, height))
    first: dict[str, list[float]] = {way: [] for way in WAYS}
    later: dict[str, list[float]] = {way: [] for way in WAYS}
    results = set()
    for _ in range(options.rounds):
        for way in WAYS:
            command = [sys.executable, "-m", "tests.runtime.strip_times", *sys.argv[1:], "--way", way]
            record = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
            first[way].append(record["seconds"][0])
            later[way] += record["seconds"][1:]
            results.add(record["result"])
    assert len(results) == 1, "all ways give the same bits"
    for name, seconds in (("first picture", first), ("later ones", later)):
        medians = {way: float(np.median(seconds[way])) for way in WAYS}
        print(f"{name}: " + ", ".join(f"{way} {s:.2f} s ({s / medians['whole']:.2f}x)" for way, s in medians.items()))


if __name__ == "__main__":
    main()
