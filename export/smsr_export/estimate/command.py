"""smsr-export CHECKPOINT|BUNDLE --estimate PATH: nothing is written."""

from __future__ import annotations

import argparse
import functools
import json
import tempfile
from pathlib import Path

from smsr.checkpoint import load_network, locate
from smsr.complexity import network_macs
from smsr_export.estimate import MOST_SAMPLES, SAMPLES, material, speed, work
from smsr_export.estimate.report import Estimate
from smsr_export.parity.pictures import own_pictures
from smsr_export.weights import read_folded
from smsr_export.writing import ExportRequest, export
from smsr_runtime.bundle import SUFFIX, is_bundle
from smsr_runtime.console import say, show
from smsr_runtime.errors import UsageError
from smsr_runtime.session import load

_WITHOUT = ("output", "verify", "dial", "inline", "pending", "force", "accept_parity_failure", "min_shape", "opt_shape",
            "max_shape", "workspace", "served_at", "no_report")  # fmt: skip
_TODO = "leave it out: --estimate writes no bundle"


def run(program: str, options: argparse.Namespace) -> None:
    """Prints the estimate. Raises UsageError, CheckpointError, BundleError, and what reading the material raises."""
    _check(options)
    samples = material.read(options.estimate, options.samples or SAMPLES, functools.partial(say, program))
    if is_bundle(options.checkpoint):
        estimate = _of_bundle(options.checkpoint, options.estimate, samples)
    else:
        with tempfile.TemporaryDirectory() as folder:
            estimate = _of_bundle(_exported(program, options, Path(folder)), options.estimate, samples)
    show(json.dumps(estimate.as_json(), indent=2) if options.json else estimate.text())


def _check(options: argparse.Namespace) -> None:
    for name in _WITHOUT:
        if getattr(options, name):
            option = "-o" if name == "output" else f"--{name.replace('_', '-')}"
            raise UsageError(option, "an export with it", "--estimate", _TODO)
    if options.target != "onnx":
        raise UsageError("--target", "onnx with --estimate", options.target, "it is measured on the CPU")
    if is_bundle(options.checkpoint):
        for name in ("precision", "weights"):
            if getattr(options, name):
                raise UsageError(f"--{name}", "a checkpoint with it", "a bundle", "leave it out")
    if options.samples is not None and not 1 <= options.samples <= MOST_SAMPLES:
        raise UsageError("--samples", f"1 to {MOST_SAMPLES}", str(options.samples), f"leave it out for {SAMPLES}")


def _exported(program: str, options: argparse.Namespace, folder: Path) -> Path:
    """A bundle of the checkpoint, verified on our own drawing."""
    checkpoint = locate(options.checkpoint)
    network = load_network(checkpoint, options.weights, functools.partial(say, program))
    output = folder / f"{checkpoint.stem}{SUFFIX}"
    pictures = own_pictures(network.config.scale)
    export(network, ExportRequest(checkpoint, output, pictures, precision=options.precision or "fp32"))
    return output


def _of_bundle(path: Path, source: Path, samples: list[material.Sample]) -> Estimate:
    upscaler = load(path, backend="ort")
    bundle = upscaler.bundle
    measured = [work.measure(upscaler, sample) for sample in samples]
    total = work.together(bundle, measured)
    times = speed.time_against_dense(upscaler, read_folded(bundle.model), measured, total.active_share)
    modules = network_macs(work.config_of(bundle), bundle.manifest["dense_channels"]).modules
    return Estimate(bundle.name, source, measured, modules, total, times)
