"""What a result keeps of its source: tags, chapters, marks, fonts, HDR10, times; and which encoder makes it."""

from __future__ import annotations

import os
import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from smsr_runtime.media.video.options import VideoOptions
from smsr_runtime.media.video.priority import policies
from smsr_runtime.media.video.transfer import upscale_video
from tests.runtime.helpers import Run, assert_one_line_error
from tests.runtime.video import RATE, copied, decoded, pattern, rgb_frames, write_clip

RICH_TAGS = {"title": "My film", "artist": "Someone", "encoder": "OldTool 1.0"}
CHAPTERS = [("One", 0, 400), ("Two", 400, 1000)]


def rich_clip(path: Path, delay: int = 0) -> Path:
    """Two sounds with marks, a subtitle, chapters, a font; delay: milliseconds at which everything begins."""
    with av.open(str(path), "w") as container:
        container.metadata.update(RICH_TAGS)
        video = container.add_stream("libx264", rate=RATE, options={"crf": "10"})
        video.width, video.height = 64, 48
        video.metadata.update(
            {"title": "Picture", "encoder": "OldTool libx264", "BPS": "12345", "NUMBER_OF_FRAMES": "7"}
        )
        sounds = [container.add_stream("aac", rate=44100) for _ in "ab"]
        for sound, language in zip(sounds, ("eng", "deu")):
            sound.metadata.update({"language": language, "encoder": "OldTool aac"})
        sounds[0].disposition, sounds[1].disposition = 0, 1 | 64
        chapters: list[Any] = [
            {
                "id": number,
                "start": start + delay,
                "end": end + delay,
                "time_base": Fraction(1, 1000),
                "metadata": {"title": name},
            }
            for number, (name, start, end) in enumerate(CHAPTERS)
        ]
        container.set_chapters(chapters)
        if path.suffix == ".mkv":
            container.add_attachment("letters.ttf", "application/x-truetype-font", b"not really a font")
        for number in range(RATE):
            frame = av.VideoFrame.from_ndarray(pattern(number), format="rgb24")
            frame.pts, frame.time_base = number + delay * RATE // 1000, Fraction(1, RATE)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        for sound in sounds:
            for start in range(0, 44100, 1024):
                wave = np.sin(np.arange(start, start + 1024) / 20)[None].astype(np.float32)
                piece = av.AudioFrame.from_ndarray(np.repeat(wave, 2, 0), format="fltp", layout="stereo")
                piece.sample_rate, piece.time_base = 44100, Fraction(1, 44100)
                piece.pts = start + delay * 44100 // 1000
                container.mux(sound.encode(piece))
            container.mux(sound.encode(None))
    return path


def tags(source: Any) -> dict[str, str]:
    return {key.lower(): value for key, value in source.metadata.items()}


@pytest.mark.parametrize("extension", ["mkv", "mp4", "mov"])
def test_tags_chapters_and_marks_are_kept(tmp_path: Path, extension: str) -> None:
    clip, out = rich_clip(tmp_path / "in.mkv"), tmp_path / f"out.{extension}"
    _, report = copied(clip, out)
    assert report.notes == ([] if extension == "mkv" else ["not kept: attachment stream 3 (letters.ttf)"])
    with av.open(str(out)) as container:
        kept = tags(container)
        assert (kept["title"], kept["artist"]) == (RICH_TAGS["title"], RICH_TAGS["artist"])
        assert "OldTool" not in kept.get("encoder", "")
        times = [
            (c["metadata"]["title"], c["start"] * c["time_base"] * 1000, c["end"] * c["time_base"] * 1000)
            for c in container.chapters()
        ]
        assert times == CHAPTERS
        sounds = container.streams.audio
        if extension != "mov":  # its own list of languages has no "deu"
            assert [sound.metadata["language"] for sound in sounds] == ["eng", "deu"]
        assert [bool(sound.disposition & 1) for sound in sounds] == [False, True]
        if extension == "mkv":
            assert sounds[1].disposition == 65
            (font,) = container.streams.attachments
            assert (font.name, font.data) == ("letters.ttf", b"not really a font")
            assert tags(sounds[0])["encoder"] == "OldTool aac"  # its packets are still that tool's
            picture = tags(container.streams.video[0])
            assert picture["title"] == "Picture"
            assert not {"bps", "number_of_frames", "encoder"} & set(picture)


def test_chapters_that_the_container_cannot_hold_are_named(tmp_path: Path) -> None:
    _, report = copied(rich_clip(tmp_path / "in.mkv"), tmp_path / "out.ts")
    (note,) = report.notes
    assert note.startswith("not kept: ")
    assert "2 chapters, which .mpegts does not hold" in note
    assert "tags (artist, title), which .mpegts does not hold" in note


