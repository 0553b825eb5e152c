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


class FramesResult:
    """A result of frames alone while it is made, with a journal of its own: kept, resumed and put together.

    stream: what the frames come from, a file's or a `FrameStream`; facts: of the input.
    """

    def __init__(self, task: Task, stream: Any, facts: dict[str, Any]) -> None:
        """Raises VideoError, UsageError, OutputError."""
        self.task, self._stream = task, stream
        with trial(task) as container:
            output = FramesOutput(container, stream, task)
            self.encoding = Encoding(container, output.stream, stream, task)
        self.journal = Journal(task, facts)
        self.recording = Recording(self.journal, task)

    def decide(self, look: Look, shape: Sequence[int]) -> None:
        """Sets the encoder up for upscaled frames of this shape, and tries it out. Raises VideoError, UsageError."""
        self.encoding.decide(look, shape, None)
        with trial(self.task) as container:
            FramesOutput(container, self._stream, self.task).write_header(self.encoding)

    def put_together(self) -> None:
        """Writes the result. Raises VideoError, OutputError."""
        with replacing(self.task.target, replace=self.task.options.replace, folder=self.recording.folder) as part:
            self._write(part, self.recording.packets(self.encoding))

    def keep_partial(self) -> str:
        """What is done so far and where it is, in words."""
        return keep_partial(self.task, self.encoding, self.recording, self._write)

    def _write(self, part: Path, packets: Iterator[Any]) -> None:
        put_frames_together(part, self.task, self._stream, self.encoding, packets)


class FrameRecorder:
    """Writes frames as they come; `finish` makes the video of them. `lost`: what it does not hold, in words."""

    def __init__(self, name: str, target: Path, rate: Fraction, options: VideoOptions) -> None:
        """name: of the source; rate: frames per second. Raises VideoError, UsageError, OutputError."""
        self._rate = rate
        self._result = FramesResult(Task(Path(name), target, options), FrameStream(rate), {"live": name})
        self._last: int | None = None

    @property
    def lost(self) -> list[str]:
        return self._result.encoding.lost

    def write(self, pixels: NDArray[Any], seconds: float, shares: Sequence[float]) -> None:
        """pixels: (H, W, 3) uint8; seconds: since the first frame. Raises VideoError, OutputError."""
        encoding = self._result.encoding
        if not encoding.decided:
            self._result.decide(usual_look(pixels), pixels.shape)
        time = round(seconds / encoding.time_base)
        time = time if self._last is None else max(time, self._last + 1)
        self._last = time
        duration = round(1 / self._rate / encoding.time_base)
        self._result.recording.write(encoding, pixels, (time, duration), shares, hidden=False)

    def finish(self) -> None:
        """The video of all frames; nothing where there was none. Raises VideoError, OutputError."""
        recording = self._result.recording
        done = not recording.frames
        try:
            recording.finish()
            if recording.segments:
                self._result.put_together()
            done = True
        except (SmsrError, OSError) as error:
            raise ended_by(error, self._result.task.target, self._result.keep_partial()) from error
        finally:
            self._result.journal.close(done=done)
