"""make demo: checkpoint -> bundle -> upscaled sample, with the parity table and the speed beside the rival's."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2

from smsr.checkpoint import locate
from smsr_bench import cli as bench
from smsr_export import cli as export
from smsr_export.sample import sample_picture
from smsr_runtime import files
from smsr_runtime.console import Parser, show
from smsr_runtime.errors import ExportError
from smsr_runtime.ort.native import DEFAULT_LIBRARY, LIBRARY_VARIABLE
from smsr_runtime.run import command as runtime

SAMPLE_SIZE = (240, 320)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs export, upscaling and benchmark one after the other; stops at the first that fails."""
    parser = Parser(prog="demo", description=main.__doc__)
    parser.add_argument("checkpoint", help="a checkpoint, or x2, x3, x4: the weights that come with smsr")
    parser.add_argument("--output", type=Path, default=Path("demo"))
    options = parser.parse_args(arguments)
    folder: Path = options.output
    files.make_folder(folder)
    checkpoint = locate(options.checkpoint)
    bundle = folder / f"{checkpoint.stem}.smsr"
    sample, upscaled = folder / "sample.png", folder / "sample_upscaled.png"
    write_sample(sample)
    steps = [
        (export.main, [str(checkpoint), "-o", str(bundle), "--force"]),
        (runtime.main, [str(bundle), str(sample), "-o", str(upscaled), "--show-masks", "--force"]),
    ]
    if has_native_library():
        speed = [str(bundle), str(sample), "--rounds", "5", "--engines", "body,rival", "--no-memory"]
        steps.append((bench.main, speed))
    for step, words in steps:
        code = step(words)
        if code:
            return code
    show(f"\nSee {sample} and {upscaled}; the bundle is {bundle}")
    return 0


def has_native_library() -> bool:
    """Whether there is one to measure. One that is of no use here ends the steps before, with its reason."""
    named = os.environ.get(LIBRARY_VARIABLE, "")
    return named != "none" and bool(named or DEFAULT_LIBRARY.exists())


def write_sample(path: Path) -> None:
    """Our own drawing as a PNG: the low-resolution input."""
    coded, data = cv2.imencode(".png", sample_picture(*SAMPLE_SIZE)[..., ::-1])
    if not coded:
        raise ExportError(path, "a PNG", "a failed encoder", "check the OpenCV installation")
    files.write_bytes(path, data.tobytes())


if __name__ == "__main__":
    sys.exit(main())
