"""Opens the camera or stream that a name means."""

from __future__ import annotations

from smsr_runtime.live.camera import Camera
from smsr_runtime.live.source import DEVICE, LiveSource
from smsr_runtime.live.stream import Stream


def open_live(name: str) -> LiveSource:
    """The camera or stream, or a file, which is replayed at its own rate.

    Raises VideoError where nothing answers, UsageError, MissingPackageError.
    """
    if name.isdigit() or DEVICE.match(name) or name.lower().startswith("csi://"):
        return Camera(name)
    return Stream(name)
