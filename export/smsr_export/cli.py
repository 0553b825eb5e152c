"""smsr-export: from a checkpoint to a bundle. Exit codes: 0 done, 1 the work failed, 2 wrong usage."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from smsr import __version__, contract
from smsr_export import tensorrt_engine
from smsr_export.tensorrt_engine import PRECISIONS, EngineRequest
from smsr_runtime.bundle import is_bundle
from smsr_runtime.console import run_command
from smsr_runtime.errors import UsageError


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code. Errors are one line on stderr; --debug shows the traceback."""
    options = _parser().parse_args(arguments)
    left = "interrupted; nothing half-written was left behind"
    return run_command("smsr-export", lambda: _export(options), options.debug, left)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="smsr-export",
        description="Turns a trained SMSR checkpoint into a bundle that runtime/run.py and smsr-run use.",
    )
    parser.add_argument(
        "checkpoint", metavar="CHECKPOINT|BUNDLE", type=Path,
        help="a .pt or .safetensors file; x2, x3, x4: the weights that come with smsr; "
        "with --target trt also a bundle whose engine is pending",
    )  # fmt: skip
    parser.add_argument(
        "-o", "--output", type=Path, metavar="BUNDLE", help="default: the checkpoint's name + .smsr, here"
    )
    parser.add_argument("--target", choices=("onnx", "trt"), default="onnx", help="default: onnx (CPU)")
    parser.add_argument(
        "--precision", choices=contract.PRECISIONS, help=f"default: fp32, with --target trt {PRECISIONS[0]}"
    )
    parser.add_argument(
        "--verify", nargs="+", default=[], metavar="IMAGE_OR_DIR",
        help="measure parity (and PSNR) on these high-resolution pictures; default: our own drawing",
    )  # fmt: skip
    for name, text in (("min", "smallest"), ("opt", "most usual"), ("max", "largest")):
        parser.add_argument(f"--{name}-shape", metavar="HxW", help=f"with --target trt: the {text} picture")
    parser.add_argument("--workspace", type=int, metavar="MIB", help="GPU memory for TensorRT's scratch")
    parser.add_argument("--force", action="store_true", help="replace an existing bundle, or a bundle's engine")
    parser.add_argument("--accept-parity-failure", action="store_true", help="ship the bundle although parity failed")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.add_argument("--version", action="version", version=f"smsr-export {__version__}")
    return parser


def _export(options: argparse.Namespace) -> None:
    tensorrt = _check_target(options)
    checkpoint: Path = options.checkpoint
    if is_bundle(checkpoint):
        return _finish_bundle(checkpoint, options, tensorrt)

    from smsr.checkpoint import load_network, locate
    from smsr_export import bundle, verify
    from smsr_export.tensorrt_bundle import TensorRtTarget

    checkpoint = locate(checkpoint)
    output: Path = options.output or Path(f"{checkpoint.stem}.smsr")
    bundle.check_output(output, options.force)
    network = load_network(checkpoint)
    scale = network.config.scale
    pictures = verify.read_pictures(options.verify, scale) if options.verify else verify.own_pictures(scale)
    target, precision = None, options.precision
    if tensorrt:
        target = TensorRtTarget(precision or PRECISIONS[0], tensorrt_engine.check_request(tensorrt))
        precision = "fp32"  # of model.onnx, which stands in where the engine cannot
    request = bundle.ExportRequest(
        checkpoint, output, pictures, options.force, options.accept_parity_failure, target, precision
    )
    parity = bundle.export_onnx(network, request)
    _print_result(output, scale, parity)
    if tensorrt:
        tensorrt_engine.finish_exported(output, tensorrt, _say)


def _finish_bundle(bundle: Path, options: argparse.Namespace, tensorrt: EngineRequest | None) -> None:
    """The second half of --target trt, on the device: nothing but the engine is made."""
    if not tensorrt:
        raise UsageError(bundle, "a checkpoint", "a bundle", "bundles are taken again only for --target trt")
    for name in ("output", "precision", "verify", "accept_parity_failure"):
        if getattr(options, name):
            option = "-o" if name == "output" else f"--{name.replace('_', '-')}"
            raise UsageError(option, "a checkpoint with it", "a bundle", "leave it out; export the checkpoint again")
    tensorrt_engine.finish(bundle, tensorrt, _say)
    print(f"finished {bundle}; next: smsr-run {bundle} INPUT -o OUTPUT")


def _say(text: str) -> None:
    print(f"smsr-export: {text}", file=sys.stderr)


def _check_target(options: argparse.Namespace) -> EngineRequest | None:
    """The engine to build, or None for target onnx. Raises UsageError or ExportError for what cannot be asked for."""
    if options.target == "trt":
        if options.precision not in (None, *PRECISIONS):
            expected = f"{' or '.join(PRECISIONS)} with --target trt"
            raise UsageError("--precision", expected, options.precision, "leave --precision out")
        shapes = (options.min_shape, options.opt_shape, options.max_shape)
        request = EngineRequest(*shapes, options.workspace, options.force)
        tensorrt_engine.check_request(request)
        return request
    for name in ("min_shape", "opt_shape", "max_shape", "workspace"):
        if getattr(options, name) is not None:
            option = f"--{name.replace('_', '-')}"
            raise UsageError(option, "--target trt with it", "--target onnx", "an onnx bundle takes every size")
    options.precision = options.precision or "fp32"
    return None


def _print_result(output: Path, scale: int, parity: object) -> None:
    from smsr_export.verify import Parity

    assert isinstance(parity, Parity)
    print(f"Parity with PyTorch fp32 (allowed: DESIGN 9), x{scale}:\n{parity.table()}")
    if not parity.in_reduced_precision:
        print(
            f"verified in float32 only: no native kernels for {parity.precision} ran here. A CPU that has them rounds "
            f"more; verify there: smsr-export on it, or smsr-run {output} --selftest"
        )
    for failure in parity.failures:
        print(f"smsr-export: PARITY FAILED, accepted: {failure}", file=sys.stderr)
    print(f"wrote {output}; next: smsr-run {output} INPUT -o OUTPUT")


if __name__ == "__main__":
    sys.exit(main())
