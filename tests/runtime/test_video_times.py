"""Times: of frames, their durations and the whole; and what is done where a source has none or wrong ones."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.runtime.video import RATE, copied, rgb_frames, write_clip


def packets(path: Path) -> list[Any]:
    """Of the video stream, in the order they are shown."""
    with av.open(str(path)) as container:
        return sorted((p for p in container.demux(video=0) if p.pts is not None), key=lambda packet: packet.pts)


def clip_of(path: Path, times: list[int], last: int = 1) -> Path:
    """Frames at `times` in 1/25 s; the last one is shown for `last` of these."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=RATE, options={"bf": "0"})
        video.width, video.height, video.codec_context.time_base = 64, 48, Fraction(1, RATE)
        video.codec_context.flags |= av.codec.context.Flags.frame_duration
        for number, frame in enumerate(rgb_frames(len(times))):
            frame.pts, frame.time_base = times[number], Fraction(1, RATE)
            frame.duration = last if number + 1 == len(times) else times[number + 1] - times[number]
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    return path


def test_the_last_frame_is_shown_as_long_as_before(tmp_path: Path) -> None:
    clip, out = clip_of(tmp_path / "in.mp4", [0, 1, 4, 6], last=9), tmp_path / "out.mkv"
    copied(clip, out)
    last = packets(out)[-1]
    assert abs(float(last.duration * last.time_base) - 9 / RATE) < 2e-3
    with av.open(str(out)) as container:
        assert abs(container.duration / 1e6 - 15 / RATE) < 2e-3


def test_a_turned_picture_turns_its_pixel_shape(tmp_path: Path) -> None:
    clip = tmp_path / "in.mp4"
    with av.open(str(clip), "w") as container:
        video = container.add_stream("libx264", rate=RATE)
        video.width, video.height, video.codec_context.sample_aspect_ratio = 64, 48, Fraction(4, 3)
        video.set_display_rotation(90)
        for number, frame in enumerate(rgb_frames(3)):
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    copied(clip, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height, stream.sample_aspect_ratio) == (48, 64, Fraction(3, 4))


def test_frames_without_times_follow_the_frame_rate(tmp_path: Path) -> None:
    """A bare H.264 stream has none."""
    path = tmp_path / "in.mkv"
    with av.open(str(path), "w", format="h264") as container:
        video = container.add_stream("libx264", rate=RATE, options={"bf": "0"})
        video.width, video.height = 64, 48
        for frame in rgb_frames(8):
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    copied(path, tmp_path / "out.mkv")
    times = [float(packet.pts * packet.time_base) for packet in packets(tmp_path / "out.mkv")]
    assert np.allclose(times, np.arange(8) / RATE, atol=1e-3)


def test_parts_with_clocks_of_their_own_follow_each_other(tmp_path: Path) -> None:
    """Two recordings put together byte by byte, as with `cat`: the second starts its clock anew."""
    parts = [
        write_clip(tmp_path / f"{start}.ts", rgb_frames(40), start=start, options={"crf": "20"}) for start in (500, 100)
    ]
    path = tmp_path / "in.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    _, report = copied(path, tmp_path / "out.mp4")
    times = [float(packet.pts * packet.time_base) for packet in packets(tmp_path / "out.mp4")]
    assert len(times) == 80
    assert np.allclose(np.diff(times), 1 / RATE, atol=0.05)
    assert times[0] == 0
    assert times[-1] < 81 / RATE + 0.1
    assert report.notes == ["its clock is set back, 1 times in all: the parts follow each other"]
    assert report.error is None


@pytest.mark.parametrize("tagged", [False, True])
def test_an_end_before_the_stated_one_is_named(tmp_path: Path, tagged: bool) -> None:
    """2 seconds that say they are 60: an error where the stream says so, a note where only the container does."""
    data = write_clip(tmp_path / "whole.mkv", rgb_frames(50)).read_bytes()
    duration, tag = data.index(b"\x44\x89\x88"), data.index(b"00:00:02.0")
    data = data[: duration + 3] + struct.pack(">d", 60000.0) + data[duration + 11 :]
    data = data[:tag] + b"00:01:00.0" + data[tag + 10 :]
    if not tagged:
        data = data.replace(b"DURATION", b"XURATION")
    (tmp_path / "in.mkv").write_bytes(data)
    _, report = copied(tmp_path / "in.mkv", tmp_path / "out.mkv")
    if tagged:
        assert report.notes == []
        assert report.error is not None
        assert report.error.got == "no frames from 2.0 s to its end at 60.0 s"
    else:
        assert report.notes == ["ends at 2.0 s of the 60.0 s that it states: it may be cut short"]
        assert report.error is None


@pytest.mark.parametrize("extension", ["mp4", "mkv", "ts", "webm", "mpg", "avi", "flv"])
def test_a_whole_video_has_no_notes_and_no_error(tmp_path: Path, extension: str) -> None:
    start = 0 if extension == "avi" else 100
    codec = {"webm": "libvpx-vp9", "mpg": "mpeg2video", "avi": "mpeg4"}.get(extension, "libx264")
    clip = write_clip(tmp_path / f"in.{extension}", rgb_frames(50), codec, options={"b": "1M"}, start=start)
    seen, report = copied(clip, tmp_path / "out.mp4")
    assert (len(seen), report.notes, report.error) == (50, [], None)
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.video[0].start_time == 0
        assert abs(container.duration / 1e6 - 2) < 0.05
