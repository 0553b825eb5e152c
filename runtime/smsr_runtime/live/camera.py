"""Cameras by OpenCV: by number, by device, and a Jetson's by its CSI port, through GStreamer."""

from __future__ import annotations

import re
import time
from fractions import Fraction
from typing import Any

import cv2

from smsr_runtime.errors import UsageError, VideoError
from smsr_runtime.live.source import LiveFrame

_CSI = (
    "nvarguscamerasrc sensor-id={} ! video/x-raw(memory:NVMM) ! nvvidconv ! video/x-raw,format=BGRx ! "
    "videoconvert ! video/x-raw,format=BGR ! appsink max-buffers=1 drop=true sync=false"
)
_USUAL_RATE = 30


class Camera:
    """A `LiveSource`."""

    def __init__(self, name: str) -> None:
        """name: "0", "/dev/video0" or "csi://0". Raises UsageError, VideoError."""
        self.name = name
        self._frames = 0
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # what matters is raised
        self._capture = cv2.VideoCapture(*_where(name))
        if not self._capture.isOpened():
            todo = "check its cable, its number and that no other program uses it"
            raise VideoError(f"camera {name}", "a camera that opens", "none", todo)
        self.rate = Fraction(self._capture.get(cv2.CAP_PROP_FPS) or _USUAL_RATE).limit_denominator(1001)
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)

    def read(self) -> LiveFrame:
        """Raises VideoError for a camera that is gone."""
        there, pixels = self._capture.read()
        if not there:
            got = f"none after {self._frames} frames"
            raise VideoError(f"camera {self.name}", "frames until it is stopped", got, "check its cable and power")
        self._frames += 1
        return LiveFrame(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), time.monotonic())

    def close(self) -> None:
        self._capture.release()


def _where(name: str) -> tuple[Any, int]:
    """What OpenCV opens, and by which of its interfaces."""
    if name.isdigit():
        return int(name), cv2.CAP_ANY
    if not name.lower().startswith("csi://"):
        return name, cv2.CAP_V4L2
    port = name[len("csi://") :] or "0"
    if not port.isdigit():
        raise UsageError(name, "csi:// and the number of a port", repr(port), "write csi://0")
    if not has_gstreamer():
        todo = "use JetPack's OpenCV, or build one with GStreamer"
        raise UsageError(name, "an OpenCV with GStreamer, for nvarguscamerasrc", f"{cv2.__version__} without it", todo)
    return _CSI.format(port), cv2.CAP_GSTREAMER


def has_gstreamer() -> bool:
    """Whether this OpenCV was built with it."""
    return bool(re.search(r"GStreamer:\s+YES", cv2.getBuildInformation()))
