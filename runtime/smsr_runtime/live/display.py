"""A window with the newest result, by OpenCV where it is built with windows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import cv2

from smsr_runtime.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_TITLE = "smsr-run (q ends)"
_ENDING = (ord("q"), 27)
"""Keys: q and Escape."""


def check_display() -> None:
    """Raises UsageError where this OpenCV has no windows, or there is no screen."""
    if re.search(r"GUI:\s+NONE", cv2.getBuildInformation()):
        todo = "pip uninstall opencv-python-headless, then pip install opencv-python"
        raise UsageError("--display", "an OpenCV with windows", f"{cv2.__version__} without (headless)", todo)
    if not _opens_windows():
        screen = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
        got = f"none at {screen}" if screen else "none"
        raise UsageError("--display", "a screen to open a window on", got, "set DISPLAY, or leave --display out")
    cv2.namedWindow(_TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)


def _opens_windows() -> bool:
    """Tried by another process: where there is no screen, Qt ends the one that asks for a window."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", "import cv2; cv2.namedWindow('smsr')"]
    tried = subprocess.run(command, env=environment, capture_output=True, check=False)
    return tried.returncode == 0


class Display:
    """Shows one frame after the other; `closed` once the user ended it."""

    def __init__(self) -> None:
        self.closed = False

    def write(self, pixels: NDArray[Any]) -> None:
        """pixels: (H, W, 3) uint8 RGB."""
        cv2.imshow(_TITLE, cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
        key = cv2.waitKey(1) & 0xFF
        self.closed = key in _ENDING or cv2.getWindowProperty(_TITLE, cv2.WND_PROP_VISIBLE) < 1

    def finish(self) -> None:
        cv2.destroyAllWindows()
