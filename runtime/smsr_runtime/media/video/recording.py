"""The result's video while it is made: finished segments in the journal, the one at work in memory."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Iterator, Sequence

from smsr_runtime.errors import OutputError
from smsr_runtime.media.video.encoding import Encoding
from smsr_runtime.media.video.journal import SEGMENT_FRAMES, Journal, partial_name
from smsr_runtime.media.video.options import Task
from smsr_runtime.media.video.segments import Segment, SegmentWriter, packets
from smsr_runtime.resources import in_units

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SPARE = 1 << 20
"""Bytes for the container's own tables."""


class Recording:
    """Takes frames one by one; those that a finished segment holds are counted only.

    `frames`: how many were taken; `beside`: bytes of the streams that the result needs room for besides.
    """

    def __init__(self, journal: Journal, task: Task) -> None:
        self.frames = 0
        self.beside = 0
        self._journal, self._task = journal, task
        self._kept = sum(segment.frames for segment in journal.segments)
        self._writer: SegmentWriter | None = None
        self._ended: tuple[Segment, bytes] | None = None
        self.partial = False  # whether this run has left a file that plays

    @property
    def folder(self) -> Path:
        """Where its files lie, half-written ones too: a killed run leaves nothing elsewhere."""
        return self._journal.folder

    @property
    def segments(self) -> list[Segment]:
        """The finished ones."""
        return self._journal.segments

    @property
    def leaves(self) -> bool:
        """Whether the next run has something to go on with or, a file that plays, to remove: of this run or before."""
        earlier = self._journal.continues and partial_name(self._task.target).exists()
        return bool(self.segments) or self.partial or earlier

    @property
    def encoded(self) -> int:
        """Frames that `packets` gives."""
        pending = self._pending
        return sum(segment.frames for segment in self.segments) + (pending[0].frames if pending else 0)

    @property
    def _pending(self) -> tuple[Segment, bytes] | None:
        """The segment that ended and is not in the journal, if there is one."""
        if self._ended is None or (self.segments and self.segments[-1].start == self._ended[0].start):
            return None
        return self._ended

    @property
    def holds_next(self) -> bool:
        """Whether the next frame lies in a finished segment."""
        return self.frames < self._kept

    def skip(self) -> None:
        """The next frame is there already."""
        self.frames += 1

    def write(
        self, encoding: Encoding, pixels: NDArray[Any], when: tuple[int, int], shares: Sequence[float], *, hidden: bool
    ) -> None:
        """when: time and duration, in the encoder's time base; hidden: whether transparency was left out.

        Raises VideoError, OutputError.
        """
        if self._writer is None:
            self._writer = SegmentWriter(encoding, self._task, when[0], list(pixels.shape))
        self._writer.write(pixels, *when, shares)
        self._writer.segment.transparent |= hidden
        self.frames += 1
        if self._writer.segment.frames == SEGMENT_FRAMES:
            self.finish()

    def finish(self) -> None:
        """Keeps the segment at work, if there is one. Raises OutputError for a disk without room for the rest."""
        if self._writer is None:
            return
        writer, self._writer = self._writer, None
        data = writer.finish()
        self._ended = writer.segment, data
        self._journal.add(writer.segment, data)
        self._ended = None
        self._check_room()

    def _check_room(self) -> None:
        """The result is put together from the segments, which takes the same room again."""
        needed = sum(segment.size for segment in self.segments) + self.beside + _SPARE
        free = shutil.disk_usage(self._journal.folder).free
        if free < needed:
            got = in_units(free)
            raise OutputError(self._task.target, f"{in_units(needed)} free to write it", got, "free some space")

    def end_early(self) -> None:
        """Ends the segment at work where it is, in memory alone: another run makes it again, in full length."""
        writer, self._writer = self._writer, None
        if writer is not None and writer.segment.frames:
            data = writer.finish()
            if len(writer.segment.times) >= writer.segment.frames:  # else a signal came between encoder and file
                self._ended = writer.segment, data

    def packets(self, encoding: Encoding) -> Iterator[Any]:
        """Every encoded frame in order, with its own time."""
        for segment, data in self._journal.stored():
            yield from packets(segment, data, encoding.time_base)
        if self._pending is not None:
            yield from packets(*self._pending, encoding.time_base)
