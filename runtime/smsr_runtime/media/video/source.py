"""Opens a video and probes it. The only file to import PyAV."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from smsr_runtime.errors import MissingPackageError, VideoError, reason

MICROSECONDS = 1_000_000
"""A container's duration is in these."""


def pyav(where: object = "video") -> Any:
    """The module av. Raises MissingPackageError."""
    try:
        import av
    except ImportError as error:
        raise MissingPackageError(where, "PyAV, to read a video", "it is not installed", "pip install av") from error
    # No log at all: every error that matters is raised. At any other level, PANIC too, a decoder's thread waits for the
    # GIL to log an error, while the main thread holds it and waits for the decoder's threads to end: neither does.
    av.logging.set_level(None)
    return av


def open_source(source: Path) -> Any:
    """The container. Raises VideoError, MissingPackageError."""
    av = pyav(source)
    try:
        return av.open(str(source))
    except (av.FFmpegError, OSError) as error:
        raise VideoError(source, "a readable video", reason(error), "copy or save the file again") from error


def frame_count(source: Path) -> int | None:
    """The number of frames that the file states; None where it states none. Raises VideoError, MissingPackageError."""
    with open_source(source) as container:
        stream = video_stream(container, source)
        if stream.frames:
            return int(stream.frames)
        if container.duration and stream.guessed_rate:
            return int(container.duration / MICROSECONDS * stream.guessed_rate)
        return None


def video_stream(container: Any, source: Path) -> Any:
    """The first stream of moving pictures; cover art does not count. Raises VideoError."""
    for stream in container.streams.video:
        if "attached_pic" not in str(getattr(stream, "disposition", "")):
            return stream
    raise VideoError(source, "a video stream", "none", "name a file with moving pictures")


def check_whole(container: Any, source: Path) -> None:
    """Raises VideoError where the file's index points past its end; FFmpeg would stop there without an error."""
    size = source.stat().st_size
    for stream in container.streams:
        entries = getattr(stream, "index_entries", ())  # PyAV before 16 has none
        end = max((entry.pos + entry.size for entry in entries), default=0)
        if end > size:
            raise VideoError(source, f"at least {end} bytes, as its index says", f"{size}", "copy the file again")
