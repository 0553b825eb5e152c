"""Everything that is timed, under one call (`runs.Run`)."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx

from smsr import contract
from smsr_bench import pytorch
from smsr_bench.rival import build_rival
from smsr_bench.runs import Run, onnxruntime_run, openvino_has_bf16, openvino_run
from smsr_bench.weights import read_folded
from smsr_export.onnx_model import build_model
from smsr_export.records import FoldedNetwork
from smsr_export.verify import environment
from smsr_runtime.errors import DataError, UsageError

if TYPE_CHECKING:
    from smsr_runtime import Upscaler
    from smsr_runtime.bundle import Bundle


@dataclass(frozen=True)
class Subject:
    """What is measured: a bundle as the runtime reads it, and the network inside, which the rivals are built from."""

    bundle: Bundle
    network: FoldedNetwork

    @classmethod
    def open(cls, path: Path) -> Subject:
        """Raises SmsrError of either tree for anything but a bundle."""
        from smsr_runtime.bundle import read_bundle

        bundle = read_bundle(path)
        if bundle.manifest.get("target") == "onnx" and bundle.precision != "fp32":
            todo = "export it with --precision fp32; bf16 is measured beside it"
            raise DataError(path, "an fp32 bundle", bundle.precision, todo)
        return cls(bundle, read_folded(bundle.model))

    def changed(self, network: FoldedNetwork, folder: Path, precision: str = "fp32") -> Subject:
        """The same with another network or precision, whose model is written into `folder`."""
        bundle = dataclasses.replace(self.bundle, path=folder)
        onnx.save_model(build_model(network, compute=contract.COMPUTE_OF_PRECISION[precision]), bundle.model)
        return Subject(bundle, network)

    def upscaler(self, threads: int) -> Upscaler:
        """Ours, with its native library. Raises DataError without one."""
        upscaler = _upscaler(self.bundle, threads)
        if not upscaler.path.startswith("native"):
            raise DataError("benchmark", "the native library", "none", "build it first: make setup")
        return upscaler


@dataclass(frozen=True)
class Engine:
    """exact: computes the network itself; the rival does not (DESIGN 2). package: what it needs installed.

    reduced: multiplies in bfloat16, where `has_bf16` says that it can.
    """

    name: str
    label: str
    exact: bool
    make: Callable[[Subject, int], Run]
    package: str = "onnxruntime"
    has_bf16: Callable[[], bool] | None = None

    @property
    def reduced(self) -> bool:
        return self.has_bf16 is not None

    @property
    def installed(self) -> bool:
        return importlib.util.find_spec(self.package) is not None and (self.has_bf16 is None or self.has_bf16())


def _upscaler(bundle: Bundle, threads: int) -> Upscaler:
    from smsr_runtime.opening import make_backend
    from smsr_runtime.session import Upscaler

    return Upscaler(bundle, make_backend(bundle, "ort", threads))


def _native(subject: Subject, threads: int) -> Run:
    upscaler = subject.upscaler(threads)
    return lambda image: np.asarray(upscaler.upscale_float(image)[0])


def _native_bf16(subject: Subject, threads: int) -> Run:
    with tempfile.TemporaryDirectory() as folder:
        upscaler = subject.changed(subject.network, Path(folder), "bf16").upscaler(threads)
    return lambda image: np.asarray(upscaler.upscale_float(image)[0])


def _has_bf16() -> bool:
    from smsr_runtime.ort.native import find_library

    library = find_library(contract.interface_hash())
    return library is not None and library.variant.endswith("bf16")


def _body(subject: Subject, threads: int) -> Run:
    with environment("SMSR_ORT_LIBRARY", "none"), environment("SMSR_CPU", None):
        upscaler = _upscaler(subject.bundle, threads)
    return lambda image: np.asarray(upscaler.upscale_float(image)[0])


def _rival_ort(subject: Subject, threads: int) -> Run:
    return onnxruntime_run(build_rival(subject.network).SerializeToString(), threads)


def _openvino(precision: str) -> Callable[[Subject, int], Run]:
    return lambda subject, threads: openvino_run(build_rival(subject.network).SerializeToString(), precision, threads)


def _torch(body: pytorch.Body) -> Callable[[Subject, int], Run]:
    return lambda subject, threads: pytorch.engine(subject.network, body, threads)


ENGINES: Mapping[str, Engine] = {
    engine.name: engine
    for engine in (
        Engine("native", "smsr", True, _native),
        Engine("native-bf16", "smsr, bf16", True, _native_bf16, has_bf16=_has_bf16),
        Engine("body", "smsr, function body", True, _body),
        Engine("rival", "rival, ONNX Runtime", False, _rival_ort),
        Engine("openvino", "rival, OpenVINO f32", False, _openvino("f32"), "openvino"),
        Engine("openvino-bf16", "rival, OpenVINO bf16", False, _openvino("bf16"), "openvino", openvino_has_bf16),
        Engine("torch", "PyTorch, masked dense", True, _torch(pytorch.masked_dense), "torch"),
        Engine("torch-sparse", "PyTorch, index and matmul", True, _torch(pytorch.index_and_matmul), "torch"),
        Engine("torch-rows", "the same, pixels as rows", True, _torch(pytorch.index_and_matmul_rows), "torch"),
    )
}
OURS = "native"


def choose(names: Sequence[str]) -> list[str]:
    """`names`, or all that are installed; ours always, and first. Raises UsageError for an unknown or missing one."""
    if not names:
        return [name for name, engine in ENGINES.items() if engine.installed]
    for name in names:
        if name not in ENGINES:
            raise UsageError("--engines", ", ".join(ENGINES), repr(name), "name one of these")
        if not ENGINES[name].installed:
            needed = ENGINES[name].package + (" and a CPU with bf16" if ENGINES[name].reduced else "")
            raise UsageError(f"--engines {name}", needed, "none here", "install it, or leave the engine out")
    return list(dict.fromkeys([OURS, *names]))


def make(names: Sequence[str], subject: Subject, threads: int) -> dict[str, Run]:
    """The named engines, ready to run, by name. Raises DataError for one that cannot be made."""
    runs = {}
    for name in names:
        with naming(name):
            runs[name] = ENGINES[name].make(subject, threads)
    return runs


@contextlib.contextmanager
def naming(name: str) -> Iterator[None]:
    """What an engine's package raises inside becomes a DataError that names the engine."""
    try:
        yield
    except Exception as error:
        if hasattr(error, "exit_code"):  # ours, of either tree: it names what is wrong
            raise
        got = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise DataError(f"engine {name}", "a result", got, "leave it out with --engines") from error
