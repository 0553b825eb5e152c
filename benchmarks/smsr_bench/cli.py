"""smsr-bench: times a bundle against its rivals on pictures, interleaved, same threads."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from smsr.complexity import network_macs
from smsr.errors import SmsrError
from smsr.network import NetworkConfig
from smsr_bench import engines, measure, report
from smsr_bench.weights import read_folded
from smsr_export import verify
from smsr_export.graph import FoldedNetwork

if TYPE_CHECKING:
    from smsr_runtime import Upscaler


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code. Errors are one line on stderr."""
    import smsr_runtime

    options = _parser().parse_args(arguments)
    try:
        run(options)
    except (SmsrError, smsr_runtime.SmsrError) as error:
        print(f"smsr-bench: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="smsr-bench", description=main.__doc__)
    parser.add_argument("bundle", type=Path, metavar="BUNDLE")
    parser.add_argument("images", nargs="+", metavar="IMAGE_OR_DIR", help="low-resolution inputs, taken as they are")
    names = ", ".join(engine.name for engine in engines.ENGINES)
    parser.add_argument(
        "--engines", default=",".join(engines.DEFAULT), help=f"comma separated, of: {names}; default: %(default)s"
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="default: all processors")
    parser.add_argument("--rounds", type=int, default=7, help="interleaved rounds; default: %(default)s")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything as JSON")
    return parser


def run(options: argparse.Namespace) -> list[report.Row]:
    """Measures and prints the table; returns its rows."""
    import smsr_runtime

    names = ("native", *(name for name in options.engines.split(",") if name != "native"))
    network = read_folded(options.bundle / "model.onnx")
    runs = engines.make(names, options.bundle, options.threads)
    upscaler = smsr_runtime.load(options.bundle)
    files = [file for path in options.images for file in verify.picture_files(Path(path))]
    rows = [measure_picture(file, options.rounds, network, runs, upscaler) for file in files]
    print(f"{report.machine()['processor']}, {options.threads} threads, medians of {options.rounds} interleaved rounds")
    print(report.markdown(rows, names))
    inexact = [engine.label for engine in engines.ENGINES if engine.name in names and not engine.exact]
    if inexact:
        print(f"\nNot numerically equal to the network (masks its outputs only): {'; '.join(inexact)}.")
    if options.json:
        report.write_json(options.json, rows, {"threads": options.threads, "rounds": options.rounds})
    return rows


def measure_picture(
    file: Path, rounds: int, network: FoldedNetwork, runs: dict[str, engines.Run], upscaler: Upscaler
) -> report.Row:
    """Times `runs` on one picture; `upscaler` gives the active shares."""
    image = np.ascontiguousarray(verify.read_rgb(file).transpose(2, 0, 1)[None].astype(np.float32))
    timing = measure.time_engines(runs, image, rounds)
    shares = upscaler.active_shares(upscaler.upscale_float(image, margins=True)[1])
    macs = network_macs(config(network), [module.dense_channels for module in network.modules])
    height, width = image.shape[2:]
    return report.Row(
        picture=file.stem,
        width=width,
        height=height,
        active_shares=shares,
        gmacs=macs.remaining(shares) * height * width / 1e9,
        dense_gmacs=macs.dense * height * width / 1e9,
        seconds={name: timing.median(name) for name in runs},
        ratios={name: timing.ratio(name, "native") for name in runs},
    )


def config(network: FoldedNetwork) -> NetworkConfig:
    return NetworkConfig(network.scale, network.features, len(network.modules), network.layers)


if __name__ == "__main__":
    sys.exit(main())
