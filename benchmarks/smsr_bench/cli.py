"""smsr-bench: times a bundle against its rivals, interleaved, same threads, with the machine's peak beside.

Prints a table; with -o also writes bench.md, bench.json and, where --series were measured, bench.svg.
"""

from __future__ import annotations

import argparse
import dataclasses
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
from smsr_runtime.console import Parser, run_command, say, show
from smsr_runtime.errors import UsageError
from smsr_runtime.media.suffixes import VIDEO_SUFFIXES
from smsr_runtime.ort.native import find_library
from smsr_runtime.resources import usable_processors

if TYPE_CHECKING:
    from smsr_bench.report import Results
    from smsr_bench.subject import Subject

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
    parser.add_argument(
        "--calibrate", type=Path, metavar="FOLDER",
        help="high-resolution pictures that int8 engines are calibrated on; default: the first folder with pictures in "
        "a folder `train` beside the data set",
    )  # fmt: skip
    parser.add_argument("--threads", type=int, help="default: all processors this process may use")
    parser.add_argument("--rounds", type=int, default=7, help="interleaved; large pictures 3; default: %(default)s")
    parser.add_argument("--no-memory", action="store_true", help="do not measure the engines' peak memory")
    parser.add_argument(
        "--submit", type=Path, metavar="FILE.json",
        help="measure only the first picture in each precision, with and without files, and write an entry for "
        "docs/benchmark/machines/; rounds: 20 at least",
    )  # fmt: skip
    parser.add_argument("-o", "--output", type=Path, metavar="FOLDER", help="also write the report there")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.add_argument("--version", action="version", version=f"smsr-bench {__version__}")
    return parser


def run(options: argparse.Namespace) -> None:
    """Measures, writes the report, prints its summary. Raises SmsrError."""
    from smsr_bench import inputs, report, span  # what they import comes with an extra; --help needs none
    from smsr_bench.session import Bench
    from smsr_bench.subject import Subject

    if options.rounds < 1:
        raise UsageError("--rounds", "1 or more", str(options.rounds), "leave it out for 7")
    if options.threads is not None and options.threads < 1:
        raise UsageError("--threads", "1 or more", str(options.threads), "leave it out for all processors")
    if options.submit and (options.output or options.series):
        raise UsageError("--submit", "neither -o nor --series beside it", "both kinds of work", "run the command twice")
    options.threads = options.threads or usable_processors() or os.cpu_count() or 1
    sizes = [inputs.parse_size(text) for text in options.frame_sizes.split(",")]
    wanted = [name for name in options.engines.split(",") if name]
    names = engines.choose(wanted)
    subject = Subject.open(options.bundle)
    scale = subject.network.scale
    images = inputs.read(options.images, sizes, scale)
    subject, names = _calibrated(subject, options, names, bool(wanted))
    if options.submit:
        return _submit(subject, names, options)
    if options.output:
        files.make_folder(options.output)  # before minutes of measuring
    bench = Bench(subject, names, options.threads, options.rounds, with_memory=not options.no_memory)
    results = report.Results(
        facts={**_facts(options, names, subject), "kernels of smsr": bench.kernels},
        engines=names,
        span_macs=span.macs_per_pixel(scale),
        pictures=bench.pictures(images),
        shares=bench.shares(images[0]) if "shares" in options.series else [],
        sizes=bench.sizes(images[0]) if "sizes" in options.series else [],
    )
    if options.output:
        _write(results, options.output)
    rows = results.pictures
    tables = [text for text in (report.summary(rows, names), report.quality(rows, names)) if text]
    show("\n\n".join([report.headline(results), *tables, *report.notes(results)]))
    if options.output:
        show(f"\nwrote {options.output}")


def _submit(subject: Subject, names: list[str], options: argparse.Namespace) -> None:
    from tabulate import tabulate

    from smsr_bench import inputs, submission

    path = options.images[0]
    if path.suffix.lower() in VIDEO_SUFFIXES:
        raise UsageError("--submit", "a picture", path.name, "put a picture first")
    files.make_folder(options.submit.parent)  # before minutes of measuring
    names = [name for name in names if name in submission.PRECISIONS.values()]
    entry = submission.measured(subject, inputs.pictures(path)[0], names, options.threads, options.rounds)
    library = find_library(subject.bundle.interface_hash)
    entry["machine"] |= {"kernels": library.variant if library else "none", "versions": _versions(names)}
    files.write_bytes(options.submit, (json.dumps(entry, indent=1, allow_nan=False) + "\n").encode())
    show(tabulate([submission.row(entry)], submission.HEADER, tablefmt="github", disable_numparse=True))
    show(f"\nwrote {options.submit}")


def _calibrated(
    subject: Subject, options: argparse.Namespace, names: list[str], named: bool
) -> tuple[Subject, list[str]]:
    """With pictures for int8: those that --calibrate names, or those beside the data set.

    Where there are none the int8 engines are left out with a note, or, `named` by --engines, refused.
    """
    from smsr_bench import calibration, inputs

    int8, scale = [name for name in names if engines.ENGINES[name].calibrated], subject.network.scale
    folder = options.calibrate or calibration.beside(options.images, scale)
    if not int8:
        if options.calibrate:
            say("smsr-bench", "--calibrate is not used: no engine in int8 is timed")
        return subject, names
    if folder is None:
        if named:
            raise UsageError(f"--engines {int8[0]}", "pictures to calibrate on", "none", "give --calibrate FOLDER")
        say("smsr-bench", f"{', '.join(int8)} left out: no pictures to calibrate on; give --calibrate FOLDER")
        return subject, [name for name in names if name not in int8]
    stills = [path for path in options.images if path.suffix.lower() not in VIDEO_SUFFIXES]
    timed = [source.container / source.member for path in stills for source in inputs.pictures(path)]
    return dataclasses.replace(subject, calibration=calibration.read(folder, scale, timed)), names


def _facts(options: argparse.Namespace, names: Sequence[str], subject: Subject) -> dict[str, Any]:
    from smsr_bench import machine

    facts = {**machine.describe(), "threads": options.threads, "versions": _versions(names)}
    int8 = any(engines.ENGINES[name].calibrated for name in names)
    return {**facts, "int8 calibrated on": subject.calibration.origin} if int8 and subject.calibration else facts


def _versions(names: Sequence[str]) -> str:
    packages = ["onnxruntime", *dict.fromkeys(engines.ENGINES[name].package for name in names)]
    # by import, not by distribution: ONNX Runtime also comes as onnxruntime-gpu
    versions = ", ".join(f"{name} {importlib.import_module(name).__version__}" for name in dict.fromkeys(packages))
    return f"smsr {__version__}, {versions}"


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
