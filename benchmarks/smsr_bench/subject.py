"""What is measured: a bundle, and the folded network inside it, from which its rivals are built."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from smsr import contract
from smsr_bench.calibration import Calibration
from smsr_export.onnx_model import build_model
from smsr_export.records import FoldedNetwork
from smsr_export.weights import read_folded
from smsr_runtime.bundle import MODEL, Bundle, file_fact, read_bundle
from smsr_runtime.errors import DataError
from smsr_runtime.opening import make_backend
from smsr_runtime.ort.native import Library
from smsr_runtime.session import Upscaler


@dataclass(frozen=True)
class Subject:
    """bundle: as the runtime reads it; network: read back from its model; calibration: for int8, None without it."""

    bundle: Bundle
    network: FoldedNetwork
    calibration: Calibration | None = None

    @classmethod
    def open(cls, path: Path) -> Subject:
        """Raises BundleError, and DataError for a bundle in reduced precision."""
        bundle = read_bundle(path)
        if bundle.target == "onnx" and bundle.precision != "fp32":
            todo = "export it with --precision fp32; bf16 is measured beside it"
            raise DataError(path, "an fp32 bundle", bundle.precision, todo)
        return cls(bundle, read_folded(bundle.model))

    def changed(self, network: FoldedNetwork, folder: Path, precision: str = "fp32") -> Subject:
        """The same with another network or precision, whose model is written into `folder`."""
        model = build_model(network, compute=contract.COMPUTE_OF_PRECISION[precision]).SerializeToString()
        (folder / MODEL).write_bytes(model)
        manifest = {**self.bundle.manifest, "files": {MODEL: file_fact(model)}}
        bundle = dataclasses.replace(self.bundle, path=folder, precision=precision, manifest=manifest)
        return dataclasses.replace(self, bundle=bundle, network=network)

    def upscaler(self, threads: int) -> Upscaler:
        """The model on the native library. Raises DataError where the library is missing."""
        upscaler = self._opened(threads, Library.ENVIRONMENT)
        if not upscaler.compute_path.native:
            raise DataError("benchmark", "the native library", "none", "build it first: make setup")
        return upscaler

    def function_body(self, threads: int) -> Upscaler:
        """The same model through its function body, without the native library."""
        return self._opened(threads, Library.NONE)

    def _opened(self, threads: int, library: Library) -> Upscaler:
        return Upscaler(self.bundle, make_backend(self.bundle, "ort", threads, library=library))
