"""make demo, on a small network and a small sample: every step is real, and so is the browser."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import pytest
import torch

from smsr.network import NetworkConfig
from smsr_bench import demo
from smsr_runtime.bundle import read_bundle
from tests.browser import DESKTOP, PHONE, check_layout, chromium, cut, opened
from tests.conftest import missing
from tests.helpers import REPOSITORY, random_network

if TYPE_CHECKING:
    from playwright.sync_api import Browser

__all__ = ["chromium"]
SPLITS = [[(5, 0), (0, 3), (16, 0)], [(0, 0), (9, 7), (1, 2)]]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "small.pt"
    torch.save(random_network(NetworkConfig(2, 16, 2, 3), seed=3, splits=SPLITS).state_dict(), path)
    return path


@pytest.fixture(scope="module", autouse=True)
def small_sample() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "SAMPLE_SIZE", (24, 32))
        yield


@pytest.fixture(scope="module")
def made(checkpoint: Path, native_library: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The demo's folder, and what it printed."""
    folder, printed = tmp_path_factory.mktemp("made") / "demo", io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert demo.main([str(checkpoint), "--output", str(folder)]) == 0
    return folder, printed.getvalue()


def test_the_demo_exports_upscales_and_compares(made: tuple[Path, str]) -> None:
    folder, printed = made
    assert {path.name for path in folder.iterdir()} == {
        "bench", "index.html", "small.smsr", "sample.png", "sample_upscaled.png", "sample_upscaled.masks.png",
    }  # fmt: skip
    upscaled = cv2.imread(str(folder / "sample_upscaled.png"))
    assert upscaled is not None and upscaled.shape == (48, 64, 3)
    assert "mask flips" in printed and "rival" in printed and "Open " in printed
    command = printed.rpartition("a picture of yours: ")[2].split()
    assert os.access(command[0], os.X_OK) and command[1:] == [str(folder / "small.smsr"), "PICTURE", "-o", "large.png"]


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_its_page_has_what_was_measured(made: tuple[Path, str], chromium: Browser, size: tuple[int, int]) -> None:
    folder, _ = made
    (row,) = json.loads((folder / "bench" / "bench.json").read_text())["pictures"]
    with opened(chromium, folder / "index.html", size, "dark") as page:
        check_layout(page)
        text = page.locator("main").inner_text()
        assert all(f"{1000 * row['seconds'][engine]:.0f} ms" in text for engine in ("native", "body", "rival"))
        assert f"({row['ratios']['rival']:.2f}x)" in text and "passed" in text
        assert "Without the native library" not in text
        page.locator(".stage input").press("ArrowLeft")
        assert cut(page) == "49%"
        page.get_by_text("all modules", exact=True).click()
        assert page.locator(".layer:visible").count() == 1


def test_without_the_native_library_the_page_says_what_is_lost(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chromium: Browser
) -> None:
    monkeypatch.setenv("SMSR_ORT_LIBRARY", "none")
    folder = tmp_path / "demo"
    assert demo.main([str(checkpoint), "--output", str(folder)]) == 0
    assert {row["path"] for row in read_bundle(folder / "small.smsr").manifest["parity"]["rows"]} == {"function body"}
    with opened(chromium, folder / "index.html", PHONE) as page:
        check_layout(page)
        text = page.locator("main").inner_text()
        assert "Without the native library" in text and "what is lost is speed" in text
        assert page.locator(".speed .name").all_inner_texts()[0].startswith("smsr, function body")


def test_the_demo_stops_at_the_first_step_that_fails(tmp_path: Path) -> None:
    checkpoint = tmp_path / "none.pt"
    checkpoint.write_bytes(b"no checkpoint")
    assert demo.main([str(checkpoint), "--output", str(tmp_path / "demo")]) == 1
    assert [path.name for path in (tmp_path / "demo").iterdir()] == ["sample.png"]


def test_make_demo_needs_no_compiler(tmp_path: Path) -> None:
    """Its recipe, in a copy whose commands only say that they are called."""
    if shutil.which("make") is None:
        missing("no make: `make demo` was not tried without a compiler (apt install make)")
    shutil.copy(REPOSITORY / "Makefile", tmp_path)
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("make", "sh", "mkdir", "cat", "nproc", "touch"):
        (tools / name).symlink_to(str(shutil.which(name)))
    called = tmp_path / ".venv" / "bin" / "python"
    called.parent.mkdir(parents=True)
    called.write_text('#!/bin/sh\necho "called $*"\n')
    called.chmod(0o755)
    (tmp_path / ".venv" / ".installed").touch()
    for name in ("pyproject.toml", "constraints.txt", "runtime/pyproject.toml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (0, 0))
    environment = {"PATH": str(tools)}
    done = subprocess.run(
        [tools / "make", "demo"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "called -m smsr_bench.demo x2 --output demo" in done.stdout
    assert "no C++ compiler" in done.stderr
    (tools / "c++").symlink_to("/bin/false")
    done = subprocess.run(
        [tools / "make", "demo"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0 and "cmake" in done.stdout + done.stderr  # with a compiler a failed build is an error
