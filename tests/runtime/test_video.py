"""Videos: frames larger, times and colours kept, sound copied packet for packet. Clips are made here."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.runtime.helpers import Run, assert_one_line_error

COLOR = (90, 140, 60)
TIMES = (0, 1, 2, 5, 6, 9)
"""In 1/25 s: a variable frame rate."""


def make_clip(path: Path, size: tuple[int, int] = (64, 48), sound: bool = True, **options: object) -> Path:
    """(width, height), six frames of one colour at TIMES, a tone; options: pix_fmt, colorspace, color_range, turn."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25, options={"crf": "1", "bf": "2"})
        video.width, video.height = size
        video.pix_fmt = str(options.get("pix_fmt", "yuv420p"))
        video.codec_context.time_base = Fraction(1, 25)
        matrix, levels = int(str(options.get("colorspace", 2))), int(str(options.get("color_range", 0)))
        video.codec_context.colorspace, video.codec_context.color_range = matrix, levels
        if "turn" in options:
            video.set_display_rotation(float(str(options["turn"])))
        tone = container.add_stream("aac", rate=44100) if sound else None
        array = np.full((size[1], size[0], 3), COLOR, np.uint8)
        array[: size[1] // 2, : size[0] // 2] = 0  # the upper left quarter is black
        for time in TIMES:
            frame = av.VideoFrame.from_ndarray(array, format="rgb24").reformat(
                format=video.pix_fmt,
                src_color_range=2,
                dst_color_range=levels or 1,
                dst_colorspace={2: 5, 6: 5}.get(matrix, matrix),
            )
            frame.pts, frame.time_base = time, Fraction(1, 25)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if tone:
            for start in range(0, 16384, 1024):
                wave = np.sin(np.arange(start, start + 1024) / 20)[None].astype(np.float32)
                piece = av.AudioFrame.from_ndarray(np.repeat(wave, 2, 0), format="fltp", layout="stereo")
                piece.sample_rate, piece.pts, piece.time_base = 44100, start, Fraction(1, 44100)
                container.mux(tone.encode(piece))
            container.mux(tone.encode(None))
    return path


def packets(path: Path) -> list[tuple[bytes, float]]:
    with av.open(str(path)) as container:
        kept = [packet for packet in container.demux(audio=0) if packet.dts is not None]
        return [(bytes(packet), float(packet.pts * packet.time_base)) for packet in kept]


def frames(path: Path) -> tuple[list[float], np.ndarray, av.VideoFrame]:
    with av.open(str(path)) as container:
        decoded = list(container.decode(video=0))
        return [frame.time for frame in decoded], decoded[-1].to_ndarray(format="rgb24"), decoded[-1]


@pytest.mark.parametrize("extension", ["mp4", "mkv", "mov"])
def test_frames_times_and_sound_are_kept(run: Run, tmp_path: Path, extension: str) -> None:
    clip, out = make_clip(tmp_path / f"in.{extension}"), tmp_path / f"out.{extension}"
    done = run(clip, "-o", out)
    assert done.returncode == 0, done.stderr
    assert "128x96, 6 frames" in done.stdout
    times, last, _ = frames(out)
    assert last.shape == (96, 128, 3)
    assert np.allclose(times, np.array(TIMES) / 25, atol=1e-3)
    before, after = packets(clip), packets(out)
    assert [data for data, _ in before] == [data for data, _ in after]
    assert np.allclose([time for _, time in before], [time for _, time in after], atol=2e-3)
    assert {path.name for path in tmp_path.iterdir()} == {clip.name, out.name}
    with av.open(str(out)) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio"]


@pytest.mark.parametrize(
    ("matrix", "levels", "stated"), [(2, 0, 5), (1, 1, 1), (6, 1, 5), (1, 2, 1)], ids=["none", "709", "601", "full"]
)
def test_colours_do_not_shift(run: Run, tmp_path: Path, matrix: int, levels: int, stated: int) -> None:
    clip = make_clip(tmp_path / "in.mp4", sound=False, colorspace=matrix, color_range=levels)
    assert run(clip, "-o", tmp_path / "out.mp4").returncode == 0
    with av.open(str(tmp_path / "out.mp4")) as container:
        frame = list(container.decode(video=0))[-1]
    assert (frame.colorspace, frame.color_range) == (stated, max(levels, 1))
    exact = av.video.reformatter.VideoReformatter().reformat(
        frame, format="rgb24", src_colorspace=stated, src_color_range=max(levels, 1), dst_color_range=2
    )
    assert np.abs(exact.to_ndarray()[70, 100].astype(int) - COLOR).max() <= 3


@pytest.mark.parametrize(("pix_fmt", "size"), [("yuv420p10le", (64, 48)), ("yuv444p", (63, 47))])
def test_depth_and_chroma_are_kept(run: Run, tmp_path: Path, pix_fmt: str, size: tuple[int, int]) -> None:
    clip = make_clip(tmp_path / "in.mkv", size, sound=False, pix_fmt=pix_fmt)
    assert run(clip, "-o", tmp_path / "out.mkv").returncode == 0
    _, last, frame = frames(tmp_path / "out.mkv")
    assert frame.format.name == pix_fmt
    assert last.shape == (2 * size[1], 2 * size[0], 3)


def test_rotation_is_applied(run: Run, tmp_path: Path) -> None:
    """Players turn the clip left or right; the result is that picture, with nothing left to turn."""
    for turn in (90, -90, 180):
        clip, out = make_clip(tmp_path / f"in{turn}.mp4", sound=False, turn=turn), tmp_path / f"out{turn}.mp4"
        with av.open(str(clip)) as container:
            frame = next(container.decode(video=0))
            shown = np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90)
        assert run(clip, "-o", out).returncode == 0
        _, last, frame = frames(out)
        assert frame.rotation == 0
        assert last.shape[0] == 2 * shown.shape[0]
        assert np.array_equal(
            last[5::80, 5::80].max(axis=2) < 40, np.kron(shown, np.ones((2, 2, 1)))[5::80, 5::80].max(2) < 40
        )


