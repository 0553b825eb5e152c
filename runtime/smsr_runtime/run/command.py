"""The command: smsr-run BUNDLE INPUT -o OUTPUT, or python runtime/run.py of a bare copy."""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from typing import Any, NoReturn, Sequence

import smsr_runtime
from smsr_runtime.console import INTERRUPTED, detach_stdout, run_command, say
from smsr_runtime.errors import SmsrError, UsageError
from smsr_runtime.media.image import FORMATS
from smsr_runtime.media.video.options import VideoOptions
from smsr_runtime.run import PROGRAM
from smsr_runtime.run.plan import make_plan
from smsr_runtime.run.work import Settings, run_plan
from smsr_runtime.selftest import self_test
from smsr_runtime.session import Upscaler, load
from smsr_runtime.sizes import Wanted
from smsr_runtime.tensorrt.options import EngineOptions, parse_workspace

_LARGEST_CRF = 63

_NOTES = """\
INPUT is an image file, a folder, a quoted pattern such as "in/*.jpg", or a video file. A folder's results keep their
names, as PNG unless --format says else; a.png and a.jpg together become a.png.png and a.jpg.png. Subfolders are not
entered. 16-bit pictures stay 16-bit (JPEG, WebP and BMP hold 8, with a note). Transparency is upscaled in its own pass;
a format without it (JPEG, BMP, PGM, PPM) is refused unless the picture is opaque. EXIF orientation is applied, other
EXIF data is not copied. Colour profiles are kept; CMYK becomes sRGB. An animation's first frame is used. A video's
sound is copied unchanged.

SMSR_ORT_LIBRARY names another native library, or `none` for the slower function body; SMSR_CPU forces a variant of it.
A bundle made with --target trt builds its TensorRT engine on its first run here (minutes); SMSR_TRT_LIBRARY names
another plugin library; CUDA_DEVICE=N chooses the GPU; SMSR_CUDA_GRAPH=1 replays a CUDA graph from a size's second
picture on.
exit codes: 0 done, 1 the work failed, 2 wrong usage, 130 interrupted
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(self.prog, "arguments as in --help", message, "see --help")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog=PROGRAM,
        description="Upscales pictures and videos with an exported SMSR bundle.",
        epilog=_NOTES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("bundle", metavar="BUNDLE", help="directory made by smsr-export")
    add("input", metavar="INPUT", nargs="?", help="image, folder, quoted pattern or video")
    add("-o", "--output", metavar="OUTPUT", help="file, or folder where INPUT is a folder or pattern")
    add("--backend", choices=("auto", "ort", "trt"), default="auto", help="what computes (default: auto)")
    add("--threads", type=int, metavar="N", help="processor threads (default: all)")
    add("--theta", type=float, default=0.0, metavar="T", help="quality dial: higher is faster, 0 as trained (default)")
    add("--show-masks", action="store_true", help="also write NAME.masks.png: where each module worked hard")
    add("--format", choices=sorted(FORMATS), metavar="EXT", help=f"of results: {' '.join(FORMATS)} (default: png)")
    add("--json", action="store_true", help="print one JSON document about the results on stdout")
    add("--selftest", action="store_true", help="check the bundle's golden output on this device")
    add("--force", action="store_true", help="overwrite existing results")
    add("--rebuild", action="store_true", help="build the bundle's TensorRT engine again, for this machine")
    add("--min-shape", metavar="HxW", help="with --rebuild: smallest picture the engine takes (default: 16x16)")
    add("--opt-shape", metavar="HxW", help="the size it is fastest at (default: 540x960)")
    add("--max-shape", metavar="HxW", help="the largest one (default: what half of the GPU's memory holds)")
    add("--workspace", type=int, metavar="MIB", help="GPU memory for TensorRT's scratch while it builds and runs")
    add("--video-codec", metavar="NAME", help="FFmpeg encoder (default: libx264; .webm: libvpx-vp9; .mpg: mpeg2video)")
    add("--crf", type=int, metavar="N", help="video quality, 0 best (default: the encoder's, 16 for libx264)")
    add("--quiet", action="store_true", help="print errors only")
    add("--debug", action="store_true", help="show an error's traceback")
    add("--version", action="version", version=f"smsr_runtime {smsr_runtime.__version__}")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code: 0 done, 1 the work failed, 2 wrong usage, 130 interrupted."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    document: dict[str, Any] = {"format": "smsr-run", "format_version": 1}
    quiet = "--quiet" in given

    def keep(error: SmsrError) -> None:
        document["error"] = error.as_json()

    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: None if quiet else _say(f"warning: {message}")
        warnings.simplefilter("default")
        code = run_command(PROGRAM, lambda: _run(given, document), debug="--debug" in given, on_error=keep)
    if "--json" in given and code != INTERRUPTED:
        return _print_json(document, code)
    return code


def _run(given: list[str], document: dict[str, Any]) -> int:
    options = _parsed(given)
    _check(options)
    plan = None
    if options.input is not None:
        plan = make_plan(
            options.input, options.output, options.format, show_masks=options.show_masks, force=options.force
        )
    upscaler = load(options.bundle, options.threads, options.backend, options.theta, _engine(options))
    document.update(_about(upscaler))
    if options.selftest:
        document["selftest"] = _selftest(upscaler, options)
    if plan is None:
        return 0
    video = VideoOptions(options.video_codec, options.crf)
    settings = Settings(quiet=options.quiet, json=options.json, debug=options.debug, video=video)
    records = run_plan(upscaler, plan, settings)
    failed = sum(1 for record in records if record["error"])
    document.update(files=records, failed=failed, skipped=plan.skipped)
    if len(records) > 1 and (failed or not options.quiet):
        rest = f", {plan.skipped} other files skipped" if plan.skipped else ""
        _say(f"{len(records) - failed} of {len(records)} pictures done, {failed} failed{rest}")
    return 1 if failed else 0


def _parsed(given: list[str]) -> argparse.Namespace:
    options, rest = _parser().parse_known_args(given)
    extra = [item for item in rest if not item.startswith("-")]
    if extra and len(extra) == len(rest):
        raise UsageError("INPUT", "one file, folder or pattern", f"{len(rest) + 1} of them", "put a pattern in quotes")
    if rest:
        raise UsageError(PROGRAM, "known options", " ".join(rest), "see --help")
    return options


def _check(options: argparse.Namespace) -> None:
    if options.input is None and not (options.selftest or options.rebuild):
        raise UsageError(PROGRAM, "BUNDLE INPUT -o OUTPUT, or BUNDLE --selftest", "no INPUT", "see --help")
    if (options.input is None) != (options.output is None):
        missing = "no -o" if options.output is None else "no INPUT"
        raise UsageError(PROGRAM, "INPUT and -o together", missing, "name both")
    if options.input == "" or options.output == "":
        raise UsageError(PROGRAM, "names of INPUT and -o", "an empty one", "check the quotes")
    if options.crf is not None and not 0 <= options.crf <= _LARGEST_CRF:
        raise UsageError("--crf", f"0 to {_LARGEST_CRF}", str(options.crf), "16 is visually lossless")


def _engine(options: argparse.Namespace) -> EngineOptions:
    wanted = Wanted.parse(options.min_shape, options.opt_shape, options.max_shape)
    if wanted != Wanted() and not options.rebuild:
        raise UsageError("--min-shape, --opt-shape, --max-shape", "--rebuild with them", "none", "add --rebuild")
    workspace = parse_workspace(options.workspace)
    say = _quiet if options.quiet else _say
    return EngineOptions(rebuild=options.rebuild, wanted=wanted, workspace=workspace, say=say)


def _quiet(_: str) -> None:
    """Takes the place of `_say` under --quiet."""


def _about(upscaler: Upscaler) -> dict[str, Any]:
    return {
        "bundle": str(upscaler.bundle.path),
        "name": upscaler.bundle.name,
        "scale": upscaler.scale,
        "theta": upscaler.theta,
        "backend": upscaler.backend,
        "path": upscaler.path,
    }


def _selftest(upscaler: Upscaler, options: argparse.Namespace) -> dict[str, Any]:
    result = self_test(upscaler.bundle, upscaler.opened)
    if not options.quiet:
        print(
            f"self-test passed: {upscaler.path}, {result.seconds:.3f} s, {result}",
            file=sys.stderr if options.json else sys.stdout,
        )
    return {
        "passed": True,
        "path": upscaler.path,
        "seconds": round(result.seconds, 4),
        "max_abs": result.max_abs,
        "rmse": result.rmse,
        "allowed": result.allowed,
    }


def _print_json(document: dict[str, Any], code: int) -> int:
    try:
        print(json.dumps({**document, "exit_code": code}, indent=2), flush=True)
    except BrokenPipeError:
        detach_stdout()
        return 1
    return code


def _say(text: str) -> None:
    say(PROGRAM, text)
