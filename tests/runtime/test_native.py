"""The native library: found, checked against the bundle, forced by name, missing with one warning."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest

import smsr_runtime
from smsr import contract
from smsr_runtime.backend import FUNCTION_BODY, NATIVE, TENSORRT, ComputePath
from smsr_runtime.ort import native
from tests.runtime.helpers import RUNTIME, Run, assert_one_line_error, compile_library, plain_python, write_manifest

SOURCE = """
#include <stdlib.h>
#include <string.h>
const char* smsr_interface_hash(void) {{ return "{hash}"; }}
const char* smsr_operators(void) {{ return "{operators}"; }}
const char* smsr_cpu_variants(void) {{ return "fast,scalar"; }}
const char* smsr_cpu_variant(void) {{
  const char* name = getenv("SMSR_CPU");
  if (!name || !*name) return "fast";
  return strcmp(name, "scalar") == 0 ? "scalar" : NULL;
}}
{entry}
"""
ENTRY = "void* RegisterCustomOps(void* options, const void* api) { (void)options; (void)api; return NULL; }"


OPERATORS = "SparseMaskModule,SparseMaskSums,ScaledSum"


def build(
    folder: Path, interface_hash: str, entry: str = ENTRY, best: str = "fast", operators: str = OPERATORS
) -> Path:
    """A library with the exports of docs/interfaces.md and no operator, by the C compiler; best: its best variant;
    operators: what it says it has."""
    source = SOURCE.format(hash=interface_hash, entry=entry, operators=operators).replace("fast", best)
    return compile_library(folder / "libsmsr_ort.so", source)


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = build(tmp_path, contract.interface_hash())
    monkeypatch.setenv("SMSR_ORT_LIBRARY", str(path))
    return path


def test_matching_library_is_used(bundle: Path, library: Path) -> None:
    assert smsr_runtime.load(bundle).path == "native fast"


def test_variant_is_forced(bundle: Path, library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMSR_CPU", "scalar")
    assert smsr_runtime.load(bundle).path == "native scalar"


def test_the_caller_s_choice_of_library_goes_before_the_environment_s(
    bundle: Path, library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMSR_CPU", "scalar")
    assert smsr_runtime.load(bundle, library=smsr_runtime.Library.NONE).path == "function body"
    monkeypatch.setenv("SMSR_ORT_LIBRARY", "none")
    assert smsr_runtime.load(bundle, library=library).path == "native scalar"
    with pytest.raises(smsr_runtime.NativeLibraryError, match=r"other\.so: expected .* got no such file"):
        smsr_runtime.load(bundle, library=tmp_path / "other.so")


@pytest.mark.parametrize(
    ("variant", "precision", "target", "computed"),
    [
        ("avx512bf16", "bf16", "onnx", "bf16"),
        ("avx512bf16", "fp32", "onnx", "fp32"),
        ("avx512", "bf16", "onnx", "fp32"),
        ("neonfp16", "fp16", "trt", "fp32"),
    ],
)
def test_the_compute_path_names_variant_and_precision(
    own_bundle: Path, tmp_path: Path, variant: str, precision: str, target: str, computed: str
) -> None:
    """In the bundle's precision where the variant has kernels for it; model.onnx of a TensorRT bundle is float32."""
    write_manifest(own_bundle, precision=precision, target=target)
    library = build(tmp_path, contract.interface_hash(), best=variant)
    path = smsr_runtime.load(own_bundle, library=library).compute_path
    assert path == ComputePath(NATIVE, computed, variant) and path.native and path.computes_in(computed)
    assert str(path) == f"native {variant}"


def test_compute_paths_have_the_names_that_tables_show() -> None:
    paths = [ComputePath(FUNCTION_BODY), ComputePath(TENSORRT, "fp16", "10.3.0")]
    assert [str(path) for path in paths] == ["function body", "TensorRT 10.3.0 fp16"]
    assert not any(path.native for path in paths)


def test_unknown_variant_is_an_error(run: Run, library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMSR_CPU", "mmx")
    assert_one_line_error(run("--selftest"), 1, "SMSR_CPU", "mmx", "fast,scalar")


def test_variant_without_library_is_an_error(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMSR_CPU", "scalar")
    assert_one_line_error(run("--selftest"), 1, "SMSR_CPU", "scalar", "a native library")


def test_other_contract_names_both_hashes(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMSR_ORT_LIBRARY", str(build(tmp_path, "0123456789abcdef")))
    assert_one_line_error(run("--selftest"), 1, "0123456789abcdef", contract.interface_hash(), "libsmsr_ort.so")


def test_a_library_without_the_operators_for_strips_is_refused_by_their_names(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its interface hash is right: bundles have no such operators."""
    library = build(tmp_path, contract.interface_hash(), operators="SparseMaskModule,ScaledSum")
    monkeypatch.setenv("SMSR_ORT_LIBRARY", str(library))
    assert_one_line_error(run("--selftest"), 1, "SparseMaskSums too", "only SparseMaskModule,ScaledSum", "make native")


def test_named_library_that_is_missing_or_no_library_is_an_error(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMSR_ORT_LIBRARY", str(tmp_path / "none.so"))
    assert_one_line_error(run("--selftest"), 1, "none.so", "no such file")
    (tmp_path / "text.so").write_text("text")
    monkeypatch.setenv("SMSR_ORT_LIBRARY", str(tmp_path / "text.so"))
    assert_one_line_error(run("--selftest"), 1, "text.so", "a loadable native library")
    monkeypatch.setenv("SMSR_ORT_LIBRARY", str(build(tmp_path, "0" * 16, entry="")))
    assert_one_line_error(run("--selftest"), 1, "smsr's native library", "RegisterCustomOps")


def test_missing_library_warns_once_and_names_the_cost(bundle: Path, tmp_path: Path) -> None:
    shutil.copytree(RUNTIME, tmp_path / "runtime", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    code = f"import smsr_runtime as s; [s.load({str(bundle)!r}) for _ in range(3)]"
    done = plain_python(code, tmp_path / "runtime")
    assert done.returncode == 0
    assert done.stderr.count("several times slower") == 1


def test_missing_library_still_computes(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SMSR_ORT_LIBRARY")
    monkeypatch.setattr(native, "DEFAULT_LIBRARY", tmp_path / "libsmsr_ort.so")
    monkeypatch.setattr(native, "_warned", False)
    with pytest.warns(smsr_runtime.NativeLibraryWarning):
        upscaler = smsr_runtime.load(bundle)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        smsr_runtime.load(bundle)
    assert upscaler(np.zeros((2, 2, 3), np.uint8)).shape == (4, 4, 3)
