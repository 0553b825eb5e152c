"""smsr-eval: PSNR, SSIM, active share and MACs on benchmark sets, beside the paper's table.

Exit codes: 0 done, 1 the work failed, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from smsr import __version__, contract
from smsr_runtime.console import Parser, run_command, say, show
from smsr_runtime.errors import CheckpointError, UsageError

if TYPE_CHECKING:
    from smsr.evaluation.measure import Result
    from smsr.evaluation.model import Model

PROGRAM = "smsr-eval"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code. Errors are one line on stderr; --debug shows the traceback."""
    options = _parser().parse_args(arguments)
    return run_command(PROGRAM, lambda: run(options), options.debug)


def run(options: argparse.Namespace) -> None:
    """Measures every model on every data set; prints the tables; writes files and figures where options name them."""
    from smsr.evaluation import report
    from smsr.evaluation.model import Opening
    from smsr.evaluation.models import open_model

    _check(options)
    note = partial(say, PROGRAM)
    opening = Opening(options.theta, options.backend, options.threads, options.weights, note)
    models = [open_model(path, opening) for path in options.models]
    for path, model in zip(options.models, models, strict=True):
        _check_scale(path, model, options.scale)
    results = [_result(model, folder) for model in models for folder in options.data]
    show(report.markdown(results))
    if options.output is not None:
        show(" ".join(["wrote", *map(str, report.write(results, options.output))]))
    if options.figures is not None:
        _figures(models, options)


def _check(options: argparse.Namespace) -> None:
    if options.threads is not None and options.threads < 1:
        raise UsageError("--threads", "1 or more", str(options.threads), "leave it out for each backend's own choice")
    if not math.isfinite(options.theta):
        raise UsageError("--theta", "a finite number", str(options.theta), "leave it out for 0, as trained")
    if options.figure_pictures < 1:
        raise UsageError("--figure-pictures", "1 or more", str(options.figure_pictures), "leave it out for 5")


def _check_scale(path: Path, model: Model, scale: int | None) -> None:
    actual = model.config.scale
    if scale is not None and actual != scale:
        raise CheckpointError(path, f"a network for x{scale}", f"one for x{actual}", "give --scale of the network")


def _result(model: Model, folder: Path) -> Result:
    from tqdm import tqdm

    from smsr import images
    from smsr.evaluation import measure

    total = len(images.find(folder, model.config.scale))
    name = measure.dataset_name(folder)
    rows = list(tqdm(measure.evaluate(model, folder), name, total, unit="picture", disable=None, leave=False))
    return measure.Result(model, name, rows, measure.gray_pictures(folder))


def _figures(models: Sequence[Model], options: argparse.Namespace) -> None:
    from smsr import images
    from smsr.evaluation import figures
    from smsr.evaluation.measure import dataset_name

    layer = figures.Layer(options.figure_module, options.figure_layer)
    for model in models:
        for folder in options.data:
            home = options.figures / Path(model.name).stem / dataset_name(folder)
            for source in images.find(folder, model.config.scale, "auto")[: options.figure_pictures]:
                show(" ".join(["wrote", *map(str, figures.draw(model, source, home, layer))]))


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog=PROGRAM, description=__doc__)
    add = parser.add_argument
    add("models", nargs="+", type=Path, metavar="MODEL", help="checkpoints (.pt, .safetensors) and bundles (NAME.smsr)")
    add(
        "--data", nargs="+", type=Path, required=True, metavar="SET",
        help="folders such as Set5: HR/ with LR_bicubic/X2/ beside, or high-resolution pictures alone (LR is made)",
    )  # fmt: skip
    add("-o", "--output", type=Path, metavar="DIR", help="also write results.md, results.csv and results.json there")
    add("--figures", type=Path, metavar="DIR", help="draw luminance, channel sparsity and predicted masks there")
    add("--figure-pictures", type=int, default=5, metavar="N", help="of each set (default: %(default)s)")
    add("--figure-module", type=int, default=1, metavar="K", help="whose channels are shown (default: %(default)s)")
    add("--figure-layer", type=int, default=2, metavar="L", help="whose channels are shown (default: %(default)s)")
    add("--weights", metavar="NAME", help="the set to take where a checkpoint has several; default: the averaged one")
    add("--scale", type=int, choices=contract.SCALES, help="refuse models of another scale")
    add("--theta", type=float, default=0.0, help="threshold on the masks' margins: the quality dial (default: 0)")
    add("--backend", choices=("auto", "ort", "trt"), default="auto", help="of bundles (default: %(default)s)")
    add("--threads", type=int, help="default: every backend's own choice")
    add("--debug", action="store_true", help="show the traceback of an error")
    add("--version", action="version", version=f"smsr-eval {__version__}")
    return parser


if __name__ == "__main__":
    sys.exit(main())
