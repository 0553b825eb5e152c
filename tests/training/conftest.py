"""What all tests of training share."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.training.helpers import write_pictures


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of six drawn pictures."""
    return write_pictures(tmp_path / "pictures")
