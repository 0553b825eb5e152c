"""--serve and --ray: their options, and which others have no meaning beside them."""

from __future__ import annotations

import argparse
from typing import Any, Callable

from smsr_runtime.errors import UsageError
from smsr_runtime.run.scale_out.cluster import LOCAL, check_address
from smsr_runtime.run.serve.limits import Limits
from smsr_runtime.run.serve.server import LOOPBACK, PORT

_EVERYWHERE = ("bundle", "backend", "threads", "memory", "theta", "dial", "quiet", "debug")
_SERVE = ("host", "port", "max_upload", "max_megapixels", "time_limit", "max_waiting")
_WITH_SERVE = (*_EVERYWHERE, "serve", *_SERVE, "rebuild", "min_shape", "opt_shape", "max_shape", "workspace")
_WITH_RAY = (
    *_EVERYWHERE, "ray", "input", "output", "show_masks", "format", "quality", "strip_metadata", "recursive",
    "json", "force", "resume",
)  # fmt: skip


def add_modes(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--serve", action="store_true", help="show a page that upscales pictures dropped on it, until Ctrl-C")
    add("--host", metavar="ADDRESS", help=f"where the page is reached (default: {LOOPBACK}, this machine alone)")
    add("--port", type=int, metavar="N", help=f"port of the page (default: {PORT}; 0: any that is free)")
    add("--max-upload", metavar="SIZE", help=f"largest file that the page takes (default: {Limits.upload >> 20}M)")
    megapixels = f"{Limits.pixels / 1e6:g}"
    add(
        "--max-megapixels",
        type=float,
        metavar="N",
        help=f"largest picture, in millions of pixels (default: {megapixels})",
    )
    add("--time-limit", type=float, metavar="S", help=f"seconds for one picture (default: {Limits.seconds:g})")
    add("--max-waiting", type=int, metavar="N", help=f"most requests in the queue (default: {Limits.waiting})")
    add(
        "--ray", nargs="?", const=LOCAL, metavar="ADDRESS",
        help="let the Ray cluster at HOST:6379 upscale a folder, pattern or bucket (default: a Ray of its own)",
    )  # fmt: skip


def check_modes(options: argparse.Namespace, default: Callable[[str], Any]) -> None:
    """default: of an option, by its name. Raises UsageError for options without a meaning."""
    given = [name for name, value in vars(options).items() if value != default(name)]
    if options.serve:
        _check_only(given, _WITH_SERVE, "--serve")
    if options.ray is not None:
        _check_only(given, _WITH_RAY, "--ray")
        check_address(options.ray)
    for name in given:
        if name in _SERVE and not options.serve:
            raise UsageError(_option(name), "--serve with it", "none", "add --serve, or leave it out")


def _check_only(given: list[str], allowed: tuple[str, ...], mode: str) -> None:
    for name in (name for name in given if name not in allowed):
        raise UsageError(_option(name), f"nothing that {mode} has no use for", "both", "leave one of the two out")


def _option(name: str) -> str:
    return {"input": "INPUT", "output": "-o"}.get(name, f"--{name.replace('_', '-')}")
