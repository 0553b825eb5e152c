"""Small random networks and pictures for the tests; nothing here is random from run to run."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from smsr.network import Network, NetworkConfig
from smsr_runtime.arrays import to_planes

REPOSITORY = Path(__file__).resolve().parent.parent
NATIVE_LIBRARY = REPOSITORY / "runtime" / "smsr_runtime" / "native" / "libsmsr_ort.so"

UNMEASURED = {"COVERAGE_PROCESS_START": "", "COVERAGE_PROCESS_CONFIG": ""}
"""Environment of a process that is not measured by `make coverage`, whose own files would meet a test's limits."""
Split = tuple[int, int]
"""(dense, dead) output channels of one masked convolution; the rest are sparse."""


def native_variants() -> list[str]:
    """Variants of the built library that this CPU has; one entry to be reported missing where none is built."""
    if not NATIVE_LIBRARY.is_file():
        return ["any"]
    library = ctypes.CDLL(str(NATIVE_LIBRARY))
    library.smsr_cpu_variants.restype = ctypes.c_char_p
    return str(library.smsr_cpu_variants().decode()).split(",")


def channel_mask(splits: Sequence[Split], features: int, generator: torch.Generator) -> Tensor:
    """`ch_mask` logits (1, C, L, 2) with these splits on random channels; dead ones by exact ties."""
    strength = 0.2 + 3.0 * torch.rand(features, len(splits), generator=generator)
    logits = torch.stack([-strength, strength], dim=2) / 2
    for layer, (dense, dead) in enumerate(splits):
        order = torch.randperm(features, generator=generator)
        logits[order[:dense], layer] = -logits[order[:dense], layer]
        ties = order[dense : dense + dead]
        logits[ties, layer] = strength[ties, layer, None].expand(-1, 2)
    return logits[None]


def random_splits(config: NetworkConfig, seed: int) -> list[list[Split]]:
    """Per module and layer a split; extremes (0 or all C dense) and dead channels come up often."""
    random = np.random.default_rng(seed)

    def split() -> Split:
        dense = int(random.choice([0, config.features, int(random.integers(1, config.features))]))
        return dense, int(random.integers(0, config.features - dense + 1)) // 3

    return [[split() for _ in range(config.layers)] for _ in range(config.modules)]


def random_network(
    config: NetworkConfig,
    seed: int = 0,
    splits: Sequence[Sequence[Split]] | None = None,
    dtype: torch.dtype = torch.float32,
) -> Network:
    """A network in eval mode with random weights, these channel splits (default: random ones), and spatial
    masks that are neither empty nor full: 0 lies in the middle of each module's margins on a random picture."""
    generator = torch.Generator().manual_seed(seed)
    network = Network(config).eval().double()
    with torch.no_grad():
        for parameter in network.parameters():
            fan_in = max(1, parameter[0].numel()) if parameter.dim() > 1 else 4
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * (1.5 / fan_in) ** 0.5)
        for module, layers in zip(network.sparse_mask_modules, splits or random_splits(config, seed), strict=True):
            module.body.ch_mask.copy_(channel_mask(layers, config.features, generator))
        probe = random_image(2, 12, 14, seed=seed)
        for index in range(config.modules):
            values = network.infer(probe).margins[index].round(decimals=6).unique()
            median = values[(len(values) - 1) // 2 : len(values) // 2 + 1].mean()
            network.get_parameter(f"body.{index}.spa_mask.5.bias")[1] -= median + 1e-4
    return network.to(dtype)


def random_image(n: int, h: int, w: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """(N, 3, H, W) whole numbers in 0..255."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, 3, h, w), generator=generator).to(dtype)


def planes(image: NDArray[np.generic]) -> Tensor:
    """(H, W, 3) uint8 -> (1, 3, H, W) float32."""
    return torch.from_numpy(to_planes(image))


def relative_difference(actual: NDArray[np.floating] | Tensor, expected: NDArray[np.floating] | Tensor) -> float:
    """Largest |difference| over largest |expected|; NaN where anything is."""
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    assert actual.shape == expected.shape
    return float(np.abs(actual - expected).max() / max(float(np.abs(expected).max()), 1e-300))


def run_python(
    *arguments: object, cwd: Path, environment: Mapping[str, str] | None = None, limit_file_size: int | None = None
) -> subprocess.CompletedProcess[str]:
    """This interpreter with our packages importable, as a user's shell would start it."""
    paths = [str(REPOSITORY / part) for part in ("", "export", "runtime")]
    limit, unmeasured = None, {}
    if limit_file_size is not None:
        import resource

        unmeasured = UNMEASURED

        def limit() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit_file_size, limit_file_size))

    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd, env={**os.environ, **unmeasured, "PYTHONPATH": os.pathsep.join(paths), **(environment or {})},
        capture_output=True, text=True, check=False, preexec_fn=limit, timeout=300,
    )  # fmt: skip


def heed_signals() -> None:
    """As preexec_fn: signals as in a terminal, whatever this process was started by (nohup ignores SIGHUP, a shell's
    background job SIGINT)."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


@contextlib.contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """Stands in for a full disk."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
