"""What of a source is damaged or missing, counted while it is read."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from smsr_runtime.errors import VideoError

_SLACK_SECONDS, _SLACK_SHARE = 1.0, 0.02
"""How much earlier than stated a video may end: streams seldom end at the same time."""
_LEAST_GAP = 0.5
"""Seconds without a frame, in a video whose frames else follow each other evenly, that count as missing frames."""
_EVEN_SHARE = 0.9
"""Share of intervals of one length that makes a video an even one."""


@dataclass
class Damage:
    """refused: packets that the decoder refused; marred: frames that it gave with errors in them.

    foreign: packets of other streams that the result's container refused; stopped: why reading ended before the end.
    """

    refused: int = 0
    marred: int = 0
    foreign: int = 0
    stopped: str = ""
    missing_end: str = ""
    _intervals: int = 0
    _even: int = 0
    _last: float | None = None
    _gaps: list[tuple[float, float]] = field(default_factory=list)

    def see(self, time: float, rate: float) -> None:
        """One frame, at `time` in seconds; rate: frames per second, as the source states."""
        if self._last is not None:
            interval = time - self._last
            self._intervals += 1
            self._even += abs(interval * rate - 1) < 0.5
            if interval > max(_LEAST_GAP, 2.5 / rate):
                self._gaps.append((self._last, time))
        self._last = time

    def ends(self, end: float, stated: float) -> bool:
        """Whether a video that ends at `end` seconds ends where it states that it does."""
        return end >= stated - max(_SLACK_SECONDS, _SLACK_SHARE * stated)

    def error(self, source: Path, target: Path, rate: float) -> VideoError | None:
        """None for a whole source."""
        parts = [*self._counts(), *self._missing(rate)]
        if not parts:
            return None
        todo = f"{target.name} holds what could be decoded; copy {source.name} again for the rest"
        return VideoError(source, "an undamaged video", ", ".join(parts), todo)

    def _counts(self) -> list[str]:
        counted = [
            (self.refused, "that cannot be decoded", "packet"),
            (self.marred, "with errors in the picture", "frame"),
            (self.foreign, "of sound or subtitles that cannot be copied", "packet"),
        ]
        return [f"{count} {unit}{'s' * (count != 1)} {which}" for count, which, unit in counted if count]

    def _missing(self, rate: float) -> list[str]:
        parts = []
        if self._even >= _EVEN_SHARE * self._intervals:
            for start, end in self._gaps[:3]:
                parts.append(
                    f"about {round((end - start) * rate) - 1} frames missing from {start:.2f} s to {end:.2f} s"
                )
            if self._gaps[3:]:
                parts.append(f"{len(self._gaps) - 3} more gaps")
        return parts + [text for text in (self.missing_end, self.stopped) if text]
