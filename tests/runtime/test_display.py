"""The window: refused in one line where there is none, and shown on a virtual screen where OpenCV has windows."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import ImageGrab

from smsr_runtime.errors import UsageError
from smsr_runtime.live import display

HAS_WINDOWS = not re.search(r"GUI:\s+NONE", cv2.getBuildInformation())


def test_a_screen_that_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a screen Qt ends the process that asks for a window; a headless OpenCV raises."""
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: "GUI: QT5")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    for screen, got in (("", "none"), (":77", "none at :77")):
        monkeypatch.setenv("DISPLAY", screen)
        with pytest.raises(UsageError, match=rf"--display: expected a screen to open a window on, got {got};"):
            display.check_display()


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    if not HAS_WINDOWS or shutil.which("Xvfb") is None:
        pytest.skip("no OpenCV with windows (opencv-python), or no Xvfb")
    read, write = os.pipe()
    with subprocess.Popen(["Xvfb", "-displayfd", str(write), "-screen", "0", "640x480x24"], pass_fds=[write]) as server:
        os.close(write)
        with os.fdopen(read) as numbers:
            name = f":{numbers.readline().strip()}"
        monkeypatch.setenv("DISPLAY", name)
        yield name
        server.terminate()


def test_a_frame_is_seen_on_the_screen(screen: str, tmp_path: Path) -> None:
    display.check_display()
    window = display.Display()
    colour = np.full((64, 96, 3), (220, 90, 30), np.uint8)
    for _ in range(20):
        window.write(colour)
    seen = np.asarray(ImageGrab.grab(xdisplay=screen))[..., :3]
    ImageGrab.grab(xdisplay=screen).save(tmp_path / "screen.png")
    assert not window.closed
    assert int((seen == (220, 90, 30)).all(axis=2).sum()) > 64 * 96
    window.finish()
