"""A second video of the same frames, made while the first is: where the network worked.

It has a journal of its own, so that each of the two goes on where it was; a frame that both have is not computed again.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Iterator

from smsr_runtime.media.video.colour import Look
from smsr_runtime.media.video.encoding import FrameTimes
from smsr_runtime.media.video.frames import FramesResult
from smsr_runtime.media.video.journal import file_facts, partial_name
from smsr_runtime.media.video.options import Beside, Task
from smsr_runtime.media.video.recording import Recording

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Companion:
    """Takes the frames of the main video one by one."""

    def __init__(self, beside: Beside, task: Task, video: Any, main: Recording) -> None:
        """task, main: of the main video; video: the source's stream. Raises VideoError, UsageError, OutputError."""
        options = replace(task.options, job={**task.options.job, "shows": "masks"})
        self._draw, self._main = beside.draw, main
        self.result = FramesResult(Task(task.source, beside.target, options), video, file_facts(task.source))
        self._times = FrameTimes(video, self.result.encoding.time_base)

    @property
    def holds_next(self) -> bool:
        """Whether the next frame lies in a finished segment."""
        return self.result.recording.holds_next

    def begin(self, look: Look) -> None:
        """look: of the source's first frame."""
        self._look = replace(look, bits=8, chroma="420", alpha=False)
        if self.result.recording.segments:
            self.result.decide(self._look, self.result.recording.segments[0].shape)

    def skip(self, frame: Any) -> None:
        """The next frame is there already; frame: the source's."""
        self._times.next(frame)
        self.result.recording.skip()

    def write(self, frame: Any, upscaled: NDArray[Any]) -> None:
        """The next frame, which the network has just made of the source's. Raises VideoError, OutputError."""
        if self.holds_next:
            return self.skip(frame)
        pixels = self._draw(upscaled)
        if not self.result.encoding.decided:
            self.result.decide(self._look, pixels.shape)
        recording = self.result.recording
        recording.beside = self._main.beside + sum(segment.size for segment in self._main.segments)
        recording.write(self.result.encoding, pixels, self._times.next(frame), (), hidden=False)

    def finish(self) -> None:
        """Keeps the last segment. Raises OutputError."""
        self.result.recording.finish()

    def keep_partial(self) -> str:
        """The file's name, where there is one."""
        kept = self.result.keep_partial()
        partial = partial_name(self.result.task.target)
        return f"; {partial} beside it" if kept and partial.exists() else ""


@contextlib.contextmanager
def companion(beside: Beside | None, task: Task, video: Any, main: Recording) -> Iterator[Companion | None]:
    """None where none is asked for; in the end its journal goes, unless an error has left something to go on with."""
    if beside is None:
        yield None
        return
    one = Companion(beside, task, video, main)
    done = False
    try:
        yield one
        done = True
        if one.result.journal.continues:
            partial_name(beside.target).unlink(missing_ok=True)
    finally:
        one.result.journal.close(done=done or not one.result.recording.leaves)
