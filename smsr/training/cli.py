"""smsr-train: trains SMSR networks; `smsr-train pack` and `smsr-train weights` prepare and finish.

Exit codes: 0 done, or stopped by --time-limit; 1 the work failed; 2 wrong usage; 128 + N stopped by signal N.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from smsr import __version__
from smsr.training.config import (
    COMPILE_MODES,
    LOW_IMAGES,
    PRECISIONS,
    RATE_SCHEDULES,
    TAU_SCHEDULES,
    VALIDATION_FLOOR,
    Recipe,
    Settings,
)
from smsr_runtime.console import Parser, run_command


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code. Errors are one line on stderr; --debug shows the traceback."""
    arguments = sys.argv[1:] if arguments is None else arguments
    work: Callable[[argparse.Namespace], int] = _train
    parser = _parser()
    if arguments and arguments[0] in _COMMANDS:
        command = importlib.import_module(f"smsr.training.{arguments[0]}")
        parser, work, arguments = command.parser(), command.run, arguments[1:]
    options = parser.parse_args(arguments)
    return run_command("smsr-train", lambda: work(options), options.debug, "interrupted; the last checkpoint is kept")


_VALIDATION = f"default: a hundredth of the run, at least {VALIDATION_FLOOR}"
_COMMANDS = ("pack", "weights")
"""Modules beside this one, each with `parser()` and `run(options)`."""


def _train(options: argparse.Namespace) -> int:
    from smsr.training import session

    values = vars(options)
    recipe = Recipe(**{name: values[name] for name in Recipe.__dataclass_fields__ if name != "init_from"})
    settings = Settings(
        data=tuple(options.data), **{name: values[name] for name in Settings.__dataclass_fields__ if name != "data"}
    )
    return session.train(recipe, settings)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="smsr-train",
        description="Trains an SMSR network; the defaults are the paper's recipe, schedules scale with --steps. "
        "Also: smsr-train pack --help, smsr-train weights --help. Several processes: torchrun -m smsr.training.",
    )
    parser.add_argument(
        "data", nargs="+", type=Path, metavar="DATA",
        help="folders (or packed ZIP files) of high-resolution images; one that is given twice counts twice",
    )  # fmt: skip
    parser.add_argument("-o", "--output", dest="run", type=Path, required=True, metavar="RUN", help="folder of the run")
    parser.add_argument("--resume", action="store_true", help="go on from RUN/last.pt, or start if there is none")
    _recipe_options(parser.add_argument_group("recipe (kept in every checkpoint)"))
    _settings_options(parser.add_argument_group("settings"))
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.add_argument("--version", action="version", version=f"smsr-train {__version__}")
    return parser


def _recipe_options(group: argparse._ArgumentGroup) -> None:
    kinds: dict[str, type] = {"int": int, "float": float}
    texts = {
        "scale": "2, 3 or 4", "patch": "side of low-resolution patches; smaller where the images are",
        "min_patch": "images that cannot give patches of this side are left out",
        "sparsity_weight": "lambda: weight of the sparsity term in the loss",
        "sparsity_ramp": "share of the steps to reach it", "ema": "decay of the averaged weights",
        "hard_share": "share of the steps, at the end, with hard masks", "batch": "images, of all processes together",
        "reopen_masks": "at the start, share of pixels that saturated masks are set to; 0: left alone",
        "fit_tail": "at a warm start from another scale, patches that the new tail is fitted on; 0: it starts random",
        "hold_out": "images held out for validation without --valid; -1: one in fifty, at most 100",
    }  # fmt: skip
    choices = {
        "rate_schedule": RATE_SCHEDULES, "tau_schedule": TAU_SCHEDULES,
        "precision": PRECISIONS, "low_images": LOW_IMAGES,
    }  # fmt: skip
    for name, field in Recipe.__dataclass_fields__.items():
        if name == "init_from":
            continue
        group.add_argument(
            f"--{name.replace('_', '-')}", type=kinds.get(str(field.type), str), default=field.default,
            choices=choices.get(name), help=f"{texts.get(name, '')} (default: %(default)s)".strip(),
        )  # fmt: skip


def _settings_options(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--init-from", type=Path, metavar="CHECKPOINT", help="warm start; from another scale: all but the tail")
    add("--valid", type=Path, metavar="FOLDER", help="validation images; default: some of the training images")
    add("--export-weights", type=Path, metavar="FILE", help="at the end write the averaged weights as safetensors")
    add("--time-limit", type=float, default=0.0, metavar="MINUTES", help="stop cleanly then; go on with --resume")
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1 (default: %(default)s)")
    add("--data-on-device", action="store_true", help="keep all images on the device and cut patches there")
    add("--cache", choices=("auto", "memory", "none"), default="auto", help="decoded images (default: %(default)s)")
    add("--workers", type=int, default=2, help="processes that cut patches ahead (default: %(default)s)")
    add("--threads", type=int, default=0, help="of PyTorch on the CPU; default: PyTorch's own choice")
    add(
        "--compile",
        nargs="?",
        choices=COMPILE_MODES,
        const="default",
        default="off",
        help="torch.compile (default: off)",
    )
    add("--channels-last", action="store_true", help="weights in channels-last memory order: faster")
    add("--validate-every", type=int, default=0, metavar="STEPS", help=_VALIDATION)
    add("--save-every", type=int, default=0, metavar="STEPS", help="default: at each validation")
    add("--log-every", type=int, default=100, metavar="STEPS", help="default: %(default)s")
