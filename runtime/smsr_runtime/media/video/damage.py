"""What of a source is damaged or missing, counted while it is read."""

from __future__ import annotations

from dataclasses import dataclass, field

from smsr_runtime.errors import VideoError
from smsr_runtime.media.video.options import Task

_OWN_SLACK, _SLACK_SECONDS, _SLACK_SHARE = 0.5, 1.0, 0.02
"""Seconds that a video may end before its own stated end; and a file before its, as streams seldom end together."""
_LEAST_GAP = 0.5
"""Seconds without a frame, in a video whose frames else follow each other evenly, that count as missing frames."""
_EVEN_SHARE = 0.9
"""Share of intervals of one length that makes a video an even one."""


@dataclass
class Damage:
    """refused: packets that the decoder refused; marred: frames that it gave with errors in them; holed: packets with
    holes, whose frames it may give without a mark.

    unread: bytes where packets should be; foreign: packets of other streams that the result's container refused;
    stopped: why reading ended before the end; missing_end: what is missing there.
    """

    refused: int = 0
    marred: int = 0
    holed: int = 0
    unread: int = 0
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

    def ends(self, end: float, stated: float, *, own: bool) -> bool:
        """Whether a file that ends at `end` seconds ends where it states that it does; own: the video stream itself."""
        return end >= stated - (_OWN_SLACK if own else max(_SLACK_SECONDS, _SLACK_SHARE * stated))

    def error(self, task: Task, rate: float, frames: int, stated: int | None) -> VideoError | None:
        """None for a whole source. frames: that were made; stated: that the source says it has, None for unknown."""
        source, target = task.source, task.target
        counts, missing = self._counts(), self._missing(rate)
        parts = counts + missing
        if not parts:
            return None
        if not missing and stated is not None and frames < stated:
            parts.append(f"{frames} of about {stated} frames")
        todo = f"{target.name} holds what could be decoded; copy {source.name} again for the rest"
        return VideoError(source, "an undamaged video", ", ".join(parts), todo)

    def _counts(self) -> list[str]:
        counted = [
            (self.refused, "that cannot be decoded", "packet"),
            (max(self.marred, self.holed), "with errors in the picture", "frame"),
            (self.unread, "that cannot be read", "byte"),
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
