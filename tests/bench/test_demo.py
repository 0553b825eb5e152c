"""make demo, on a small network and a small sample: every step is real."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest
import torch

from smsr.network import NetworkConfig
from smsr_bench import demo
from tests.helpers import random_network

SPLITS = [[(5, 0), (0, 3), (16, 0)], [(0, 0), (9, 7), (1, 2)]]


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    network = random_network(NetworkConfig(2, 16, 2, 3), seed=3, splits=SPLITS)
    torch.save(network.state_dict(), tmp_path / "small.pt")
    return tmp_path / "small.pt"


def test_the_demo_exports_upscales_and_compares(
    checkpoint: Path, native_library: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(demo, "SAMPLE_SIZE", (24, 32))
    assert demo.main([str(checkpoint), "--output", str(tmp_path / "demo")]) == 0
    assert {path.name for path in (tmp_path / "demo").iterdir()} == {
        "small.smsr", "sample.png", "sample_upscaled.png", "sample_upscaled.masks.png",
    }  # fmt: skip
    upscaled = cv2.imread(str(tmp_path / "demo" / "sample_upscaled.png"))
    assert upscaled is not None and upscaled.shape == (48, 64, 3)
    printed = capsys.readouterr().out
    assert "mask flips" in printed and "rival" in printed and "See " in printed


def test_the_demo_stops_at_the_first_step_that_fails(checkpoint: Path, tmp_path: Path) -> None:
    checkpoint.write_bytes(b"no checkpoint")
    assert demo.main([str(checkpoint), "--output", str(tmp_path / "demo")]) == 1
    assert [path.name for path in (tmp_path / "demo").iterdir()] == ["sample.png"]


def test_without_native_library_the_demo_upscales_and_leaves_out_the_speed(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "SAMPLE_SIZE", (24, 32))
    monkeypatch.setenv("SMSR_ORT_LIBRARY", "none")
    assert demo.main([str(checkpoint), "--output", str(tmp_path / "demo")]) == 0
    upscaled = cv2.imread(str(tmp_path / "demo" / "sample_upscaled.png"))
    assert upscaled is not None and upscaled.shape == (48, 64, 3)
    printed = capsys.readouterr().out
    assert "function body" in printed and "rival" not in printed and "See " in printed
