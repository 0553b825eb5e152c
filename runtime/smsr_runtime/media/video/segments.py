"""A result's frames in segments: closed sequences of pictures, each a file of its own that plays by itself.

The files hold what the encoder gave, byte by byte; exact times stand in the journal, as a container may round them.
"""

from __future__ import annotations

import io
import zlib
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Iterator, Sequence

from smsr_runtime.errors import VideoError
from smsr_runtime.media.video.encoding import Encoding
from smsr_runtime.media.video.options import Task
from smsr_runtime.media.video.source import open_bytes, pyav
from smsr_runtime.media.video.target import EXACT, encoding, muxing

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_KINDS = ("nut", "matroska", "mov")
"""The containers that segments are tried with, in this order; NUT takes all of an encoder's packets as they are."""
_FEW = 16
"""Packets; more than any encoder reorders."""
_BESIDE = ("libvpx", "libvpx-vp9")
"""Encoders whose transparency lies beside each packet's data, which NUT does not give back as it was."""


@dataclass
class Segment:
    """What the journal says of one.

    start: time of its first frame, in the encoder's time base; shape: (height, width, channels) of the upscaled frames;
    times: each packet's pts, dts and duration, counted from start; active: the sum of its frames' active shares per
    module; transparent: whether a frame has transparency that the encoder does not hold; size, crc: of the file.
    """

    start: int
    shape: list[int]
    frames: int = 0
    times: list[list[int]] = field(default_factory=list)
    active: list[float] = field(default_factory=list)
    transparent: bool = False
    size: int = 0
    crc: int = 0

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def is_in(self, file: Path) -> bool:
        """Whether the file is what was written."""
        try:
            data = file.read_bytes()
        except OSError:
            return False
        return len(data) == self.size and zlib.crc32(data) == self.crc


class SegmentWriter:
    """Encodes one segment in memory."""

    def __init__(self, plan: Encoding, task: Task, start: int, shape: list[int]) -> None:
        self.segment = Segment(start, shape)
        self._plan, self._task = plan, task
        self._file = io.BytesIO()
        self._container, self._stream = self._opened(shape)
        plan.open(self._stream)
        with muxing(task, plan.codec):
            self._container.start_encoding()

    def _opened(self, shape: list[int]) -> tuple[Any, Any]:
        for kind in _KINDS:
            if shape[2] == 4 and self._plan.codec in _BESIDE and kind == "nut":
                continue
            container = pyav().open(self._file, "w", format=kind, container_options=EXACT)
            try:
                return container, container.add_stream(self._plan.codec, rate=self._plan.rate)
            except ValueError:  # this container does not hold it
                container.close()
        expected = f"an encoder whose result can be kept in pieces, in {' or '.join(_KINDS)}"
        raise VideoError(self._task.target, expected, self._plan.codec, "choose another --video-codec")

    def write(self, pixels: NDArray[Any], time: int, duration: int, shares: Sequence[float]) -> None:
        """One frame. time: in the encoder's time base, from the video's begin on."""
        self._encode(self._plan.frame(pixels, time - self.segment.start, duration))
        self.segment.frames += 1
        self.segment.active = [a + b for a, b in zip(self.segment.active or [0.0] * len(shares), shares)]

    def finish(self) -> bytes:
        """The segment's file, once what the encoder still holds is out."""
        self._encode(None)
        with muxing(self._task, self._plan.codec):
            self._container.close()
        self.segment.times = with_sound_dts(self.segment.times)
        data = self._file.getvalue()
        self.segment.size, self.segment.crc = len(data), zlib.crc32(data)
        return data

    def _encode(self, frame: Any) -> None:
        with encoding(self._task, self._plan.codec):
            packets = self._stream.encode(frame)
        times = [[packet.pts, packet.dts, packet.duration or 0] for packet in packets]
        if frame is None and not self.segment.times:  # all come at the end: there are few
            times = with_sound_dts(times)
            for packet, (_, dts, _) in zip(packets, times):
                packet.dts = dts
        self.segment.times += times
        with muxing(self._task, self._plan.codec):
            self._container.mux(packets)


def with_sound_dts(times: list[list[int]]) -> list[list[int]]:
    """Packets' pts, dts and duration in file order, dts rising and none behind its pts.

    Few frames, as a last segment may have, come out of libx265 with dts that nobody set. Then each packet gets the pts
    that is as many places before in time as pictures are reordered by, and before the first these go on backwards.
    """
    dts, pts = [packet[1] for packet in times], sorted(packet[0] for packet in times)
    rising = all(before < after for before, after in zip(dts, dts[1:]))
    if len(times) >= _FEW and rising and all(packet[1] <= packet[0] for packet in times):
        return times
    step = max(1, pts[1] - pts[0] if len(pts) > 1 else 1)
    delay = max((place - pts.index(packet[0]) for place, packet in enumerate(times)), default=0)
    before = [pts[0] - step * (delay - place) for place in range(delay)]
    return [[packet[0], time, packet[2]] for packet, time in zip(times, [*before, *pts])]


def packets(segment: Segment, data: bytes, time_base: Any) -> Iterator[Any]:
    """The encoder's packets with their own times, from the bytes of a segment's file."""
    with open_bytes(data) as container:
        times = iter(segment.times)
        for packet in container.demux():
            if packet.size:
                pts, dts, duration = next(times)
                packet.time_base = time_base
                packet.pts, packet.dts, packet.duration = segment.start + pts, segment.start + dts, duration
                yield packet
