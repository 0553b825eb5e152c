"""The command line of smsr-run: its options, which may stand anywhere, and what they may be together."""

from __future__ import annotations

import argparse
import sys
from typing import NoReturn, Sequence

import smsr_runtime
from smsr_runtime.console import Parser
from smsr_runtime.errors import UsageError
from smsr_runtime.governor import Target
from smsr_runtime.live.source import is_live
from smsr_runtime.media.image import FORMATS, Saving
from smsr_runtime.media.video.pipe import KINDS
from smsr_runtime.resources import parse_memory
from smsr_runtime.run import PROGRAM
from smsr_runtime.run.jobs import STREAM, Job
from smsr_runtime.run.live import LiveJob, check_live

_LARGEST_CRF = 63
_USAGE = "%(prog)s BUNDLE INPUT -o OUTPUT [options]"

_DESCRIPTION = """\
Upscales pictures and videos with an exported SMSR bundle.

BUNDLE  directory made by smsr-export
INPUT   image, folder, quoted pattern, video, camera or stream; behind `--` also a name that begins with a dash
"""

_NOTES = """\
INPUT is an image file, a folder, a quoted pattern such as "in/*.jpg", or a video file; `-` is a picture from stdin, and
-o `-` writes one to stdout. A folder's results keep their names, as PNG unless --format says else; a.png and a.jpg
together become a.png.png and a.jpg.png. Subfolders are entered with --recursive only; videos keep their suffix.
16-bit pictures stay 16-bit (JPEG, WebP and BMP hold 8, with a note). Transparency is upscaled in its own pass; under
wholly transparent pixels comes the colour of the nearest visible one. A format without transparency (JPEG, BMP, PGM,
PPM) is refused unless the picture is opaque. EXIF orientation is applied; EXIF data, in PNG also texts, and colour
profiles are kept; CMYK becomes sRGB. An animated GIF, WebP or PNG gives an animated PNG or WebP, GIF and APNG also a
video; other formats take its first frame.

A picture that does not fit into memory is computed in strips, with the same result; between passes its features (1 KiB
per pixel of INPUT) lie in a temporary file in OUTPUT's folder, or in TMPDIR where that is set.

A video's sound, subtitles, tags, chapters, HDR10 data and transparency are kept as far as OUTPUT's format holds them; a
note says what is not. The result begins at 0 seconds; interlaced video is deinterlaced. In a damaged video what can be
decoded is kept, an error counts what is missing, and the exit code is 1; a file that is cut short is refused.

What is finished of a video lies in OUTPUT.resume until all is, 60 frames at a time: it needs twice the result's room.
However a run ends, by Ctrl-C, an error, a full disk, NAME.partial.SUFFIX plays with what is made so far; after a kill
too the same command with --resume goes on, to the same bytes as one run. In a folder --resume leaves results that
are not older than their inputs, whatever options they were made with.

A camera (0, /dev/video0, csi://0 on a Jetson), a stream (rtsp://, http://, udp://, ...) or with --realtime a file is
live: the newest frame is upscaled, older ones are dropped, latency is measured. -o records (no sound), --display shows;
Ctrl-C ends it with exit code 0. -o - writes a video's or camera's frames to stdout, as y4m or raw RGB.

--target-fps and --budget-ms move theta frame by frame within --theta-range to hold that time, as far as it can be held.

SMSR_ORT_LIBRARY names another native library, or `none` for the slower function body; SMSR_CPU forces a variant of it.
A bundle made with --target trt builds its TensorRT engine on its first run here (minutes); SMSR_TRT_LIBRARY names
another plugin library; CUDA_DEVICE=N chooses the GPU; SMSR_CUDA_GRAPH=1 replays a CUDA graph from a size's second
picture on.
exit codes: 0 done, 1 the work failed, 2 wrong usage, 130 interrupted
"""


