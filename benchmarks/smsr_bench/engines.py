"""Everything that is timed, under one call (`runs.Run`); an engine's packages are imported where it is made."""

from __future__ import annotations

import contextlib
import importlib.util
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from smsr import contract
from smsr_bench.quantised import RIVAL_IN_FLOAT, quantise
from smsr_bench.runs import Run, onnxruntime_run, openvino_has_bf16, openvino_run
from smsr_runtime.errors import DataError, SmsrError, UsageError
from smsr_runtime.ort.native import find_library

if TYPE_CHECKING:
    from smsr_bench.subject import Subject
    from smsr_runtime import Upscaler


@dataclass(frozen=True, kw_only=True)
class Engine:
    """exact: computes the network itself, which the rival does not (smsr_export/rival.py); package: what it needs.

    has_bf16: whether this machine can multiply in bfloat16, of engines that do; None for others;
    calibrated: in int8, by pictures; other_network: computes another network, with random weights (span.py).
    """

    name: str
    label: str
    exact: bool
    make: Callable[[Subject, int], Run]
    package: str = "onnxruntime"
    has_bf16: Callable[[], bool] | None = None
    calibrated: bool = False
    other_network: bool = False

    @property
    def reduced(self) -> bool:
        """Whether it multiplies in bfloat16."""
        return self.has_bf16 is not None

    @property
    def installed(self) -> bool:
        packages = [self.package, "openvino"] if self.calibrated else [self.package]  # NNCF installs without OpenVINO
        here = all(importlib.util.find_spec(package) is not None for package in packages)
        return here and (self.has_bf16 is None or self.has_bf16())


def _native(subject: Subject, threads: int) -> Run:
    return _run(subject.upscaler(threads))


def _native_bf16(subject: Subject, threads: int) -> Run:
    with tempfile.TemporaryDirectory() as folder:
        return _run(subject.changed(subject.network, Path(folder), "bf16").upscaler(threads))


def _has_bf16() -> bool:
    library = find_library(contract.interface_hash())
    return library is not None and library.computes_in("bf16")


def _body(subject: Subject, threads: int) -> Run:
    return _run(subject.function_body(threads))


def _run(upscaler: Upscaler) -> Run:
    return lambda image: np.asarray(upscaler.upscale_float(image)[0])


def _rival_model(subject: Subject) -> bytes:
    from smsr_export.rival import build_rival

    return bytes(build_rival(subject.network).SerializeToString())


def _span_model(subject: Subject) -> bytes:
    from smsr_bench.span import build_span

    return bytes(build_span(subject.network.scale).SerializeToString())


def _onnxruntime(model: Callable[[Subject], bytes]) -> Callable[[Subject, int], Run]:
    return lambda subject, threads: onnxruntime_run(model(subject), threads)


def _openvino(model: Callable[[Subject], bytes], precision: str) -> Callable[[Subject, int], Run]:
    return lambda subject, threads: openvino_run(model(subject), precision, threads)


def _int8(model: Callable[[Subject], bytes], in_float: Sequence[str]) -> Callable[[Subject, int], Run]:
    """What stays float multiplies in bfloat16 where the CPU can, as OpenVINO does by default."""

    def make(subject: Subject, threads: int) -> Run:
        if subject.calibration is None:
            raise UsageError("--calibrate", "pictures to calibrate int8 on", "none", "name a folder of pictures")
        quantised = quantise(model(subject), subject.calibration, in_float)
        return openvino_run(quantised, "bf16" if openvino_has_bf16() else "f32", threads)

    return make


def _torch(body: str) -> Callable[[Subject, int], Run]:
    """body: the function of `pytorch` that computes one sparse mask module."""

    def make(subject: Subject, threads: int) -> Run:
        from smsr_bench import pytorch

        return pytorch.engine(subject.network, getattr(pytorch, body), threads)

    return make


_ALL = (
    Engine(name="native", label="smsr", exact=True, make=_native),
    Engine(name="native-bf16", label="smsr, bf16", exact=True, make=_native_bf16, has_bf16=_has_bf16),
    Engine(name="body", label="smsr, function body", exact=True, make=_body),
    Engine(name="rival", label="rival, ONNX Runtime", exact=False, make=_onnxruntime(_rival_model)),
    Engine(
        name="openvino", label="rival, OpenVINO f32", exact=False, make=_openvino(_rival_model, "f32"),
        package="openvino",
    ),
    Engine(
        name="openvino-bf16", label="rival, OpenVINO bf16", exact=False, make=_openvino(_rival_model, "bf16"),
        package="openvino", has_bf16=openvino_has_bf16,
    ),
    Engine(
        name="openvino-int8", label="rival, OpenVINO int8", exact=False, make=_int8(_rival_model, RIVAL_IN_FLOAT),
        package="nncf", calibrated=True,
    ),
    Engine(
        name="span", label="SPAN, ONNX Runtime", exact=False, make=_onnxruntime(_span_model), other_network=True,
    ),
    Engine(
        name="span-openvino", label="SPAN, OpenVINO f32", exact=False, make=_openvino(_span_model, "f32"),
        package="openvino", other_network=True,
    ),
    Engine(
        name="span-bf16", label="SPAN, OpenVINO bf16", exact=False, make=_openvino(_span_model, "bf16"),
        package="openvino", has_bf16=openvino_has_bf16, other_network=True,
    ),
    Engine(
        name="span-int8", label="SPAN, OpenVINO int8", exact=False, make=_int8(_span_model, ()),
        package="nncf", calibrated=True, other_network=True,
    ),
    Engine(name="torch", label="PyTorch, masked dense", exact=True, make=_torch("masked_dense"), package="torch"),
    Engine(
        name="torch-sparse", label="PyTorch, index and matmul", exact=True,
        make=_torch("index_and_matmul"), package="torch",
    ),
    Engine(
        name="torch-rows", label="the same, pixels as rows", exact=True,
        make=_torch("index_and_matmul_rows"), package="torch",
    ),
)  # fmt: skip
ENGINES: Mapping[str, Engine] = {engine.name: engine for engine in _ALL}
OURS = "native"
OURS_IN_ALL_PRECISIONS = (OURS, "native-bf16")


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
    """What an engine's package raises inside becomes a DataError that names the engine; our own errors stay."""
    try:
        yield
    except SmsrError:
        raise
    except Exception as error:
        got = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise DataError(f"engine {name}", "a result", got, "leave it out with --engines") from error
