"""What an unfinished run leaves besides its segments: a file with all that is encoded, which plays."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, Callable, Iterable, Iterator

from smsr_runtime.errors import OutputError, SmsrError, with_todo
from smsr_runtime.files import not_written, replacing
from smsr_runtime.media.video.encoding import Encoding
from smsr_runtime.media.video.journal import folder_of, partial_name
from smsr_runtime.media.video.options import Task
from smsr_runtime.media.video.recording import Recording

Write = Callable[[Path, Iterator[Any]], None]

_LESS = 0.8
"""Of what a full disk did not take, tried next: tables at the end of the file need room too."""


def keep_partial(task: Task, encoding: Encoding, recording: Recording, write: Write) -> str:
    """Writes it as far as the disk has room. What is where, in words; "" for a run without a frame.

    write: puts encoded frames into a file.
    """
    with contextlib.suppress(SmsrError, OSError):  # the segment at work is lost, those before are not
        recording.end_early()
    frames = recording.encoded
    if not frames:
        return ""
    path, on = partial_name(task.target), _how_to_go_on(recording)
    try:
        taken = _write(path, write, encoding, recording)
    except SmsrError as error:
        kept = f"finished pieces of the video are in {folder_of(task.target)}" if recording.segments else "none is kept"
        return f"{frames} frames were made, {path.name} could not be written ({error.got}): {kept}{on}"
    amount = f"{frames} frames" if taken == frames else f"{taken} of the {frames} frames"
    return f"{path} plays, with the {amount} made so far{on}"


def _how_to_go_on(recording: Recording) -> str:
    kept = sum(segment.frames for segment in recording.segments)
    return f"; the same command with --resume goes on after frame {kept}" if kept else ""


def _write(path: Path, write: Write, encoding: Encoding, recording: Recording) -> int:
    """The number of frames. Raises OutputError where not even one has room, VideoError."""
    most = float("inf")
    while True:
        taken = _UpTo(most, recording.packets(encoding))
        try:
            with replacing(path, folder=recording.folder) as part:
                write(part, iter(taken))
            recording.partial = True
            return min(taken.count, recording.encoded)
        except OutputError:
            if taken.count <= 1:
                raise
            most = _LESS * taken.bytes


class _UpTo:
    """The first packets, of `most` bytes together."""

    def __init__(self, most: float, packets: Iterable[Any]) -> None:
        self.bytes = self.count = 0
        self._most, self._packets = most, packets

    def __iter__(self) -> Iterator[Any]:
        for packet in self._packets:
            if self.bytes + packet.size > self._most:
                return
            self.bytes += packet.size
            self.count += 1
            yield packet


def ended_by(error: SmsrError | OSError, target: Path, kept: str) -> SmsrError:
    """The error that ended a video, with what is kept of it; an OSError as one that names `target`."""
    whole = not_written(target, error) if isinstance(error, OSError) else error
    return with_todo(whole, kept) if kept else whole
