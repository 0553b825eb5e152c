"""The container that is written: opened, its streams added, its errors named."""

from __future__ import annotations

import contextlib
import errno
from fractions import Fraction
from pathlib import Path
from typing import Any, Iterator

from smsr_runtime.errors import VideoError, reason
from smsr_runtime.media.video.options import Task
from smsr_runtime.media.video.source import pyav

_DISK_ERRORS = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EIO)


@contextlib.contextmanager
def open_target(part: Path, task: Task) -> Iterator[Any]:
    """The container, closed at the end. part: the temporary file to write. Raises VideoError, OSError for the disk."""
    av = pyav(task.source)
    try:
        output = av.open(str(part), "w")
    except (av.FFmpegError, ValueError) as error:
        raise _refused(task, error) from error
    try:
        yield output
        output.close()
    except BaseException as error:
        with contextlib.suppress(av.FFmpegError, OSError):  # it only has to release its file, which is removed
            output.close()
        if isinstance(error, av.FFmpegError):
            raise _failed(error, task) from error
        raise


def add_encoder(output: Any, video: Any, task: Task) -> Any:
    """The result's video stream, like the source's stream `video`. Raises VideoError for an unknown codec."""
    try:
        stream = output.add_stream(task.options.codec, rate=video.average_rate or video.guessed_rate or Fraction(25))
    except ValueError as error:  # PyAV: no such encoder
        raise _refused(task, error) from error
    stream.metadata.update(video.metadata)
    return stream


def add_copy(output: Any, stream: Any, target: Path) -> Any:
    """A stream whose packets are copied from the source's `stream`. Raises VideoError."""
    try:
        if hasattr(output, "add_stream_from_template"):
            copy = output.add_stream_from_template(stream)
        else:  # PyAV before 14
            copy = output.add_stream(template=stream)
    except ValueError as error:
        todo = "write a .mkv, which holds every kind of stream"
        raise VideoError(target, f"room for the {stream.type} stream", reason(error), todo) from error
    copy.metadata.update(stream.metadata)
    return copy


def _refused(task: Task, error: Exception) -> VideoError:
    expected = f"a container and an encoder ({task.options.codec}) that work together"
    return VideoError(task.target, expected, reason(error), "choose another --video-codec or extension")


def _failed(error: Any, task: Task) -> Exception:
    """A full disk as an OSError; other errors of FFmpeg come from the input, or from the encoder's settings."""
    if error.errno in _DISK_ERRORS:
        return OSError(error.errno, reason(error))
    if error.errno == errno.EINVAL:
        return _refused(task, error)
    return VideoError(task.source, "an undamaged video", reason(error), "copy the file again")
