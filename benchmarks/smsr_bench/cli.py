"""smsr-bench: times a bundle against its rivals, interleaved, same threads, with the machine's peak beside.

Prints a table; with -o also writes bench.md, bench.json and, where --series were measured, bench.svg.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smsr import __version__
from smsr_bench import engines
from smsr_runtime import files
from smsr_runtime.console import Parser, run_command, show
from smsr_runtime.errors import UsageError
from smsr_runtime.resources import usable_processors

if TYPE_CHECKING:
    from smsr_bench.report import Results

SERIES = ("shares", "sizes")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code. Errors are one line on stderr."""
    options = _parser().parse_args(arguments)
    return run_command("smsr-bench", lambda: run(options), options.debug)


def _parser() -> argparse.ArgumentParser:
    description, _, more = (__doc__ or "").partition("\n\n")
    parser = Parser(prog="smsr-bench", description=description, epilog=more)
    parser.add_argument("bundle", type=Path, metavar="BUNDLE")
    parser.add_argument(
        "images", nargs="+", type=Path, metavar="IMAGE", help="low-resolution pictures, folders of them, or videos"
    )
    names = ", ".join(engines.ENGINES)
    parser.add_argument("--engines", default="", help=f"comma separated, from {names}; default: all that are installed")
    parser.add_argument(
        "--series", nargs="*", choices=SERIES, default=[], metavar="KIND",
        help="also the first picture at 0 .. 100 %% active (shares), and at 0.06 .. 2 megapixels (sizes)",
    )  # fmt: skip
    parser.add_argument("--frame-sizes", default="640x360,1280x720", help="sizes of video frames; default: %(default)s")
    parser.add_argument("--threads", type=int, help="default: all processors this process may use")
    parser.add_argument("--rounds", type=int, default=7, help="interleaved; large pictures 3; default: %(default)s")
    parser.add_argument("--no-memory", action="store_true", help="do not measure the engines' peak memory")
    parser.add_argument("-o", "--output", type=Path, metavar="FOLDER", help="also write the report there")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.add_argument("--version", action="version", version=f"smsr-bench {__version__}")
    return parser


def run(options: argparse.Namespace) -> None:
    """Measures, writes the report, prints its summary. Raises SmsrError."""
    from smsr_bench import inputs, report  # what they import comes with an extra; --help needs none
    from smsr_bench.session import Bench
    from smsr_bench.subject import Subject

    if options.rounds < 1:
        raise UsageError("--rounds", "1 or more", str(options.rounds), "leave it out for 7")
    options.threads = options.threads or usable_processors() or os.cpu_count() or 1
    sizes = [inputs.parse_size(text) for text in options.frame_sizes.split(",")]
    names = engines.choose([name for name in options.engines.split(",") if name])
    images = inputs.read(options.images, sizes)
    if options.output:
        files.make_folder(options.output)  # before minutes of measuring
    bench = Bench(
        Subject.open(options.bundle), names, options.threads, options.rounds, with_memory=not options.no_memory
    )
    results = report.Results(
        facts={**_facts(options, names), "kernels of smsr": bench.kernels},
        engines=names,
        pictures=bench.pictures(images),
        shares=bench.shares(images[0]) if "shares" in options.series else [],
        sizes=bench.sizes(images[0]) if "sizes" in options.series else [],
    )
    if options.output:
        _write(results, options.output)
    show(f"{report.headline(results)}\n\n{report.summary(results.pictures, names)}")
    if inexact := report.not_exact(names):
        show(f"\n{inexact}")
    if options.output:
        show(f"\nwrote {options.output}")


def _facts(options: argparse.Namespace, names: Sequence[str]) -> dict[str, Any]:
    from smsr_bench import machine

    packages = ["onnxruntime", *dict.fromkeys(engines.ENGINES[name].package for name in names)]
    # by import, not by distribution: ONNX Runtime also comes as onnxruntime-gpu
    versions = ", ".join(f"{name} {importlib.import_module(name).__version__}" for name in dict.fromkeys(packages))
    return {**machine.describe(), "threads": options.threads, "versions": f"smsr {__version__}, {versions}"}


def _write(results: Results, folder: Path) -> None:
    from smsr_bench import plot, report

    text = json.dumps(results.as_json(), indent=1, allow_nan=False) + "\n"
    files.write_bytes(folder / "bench.json", text.encode())
    files.write_bytes(folder / "bench.md", report.markdown(results).encode())
    if results.shares or results.sizes:
        with files.replacing(folder / "bench.svg") as part:
            plot.write(results, part)


if __name__ == "__main__":
    sys.exit(main())
