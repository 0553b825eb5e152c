"""smsr-export: from a checkpoint to a bundle. Exit codes: 0 done, 1 the work failed, 2 wrong usage."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from smsr import __version__, contract
from smsr_export.estimate import MOST_SAMPLES, SAMPLES
from smsr_export.tensorrt_engine import PRECISIONS, finish, finish_exported
from smsr_runtime.bundle import SUFFIX, is_bundle, read_bundle
from smsr_runtime.console import Parser, run_command, say, show
from smsr_runtime.errors import UsageError
from smsr_runtime.sizes import Wanted
from smsr_runtime.tensorrt.options import EngineOptions, parse_workspace

if TYPE_CHECKING:
    from smsr.network import Network
    from smsr_export.parity.report import Parity
    from smsr_export.writing import ExportRequest

PROGRAM = "smsr-export"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code. Errors are one line on stderr; --debug shows the traceback."""
    options = _parser().parse_args(arguments)
    return run_command(PROGRAM, lambda: _export(options), debug=options.debug)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog=PROGRAM,
        description="Turns a trained SMSR checkpoint into a bundle that runtime/run.py and smsr-run use.",
    )
    parser.add_argument(
        "checkpoint", metavar="CHECKPOINT|BUNDLE", type=Path,
        help="a .pt or .safetensors file; x2, x3, x4: the weights that come with smsr; "
        "with --target trt also a bundle whose engine is pending, with --target triton also a bundle for ONNX Runtime",
    )  # fmt: skip
    parser.add_argument(
        "-o", "--output", type=Path, metavar="BUNDLE|FILE.onnx|REPOSITORY",
        help="default: the checkpoint's name + .smsr, here; a name ending in .onnx: the model alone, as one file; "
        "with --target triton the model repository, default: models",
    )  # fmt: skip
    parser.add_argument(
        "--weights", metavar="NAME",
        help="the set to take where a checkpoint has several (params, params_ema ...); default: the averaged one",
    )  # fmt: skip
    parser.add_argument(
        "--inline", action="store_true",
        help="one ONNX file in standard operators alone, for other engines; default name: the checkpoint's + .onnx",
    )  # fmt: skip
    parser.add_argument(
        "--target", choices=("onnx", "trt", "triton"), default="onnx",
        help="default: onnx (CPU); triton: a model repository for NVIDIA Triton Inference Server, on its CPU",
    )  # fmt: skip
    parser.add_argument(
        "--served-at",
        metavar="DIR",
        help="with --target triton: the repository as the server sees it; default: /models",
    )
    parser.add_argument(
        "--precision", choices=contract.PRECISIONS, help=f"default: fp32, with --target trt {PRECISIONS[0]}"
    )
    parser.add_argument(
        "--verify", nargs="+", default=[], metavar="IMAGE_OR_DIR",
        help="measure parity (and PSNR) on these high-resolution pictures; default: our own drawing",
    )  # fmt: skip
    parser.add_argument(
        "--dial", action="store_true",
        help="with --verify: measure on those pictures what theta costs and saves, for smsr-run --dial",
    )  # fmt: skip
    parser.add_argument("--no-report", action="store_true", help="leave report.html out of the bundle")
    parser.add_argument(
        "--estimate", type=Path, metavar="PATH",
        help="write nothing; say what the network saves on this clip, folder or picture, at the size it is upscaled "
        "from: active shares, MACs, measured speed-up over a dense network on this machine's CPU",
    )  # fmt: skip
    parser.add_argument(
        "--samples", type=int, metavar="N",
        help=f"with --estimate: pictures or frames to measure, evenly spread, 1 to {MOST_SAMPLES}; default: {SAMPLES}",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="with --estimate: print JSON")
    for name, text in (("min", "smallest"), ("opt", "most usual"), ("max", "largest")):
        parser.add_argument(f"--{name}-shape", metavar="HxW", help=f"with --target trt: the {text} picture")
    parser.add_argument(
        "--pending", action="store_true", help="with --target trt: leave the engine for the device to build; exit 0"
    )
    parser.add_argument("--workspace", type=int, metavar="MIB", help="GPU memory for TensorRT's scratch")
    parser.add_argument(
        "--force", action="store_true", help="replace an existing bundle or model, or a bundle's engine"
    )
    parser.add_argument("--accept-parity-failure", action="store_true", help="write the bundle although parity failed")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    return parser


