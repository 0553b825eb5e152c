"""The container that is written: opened, its streams added, its errors named."""

from __future__ import annotations

import contextlib
import errno
from pathlib import Path
from typing import Any, Iterator

from smsr_runtime.errors import VideoError
from smsr_runtime.media.video.encoders import default_codec, silence
from smsr_runtime.media.video.kept import keep_stream_tags
from smsr_runtime.media.video.options import Task
from smsr_runtime.media.video.source import frame_rate, pyav, said

EXACT = {"fflags": "+bitexact"}
"""For containers: nothing random is written, nor the version of FFmpeg, so that equal work gives equal bytes."""
_DISK_ERRORS = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EIO)


@contextlib.contextmanager
def open_target(part: Path, task: Task) -> Iterator[Any]:
    """The container, closed at the end. part: the temporary file to write. Raises VideoError, OSError for the disk."""
    av, output = pyav(task.source), opened_target(str(part), task)
    try:
        yield output
        with muxing(task, ""):
            output.close()
    except BaseException:
        with contextlib.suppress(av.FFmpegError, OSError):  # it only has to release its file, which is removed
            output.close()
        raise


def opened_target(file: Any, task: Task) -> Any:
    """file: a name, or a file object with one. Raises VideoError."""
    av = pyav(task.source)
    try:
        return av.open(file, "w", container_options=EXACT)
    except (av.FFmpegError, ValueError) as error:
        raise refused(task, "", error) from error


def add_encoder(output: Any, video: Any, task: Task) -> Any:
    """The result's video stream, like the source's stream `video`. Raises VideoError for an unknown codec."""
    av, codec = pyav(), task.options.codec or default_codec(output.format.name)
    try:
        if av.codec.Codec(codec, "w").type != "video":
            raise ValueError(f"{codec} encodes no video")
        stream = output.add_stream(codec, rate=frame_rate(video))
    except av.codec.codec.UnknownCodecError as error:
        got, todo = f"{codec}, which it does not know", "name a video encoder, such as libx264, libx265 or libsvtav1"
        raise VideoError(task.target, "an encoder of FFmpeg for --video-codec", got, todo) from error
    except (av.FFmpegError, ValueError) as error:  # not for this container
        raise refused(task, codec, error) from error
    silence(stream.codec_context.name)
    keep_stream_tags(stream, video, encoded_again=True)
    return stream


def add_copy(output: Any, stream: Any, target: Path) -> Any:
    """A stream whose packets are copied from the source's `stream`. Raises VideoError."""
    try:
        if hasattr(output, "add_stream_from_template"):
            copy = output.add_stream_from_template(stream)
        else:  # PyAV before 14
            copy = output.add_stream(template=stream)
    except (pyav().FFmpegError, ValueError) as error:
        todo = "write a .mkv, which holds every kind of stream"
        raise VideoError(target, f"room for the {stream.type} stream", said(error), todo) from error
    keep_stream_tags(copy, stream)
    return copy


def copy_packet(output: Any, packet: Any) -> bool:
    """Whether the container takes a packet, which it may not if that is damaged. Raises OSError for the disk."""
    try:
        output.mux(packet)
    except pyav().FFmpegError as error:
        if is_of_disk(error):
            raise OSError(error.errno, said(error)) from error
        return False
    return True


@contextlib.contextmanager
def encoding(task: Task, codec: str) -> Iterator[None]:
    """Names the encoder in its errors."""
    try:
        yield
    except (pyav().FFmpegError, ValueError) as error:
        todo = "choose another --video-codec"
        if codec.endswith(("_nvenc", "_qsv", "_amf", "_vaapi", "_videotoolbox", "_v4l2m2m")):
            todo += ", or run where its hardware and driver are"
        raise VideoError(task.target, f"the encoder {codec} to work", said(error), todo) from error


def write_header(output: Any, task: Task) -> None:
    """Raises VideoError where the container does not hold the streams, OSError for the disk."""
    try:
        output.start_encoding()
    except (pyav().FFmpegError, ValueError) as error:
        if isinstance(error, pyav().FFmpegError) and is_of_disk(error):
            raise OSError(error.errno, said(error)) from error
        held = ", ".join(stream.codec_context.name for stream in output.streams if stream.codec_context)
        todo = "choose another extension or --video-codec; .mkv holds everything"
        raise VideoError(task.target, f"a container that holds {held}", said(error), todo) from error


@contextlib.contextmanager
def muxing(task: Task, codec: str) -> Iterator[None]:
    """A full disk as an OSError, other errors as the container's refusal."""
    try:
        yield
    except pyav().FFmpegError as error:
        if is_of_disk(error):
            raise OSError(error.errno, said(error)) from error
        raise refused(task, codec, error) from error


def is_of_disk(error: Any) -> bool:
    """Whether an error of FFmpeg is the disk's."""
    return error.errno in _DISK_ERRORS


def refused(task: Task, codec: str, error: Exception) -> VideoError:
    """The container does not take what is written into it."""
    codec = codec or task.options.codec or "its usual one"
    expected = f"a container and an encoder ({codec}) that work together"
    return VideoError(task.target, expected, said(error), "choose another --video-codec or extension")
