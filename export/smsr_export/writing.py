"""Writes a bundle: everything into a temporary folder beside it, verified there, then renamed into place."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnx
import torch

from smsr import contract
from smsr.network import Network
from smsr_export import dial, manifest
from smsr_export.fold import fold
from smsr_export.freeze import freeze
from smsr_export.inlined import build_inlined
from smsr_export.onnx_model import build_model
from smsr_export.parity.model_upscaler import ModelUpscaler
from smsr_export.parity.pictures import Picture
from smsr_export.parity.report import Parity, together
from smsr_export.parity.verify import Candidate, verify, verify_paths
from smsr_export.records import FoldedNetwork
from smsr_export.report import page
from smsr_export.report.exhibits import Gallery
from smsr_export.sample import sample_picture
from smsr_export.tensorrt_bundle import TensorRtTarget, add_tensorrt, verify_tensorrt
from smsr_runtime.arrays import to_planes
from smsr_runtime.bundle import GOLDEN_INPUT, GOLDEN_OUTPUT, MODEL, REPORT, SUFFIX, is_replaceable
from smsr_runtime.dial import ENTRY
from smsr_runtime.errors import ExportError, ParityError, UsageError
from smsr_runtime.files import write_bytes
from smsr_runtime.folders import nothing, replacing_folder, tidy
from smsr_runtime.session import load

_GOLDEN_SIZE = (40, 56)


@dataclass(frozen=True)
class ExportRequest:
    """pictures: what parity is measured on; force: replace an existing bundle; accept_failure: write it although parity
    failed; tensorrt: also a model for TensorRT, its engine pending; precision: of model.onnx, one of
    contract.PRECISIONS; dial: also measure the dial's curve on `pictures`, for the manifest; report: also write
    report.html."""

    checkpoint: Path
    output: Path
    pictures: Sequence[Picture]
    force: bool = False
    accept_failure: bool = False
    tensorrt: TensorRtTarget | None = None
    precision: str = "fp32"
    dial: bool = False
    report: bool = True


def is_single_file(output: Path) -> bool:
    """Whether a name asks for one ONNX file in place of a bundle."""
    return output.suffix.lower() == ".onnx"


def check_output(output: Path, *, force: bool) -> None:
    """Raises UsageError or ExportError, before any work, where the result could not or must not be written.

    What a killed export of the same name left is tidied up first: a bundle that it had moved aside comes back.
    """
    if not is_single_file(output):
        tidy(output.absolute(), is_replaceable)
    if output.exists() and not force:
        raise UsageError(output, "a name not taken", "an existing bundle or file", "give --force to replace it, or -o")
    replaceable = output.is_file() if is_single_file(output) else is_replaceable(output)
    if output.exists() and not replaceable:
        kind, kinds = ("an ONNX file", "ONNX files") if is_single_file(output) else ("a bundle", "bundles")
        todo = f"name another -o; --force replaces {kinds} only"
        raise UsageError(output, f"{kind} to replace", "something else", todo)
    parent = output.absolute().parent
    if not (parent.is_dir() and os.access(parent, os.W_OK)):
        raise ExportError(
            parent, "a folder to write to", "no such folder or no permission", "make it, or name another -o"
        )


def export(network: Network, request: ExportRequest) -> Parity:
    """Makes the bundle of `network`; returns its parity.

    Raises ParityError, and leaves no bundle, unless `accept_failure`.
    """
    check_output(request.output, force=request.force)
    folded = fold(freeze(network))
    with replacing_folder(request.output, is_replaceable if request.force else nothing) as work:
        return _fill(work, network, folded, request)


def export_file(network: Network, request: ExportRequest, *, inline: bool) -> Parity:
    """One ONNX file: a bundle's model.onnx or, `inline`, standard operators alone. Verified first, as a bundle is."""
    check_output(request.output, force=request.force)
    if inline:
        model = build_inlined(fold(freeze(network)))
        candidate = Candidate("standard operators", ModelUpscaler(model), "fp32")
        parity = verify_paths(network, [candidate], request.pictures, "fp32")
        _check_parity(parity, request)
        write_bytes(request.output, model.SerializeToString(), replace=request.force)
        return parity
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / f"{request.output.stem}{SUFFIX}"
        parity = export(network, dataclasses.replace(request, output=bundle, force=False, report=False))
        write_bytes(request.output, (bundle / MODEL).read_bytes(), replace=request.force)
    return parity


def _check_parity(parity: Parity, request: ExportRequest) -> None:
    if not parity.passed and not request.accept_failure:
        raise ParityError(
            request.checkpoint, "the exported model to equal PyTorch", "; ".join(parity.failures),
            "report this with the checkpoint, or write it all the same with --accept-parity-failure",
        )  # fmt: skip


def _fill(work: Path, network: Network, folded: FoldedNetwork, request: ExportRequest) -> Parity:
    facts = manifest.describe(request.output.stem, request.checkpoint, network.config, folded, request.precision)
    model = build_model(folded, compute=contract.COMPUTE_OF_PRECISION[request.precision])
    onnx.save_model(model, work / MODEL)
    facts["golden"] = _write_golden(work, network, request.precision)
    manifest.write(work, facts)
    gallery = Gallery()
    see = gallery.see if request.report else None
    parity = verify(network, work, request.pictures, facts["precision"], see)
    if request.tensorrt:
        add_tensorrt(work, facts, folded, request.tensorrt)
        parity = together(parity, verify_tensorrt(network, folded, request.pictures, request.tensorrt.precision))
    _check_parity(parity, request)
    if request.dial:
        facts[ENTRY] = _dial(work, request)
    if request.report:
        html = page.report(manifest.complete(work, facts, parity), gallery.exhibits)
        (work / REPORT).write_text(html, encoding="utf-8")
    manifest.write(work, facts, parity)
    return parity


def _dial(work: Path, request: ExportRequest) -> dict[str, object]:
    entry = dial.measure(load(work, backend="ort"), request.pictures)
    if entry is None:
        todo = "leave --dial out, or name other pictures with --verify"
        raise ExportError("--dial", "active shares that theta lowers", "the same at every theta", todo)
    return entry


def _write_golden(work: Path, network: Network, precision: str) -> dict[str, object]:
    """Our own small picture and what PyTorch makes of it, for the self-test on the device."""
    picture = sample_picture(*_GOLDEN_SIZE)
    (work / GOLDEN_INPUT).parent.mkdir()
    coded, data = cv2.imencode(".png", picture[..., ::-1])
    if not coded:
        raise ExportError(work / GOLDEN_INPUT, "a PNG", "a failed encoder", "check the OpenCV installation")
    (work / GOLDEN_INPUT).write_bytes(data.tobytes())
    with torch.inference_mode():
        upscaled = network.infer(torch.from_numpy(to_planes(picture))).upscaled
    np.save(work / GOLDEN_OUTPUT, upscaled.numpy())
    golden: dict[str, object] = {
        "input": GOLDEN_INPUT,
        "output": GOLDEN_OUTPUT,
        "max_abs": contract.GOLDEN_MAX_ABS,
    }
    rmse = contract.TOLERANCES[precision].golden_rmse
    return golden if rmse is None else {**golden, "reduced_rmse": rmse}
