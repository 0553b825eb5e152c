"""Feeds the readers with hostile files: python -m tests.fuzz [TARGET ...] --minutes N, or --mutations N.

With atheris, which pip installs, coverage of the readers guides the minutes; without, and with --mutations, files of
tests/fuzz/corpus are changed at random, the same way for the same --seed. A finding is written to build/fuzz.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from tests.fuzz import guard
from tests.fuzz.mutate import mutated
from tests.fuzz.seeds import CORPUS
from tests.fuzz.targets import TARGETS, attempt, make_bundle, restore

FINDINGS = Path("build/fuzz")


class Fuzzer:
    """One target. read, refused: how many files ended so."""

    def __init__(self, name: str, home: Path) -> None:
        self.name, self.target = name, TARGETS[name]
        self.folder, self.original = home / "folder", home / "original"
        self.read = self.refused = 0
        for folder in (self.folder, self.original):
            folder.mkdir(exist_ok=True)
        make_bundle(self.original) if not (self.original / "tiny.smsr").exists() else None
        restore(self.folder, self.original)
        Image.init()  # all of Pillow's formats, which it else imports when it meets a file that it does not know
        for seed in self.seeds():  # before it is watched: packages are imported when they are first used
            attempt(self.target, seed, self.folder)

    def seeds(self) -> list[bytes]:
        return [file.read_bytes() for file in sorted((CORPUS / self.name).iterdir())]

    def one(self, data: bytes) -> None:
        """Tries one file. Raises what is a finding, after the file is kept."""
        if self.name in ("manifest", "model", "golden"):
            restore(self.folder, self.original)
        FINDINGS.mkdir(parents=True, exist_ok=True)
        kept = FINDINGS / f"{self.name}-{os.getpid()}"
        kept.write_bytes(data)  # before: a crash of native code leaves no time for it after
        with guard.guarded(self.folder, len(data)):
            if attempt(self.target, data, self.folder):
                self.read += 1
            else:
                self.refused += 1
        kept.unlink()


def mutations(seeds: list[bytes], seed: int) -> Iterator[bytes]:
    """The files of the corpus, then changed ones without end."""
    yield from seeds
    source = random.Random(seed)
    while True:
        yield mutated(source.choice(seeds), source.choice(seeds), source)


def by_chance(fuzzer: Fuzzer, seed: int, most: int, until: float) -> None:
    for count, data in enumerate(mutations(fuzzer.seeds(), seed)):
        if count >= most or time.monotonic() > until:
            return
        fuzzer.one(data)


def guided(name: str, seconds: int) -> int:
    """libFuzzer ends its process, so that each target has its own; new files stay in build/fuzz/corpus."""
    grown = FINDINGS / "corpus" / name
    grown.mkdir(parents=True, exist_ok=True)
    code = (
        "import sys, atheris\n"
        "with atheris.instrument_imports(include=['smsr_runtime', 'smsr.checkpoint']):\n"
        "    import smsr_runtime.media.image, smsr_runtime.manifest, smsr_runtime.external_data, smsr.checkpoint\n"
        "from tests.fuzz import guided\n"
        "guided.main()\n"
    )
    command = [sys.executable, "-c", code, name, str(grown), str(CORPUS / name), f"-max_total_time={seconds}",
               "-timeout=300", "-rss_limit_mb=4096", "-max_len=20000", f"-artifact_prefix={FINDINGS}/",
               "-print_final_stats=1", "-verbosity=0"]  # fmt: skip
    return subprocess.run(command, check=False).returncode


def main() -> int:
    """Prints a line per target; raises the first finding."""
    description, _, more = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(prog="tests.fuzz", description=description, epilog=more)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; default: all")
    parser.add_argument("--minutes", type=float, default=1.0, help="of all targets together")
    parser.add_argument("--mutations", type=int, help="of each target, in place of --minutes")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    names = options.targets or list(TARGETS)
    seconds = 60 * options.minutes / len(names)
    if options.mutations is None and importlib.util.find_spec("atheris"):
        return max(guided(name, max(1, round(seconds))) for name in names)
    guard.install()
    with tempfile.TemporaryDirectory() as home:
        for name in names:
            fuzzer = Fuzzer(name, Path(home).resolve())
            until = time.monotonic() + seconds if options.mutations is None else float("inf")
            by_chance(fuzzer, options.seed, options.mutations or sys.maxsize, until)
            print(
                f"{name}: {fuzzer.read + fuzzer.refused} files, {fuzzer.read} read, {fuzzer.refused} refused",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