def test_a_late_start_becomes_the_start(tmp_path: Path) -> None:
    clip = rich_clip(tmp_path / "in.mkv", delay=11400)
    copied(clip, tmp_path / "out.mkv")
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert container.duration / 1e6 < 1.1
        assert [c["start"] * c["time_base"] for c in container.chapters()] == [0, Fraction(2, 5)]
        starts = [next(container.decode(stream)).time for stream in (container.streams.video[0],)]
        assert starts == [0.0]
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert abs(next(container.decode(audio=0)).time) < 0.03


def test_streams_keep_their_distance_when_the_start_moves(tmp_path: Path) -> None:
    """Broadcast starts anywhere; its sound and picture do not start together."""
    clip = rich_clip(tmp_path / "in.ts", delay=2000)
    copied(clip, tmp_path / "out.mp4")
    firsts = []
    for path in (clip, tmp_path / "out.mp4"):
        with av.open(str(path)) as container:
            firsts.append([float(s.start_time * s.time_base) for s in container.streams if s.type != "data"])
    (before, after) = (np.array(times) for times in firsts)
    assert before.min() > 1.9
    assert after.min() == 0
    assert np.allclose(before - before.min(), after, atol=1e-3)


def hdr_clip(path: Path) -> Path:
    params = "log-level=none:hdr10=1:master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)"
    options = {"x265-params": f"{params}L(10000000,500):max-cll=1000,400"}
    frames = rgb_frames(3, pix_fmt="yuv420p10le")
    return write_clip(path, frames, "libx265", options=options, color_trc=16, color_primaries=9, colorspace=9)


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libsvtav1"])
def test_hdr10_is_kept(tmp_path: Path, codec: str) -> None:
    """red, green, blue, white as x and y, then least and most cd/m2: values of the clip's own parameters."""
    display = [0.68, 0.32, 0.265, 0.69, 0.15, 0.06, 0.3127, 0.329, 0.05, 1000]
    _, report = copied(hdr_clip(tmp_path / "in.mp4"), tmp_path / "out.mp4", codec=codec)
    assert report.notes == []
    with av.open(str(tmp_path / "out.mp4")) as container:
        frame = next(container.decode(video=0))
    assert (frame.colorspace, frame.color_trc, frame.color_primaries) == (9, 16, 9)
    data = {piece.type.name: bytes(piece) for piece in list(frame.side_data.keys())}
    numbers = struct.unpack("=22i", data["MASTERING_DISPLAY_METADATA"])
    assert np.allclose(np.array(numbers[0:20:2]) / numbers[1:20:2], display, rtol=0, atol=2e-5)
    assert struct.unpack("=II", data["CONTENT_LIGHT_LEVEL"]) == (1000, 400)


def test_hdr10_that_is_lost_is_named(tmp_path: Path) -> None:
    _, report = copied(hdr_clip(tmp_path / "in.mp4"), tmp_path / "out.mov", codec="prores_ks")
    assert report.notes[0].startswith("not kept: HDR10 mastering display and light levels (libx264")


@pytest.mark.parametrize(
    ("extension", "codec"),
    [
        ("mp4", "h264"),
        ("mkv", "h264"),
        ("webm", "vp9"),
        ("mpg", "mpeg2video"),
        ("avi", "h264"),
        ("ts", "h264"),
        ("flv", "h264"),
        ("wmv", "h264"),
    ],
)
def test_each_container_has_its_codec(tmp_path: Path, extension: str, codec: str) -> None:
    clip = write_clip(tmp_path / "in.mkv", rgb_frames(12))
    copied(clip, tmp_path / f"out.{extension}")
    with av.open(str(tmp_path / f"out.{extension}")) as container:
        frames = list(container.decode(video=0))
        assert container.streams.video[0].codec_context.name == codec
    assert len(frames) == 12
    steps = np.diff([frame.time for frame in frames])[:-1]  # FFmpeg reads the last time of a .wmv wrong
    assert np.allclose(steps, 1 / RATE, atol=1.1e-3)
    error = np.abs(frames[-1].to_ndarray(format="rgb24").astype(int) - decoded(clip, "rgb24")[-1]).mean()
    assert error < 4


def test_webm_to_webm_needs_no_option(run: Run, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "in.webm", rgb_frames(3), "libvpx-vp9", options={})
    done = run(clip, "-o", tmp_path / "out.webm", "--crf", "40")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("codec", ["libx265", "libsvtav1", "av1", "libx264"])
