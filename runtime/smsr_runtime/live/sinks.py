"""Where live results go: a recording, stdout, a window."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Sequence

from smsr_runtime.live.display import Display
from smsr_runtime.media.video.frames import FrameRecorder, usual_look
from smsr_runtime.media.video.options import VideoOptions
from smsr_runtime.media.video.pipe import FramePipe

if TYPE_CHECKING:
    from numpy.typing import NDArray


class RecordSink:
    """A video file; each frame keeps the time at which it was captured."""

    name, closed = "encode", False

    def __init__(self, source: str, target: Path, rate: Fraction, options: VideoOptions) -> None:
        self._recorder = FrameRecorder(source, target, rate, options)

    @property
    def lost(self) -> list[str]:
        """What the encoder does not keep, in words."""
        return self._recorder.lost

    def write(self, pixels: NDArray[Any], seconds: float, shares: Sequence[float]) -> None:
        self._recorder.write(pixels, seconds, shares)

    def finish(self) -> None:
        self._recorder.finish()


class PipeSink:
    """stdout, as y4m or raw; these have no times, so dropped frames are missing there."""

    name, closed = "pipe", False

    def __init__(self, kind: str, rate: Fraction, say: Callable[[str], None]) -> None:
        self._pipe, self._say = FramePipe(kind, rate), say
        self._begun = False

    def write(self, pixels: NDArray[Any], seconds: float, shares: Sequence[float]) -> None:
        note = self._pipe.write(pixels, usual_look(pixels))
        if note and not self._begun:
            self._say(note)
        self._begun = True

    def finish(self) -> None:
        self._pipe.finish()


class DisplaySink:
    """A window, until it is closed."""

    name = "show"

    def __init__(self) -> None:
        self._display = Display()

    @property
    def closed(self) -> bool:
        return self._display.closed

    def write(self, pixels: NDArray[Any], seconds: float, shares: Sequence[float]) -> None:
        self._display.write(pixels)

    def finish(self) -> None:
        self._display.finish()
