"""Who may import whom, read from the sources: benchmark -> exporter -> network -> runtime, never up, never in a circle.

The arrows are counted by tools/package_tree.py.
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.helpers import REPOSITORY, run_python
from tools import package_tree

RUNTIME = REPOSITORY / "runtime"
MODULES = sorted((RUNTIME / "smsr_runtime").rglob("*.py"))
ALWAYS = {"numpy", "cv2", "smsr_runtime"}
LAZY = {
    "onnxruntime": "ort/backend.py",
    "tensorrt": "tensorrt/packages.py",
    "pycuda": "tensorrt/packages.py",
    "PIL": "media/codecs/pillow.py",
    "pillow_heif": "media/codecs/pillow.py",
    "pillow_jxl": "media/codecs/pillow.py",
    "tifffile": "media/codecs/tiff_reader.py",
    "av": "media/video/source.py",
    "tqdm": "run/progress.py",
    "starlette": "run/serve/app.py",
    "uvicorn": "run/serve/server.py",
    "ray": "run/scale_out/cluster.py",
    "pyarrow": "run/scale_out/places.py",
}
"""Optional packages, which the runtime imports inside functions, each in one file."""


def imports(file: Path, *, lazy: bool = True) -> set[str]:
    """Names of the packages a file imports; type-checking blocks do not run and do not count."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    skipped = {
        inner
        for node in ast.walk(tree)
        if (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test))
        or (not lazy and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
        for inner in ast.walk(node)
    }
    names: set[str] = set()
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            names.add(str(node.module).split(".")[0])
    return names


def optional_imports(*, lazy: bool) -> dict[str, set[str]]:
    """File of the runtime -> the packages it imports that are neither Python's own nor always there."""
    known = set(sys.stdlib_module_names) | ALWAYS
    pairs = {f.relative_to(RUNTIME / "smsr_runtime").as_posix(): imports(f, lazy=lazy) - known for f in MODULES}
    return {file: packages for file, packages in pairs.items() if packages}


def faults(root: Path) -> list[str]:
    """Upward arrows and cycles, of files and of folders, lazy imports included."""
    listed = package_tree.arrows(package_tree.modules(root))
    return package_tree.faults([arrow for arrow in listed if arrow.kind != "type-checking"])


def write(root: Path, sources: Mapping[str, str]) -> Path:
    for name, source in sources.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(source)
    return root


def test_no_package_imports_one_above_it_and_no_files_or_folders_import_each_other() -> None:
    assert faults(REPOSITORY) == []


@pytest.mark.parametrize(
    ("sources", "fault"),
    [
        ({"runtime/smsr_runtime/a.py": "import smsr.b", "smsr/b.py": ""}, "upward: smsr_runtime.a -> smsr.b"),
        ({"smsr/a.py": "import smsr.b", "smsr/b.py": "def f():\n    import smsr.a"}, "cycle of 2 files"),
        ({"smsr/a.py": "import smsr.c.d", "smsr/c/d.py": "", "smsr/c/e.py": "import smsr.a"}, "cycle in smsr: a, c"),
        (
            {
                "smsr/a.py": "import smsr.b",
                "smsr/b.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import smsr.a",
            },
            "",
        ),
    ],
    ids=["upward", "lazy cycle", "cycle of folders", "for type checkers only"],
)
def test_a_forbidden_arrow_is_reported(tmp_path: Path, sources: dict[str, str], fault: str) -> None:
    reported = faults(write(tmp_path, sources))
    assert any(line.startswith(fault) for line in reported) if fault else reported == []


def test_the_runtime_needs_numpy_and_opencv_alone() -> None:
    """So never torch, onnx or safetensors: what it may import besides is listed in LAZY."""
    assert optional_imports(lazy=False) == {}


def test_each_optional_package_of_the_runtime_has_one_file() -> None:
    homes: dict[str, set[str]] = {}
    for package, file in LAZY.items():
        homes.setdefault(file, set()).add(package)
    assert optional_imports(lazy=True) == homes


def test_loading_the_runtime_loads_neither_torch_nor_onnx_nor_smsr(tmp_path: Path) -> None:
    code = "import sys, smsr_runtime; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = set(run_python("-c", code, cwd=tmp_path).stdout.split())
    assert "smsr_runtime" in loaded
    assert not loaded & {"torch", "onnx", "onnxruntime", "smsr", "smsr_export", "tensorrt", "PIL", "av", "tqdm"}


@pytest.mark.parametrize("file", [RUNTIME / "run.py", *MODULES], ids=lambda file: str(file.relative_to(RUNTIME)))
def test_the_runtime_s_sources_are_python_3_8(file: Path) -> None:
    ast.parse(file.read_text(encoding="utf-8"), feature_version=(3, 8))


def python_3_8() -> str | None:
    """The interpreter that SMSR_PYTHON38 names, else one beside this one or below ~/.pyenv, else that of the PATH."""
    folders = [Path(sys.base_prefix).parent, Path.home() / ".pyenv" / "versions"]
    beside = (str(python) for folder in folders for python in sorted(folder.glob("3.8.*/bin/python3.8")))
    return os.environ.get("SMSR_PYTHON38") or next(beside, None) or shutil.which("python3.8")


def test_python_3_8_compiles_and_imports_it() -> None:
    """Imports every module with stand-ins for numpy and cv2, which that interpreter may lack."""
    python = python_3_8()
    if python is None:
        pytest.skip("python3.8 is missing (SMSR_PYTHON38 names one); the test above still holds its grammar")
    names = [".".join(path.relative_to(RUNTIME).with_suffix("").parts) for path in MODULES]
    modules = sorted(name.replace(".__init__", "") for name in names)
    code = "import sys; from unittest.mock import MagicMock as M; sys.modules.update(numpy=M(), cv2=M()); "
    code += f"[__import__(name) for name in {modules!r}]"
    environment = {"PYTHONPATH": str(RUNTIME), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([python, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_plugins_folder_holds_no_python_and_the_packages_no_c() -> None:
    assert [file.parent.name for file in (REPOSITORY / "plugins").rglob("*.py")] == ["cmake"]  # a step of the build
    assert not [file for folder in package_tree.PACKAGES.values() for file in (REPOSITORY / folder).rglob("*.[ch]pp")]
