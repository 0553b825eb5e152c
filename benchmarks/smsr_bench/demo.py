"""make demo: checkpoint -> bundle -> upscaled sample -> a page with parity and the speed beside the rival's."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import onnxruntime

import smsr_runtime
from smsr import __version__
from smsr.checkpoint import locate
from smsr_bench import cli as bench
from smsr_bench import demo_page, engines, measure
from smsr_bench.subject import Subject
from smsr_export import cli as export
from smsr_export.sample import sample_picture
from smsr_runtime import files
from smsr_runtime.arrays import to_planes
from smsr_runtime.console import Parser, run_command, say, show
from smsr_runtime.errors import ExportError
from smsr_runtime.resources import usable_processors
from smsr_runtime.run import command as runtime

SAMPLE_SIZE = (240, 320)
ROUNDS, ROUNDS_OF_BODY = 5, 3


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
    code = export.main([str(checkpoint), "-o", str(bundle), "--force"])
    code = code or runtime.main([str(bundle), str(sample), "-o", str(upscaled), "--show-masks", "--force"])
    return code or run_command("demo", lambda: _measure(folder, bundle, sample))


def _measure(folder: Path, bundle: Path, sample: Path) -> int:
    """Times the sample and writes the page."""
    if smsr_runtime.load(bundle).compute_path.native:
        measured = folder / "bench"
        words = ["--rounds", str(ROUNDS), "--engines", "body,rival", "--no-memory", "-o", str(measured)]
        code = bench.main([str(bundle), str(sample), *words])
        if code:
            return code
        times = _read(measured / "bench.json")
    else:
        times = _time_body(bundle)
    written = demo_page.write(folder, bundle, sample_picture(*SAMPLE_SIZE), times)
    command = os.path.relpath(Path(sys.executable).with_name("smsr-run"))
    show(f"\nOpen {written}; a picture of yours: {command} {bundle} PICTURE -o large.png")
    return 0


def _read(report: Path) -> demo_page.Speed:
    results = json.loads(report.read_bytes())
    (row,), facts = results["pictures"], results["facts"]
    return demo_page.speed(
        row["seconds"], row["ratios"], rounds=row["rounds"], threads=facts["threads"], versions=facts["versions"],
        native=True,
    )  # fmt: skip


def _time_body(bundle: Path) -> demo_page.Speed:
    """Without the native library, which smsr-bench needs: the function body and its rival."""
    threads = usable_processors() or os.cpu_count() or 1
    runs = engines.make(["body", "rival"], Subject.open(bundle), threads)
    timing = measure.time_engines(runs, to_planes(sample_picture(*SAMPLE_SIZE)), ROUNDS_OF_BODY, lambda: 0.0)
    seconds = {name: timing.median(name) for name in runs}
    say("demo", "no native library: the function body computed the same, several times slower; make native builds it")
    return demo_page.speed(
        seconds, {name: timing.ratio(name, "body") for name in runs}, rounds=ROUNDS_OF_BODY, threads=threads,
        versions=f"smsr {__version__}, onnxruntime {onnxruntime.__version__}", native=False,
    )  # fmt: skip


def write_sample(path: Path) -> None:
    """Our own drawing as a PNG: the low-resolution input."""
    coded, data = cv2.imencode(".png", sample_picture(*SAMPLE_SIZE)[..., ::-1])
    if not coded:
        raise ExportError(path, "a PNG", "a failed encoder", "check the OpenCV installation")
    files.write_bytes(path, data.tobytes())


if __name__ == "__main__":
    sys.exit(main())
