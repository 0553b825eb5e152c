"""What all tests share: the real data, the native library, and when their absence is a failure.

SMSR_SHARED names the folder with `checkpoints/` and `data/` (default: `shared` beside the repository). Without
it, or without the native library, tests that need them are skipped by name; under CI=true they fail.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import NoReturn

import pytest
import torch

from smsr.checkpoint import load_network
from smsr.network import InferenceResult, Network
from smsr_export.parity.pictures import Picture, read_pictures
from tests.helpers import NATIVE_LIBRARY, REPOSITORY, native_variants, planes


def missing(what: str) -> NoReturn:
    """Skips the test, or fails it where everything must be there."""
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(f"{what} (CI=true: this must be there)")
    pytest.skip(what)


def pytest_configure(config: pytest.Config) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a shell's background job: tests send Ctrl-C
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "slow: takes more than five seconds on two cores")


@pytest.fixture(autouse=True)
def _no_inherited_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SMSR_CPU", "SMSR_WINOGRAD", "SMSR_ORT_LIBRARY", "SMSR_TRT_LIBRARY", "SMSR_CUDA_GRAPH"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with the published checkpoint and the benchmark pictures."""
    folder = Path(os.environ.get("SMSR_SHARED") or REPOSITORY.parent / "shared")
    for part in ("checkpoints/SMSR_X2.pt", "data/Set5/HR", "data/Set14/HR"):
        if not (folder / part).exists():
            missing(f"no real data: {folder / part} is not there; set SMSR_SHARED to the folder that has it")
    return folder


@pytest.fixture(scope="session")
def x2_checkpoint(shared: Path) -> Path:
    return shared / "checkpoints" / "SMSR_X2.pt"


@pytest.fixture(scope="session")
def x2_network(x2_checkpoint: Path) -> Network:
    return load_network(x2_checkpoint)


@pytest.fixture(scope="session")
def set5_x2(shared: Path, x2_network: Network) -> list[tuple[Picture, InferenceResult]]:
    """Set5 at x2 and what PyTorch makes of it."""
    pictures = read_pictures([str(shared / "data/Set5/HR")], 2)
    with torch.inference_mode():
        return [(picture, x2_network.infer(planes(picture.low))) for picture in pictures]


@pytest.fixture(scope="session")
def native_library() -> Path:
    """The built library with the fast kernels."""
    if not NATIVE_LIBRARY.is_file():
        missing(f"no native library at {NATIVE_LIBRARY.relative_to(REPOSITORY)}: build it with `make setup`")
    return NATIVE_LIBRARY


@pytest.fixture(params=native_variants())
def variant(request: pytest.FixtureRequest, native_library: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each variant of the native library that this CPU has, forced by SMSR_CPU."""
    monkeypatch.setenv("SMSR_CPU", request.param)
    return str(request.param)
