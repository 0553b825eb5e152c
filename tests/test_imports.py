"""Who may import whom, read from the sources: benchmark -> exporter -> network -> runtime, never up."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from tests.helpers import REPOSITORY, run_python

PACKAGES = {
    "smsr": REPOSITORY / "smsr",
    "smsr_export": REPOSITORY / "export" / "smsr_export",
    "smsr_runtime": REPOSITORY / "runtime" / "smsr_runtime",
    "smsr_bench": REPOSITORY / "benchmarks" / "smsr_bench",
}
RUNTIME_LAZY = {
    "onnxruntime": {"ort/backend.py"},
    "tensorrt": {"tensorrt/packages.py"},
    "pycuda": {"tensorrt/packages.py"},
    "PIL": None,
    "av": None,
    "tqdm": None,
}
"""What the runtime may import inside functions, and the only files that may; None: one file, whichever."""


def imports(file: Path, top_level_only: bool = False) -> set[str]:
    """Names of the packages a file imports; type-checking blocks do not run and do not count."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    skipped = {
        inner
        for node in ast.walk(tree)
        if (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test))
        or (top_level_only and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
        for inner in ast.walk(node)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            found.add(str(node.module).split(".")[0])
    return found


def files(package: str) -> list[Path]:
    found = sorted(PACKAGES[package].rglob("*.py"))
    assert found
    return found


def importers(package: str, imported: str) -> set[str]:
    return {f.relative_to(PACKAGES[package]).as_posix() for f in files(package) if imported in imports(f)}


ORDER = ["smsr_runtime", "smsr", "smsr_export", "smsr_bench"]
"""From the ground up."""


@pytest.mark.parametrize(("lower", "upper"), [(a, b) for i, a in enumerate(ORDER) for b in ORDER[i + 1 :]])
def test_no_package_imports_one_above_it(lower: str, upper: str) -> None:
    assert importers(lower, upper) == set()


@pytest.mark.parametrize("forbidden", ["torch", "onnx", "safetensors"])
def test_the_runtime_never_imports(forbidden: str) -> None:
    assert importers("smsr_runtime", forbidden) == set()


def test_the_runtime_needs_numpy_and_opencv_alone_and_the_rest_lazily() -> None:
    always = {name for file in files("smsr_runtime") for name in imports(file, top_level_only=True)}
    assert always - set(sys.stdlib_module_names) <= {"numpy", "cv2", "smsr_runtime"}
    every = {name for file in files("smsr_runtime") for name in imports(file)}
    assert every - set(sys.stdlib_module_names) - {"numpy", "cv2", "smsr_runtime"} <= set(RUNTIME_LAZY)


@pytest.mark.parametrize("package", RUNTIME_LAZY)
def test_each_lazy_package_of_the_runtime_has_one_file(package: str) -> None:
    found, allowed = importers("smsr_runtime", package), RUNTIME_LAZY[package]
    assert len(found) <= 1 if allowed is None else found <= allowed


def test_loading_the_runtime_loads_neither_torch_nor_onnx_nor_smsr(tmp_path: Path) -> None:
    code = "import sys, smsr_runtime; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = set(run_python("-c", code, cwd=tmp_path).stdout.split())
    assert "smsr_runtime" in loaded
    assert not loaded & {"torch", "onnx", "onnxruntime", "smsr", "smsr_export", "tensorrt", "PIL", "av", "tqdm"}


@pytest.mark.parametrize("file", files("smsr_runtime"), ids=lambda file: file.name)
def test_the_runtime_s_sources_are_python_3_8(file: Path) -> None:
    ast.parse(file.read_text(encoding="utf-8"), feature_version=(3, 8))


def test_the_plugins_folder_holds_no_python_and_the_packages_no_c() -> None:
    assert not [file for file in (REPOSITORY / "plugins").rglob("*.py")]
    assert not [file for package in PACKAGES.values() for file in package.rglob("*.[ch]pp")]
