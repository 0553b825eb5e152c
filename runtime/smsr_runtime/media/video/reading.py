"""A source's packets and frames: decoded as far as they can be, interlaced ones made whole."""

from __future__ import annotations

import collections
import errno
from typing import Any, Iterator, Sequence

from smsr_runtime.errors import VideoError
from smsr_runtime.media.video.damage import Damage
from smsr_runtime.media.video.filters import Filters
from smsr_runtime.media.video.options import Task
from smsr_runtime.media.video.source import clusters_start, frame_rate, most_pixels, pyav, said

_WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
"""Decoders that read WebM's transparency, which FFmpeg's own leave out."""
_NOT_KEPT = {
    "A53_CC": "closed captions in the frames",
    "DYNAMIC_HDR_PLUS": "HDR10+ metadata",
    "DYNAMIC_HDR_VIVID": "HDR Vivid metadata",
    "DOVI_METADATA": "Dolby Vision metadata",
    "DOVI_RPU_BUFFER": "Dolby Vision metadata",
    "SPHERICAL": "the mark of a spherical video",
    "STEREO3D": "the mark of a stereoscopic video",
}
"""What frames may carry that has no way into the result, by the name of the side data."""

_LAST_OF_A_PART = 3
"""Packets that FFmpeg has begun to read when it finds a counter out of order (measured: 2)."""

_MOST_BETWEEN = 1024
"""Bytes between two packets of a whole Matroska file: headers of blocks and clusters; alpha lies there too."""


class Reader:
    """Reads one video stream; `damage` counts what is missing, `lost` names what frames carry in vain."""

    def __init__(self, container: Any, video: Any, task: Task) -> None:
        self.damage = Damage()
        self.lost: set[str] = set()
        self.deinterlaced = self.left_interlaced = False
        self._container, self._video, self._task = container, video, task
        self._first: Any = None
        self._clock: int | None = None
        self._recent: collections.deque[bool] = collections.deque(maxlen=_LAST_OF_A_PART)
        self._read = clusters_start(task.source)
        self._rate = float(frame_rate(video))
        self._mode = task.options.deinterlace
        which = "all" if self._mode == "on" else "interlaced"
        self._deinterlace = Filters(("bwdif", f"mode=send_frame:deint={which}"))
        self._decoder = _decoder(video)
        self.alpha_unread = video.metadata.get("alpha_mode") == "1" and self._decoder is video.codec_context

    def packets(self, streams: Sequence[Any]) -> Iterator[Any]:
        """Those of `streams`, in file order; ends early where the file cannot be read any further."""
        av, packet, wanted = pyav(), None, {stream.index for stream in streams}
        try:
            for packet in self._container.demux():
                self._see_packet(packet)
                if packet.stream == self._video:
                    self._see_clock(packet)
                if packet.stream.index in wanted:
                    yield packet
        except (av.FFmpegError, OSError) as error:
            time = "" if packet is None or packet.pts is None else f" at {float(packet.pts * packet.time_base):.2f} s"
            self.damage.stopped = f"nothing readable from there on{time}: {said(error)}"

    def frames(self, packet: Any) -> Iterator[Any]:
        """packet: of the video stream. Raises VideoError where its frames change."""
        if packet.size:  # PyAV's mark of the end is empty
            yield from self._whole(self._decoded(packet))

    def rest(self) -> Iterator[Any]:
        """The frames that are left when there are no more packets."""
        yield from self._whole(self._decoded(None))
        yield from self._deinterlace.flush()

    def _whole(self, frames: list[Any]) -> Iterator[Any]:
        for frame in frames:
            frame.time_base = frame.time_base or self._video.time_base
            self._see(frame)
            if self._mode == "off":
                self.left_interlaced |= bool(frame.interlaced_frame)
                yield frame
            elif frame.interlaced_frame or self.deinterlaced or self._mode == "on":
                self.deinterlaced = True
                yield from self._deinterlace.push(frame)
            else:
                yield frame

    def _decoded(self, packet: Any) -> list[Any]:
        av = pyav()
        try:
            frames = list(self._decoder.decode(packet))
            self._recent.append(packet is not None and packet.is_corrupt)
            self.damage.holed += self._recent[-1]
            return frames
        except av.FFmpegError as error:
            if error.errno == errno.ENOMEM:
                raise VideoError(self._task.source, "memory for its frames", said(error), "close programs") from error
            self.damage.refused += 1
            return []

    def _see_clock(self, packet: Any) -> None:
        """Where parts were put together byte by byte the clock is set back, and one of the last packets before it has
        holes by its container's counters, but none in truth."""
        if packet.dts is None:
            return
        if self._clock is not None and packet.dts < self._clock:
            self.damage.holed -= sum(self._recent)
            self._recent.clear()
        self._clock = packet.dts

    def _see_packet(self, packet: Any) -> None:
        """In Matroska FFmpeg looks for the next cluster behind damage, without a word."""
        if self._container.format.name.startswith("matroska") and packet.size and packet.pos is not None:
            if 0 < self._read < packet.pos - _MOST_BETWEEN and self._video.metadata.get("alpha_mode") != "1":
                self.damage.unread += packet.pos - self._read
            self._read = max(self._read, packet.pos + packet.size)

    def _see(self, frame: Any) -> None:
        self._check_size(frame)
        self.damage.marred += frame.is_corrupt
        if frame.pts is not None and self._container.format.name != "avi":  # there a gap repeats the frame before
            self.damage.see(float(frame.pts * frame.time_base), self._rate)
        names = {data.type.name for data in list(frame.side_data.keys())}
        self.lost.update(_NOT_KEPT[name] for name in names if name in _NOT_KEPT)

    def _check_size(self, frame: Any) -> None:
        self._first = self._first or frame
        before, now = (f"{kind.width}x{kind.height} {kind.format.name}" for kind in (self._first, frame))
        if before != now:
            time = "" if frame.pts is None else f" at {float(frame.pts * frame.time_base):.2f} s"
            todo = "cut the video where its frames change"
            raise VideoError(self._task.source, f"frames of one kind, {before}", f"{now}{time}", todo)


def _decoder(video: Any) -> Any:
    context = video.codec_context
    name = _WITH_ALPHA.get(context.name)
    if video.metadata.get("alpha_mode") == "1" and name in pyav().codecs_available:
        context = pyav().CodecContext.create(name, "r")
    # FFmpeg's threads wait for each other: in damaged H.265 for ever. Those for slices lose what was wrong in one.
    context.thread_count = 1
    context.options = {"max_pixels": str(most_pixels())}
    return context
