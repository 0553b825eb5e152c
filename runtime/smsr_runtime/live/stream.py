"""Streams by PyAV: RTSP and other addresses as they come, files replayed at their own rate."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Iterator

from smsr_runtime.errors import VideoError
from smsr_runtime.live.https import explained, trusting
from smsr_runtime.live.source import LiveFrame
from smsr_runtime.media.video.colour import Look, ToRgb
from smsr_runtime.media.video.source import frame_rate, open_stream, pyav, said, video_stream

_TRANSPORTS = ("tcp", "udp")
"""How an RTSP server is asked for its packets; those of TCP are not lost on the way."""


class Stream:
    """A `LiveSource`. What has an end that it states, such as a file, is replayed at its own rate."""

    def __init__(self, name: str) -> None:
        """name: a file or an address. Raises VideoError, MissingPackageError."""
        self.name = name
        self._container = _opened(name)
        self._video = video_stream(self._container, Path(name))
        self._video.thread_type = "SLICE"  # several frames at a time would each wait for the others
        self.rate: Fraction = frame_rate(self._video)
        self._paced = os.path.isfile(name) or bool(self._container.duration)
        self._begin: float | None = None
        self._to_rgb: ToRgb | None = None
        self._frames = self._decoded()

    def read(self) -> LiveFrame | None:
        """None at the end. Raises VideoError for a stream that breaks off or changes its frames."""
        av = pyav()
        try:
            frame = next(self._frames, None)
        except (av.FFmpegError, OSError) as error:
            todo = "check the network and the sender"
            raise VideoError(self.name, "frames until it is stopped", said(error), todo) from error
        if frame is None:
            return None
        captured = self._wait(frame)
        return LiveFrame(self._upright(frame), captured)

    def _decoded(self) -> Iterator[Any]:
        av = pyav()
        for packet in self._container.demux(self._video):
            try:
                yield from packet.decode()
            except av.error.InvalidDataError:  # a damaged packet; the stream goes on
                continue

    def _wait(self, frame: Any) -> float:
        """When the frame is there: now, or in a file's replay at its own time."""
        now = time.monotonic()
        if not self._paced or frame.pts is None:
            return now
        moment = float(frame.pts * self._video.time_base)
        if self._begin is None:
            self._begin = now - moment
        due = self._begin + moment
        time.sleep(max(0.0, due - now))
        return due

    def _upright(self, frame: Any) -> Any:
        if self._to_rgb is None:
            look = replace(Look.of(frame, self._video), bits=8)
            self._kind = (frame.width, frame.height, frame.format.name)
            self._to_rgb = ToRgb(look, self.name, alpha=False)
        kind = (frame.width, frame.height, frame.format.name)
        if kind != self._kind:
            before, now = ("{}x{} {}".format(*each) for each in (self._kind, kind))
            raise VideoError(self.name, f"frames of one kind, {before}", now, "start again for the new frames")
        return self._to_rgb(frame)

    def close(self) -> None:
        self._container.close()


def _opened(name: str) -> Any:
    if name.lower().startswith("https:"):
        try:
            return open_stream(name, trusting())
        except VideoError as error:
            raise explained(name, error) from error
    if not name.lower().startswith("rtsp"):
        return open_stream(name, {})
    errors = []
    for transport in _TRANSPORTS:
        try:
            return open_stream(name, {"rtsp_transport": transport})
        except VideoError as error:
            errors.append(error)
    raise errors[0]
