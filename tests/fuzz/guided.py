"""One target under atheris, with libFuzzer's own arguments behind the target's name."""

from __future__ import annotations

import atexit
import sys
import tempfile
from pathlib import Path

from tests.fuzz import guard
from tests.fuzz.__main__ import Fuzzer


def main() -> None:
    import atheris

    name = sys.argv.pop(1)
    guard.install()
    home = tempfile.TemporaryDirectory()
    fuzzer = Fuzzer(name, Path(home.name).resolve())
    atexit.register(lambda: print(f"{name}: {fuzzer.read} read, {fuzzer.refused} refused", flush=True))
    atheris.Setup(sys.argv, fuzzer.one)
    atheris.Fuzz()
