"""Packets' times: the first is 0, and parts with a clock of their own follow each other."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

_BROADCAST = ("mpegts", "mpeg")
"""Containers whose parts can be put together byte by byte; in others a time that jumps back is damage."""
_SET_BACK = 1
"""Seconds by which a stream's times must jump back to count as a new part, as in broadcasts put together."""


class Clock:
    """Changes the times of packets in file order. `parts`: how many parts there were so far."""

    def __init__(self, start: Fraction, container: str) -> None:
        """start: seconds of the source that become 0; container: its name in FFmpeg."""
        self._has_parts = container in _BROADCAST
        self._offsets = [start]
        self._end = Fraction(0)
        self._part: dict[int, int] = {}
        self._last: dict[int, Fraction] = {}

    @property
    def parts(self) -> int:
        return len(self._offsets)

    def set(self, packet: Any) -> None:
        """Moves pts and dts; a packet without times stays as it is."""
        raw = packet.dts if packet.dts is not None else packet.pts
        if raw is None:
            return
        seconds, index = raw * packet.time_base, packet.stream.index
        if self._has_parts and seconds < self._last.get(index, seconds) - _SET_BACK:
            self._next_part(index, seconds)
        self._last[index] = seconds
        shift = round(self._offsets[self._part.get(index, 0)] / packet.time_base)
        if packet.dts is not None:
            packet.dts -= shift
        if packet.pts is not None:
            packet.pts -= shift
        self._end = max(self._end, (raw - shift + (packet.duration or 0)) * packet.time_base)

    def _next_part(self, index: int, seconds: Fraction) -> None:
        """The first stream that jumps back says by how much; the others of the new part go with it."""
        self._part[index] = self._part.get(index, 0) + 1
        if self._part[index] == len(self._offsets):
            self._offsets.append(seconds - self._end)
