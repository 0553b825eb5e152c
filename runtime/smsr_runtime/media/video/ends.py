"""Where a video ends, and whether that is where it says that it ends."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from smsr_runtime.media.video.damage import Damage
from smsr_runtime.media.video.source import MICROSECONDS, frame_rate, stated_end


class Ends:
    """Sees every packet, its time set from the result's begin on."""

    def __init__(self) -> None:
        self._video = self._any = 0.0

    def see(self, packet: Any, *, own: bool) -> None:
        """own: whether it is the video's."""
        if packet.pts is not None and packet.time_base:
            end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
            self._any = max(self._any, end)
            if own:
                self._video = max(self._video, end)

    def judge(
        self, container: Any, video: Any, start: Fraction, damage: Damage, *, parts: int
    ) -> tuple[list[str], int | None]:
        """Notes, and the number of frames that the source states or None. parts: clocks that it has.

        An end before the one that the stream states is damage; a container's duration may be an estimate.
        """
        notes, stated = [], stated_end(video, start)
        if stated is not None and parts == 1 and not damage.ends(self._video, stated, own=True):
            damage.missing_end = f"no frames from {self._video:.1f} s to its end at {stated:.1f} s"
        in_all, end = (container.duration or 0) / MICROSECONDS, self._any + float(start)
        if not (damage.missing_end or damage.ends(end, in_all, own=False)):
            notes.append(f"ends at {end:.1f} s of the {in_all:.1f} s that it states: it may be cut short")
        frames = video.frames or (None if stated is None else round(stated * float(frame_rate(video))))
        return notes, frames
