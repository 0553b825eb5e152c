"""Gives smsr-run damaged videos, each in a process of its own: python -m tests.faults.damaged_videos [--count N].

Clips of 64x48 pixels in many containers, with bytes changed, cut out, zeroed or doubled, from a seed. None may take
more than 10 s of the processor or 60 s on the wall; the exit code is 0 or 1, an error is one line, and a result that is
there can be decoded to its last frame. `make damaged-videos` runs all of it.
"""

from __future__ import annotations

import argparse
import collections
import random
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from smsr_runtime.run.command import main as run
from tests.faults.checking import in_child
from tests.faults.scenarios import plays
from tests.fuzz.mutate import mutated
from tests.runtime.helpers import tiny_model, write_bundle
from tests.runtime.video import rgb_frames, write_clip

FRAMES = 10
SECONDS, WAITING = 10, 60
"""Of the processor, and on the wall."""
KINDS = {
    "h264.mkv": ("libx264", {"crf": "20", "g": "5"}), "h264.mp4": ("libx264", {"crf": "20", "g": "5"}),
    "h264.mov": ("libx264", {"crf": "20"}), "h264.ts": ("libx264", {"crf": "20", "bf": "0"}),
    "hevc.mkv": ("libx265", {"x265-params": "log-level=none"}), "vp9.webm": ("libvpx-vp9", {}),
    "mpeg4.avi": ("mpeg4", {}), "mpeg2.mpg": ("mpeg2video", {}), "ffv1.mkv": ("ffv1", {}),
    "prores.mov": ("prores_ks", {}),
}  # fmt: skip
"""File -> encoder and its options. Half of all files are the first, which FFmpeg's threads once hung on."""


@dataclass
class Tried:
    """One file: how it was damaged, how the command ended, and what was wrong with that."""

    kind: str
    end: str
    seconds: float
    wrong: str = ""


def clips(folder: Path) -> dict[str, bytes]:
    folder.mkdir()
    made = {}
    for name, (codec, options) in KINDS.items():
        pix_fmt = "yuv422p10le" if codec == "prores_ks" else "yuv420p"
        made[name] = write_clip(folder / name, rgb_frames(FRAMES, pix_fmt=pix_fmt), codec, options=options).read_bytes()
    return made


def in_the_stream(data: bytes, _other: bytes, source: random.Random) -> bytes:
    """1 to 200 bytes changed behind the header."""
    changed = bytearray(data)
    for _ in range(source.randrange(1, 200)):
        changed[source.randrange(min(600, len(data) // 2), len(data))] = source.randrange(256)
    return bytes(changed)


def zeroed(data: bytes, _other: bytes, source: random.Random) -> bytes:
    start = source.randrange(len(data))
    size = min(len(data) - start, source.choice((16, 400, 4000)))
    return data[:start] + bytes(size) + data[start + size :]


def cut(data: bytes, _other: bytes, source: random.Random) -> bytes:
    return data[: source.randrange(len(data))]


DAMAGES: tuple[Callable[[bytes, bytes, random.Random], bytes], ...] = (
    in_the_stream,
    in_the_stream,
    zeroed,
    cut,
    mutated,
)


def attempt(bundle: Path, file: Path) -> Tried:
    """Runs the command on one file, which lies alone in its folder."""
    home = file.parent
    out, errors = home / f"out{file.suffix}", home / "errors"

    def command() -> int:
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 1))
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(WAITING)  # ends the process, whatever it waits for
        return run([str(bundle), str(file), "-o", str(out), "--force", "--threads", "1", "--quiet"])

    begun = time.monotonic()
    code = in_child(command, errors)
    tried = Tried(file.name, f"exit {code}", time.monotonic() - begun)
    said = errors.read_text(errors="replace").strip()
    if code not in (0, 1) or "Traceback" in said or "internal error" in said:
        tried.wrong = f"exit {code}: {said[-300:]}"
    elif (code == 1) != said.startswith("smsr-run: error: ") or said.count("\n"):
        tried.wrong = f"exit {code}, not one line: {said[-300:]}"
    elif code == 0 and not out.exists():
        tried.wrong = "exit 0 without a result"
    elif out.exists():
        tried.end += " with what could be decoded" if code else ""
        tried.wrong = "" if plays(out) else "a result that cannot be decoded to its end"
    left = [path.name for path in home.iterdir() if path.name.startswith((".smsr-", f"{out.name}.resume"))]
    return tried if not left else Tried(tried.kind, tried.end, tried.seconds, f"left {left}")


def main() -> int:
    """Prints a row per kind of file; files that went wrong stay in build/damaged-videos, and the exit code is 1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    kept, failed = Path("build/damaged-videos"), 0
    rows: dict[str, list[Tried]] = collections.defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder).resolve()
        bundle = write_bundle(home / "tiny.smsr", tiny_model())
        sources = clips(home / "clips")
        names = list(sources)
        for number in range(options.count):
            source = random.Random(f"{options.seed} {number}")
            name = names[0] if number % 2 else names[number // 2 % len(names)]
            data = source.choice(DAMAGES)(sources[name], sources[source.choice(names)], source)
            with tempfile.TemporaryDirectory() as place:
                file = Path(place).resolve() / name
                file.write_bytes(data)
                tried = attempt(bundle, file)
            rows[name].append(tried)
            if tried.wrong:
                failed += 1
                kept.mkdir(parents=True, exist_ok=True)
                (kept / f"{number}-{name}").write_bytes(data)
                print(f"{kept}/{number}-{name}: {tried.wrong}", flush=True)
    for name, results in rows.items():
        ends = collections.Counter(one.end for one in results)
        told = ", ".join(f"{times} {end}" for end, times in sorted(ends.items()))
        seconds = [one.seconds for one in results]
        wrong = sum(bool(one.wrong) for one in results)
        print(f"| {name} | {len(results)} | {told} | {np.median(seconds):.1f} | {max(seconds):.1f} | {wrong} |")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
