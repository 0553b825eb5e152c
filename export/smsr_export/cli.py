"""smsr-export: from a checkpoint to a bundle. Exit codes: 0 done, 1 the work failed, 2 wrong usage."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from smsr import __version__, contract
from smsr.errors import ExportError, SmsrError, UsageError


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code. Errors are one line on stderr; --debug shows the traceback."""
    options = _parser().parse_args(arguments)
    try:
        _export(options)
    except KeyboardInterrupt:
        print("smsr-export: interrupted; nothing was left behind", file=sys.stderr)
        return 130
    except Exception as error:
        if options.debug:
            raise
        return _report(error)
    return 0


def _report(error: Exception) -> int:
    import smsr_runtime

    if isinstance(error, SmsrError | smsr_runtime.SmsrError):
        print(f"smsr-export: {error}", file=sys.stderr)
        return error.exit_code
    if isinstance(error, ModuleNotFoundError):
        error = UsageError(
            "this environment",
            f"the package {error.name}",
            "none installed",
            "pip install 'smsr[export]', or make setup",
        )
        print(f"smsr-export: {error}", file=sys.stderr)
        return error.exit_code
    text = " ".join(str(error).split()) or type(error).__name__
    print(
        f"smsr-export: unexpected {type(error).__name__}: {text}; run again with --debug and report it", file=sys.stderr
    )
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="smsr-export",
        description="Turns a trained SMSR checkpoint into a bundle that runtime/run.py and smsr-run use.",
    )
    parser.add_argument("checkpoint", metavar="CHECKPOINT", type=Path, help="a .pt or .safetensors file")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="BUNDLE", help="default: the checkpoint's name + .smsr, here"
    )
    parser.add_argument("--target", choices=("onnx", "trt"), default="onnx", help="default: onnx (CPU)")
    parser.add_argument("--precision", choices=contract.PRECISIONS, default="fp32", help="default: fp32")
    parser.add_argument(
        "--verify", nargs="+", default=[], metavar="IMAGE_OR_DIR",
        help="measure parity (and PSNR) on these high-resolution pictures; default: our own drawing",
    )  # fmt: skip
    parser.add_argument("--force", action="store_true", help="replace an existing bundle")
    parser.add_argument("--accept-parity-failure", action="store_true", help="ship the bundle although parity failed")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.add_argument("--version", action="version", version=f"smsr-export {__version__}")
    return parser


def _export(options: argparse.Namespace) -> None:
    _check_target(options)
    checkpoint: Path = options.checkpoint
    output: Path = options.output or Path(f"{checkpoint.stem}.smsr")
    if (checkpoint / "manifest.json").is_file():
        raise UsageError(checkpoint, "a checkpoint", "a bundle", "bundles are taken again only for --target trt")

    from smsr.checkpoint import load_network
    from smsr_export import bundle, verify

    bundle.check_output(output, options.force)
    network = load_network(checkpoint)
    scale = network.config.scale
    pictures = verify.read_pictures(options.verify, scale) if options.verify else verify.own_pictures(scale)
    request = bundle.ExportRequest(
        checkpoint, output, pictures, options.force, options.accept_parity_failure, options.precision
    )
    parity = bundle.export_onnx(network, request)
    _print_result(output, scale, parity)


def _check_target(options: argparse.Namespace) -> None:
    if options.target == "trt" and options.precision == "bf16":
        raise UsageError(
            "--precision bf16", "fp16 or fp32 for --target trt", "bf16", "leave --precision out, or use --target onnx"
        )
    if options.target == "trt":
        raise ExportError("--target trt", "an exporter with TensorRT", "none in this release yet", "use --target onnx")


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