def _export(options: argparse.Namespace) -> None:
    if options.estimate is not None:
        from smsr_export.estimate import command

        return command.run(PROGRAM, options)
    for name in ("samples", "json"):
        if getattr(options, name):
            raise UsageError(f"--{name}", "--estimate PATH with it", "none", "add --estimate, or leave it out")
    engine = _engine_options(options)
    if options.served_at is not None and options.target != "triton":
        raise UsageError("--served-at", "--target triton with it", f"--target {options.target}", "leave it out")
    checkpoint: Path = options.checkpoint
    if options.target == "triton":
        return _export_served(checkpoint, options)
    if is_bundle(checkpoint):
        return _finish_bundle(checkpoint, options, engine)

    from smsr.checkpoint import locate
    from smsr_export.writing import check_output, export, export_file

    checkpoint = locate(checkpoint)
    output: Path = options.output or Path(f"{checkpoint.stem}{'.onnx' if options.inline else SUFFIX}")
    single = _single_file(output, options, engine)
    if options.dial and (single or not options.verify):
        got = "a single file, which cannot hold the curve" if single else "none"
        raise UsageError("--dial", "a bundle, and pictures with --verify", got, "leave --dial out, or name them")
    if options.no_report and single:
        raise UsageError("--no-report", "a bundle", "a single file, which has no report", "leave --no-report out")
    check_output(output, force=options.force)
    network, request = _read(checkpoint, output, options, engine)
    parity = export_file(network, request, inline=options.inline) if single else export(network, request)
    _print_result(request, network.config.scale, parity)
    show(f"wrote {output}" if output.is_file() else f"wrote {output}; next: smsr-run {output} INPUT -o OUTPUT")
    if engine and not options.pending:
        finish_exported(output, engine)


def _read(
    checkpoint: Path, output: Path, options: argparse.Namespace, engine: EngineOptions | None = None
) -> tuple[Network, ExportRequest]:
    """The checkpoint's network and what to do with it."""
    from smsr.checkpoint import load_network
    from smsr_export.parity.pictures import own_pictures, read_pictures
    from smsr_export.tensorrt_bundle import TensorRtTarget
    from smsr_export.writing import ExportRequest

    network = load_network(checkpoint, options.weights, functools.partial(say, PROGRAM))
    scale = network.config.scale
    return network, ExportRequest(
        checkpoint,
        output,
        pictures=read_pictures(options.verify, scale) if options.verify else own_pictures(scale),
        force=options.force,
        accept_failure=options.accept_parity_failure,
        tensorrt=TensorRtTarget(options.precision or PRECISIONS[0], engine.wanted) if engine else None,
        dial=options.dial,
        report=not options.no_report,
        precision="fp32" if engine else options.precision or "fp32",  # an engine's stand-in on the CPU is fp32
    )


def _export_served(source: Path, options: argparse.Namespace) -> None:
    """--target triton, from a checkpoint by way of a bundle that is not kept, or from a bundle."""
    from smsr.checkpoint import locate
    from smsr_export.triton_repository import ServedModel, check_repository, parse_served_at, write_model
    from smsr_export.writing import export

    for name in ("inline", "dial", "no_report"):
        if getattr(options, name):
            raise UsageError(_option(name), "another target with it", "--target triton", "leave it out")
    source = source if is_bundle(source) else locate(source)
    name = Path(os.path.abspath(source)).stem  # of "." and ".." too
    model = ServedModel(options.output or Path("models"), name, parse_served_at(options.served_at), options.force)
    check_repository(model)
    note = functools.partial(say, PROGRAM)
    if is_bundle(source):
        _refuse_with_bundle(options, "precision", "verify", "accept_parity_failure", "weights")
        write_model(read_bundle(source), model, note)
    else:
        with tempfile.TemporaryDirectory() as folder:
            network, request = _read(source, Path(folder) / f"{source.stem}{SUFFIX}", options)
            parity = export(network, dataclasses.replace(request, report=False))
            write_model(read_bundle(request.output), model, note)
        _print_result(request, network.config.scale, parity)
    show(f"wrote {model.folder}; next: tritonserver --model-repository={model.served_at}, where {model.repository} is")


