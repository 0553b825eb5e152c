"""A small network with its rivals, pictures and references in a folder; engine_bench without a GPU."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from smsr.network import Network, NetworkConfig
from smsr_bench import tensorrt_files
from smsr_export.fold import fold
from smsr_export.freeze import freeze
from smsr_export.records import FoldedNetwork
from tests.conftest import missing
from tests.helpers import REPOSITORY, random_network

BENCH = REPOSITORY / "plugins" / "tests" / "trt" / "bench"
SIZE, SCALE = (13, 18), 2


@pytest.fixture(scope="session")
def small_network() -> Network:
    return random_network(NetworkConfig(2, 16, 2, 3), seed=3)


@pytest.fixture(scope="session")
def folded(small_network: Network) -> FoldedNetwork:
    return fold(freeze(small_network))


@pytest.fixture(scope="session")
def pictures() -> list[tensorrt_files.Picture]:
    generator = np.random.default_rng(5)
    shapes = {"plain": (SIZE, None), "graded": (SIZE, SCALE)}
    return [
        tensorrt_files.Picture(
            name,
            generator.integers(0, 256, (*size, 3), np.uint8),
            None if scale is None else generator.integers(0, 256, (scale * size[0], scale * size[1], 3), np.uint8),
        )
        for name, (size, scale) in shapes.items()
    ]


@pytest.fixture(scope="session")
def data(
    small_network: Network, pictures: list[tensorrt_files.Picture], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("data")
    tensorrt_files.write(folder, pictures, tensorrt_files.models(small_network))
    return folder


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("c++")
    if compiler is None:
        missing("no c++: engine_bench was not built")
    built = tmp_path_factory.mktemp("program") / "smsr_engine_bench_rehearsal"
    sources = [BENCH / f"{name}.cpp" for name in ("engine_bench", "options", "picture", "session_double")]
    flags = ["-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror"]
    done = subprocess.run([compiler, *flags, *sources, "-o", built], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return built
