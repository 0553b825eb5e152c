"""Exported models that several tests read: one small, one of the published weights."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch

from smsr.network import Network, NetworkConfig
from smsr_export.fold import fold
from smsr_export.freeze import freeze
from smsr_export.onnx_model import build_model
from smsr_export.writing import ExportRequest, export
from tests.export.onnx_tools import FEW_PIXELS
from tests.helpers import random_network


@pytest.fixture(scope="session")
def small_network() -> Network:
    """Two modules, all kinds of splits, dead channels."""
    splits = [[(5, 0), (0, 3), (16, 0)], [(0, 0), (9, 7), (1, 2)]]
    return random_network(NetworkConfig(2, 16, 2, 3), seed=3, splits=splits)


@pytest.fixture(scope="session")
def small_model(small_network: Network) -> onnx.ModelProto:
    return build_model(fold(freeze(small_network)))


@pytest.fixture(scope="session")
def small_checkpoint(small_network: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "small.pt"
    torch.save(small_network.state_dict(), path)
    return path


@pytest.fixture(scope="session")
def x2_bundle(x2_network: Network, x2_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published weights, exported; the tests measure its parity themselves."""
    output = tmp_path_factory.mktemp("bundle") / "x2.smsr"
    export(x2_network, ExportRequest(x2_checkpoint, output, FEW_PIXELS))
    return output


@pytest.fixture(scope="session")
def x2_bf16_bundle(x2_network: Network, x2_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published weights in bf16."""
    output = tmp_path_factory.mktemp("bundle") / "x2_bf16.smsr"
    export(x2_network, ExportRequest(x2_checkpoint, output, FEW_PIXELS, accept_failure=True, precision="bf16"))
    return output
