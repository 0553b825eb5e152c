"""The tiny bundle and the command, for every test here."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.fake_engine import tensorrt_model
from tests.runtime.fake_tensorrt import World, forget_library
from tests.runtime.helpers import RUNTIME, Done, Run, tiny_model, write_bundle
from tests.runtime.tensorrt_machine import install, plugin_library, write_pending


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("bundles") / "tiny.smsr", tiny_model())


@pytest.fixture
def own_bundle(bundle: Path, tmp_path: Path) -> Path:
    """A copy a test may damage."""
    return Path(shutil.copytree(bundle, tmp_path / "own.smsr"))


@pytest.fixture(autouse=True)
def without_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny model has no operator of ours: whether the native library is built must not matter here."""
    monkeypatch.setenv("SMSR_ORT_LIBRARY", "none")
    monkeypatch.delenv("SMSR_CPU", raising=False)


@pytest.fixture
def run(bundle: Path) -> Run:
    """Runs runtime/run.py in a process of its own: run("in.png", "-o", "out.png")."""

    def call(*arguments: object, bundle: Path = bundle, timeout: float = 120, **options: Any) -> Done[str]:
        command = [sys.executable, str(RUNTIME / "run.py"), str(bundle), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout, **options)

    return call


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A machine with a GPU, TensorRT 10.3 and the plugin library; tests change it before they use it."""
    made = World()
    forget_library()
    monkeypatch.setenv("SMSR_TRT_LIBRARY", str(plugin_library(tmp_path)))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("SMSR_CUDA_GRAPH", raising=False)
    install(made, monkeypatch)
    return made


@pytest.fixture
def pending(own_bundle: Path) -> Path:
    """A bundle as --target trt leaves it on a machine without a GPU."""
    tensorrt_model(own_bundle, own_bundle / "model.onnx")
    write_pending(own_bundle)
    return own_bundle