class _Parser(Parser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(self.prog, "arguments as in --help", message, "see --help")


def parse(given: Sequence[str]) -> argparse.Namespace:
    """The options, with `bundle` and `input` (None where there is none). Raises UsageError."""
    before, names = split(given)
    options, rest = _parser().parse_known_args(before)
    unknown = [item for item in rest if item.startswith("-") and item != "-"]
    if unknown:
        raise UsageError(PROGRAM, "known options", " ".join(unknown), "see --help; names go behind --")
    names = rest + names
    if not names:
        raise UsageError(PROGRAM, "BUNDLE INPUT -o OUTPUT", "no BUNDLE", "see --help")
    options.bundle, options.input = names[0], names[1] if len(names) > 1 else None
    _check_names(names, options.output)
    _check(options)
    return options


def split(given: Sequence[str]) -> tuple[list[str], list[str]]:
    """What stands before the first `--` and, names without exception, behind it."""
    end = list(given).index("--") if "--" in given else len(given)
    return list(given[:end]), list(given[end + 1 :])


def _parser() -> argparse.ArgumentParser:
    """Knows the options alone: argparse does not take names of files on both sides of an option."""
    parser = _Parser(
        prog=PROGRAM,
        usage=_USAGE,
        description=_DESCRIPTION,
        epilog=_NOTES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("-o", "--output", metavar="OUTPUT", help="file, or folder where INPUT is a folder or pattern")
    add("--backend", choices=("auto", "ort", "trt"), default="auto", help="what computes (default: auto)")
    add("--threads", type=int, metavar="N", help="processor threads (default: all)")
    add("--memory", metavar="SIZE", help="most to hold, like 2G (default: what is free); larger pictures go in strips")
    add("--theta", type=float, default=0.0, metavar="T", help="quality dial: higher is faster, 0 as trained (default)")
    add("--dial", type=float, metavar="N", help="theta by the curve in the bundle: 100 as trained, 0 fastest")
    add("--show-masks", action="store_true", help="also write NAME.masks.png, or a video of them: where modules worked")
    kinds = " ".join((*FORMATS, *KINDS))
    add("--format", choices=(*FORMATS, *KINDS), metavar="EXT", help=f"of results: {kinds} (default: png, y4m)")
    add("--quality", type=int, metavar="N", help=f"of JPEG and WebP results, 1 to 100 (default: {Saving.quality})")
    add("--strip-metadata", action="store_true", help="leave out EXIF data (date, place, camera) and PNG texts")
    add("--recursive", action="store_true", help="enter subfolders of a folder; results keep their places")
    add("--json", action="store_true", help="print one JSON document about the results on stdout")
    add("--selftest", action="store_true", help="check the bundle's golden output on this device")
    add("--force", action="store_true", help="overwrite existing results")
    add("--resume", action="store_true", help="go on with what an interrupted run left; results that are there stay")
    add("--rebuild", action="store_true", help="build the bundle's TensorRT engine again, for this machine")
    add("--min-shape", metavar="HxW", help="with --rebuild: smallest picture the engine takes (default: 16x16)")
    add("--opt-shape", metavar="HxW", help="the size it is fastest at (default: 540x960)")
    add("--max-shape", metavar="HxW", help="the largest one (default: what half of the GPU's memory holds)")
    add("--workspace", type=int, metavar="MIB", help="GPU memory for TensorRT's scratch while it builds and runs")
    add("--video-codec", metavar="NAME", help="FFmpeg encoder (default: libx264; .webm: libvpx-vp9; .mpg: mpeg2video)")
    add("--crf", type=int, metavar="N", help="video quality, 0 best (default: the encoder's, 16 for libx264)")
    add("--deinterlace", choices=("auto", "on", "off"), default="auto", help="auto: what is marked as interlaced")
    add("--realtime", action="store_true", help="replay a video file at its own rate, as a camera: late frames drop")
    add("--display", action="store_true", help="show the results of a camera, stream or --realtime in a window")
    add(
        "--stats", action="store_true", help="show frames/s, theta, active share, ms per stage and latency every second"
    )
    add("--target-fps", type=float, metavar="F", help="move theta so that a video's frames come out this often")
    add("--budget-ms", type=float, metavar="MS", help="the same, as milliseconds per frame")
    add(
        "--theta-range",
        metavar="LOW:HIGH",
        help="bounds of theta for these (default: 0:6; below 0: --theta-range=-2:6)",
    )
    add("--quiet", action="store_true", help="print errors only")
    add("--debug", action="store_true", help="show an error's traceback")
    add("--version", action="version", version=f"smsr_runtime {smsr_runtime.__version__}")
    return parser


def _check_names(names: Sequence[str], output: str | None) -> None:
    """Refuses more than BUNDLE and INPUT: a forgotten -o, or a pattern that the shell put names for."""
    if len(names) == 3 and output is None:
        todo = f"write -o {names[2]}, or put a pattern in quotes"
        raise UsageError(PROGRAM, "-o before the name of OUTPUT", f"{names[2]} without it", todo)
    if len(names) > 2:
        raise UsageError("INPUT", "one file, folder or pattern", f"{len(names) - 1} of them", "put a pattern in quotes")


def _check(options: argparse.Namespace) -> None:
    if options.input is None and not (options.selftest or options.rebuild):
        raise UsageError(PROGRAM, "BUNDLE INPUT -o OUTPUT, or BUNDLE --selftest", "no INPUT", "see --help")
    if (options.input is None) != (options.output is None) and not options.display:
        missing = "no -o" if options.output is None else "no INPUT"
        raise UsageError(PROGRAM, "INPUT and -o together", missing, "name both")
    if options.memory is not None:
        parse_memory(options.memory)
    if options.dial is not None and options.theta != 0.0:
        raise UsageError("--dial", "no --theta with it", "both", "leave one out")
    if options.input == "" or options.output == "":
        raise UsageError(PROGRAM, "names of INPUT and -o", "an empty one", "check the quotes")
    if options.format in KINDS and options.output != STREAM:
        raise UsageError("--format", f"-o - with {options.format}", f"-o {options.output}", "name a video file with -o")
    if options.output == STREAM and options.json:
        raise UsageError("-o -", "stdout for the result alone", "--json too", "name a file with -o")
    if options.output == STREAM and sys.stdout is not None and sys.stdout.isatty():
        raise UsageError("-o -", "a pipe or file as stdout", "a terminal", "redirect it or name a file with -o")
    if options.crf is not None and not 0 <= options.crf <= _LARGEST_CRF:
        raise UsageError("--crf", f"0 to {_LARGEST_CRF}", str(options.crf), "16 is visually lossless")


def live_job(options: argparse.Namespace) -> LiveJob | None:
    """A camera, a stream or a replayed file; None for files made as fast as possible. Raises UsageError."""
    if options.input is None or not (is_live(options.input) or options.realtime or options.display):
        return None
    unfit = {"--show-masks": options.show_masks, "--recursive": options.recursive, "--resume": options.resume}
    for name in (name for name, given in unfit.items() if given):
        raise UsageError(name, "a file or folder", "a camera, stream or replay", f"leave {name} out")
    job = LiveJob(options.input, options.output, options.display, pipe_kind(options))
    check_live(job, force=options.force)
    return job


def pipe_kind(options: argparse.Namespace) -> str:
    """What a video on stdout is. Raises UsageError where --format means something else."""
    if options.format is None:
        return "y4m"
    if options.format not in KINDS or options.output != STREAM:
        raise UsageError(
            "--format", f"{' or '.join(KINDS)}, with -o - alone, for a video", options.format, "leave it out"
        )
    return str(options.format)


def theta_target(options: argparse.Namespace, live: LiveJob | None, jobs: Sequence[Job]) -> Target | None:
    """What --target-fps and --budget-ms ask for. Raises UsageError, also where no result is a video."""
    target = Target.parse(options.target_fps, options.budget_ms, options.theta_range)
    if target is not None and live is None and not any(job.video for job in jobs):
        raise UsageError("--target-fps, --budget-ms", "a video, camera or stream", "none", "leave it out")
    if target is not None and options.theta != 0.0:
        raise UsageError("--theta", "no --target-fps or --budget-ms with it", "both", "bound theta with --theta-range")
    if target is not None and options.dial is not None:
        raise UsageError("--dial", "no --target-fps or --budget-ms with it", "both", "bound theta with --theta-range")
    if target is not None and options.resume:
        todo = "leave one out: theta follows this run's own times"
        raise UsageError("--resume", "no --target-fps or --budget-ms with it", "both", todo)
    return target


def check_quality(quality: int | None, jobs: Sequence[Job]) -> None:
    """Raises UsageError for a --quality that is out of range or that no result has."""
    if quality is None:
        return
    if not 1 <= quality <= 100:
        raise UsageError("--quality", "1 to 100", str(quality), f"{Saving.quality} is the default")
    kinds = {FORMATS[job.output.suffix[1:].lower()].kind for job in jobs if job.output.suffix[1:].lower() in FORMATS}
    if not kinds & {"JPEG", "WEBP"}:
        got = ", ".join(sorted(kinds)) or "a video"
        raise UsageError("--quality", "JPEG or WebP results", got, "leave it out; a video has --crf")
