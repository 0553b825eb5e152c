"""The tiny bundle and the command, for every test here."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.helpers import RUNTIME, Done, Run, tiny_model, write_bundle


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

    def call(*arguments: object, bundle: Path = bundle, **options: Any) -> Done[str]:
        command = [sys.executable, str(RUNTIME / "run.py"), str(bundle), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, **options)

    return call
