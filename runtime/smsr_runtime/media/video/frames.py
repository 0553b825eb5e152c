"""Frames that come from no file, such as a camera's: recorded as a video, in segments like every other."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Iterator, Sequence

from smsr_runtime.errors import SmsrError
from smsr_runtime.files import replacing
from smsr_runtime.media.video.colour import Look
from smsr_runtime.media.video.encoding import Encoding
from smsr_runtime.media.video.journal import Journal
from smsr_runtime.media.video.options import Task, VideoOptions
from smsr_runtime.media.video.output import FramesOutput, put_frames_together, trial
from smsr_runtime.media.video.partial import ended_by, keep_partial
from smsr_runtime.media.video.recording import Recording

if TYPE_CHECKING:
    from numpy.typing import NDArray

_UNSPECIFIED, _BT709, _BT601, _HIGH_DEFINITION = 2, 1, 5, 576


def usual_look(pixels: NDArray[Any]) -> Look:
    """How frames (H, W, 3) of no file are stored: 8 bits, 4:2:0, limited range, the matrix that players take."""
    height, width = pixels.shape[:2]
    matrix = _BT709 if height > _HIGH_DEFINITION else _BT601
    return Look((height, width), matrix, full_range=False, bits=8, chroma="420", alpha=False, turns=0, codec="")


@dataclass
class FrameStream:
    """In the place of a file's stream: frames with times in `time_base`, about `average_rate` per second."""

    average_rate: Fraction
    time_base: Fraction = Fraction(1, 90000)
    sample_aspect_ratio: Fraction | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    codec_context: Any = field(
        default_factory=lambda: SimpleNamespace(color_primaries=_UNSPECIFIED, color_trc=_UNSPECIFIED)
    )


class FrameRecorder:
    """Writes frames as they come; `finish` makes the video of them. `lost`: what it does not hold, in words."""

    def __init__(self, name: str, target: Path, rate: Fraction, options: VideoOptions) -> None:
        """name: of the source; rate: frames per second. Raises VideoError, UsageError, OutputError."""
        self._task = Task(Path(name), target, options)
        self._stream = FrameStream(rate)
        with trial(self._task) as container:
            output = FramesOutput(container, self._stream, self._task)
            self._encoding = Encoding(container, output.stream, self._stream, self._task)
        self._journal = Journal(self._task, {"live": name})
        self._recording = Recording(self._journal, self._task)
        self._last: int | None = None

    @property
    def lost(self) -> list[str]:
        return self._encoding.lost

    def write(self, pixels: NDArray[Any], seconds: float, shares: Sequence[float]) -> None:
        """pixels: (H, W, 3) uint8; seconds: since the first frame. Raises VideoError, OutputError."""
        if not self._encoding.decided:
            self._decide(pixels)
        time = round(seconds / self._encoding.time_base)
        time = time if self._last is None else max(time, self._last + 1)
        self._last = time
        duration = round(1 / self._stream.average_rate / self._encoding.time_base)
        self._recording.write(self._encoding, pixels, (time, duration), shares, hidden=False)

    def _decide(self, pixels: NDArray[Any]) -> None:
        self._encoding.decide(usual_look(pixels), pixels.shape, None)
        with trial(self._task) as container:
            FramesOutput(container, self._stream, self._task).write_header(self._encoding)

    def finish(self) -> None:
        """The video of all frames; nothing where there was none. Raises VideoError, OutputError."""
        done = not self._recording.frames
        try:
            self._end()
            done = True
        except (SmsrError, OSError) as error:
            kept = keep_partial(self._task, self._encoding, self._recording, self._write)
            raise ended_by(error, self._task.target, kept) from error
        finally:
            self._journal.close(done=done)

    def _end(self) -> None:
        self._recording.finish()
        if self._recording.segments:
            with replacing(
                self._task.target, replace=self._task.options.replace, folder=self._recording.folder
            ) as part:
                self._write(part, self._recording.packets(self._encoding))

    def _write(self, part: Path, packets: Iterator[Any]) -> None:
        put_frames_together(part, self._task, self._stream, self._encoding, packets)
