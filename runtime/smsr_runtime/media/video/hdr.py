"""HDR10: the mastering display and light levels that come with a source's frames, as encoders take them."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

_CHROMATICITY, _LUMINANCE = 50000, 10000
"""Steps per unit of x and y, and per cd/m2, in SEI messages (H.265, D.2.28)."""


@dataclass(frozen=True)
class Hdr:
    """display: red, green, blue and white point as x and y, then least and most luminance in cd/m2, or None.

    light: MaxCLL and MaxFALL in cd/m2, or None.
    """

    display: tuple[float, ...] | None
    light: tuple[int, int] | None

    @classmethod
    def of(cls, frame: Any) -> Hdr | None:
        """What a decoded frame carries; None for nothing."""
        display, light = None, None
        for data in list(frame.side_data.keys()):
            if data.type.name == "MASTERING_DISPLAY_METADATA":
                display = _mastering_display(bytes(data))
            elif data.type.name == "CONTENT_LIGHT_LEVEL":
                light = struct.unpack("=II", bytes(data)[:8])
        return cls(display, light) if display or light else None

    def parameters(self, codec: str) -> list[str]:
        """As the encoder library's parameters; empty for a codec that takes none."""
        names = _PARAMETERS.get(codec)
        if names is None:
            return []
        of_display, of_light = names
        parameters = []
        if self.display:
            text = _real(self.display) if codec == "libsvtav1" else _stepped(self.display)
            parameters.append(f"{of_display}={text}")
        if self.light:
            parameters.append(f"{of_light}={self.light[0]},{self.light[1]}")
        return parameters


_PARAMETERS = {
    "libx264": ("mastering-display", "cll"),
    "libx265": ("master-display", "max-cll"),
    "libsvtav1": ("mastering-display", "content-light"),
}


def keeps_hdr(codec: str) -> bool:
    """Whether the display and light levels can be handed to an encoder."""
    return codec in _PARAMETERS


def _mastering_display(data: bytes) -> tuple[float, ...] | None:
    """FFmpeg's AVMasteringDisplayMetadata: ten rational numbers, and whether primaries and luminance are there."""
    numbers = struct.unpack("=22i", data[:88])
    if not (numbers[20] and numbers[21]):
        return None
    return tuple(over / under if under else 0.0 for over, under in zip(numbers[0:20:2], numbers[1:20:2]))


def _stepped(display: tuple[float, ...]) -> str:
    xy = [round(value * _CHROMATICITY) for value in display[:8]]
    least, most = (round(value * _LUMINANCE) for value in display[8:])
    return "G({2},{3})B({4},{5})R({0},{1})WP({6},{7})".format(*xy) + f"L({most},{least})"


def _real(display: tuple[float, ...]) -> str:
    values = [f"{value:.5f}" for value in display[:8]]
    return "G({2},{3})B({4},{5})R({0},{1})WP({6},{7})".format(*values) + f"L({display[9]:.4f},{display[8]:.4f})"
