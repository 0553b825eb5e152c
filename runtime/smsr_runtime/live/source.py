"""Where live frames come from: the protocol of all sources, and which names mean one."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from fractions import Fraction

    from numpy.typing import NDArray

_ADDRESS = re.compile(r"^(csi|rtsps?|rtmps?|https?|udp|tcp|rtp|srt)://", re.IGNORECASE)
DEVICE = re.compile(r"^/dev/video\d+$")
"""Names of cameras on Linux."""


@dataclass(frozen=True)
class LiveFrame:
    """pixels: (H, W, 3) uint8 RGB, upright; captured: when it was there, in seconds of `time.monotonic`."""

    pixels: NDArray[Any]
    captured: float


class LiveSource(Protocol):
    """One camera or stream. name: for messages; rate: frames per second that it states."""

    name: str
    rate: Fraction

    def read(self) -> LiveFrame | None:
        """Waits for the next frame; None at the end. Raises VideoError where the source is lost."""
        ...

    def close(self) -> None: ...


def is_live(name: str) -> bool:
    """Whether INPUT names a camera or stream: a number, a device or an address; a file of that name comes first."""
    if DEVICE.match(name):
        return True
    return not os.path.exists(name) and (name.isdigit() or bool(_ADDRESS.match(name)))
