"""smsr-bench: times a bundle against its rivals, interleaved, same threads, with the machine's peak beside.

Prints a table; with -o also writes bench.md, bench.json and, where --series were measured, bench.svg.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from smsr import __version__, errors
from smsr.errors import DataError, UsageError
from smsr_bench import engines, inputs, machine, plot, report
from smsr_bench.engines import Subject
from smsr_bench.session import Bench
from smsr_runtime.resources import usable_processors

SERIES = ("shares", "sizes")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code. Errors are one line on stderr."""
    options = _parser().parse_args(arguments)
    try:
        run(options)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, `head` say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        print("smsr-bench: interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        if options.debug:
            raise
        return errors.report("smsr-bench", error)
    return 0


def _parser() -> argparse.ArgumentParser:
    description, _, more = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(prog="smsr-bench", description=description, epilog=more)
    parser.add_argument("bundle", type=Path, metavar="BUNDLE")
    parser.add_argument(
        "images", nargs="+", type=Path, metavar="IMAGE", help="low-resolution pictures, folders of them, or videos"
    )
    names = ", ".join(engines.ENGINES)
    parser.add_argument("--engines", default="", help=f"comma separated, of: {names}; default: all that are installed")
    parser.add_argument(
        "--series", nargs="*", choices=SERIES, default=[], metavar="KIND",
        help="also the first picture at 0 .. 100 %% active (shares), and at 0.06 .. 2 megapixels (sizes)",
    )  # fmt: skip
    parser.add_argument("--frame-sizes", default="640x360,1280x720", help="of video frames; default: %(default)s")
    parser.add_argument("--threads", type=int, help="default: all processors this process may use")
    parser.add_argument("--rounds", type=int, default=7, help="interleaved; large pictures 3; default: %(default)s")
    parser.add_argument("--no-memory", action="store_true", help="do not measure the engines' peak memory")
    parser.add_argument("-o", "--output", type=Path, metavar="FOLDER", help="also write the report there")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.add_argument("--version", action="version", version=f"smsr-bench {__version__}")
    return parser


def run(options: argparse.Namespace) -> report.Results:
    """Measures and prints the summary; returns everything."""
    if options.rounds < 1:
        raise UsageError("--rounds", "1 or more", str(options.rounds), "leave it out for 7")
    options.threads = options.threads or usable_processors() or os.cpu_count() or 1
    sizes = [inputs.parse_size(text) for text in options.frame_sizes.split(",")]
    names = engines.choose([name for name in options.engines.split(",") if name])
    images = inputs.read(options.images, sizes)
    bench = Bench(Subject.open(options.bundle), names, options.threads, options.rounds, not options.no_memory)
    results = report.Results(
        facts=_facts(options, names),
        engines=names,
        pictures=bench.pictures(images),
        shares=bench.shares(images[0]) if "shares" in options.series else [],
        sizes=bench.sizes(images[0]) if "sizes" in options.series else [],
    )
    print(report.headline(results), report.summary(results.pictures, names), sep="\n\n")
    if inexact := report.not_exact(names):
        print(f"\n{inexact}")
    if options.output:
        _write(results, options.output)
    return results


def _facts(options: argparse.Namespace, names: Sequence[str]) -> dict[str, Any]:
    packages = ["onnxruntime", *dict.fromkeys(engines.ENGINES[name].package for name in names)]
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in dict.fromkeys(packages))
    return {**machine.describe(), "threads": options.threads, "versions": f"smsr {__version__}, {versions}"}


def _write(results: report.Results, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "bench.json").write_text(json.dumps(results.as_json(), indent=1, allow_nan=False) + "\n")
        (folder / "bench.md").write_text(report.markdown(results))
        if results.shares or results.sizes:
            plot.write(results, folder / "bench.svg")
    except OSError as error:
        got = error.strerror or str(error)
        raise DataError(folder, "a folder to write to", got, "name another -o") from error
    print(f"\nwrote {folder}")


if __name__ == "__main__":
    sys.exit(main())