def test_quiet_is_quiet(run: Run, tmp_path: Path, codec: str) -> None:
    clip = write_clip(tmp_path / "in.mp4", rgb_frames(3))
    done = run(clip, "-o", tmp_path / "out.mp4", "--video-codec", codec, "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_no_encoder_makes_threads_real_time_ones(tmp_path: Path) -> None:
    """SVT-AV1 does, its caller's too, where it runs as root; all later threads and processes would inherit it."""
    seen = []

    def upscale(pixels: np.ndarray) -> tuple[np.ndarray, list[float]]:
        seen.append(set(policies().values()))
        return pixels, [0.5]

    clip, before = write_clip(tmp_path / "in.mp4", rgb_frames(3)), os.sched_getscheduler(0)
    upscale_video(upscale, clip, tmp_path / "out.mp4", VideoOptions(codec="libsvtav1"))
    assert os.sched_getscheduler(0) == before and seen == [{before}] * 3


def test_an_encoder_that_does_not_work_is_named_and_not_the_input(run: Run, tmp_path: Path) -> None:
    """h264_v4l2m2m: in every build for Linux, and a device almost nowhere."""
    if "h264_v4l2m2m" not in av.codecs_available:
        pytest.fail("this PyAV has no h264_v4l2m2m; name another encoder that needs hardware")
    clip = write_clip(tmp_path / "in.mp4", rgb_frames(3))
    done = run(clip, "-o", tmp_path / "out.mp4", "--video-codec", "h264_v4l2m2m")
    assert_one_line_error(done, 1, "out.mp4: expected the encoder h264_v4l2m2m to work", "its hardware")
    assert "in.mp4" not in done.stderr


def test_a_quality_that_the_encoder_lacks_is_named(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "in.mp4", rgb_frames(3))
    _, report = copied(clip, tmp_path / "out.mov", codec="prores_ks", crf=10)
    assert report.notes == ["not kept: --crf, which prores_ks does not have"]


def interlaced_clip(path: Path) -> Path:
    """Bars that move by 8 pixels from field to field: the two fields of a frame show them at different places."""
    frames = []
    for number in range(10):
        fields = [np.roll(np.kron([0, 1, 0, 0], np.ones((48, 16))) * 255, 16 * number + 8 * k, 1) for k in (0, 1)]
        gray = np.where(np.arange(48)[:, None] % 2 == 0, *fields).astype(np.uint8)
        frames.append(av.VideoFrame.from_ndarray(gray, format="gray").reformat(format="yuv420p"))
    options = {"crf": "1", "flags": "+ildct+ilme", "x264-params": "tff=1"}
    return write_clip(path, frames, options=options)


def combing(frame: np.ndarray) -> float:
    """How much rows differ from both neighbours, where those are alike."""
    rows = frame[..., 1].astype(int)
    return float(np.abs(2 * rows[1:-1] - rows[:-2] - rows[2:]).mean())


def test_interlaced_video_is_deinterlaced(tmp_path: Path) -> None:
    clip = interlaced_clip(tmp_path / "in.mkv")
    seen, report = copied(clip, tmp_path / "out.mkv")
    assert combing(decoded(clip, "rgb24")[5]) > 20
    assert max(combing(frame) for frame in seen[1:-1]) < 6
    assert report.notes == ["interlaced: the result is deinterlaced (bwdif), one frame for two fields"]
    with av.open(str(tmp_path / "out.mkv")) as container:
        frames = list(container.decode(video=0))
    assert np.allclose([frame.time for frame in frames], np.arange(10) / RATE, atol=1e-3)
    assert not any(frame.interlaced_frame for frame in frames)


def test_deinterlacing_can_be_switched_off_and_forced(tmp_path: Path) -> None:
    """off: the rows of both fields stay as they are; on: frames without the mark are deinterlaced too."""
    clip = interlaced_clip(tmp_path / "in.mkv")
    left, report = copied(clip, tmp_path / "left.mkv", deinterlace="off")
    assert combing(left[5]) > 20
    assert report.notes == ["interlaced, and left so: both fields of a frame go through the network as one picture"]
    frames = [frame.reformat(format="yuv420p") for frame in _unmarked(clip)]
    unmarked = write_clip(tmp_path / "unmarked.mkv", frames)
    assert combing(copied(unmarked, tmp_path / "auto.mkv")[0][5]) > 20
    forced, _ = copied(unmarked, tmp_path / "on.mkv", deinterlace="on")
    assert len(forced) == 10
    assert max(combing(frame) for frame in forced[1:-1]) < 6


def _unmarked(clip: Path) -> list[av.VideoFrame]:
    return [av.VideoFrame.from_ndarray(pixels, format="yuv420p") for pixels in decoded(clip, "yuv420p")]