def test_cut_or_foreign_file_is_one_line(run: Run, tmp_path: Path) -> None:
    whole = make_clip(tmp_path / "whole.mp4").read_bytes()
    for name, data in (("cut.mp4", whole[: len(whole) // 2]), ("text.mp4", b"text"), ("empty.mp4", b"")):
        (tmp_path / name).write_bytes(data)
        assert_one_line_error(run(tmp_path / name, "-o", tmp_path / "out.mp4"), 1, name)
        assert not (tmp_path / "out.mp4").exists()


def test_cut_clip_with_its_index_in_front_is_an_error(run: Run, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mp4", (320, 240))
    with (
        av.open(str(clip)) as source,
        av.open(str(tmp_path / "fast.mp4"), "w", options={"movflags": "faststart"}) as out,
    ):
        copies = {stream.index: out.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = copies[packet.stream.index]
                out.mux(packet)
    data = (tmp_path / "fast.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: int(len(data) * 0.8)])
    assert_one_line_error(run(tmp_path / "cut.mp4", "-o", tmp_path / "out.mp4"), 1, "cut.mp4")
    assert not (tmp_path / "out.mp4").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["-o", "out.png"], 2, "a video file to write to"),
        (
            ["-o", "out.mp4", "--video-codec", "nonsense"],
            1,
            "got nonsense, which it does not know; name a",
        ),
        (["-o", "out.mp4", "--video-codec", "aac"], 1, "aac encodes no video"),
        (["-o", "out.webm"], 1, "audio stream"),
        (["-o", "out.webm", "--video-codec", "libx264"], 1, "--video-codec"),
        (["-o", "out.mp4", "--crf", "60"], 2, "0 to 51 for libx264"),
        (["-o", "out.mp4", "--crf", "99"], 2, "--crf"),
        (["-o", "in.mp4", "--force"], 2, "same file"),
    ],
)
def test_wrong_video_usage_is_one_line(run: Run, tmp_path: Path, arguments: list[str], code: int, words: str) -> None:
    clip = make_clip(tmp_path / "in.mp4")
    assert_one_line_error(run(clip, *arguments, cwd=tmp_path), code, words)
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]