def _single_file(output: Path, options: argparse.Namespace, engine: EngineOptions | None) -> bool:
    """Whether one ONNX file is asked for. Raises UsageError where other options contradict that."""
    from smsr_export.writing import is_single_file

    single = is_single_file(output)
    if options.inline and not single:
        raise UsageError(output, "a name ending in .onnx with --inline", repr(output.suffix), "name -o like x2.onnx")
    if single and engine:
        todo = "name a bundle, or leave --target trt out"
        raise UsageError(output, "a bundle with --target trt", "a single file", todo)
    if options.inline and options.precision not in (None, "fp32"):
        todo = "convert the file with the tool that runs it"
        raise UsageError("--precision", "fp32 with --inline", options.precision, todo)
    return single


def _finish_bundle(bundle: Path, options: argparse.Namespace, engine: EngineOptions | None) -> None:
    """The second half of --target trt, on the device: only the engine is made."""
    if engine is None:
        raise UsageError(bundle, "a checkpoint", "a bundle", "add --target trt to build this bundle's engine")
    _refuse_with_bundle(
        options,
        "output",
        "precision",
        "verify",
        "dial",
        "accept_parity_failure",
        "weights",
        "inline",
        "pending",
        "no_report",
    )
    finish(bundle, engine)
    show(f"finished {bundle}; next: smsr-run {bundle} INPUT -o OUTPUT")


def _refuse_with_bundle(options: argparse.Namespace, *names: str) -> None:
    """Raises UsageError where an option is given that a bundle has behind it."""
    for name in names:
        if getattr(options, name):
            option = "-o" if name == "output" else _option(name)
            raise UsageError(option, "a checkpoint with it", "a bundle", "leave it out; export the checkpoint again")


def _engine_options(options: argparse.Namespace) -> EngineOptions | None:
    """The engine to build, None for other targets. Raises UsageError for options that contradict each other."""
    if options.target != "trt":
        for name in ("min_shape", "opt_shape", "max_shape", "workspace", "pending"):
            if getattr(options, name):
                todo = "leave it out; ONNX Runtime takes every size"
                raise UsageError(_option(name), "--target trt with it", f"--target {options.target}", todo)
        return None
    if options.precision not in (None, *PRECISIONS):
        expected = f"{' or '.join(PRECISIONS)} with --target trt"
        raise UsageError("--precision", expected, options.precision, "leave --precision out")
    return EngineOptions(
        rebuild=options.force,
        workspace=parse_workspace(options.workspace),
        wanted=Wanted.parse(options.min_shape, options.opt_shape, options.max_shape),
        say=functools.partial(say, PROGRAM),
    )


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _print_result(request: ExportRequest, scale: int, parity: Parity) -> None:
    show(f"Parity with PyTorch fp32 (limits: docs/design.md, Parity), x{scale}:\n{parity.table()}")
    if not parity.in_reduced_precision:
        selftest = f", or smsr-run {request.output} --selftest" if request.output.exists() else ""
        show(
            f"verified in float32 only: no native kernels for {parity.precision} ran here. A CPU that has them rounds "
            f"more; verify there: smsr-export on it{selftest}"
        )
    for failure in parity.failures:
        say(PROGRAM, f"PARITY FAILED, accepted: {failure}")


if __name__ == "__main__":
    sys.exit(main())
