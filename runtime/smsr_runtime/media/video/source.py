"""Opens a video and probes it. The only file to import PyAV."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

from smsr_runtime.errors import MissingPackageError, VideoError, reason
from smsr_runtime.resources import available_memory

MICROSECONDS = 1_000_000
"""A container's times are in these."""
VIDEO_BYTES_PER_PIXEL = 250
"""Memory that decoder, encoder and their frames in waiting take for each pixel of a frame."""
_SECONDS_TO_OPEN, _SECONDS_TO_READ = 10.0, 10.0
_MOST_PIXELS = 2**31 - 1
_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
"""How a Matroska file begins, and the part that holds everything."""
_HEADERS = tuple(
    bytes.fromhex(name)
    for name in ("114d9b74", "1549a966", "1654ae6b", "1c53bb6b", "1254c367", "1941a469", "1043a770", "ec", "bf")
)
"""Identifiers of what may stand before the first cluster: SeekHead, Info, Tracks, Cues, Tags, ..., Void, CRC-32."""
_AGAIN = "copy the file again, or repair it: ffmpeg -i IN -c copy OUT"


def pyav(where: object = "video") -> Any:
    """The module av. Raises MissingPackageError."""
    try:
        import av
        import av.filter
    except ImportError as error:
        raise MissingPackageError(where, "PyAV, to read a video", "it is not installed", "pip install av") from error
    # No log at all: every error that matters is raised. At any other level, PANIC too, a decoder's thread waits for the
    # GIL to log an error, while the main thread holds it and waits for the decoder's threads to end: neither does.
    av.logging.set_level(None)
    return av


def open_source(source: Path) -> Any:
    """The container; frames that do not fit into memory are not decoded to probe them.

    Raises VideoError, MissingPackageError.
    """
    av, options = pyav(source), {"max_pixels": str(most_pixels())}
    try:
        return av.open(str(source), options=options, metadata_errors="replace")
    except (av.FFmpegError, OSError) as error:
        raise VideoError(source, "a readable video", said(error), "copy or save the file again") from error


def open_stream(name: str, options: dict[str, str]) -> Any:
    """A stream's container, opened within seconds or not at all. Raises VideoError, MissingPackageError."""
    av = pyav(name)
    options = {**options, "max_pixels": str(most_pixels())}
    try:
        return av.open(name, options=options, timeout=(_SECONDS_TO_OPEN, _SECONDS_TO_READ), metadata_errors="replace")
    except (av.FFmpegError, OSError) as error:
        raise VideoError(name, "a stream that answers", said(error), "check the address and the sender") from error


def open_bytes(data: bytes) -> Any:
    """The container of a file in memory."""
    return pyav().open(io.BytesIO(data))


def most_pixels() -> int:
    """Pixels of the largest frame that memory has room for."""
    memory = available_memory()
    return _MOST_PIXELS if memory is None else min(memory // VIDEO_BYTES_PER_PIXEL, _MOST_PIXELS)


def said(error: BaseException) -> str:
    """What an error of FFmpeg says, without the call and the file that PyAV adds."""
    return str(getattr(error, "strerror", None) or reason(error))


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
        if not is_cover(stream):
            if stream.codec_context is None:
                todo = "convert it with a program that reads it"
                raise VideoError(source, "a codec that FFmpeg decodes", "one that it does not know", todo)
            return stream
    raise VideoError(source, "a video stream", "none", "name a file with moving pictures")


def is_cover(stream: Any) -> bool:
    """Whether a video stream is one still picture."""
    return "attached_pic" in str(getattr(stream, "disposition", ""))


def frame_rate(video: Any) -> Fraction:
    """Frames per second as the stream states them; 25 where it states none."""
    return Fraction(video.average_rate or video.guessed_rate or 25)


def start_of(streams: list[Any]) -> Fraction:
    """Seconds at which the first of the streams begins; 0 where that is before 0, as sound often is."""
    starts = [stream.start_time * stream.time_base for stream in streams if stream.start_time is not None]
    return max(min(starts, default=Fraction(0)), Fraction(0))


def stated_end(video: Any, start: Fraction) -> float | None:
    """Seconds after `start` at which the video stream says itself that it ends; None where it does not say."""
    if video.duration:
        return float((video.duration + (video.start_time or 0)) * video.time_base - start)
    hours, _, rest = video.metadata.get("DURATION", "").partition(":")
    minutes, _, seconds = rest.partition(":")
    try:
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds) - float(start)
    except ValueError:
        return None


def check_whole(container: Any, source: Path) -> None:
    """Raises VideoError where the file says that it is longer; FFmpeg would stop at its end without an error."""
    size, end = source.stat().st_size, _matroska_size(source)
    for stream in container.streams:
        entries = getattr(stream, "index_entries", ())  # PyAV before 16 has none
        end = max(end, max((entry.pos + entry.size for entry in entries), default=0))
    if end > size:
        raise VideoError(source, f"at least {end} bytes, as its index says", f"{size}", _AGAIN)


def _matroska_size(source: Path) -> int:
    """Bytes that a Matroska or WebM file states; 0 where it states none or is another."""
    with source.open("rb") as file:
        head = file.read(256)
    if not head.startswith(_EBML):
        return 0
    length, position = _size(head, 4)
    position += length or 0
    if head[position : position + 4] != _SEGMENT:
        return 0
    length, position = _size(head, position + 4)
    return 0 if length is None else position + length


def clusters_start(source: Path) -> int:
    """Where the frames of a Matroska file begin, or what should be its header cannot be read; 0 for another file."""
    with source.open("rb") as file:
        head = file.read(256)
        place = head.find(_SEGMENT) if head.startswith(_EBML) else -1
        if place < 0:
            return 0
        _, position = _size(head, place + 4)
        while True:
            file.seek(position)
            data = file.read(12)
            width = 1 if data[:1] in _HEADERS else 4
            if data[:width] not in _HEADERS or len(data) < 12:
                return position
            length, start = _size(data, width)
            position += start + (length or 0)


def _size(data: bytes, position: int) -> tuple[int | None, int]:
    """An EBML size (RFC 8794, section 4), None for an unknown one, and the position behind it."""
    first = data[position]
    width = 9 - first.bit_length()
    value = int.from_bytes(data[position : position + width], "big") - (1 << 7 * width)
    return (None if width > 8 or value == (1 << 7 * width) - 1 else value), position + width
