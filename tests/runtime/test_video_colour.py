"""Where chroma samples lie, how deep they are, and what transparency becomes; computed here in numpy."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest

from smsr_runtime.errors import VideoError
from smsr_runtime.media.video.colour import Look, ToRgb
from tests.runtime.helpers import Run
from tests.runtime.video import copied, decoded, rgb_frames, write_clip

SIZE = (96, 64)
LOSSLESS = {"qp": "0"}
TO_YUV = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
"""BT.601, full range."""


def smooth_picture() -> np.ndarray:
    """(H, W, 3) uint8, colours that change along both axes slowly enough for any interpolation."""
    y, x = np.mgrid[: SIZE[1], : SIZE[0]].astype(float)
    waves = [np.sin(x / 5), np.cos(x / 6 + y / 9), np.sin(x / 7 - y / 8)]
    return np.asarray(np.rint(128 + 90 * np.stack(waves, 2)), np.uint8)


def planes(rgb: np.ndarray, horizontal: float, vertical: float) -> list[np.ndarray]:
    """Limited-range 4:2:0 planes, the chroma interpolated at x = 2i + horizontal, y = 2j + vertical."""
    yuv = rgb.astype(float) @ TO_YUV.T
    luma = np.rint(16 + yuv[..., 0] * 219 / 255)
    chroma = []
    for channel in (1, 2):
        values = 128 + yuv[..., channel] * 224 / 255
        columns = np.stack([np.interp(np.arange(0, SIZE[0], 2) + horizontal, np.arange(SIZE[0]), r) for r in values])
        rows = [np.interp(np.arange(0, SIZE[1], 2) + vertical, np.arange(SIZE[1]), c) for c in columns.T]
        chroma.append(np.rint(np.stack(rows, 1)))
    return [plane.astype(np.uint8) for plane in (luma, *chroma)]


def yuv_frame(parts: list[np.ndarray], kind: str = "yuv420p") -> av.VideoFrame:
    flat = np.concatenate([part.reshape(-1) for part in parts])
    return av.VideoFrame.from_ndarray(flat.reshape(SIZE[1] * 3 // 2, SIZE[0]), format=kind)


def error(a: np.ndarray, b: np.ndarray) -> float:
    """Root mean square, 2 pixels of border left out."""
    inner = (slice(2, -2), slice(2, -2))
    return float(np.sqrt(((a[inner].astype(float) - b[inner]) ** 2).mean()))


@pytest.mark.parametrize(
    ("siting", "horizontal", "vertical"),
    [("", 0.0, 0.5), ("chromaloc=0", 0.0, 0.5), ("chromaloc=2", 0.0, 0.0), ("chromaloc=1", 0.5, 0.5)],
    ids=["unstated", "left", "top left", "centre"],
)
def test_chroma_is_read_where_it_lies(tmp_path: Path, siting: str, horizontal: float, vertical: float) -> None:
    picture = smooth_picture()
    options = {**LOSSLESS, **({"x264-params": siting} if siting else {})}
    frame = yuv_frame(planes(picture, horizontal, vertical))
    clip = write_clip(tmp_path / "in.mkv", [frame], options=options)
    (seen,), _ = copied(clip, tmp_path / "out.mkv")
    assert error(seen, picture) < 1.5  # half a pixel to the side: 5 and more


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libvpx-vp9"])
def test_chroma_is_written_on_the_left(tmp_path: Path, codec: str) -> None:
    parts = planes(smooth_picture(), 0.0, 0.5)
    clip = write_clip(tmp_path / "in.mkv", [yuv_frame(parts)], options=LOSSLESS)
    copied(clip, tmp_path / "out.mkv", codec=codec, crf=0)
    (result,) = decoded(tmp_path / "out.mkv")
    height, width = SIZE[1], SIZE[0]
    chroma = result.reshape(-1)[height * width :].reshape(2, height // 2, width // 2)
    for before, after in zip(parts[1:], chroma):
        assert error(before, after) < 1.5  # centred: 4.5


def test_jpeg_chroma_lies_between_the_pixels(tmp_path: Path) -> None:
    picture = smooth_picture()
    frame = yuv_frame(planes(picture, 0.5, 0.5)).reformat(format="yuvj420p", src_color_range=1, dst_color_range=2)
    clip = write_clip(tmp_path / "in.avi", [frame], codec="mjpeg", options={"q": "1"}, color_range=2, qmin=1)
    (seen,), _ = copied(clip, tmp_path / "out.mp4")
    assert error(seen, picture) < 3.5  # half a pixel to the side: 6


@pytest.mark.parametrize(
    ("source", "codec", "result", "words"),
    [
        ("yuv422p", "libx264", "yuv422p", ""),
        ("yuv444p10le", "libx264", "yuv444p10le", ""),
        ("yuv422p10le", "prores_ks", "yuv422p10le", ""),
        ("yuv420p10le", "mpeg4", "yuv420p", "10 bits per sample (mpeg4 has 8)"),
        ("yuv444p", "libsvtav1", "yuv420p", "4:4:4 chroma (libsvtav1 has less)"),
        ("yuv420p", "libsvtav1", "yuv420p", ""),
        ("yuv420p", "ffv1", "yuv420p", ""),
    ],
)
def test_depth_and_chroma_are_kept_or_named(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], source: str, codec: str, result: str, words: str
) -> None:
    clip = write_clip(tmp_path / "in.mkv", rgb_frames(3, pix_fmt=source), codec="ffv1", options={})
    _, report = copied(clip, tmp_path / "out.mkv", codec=codec)
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert container.streams.video[0].format.name == result
    assert report.notes == ([f"not kept: {words}"] if words else [])
    assert capfd.readouterr() == ("", "")  # SVT-AV1 and x265 have logs of their own


def transparent_clip(path: Path, codec: str, kind: str) -> tuple[Path, np.ndarray]:
    """Alpha that rises from left to right, in wide steps."""
    pixels = np.zeros((48, 64, 4), np.uint8)
    pixels[...] = (200, 120, 40, 0)
    pixels[..., 3] = np.arange(0, 256, 64, dtype=np.uint8).repeat(16)
    frames = [av.VideoFrame.from_ndarray(pixels, format="rgba").reformat(format=kind) for _ in range(3)]
    return write_clip(
        path, frames, codec=codec, options={"b": "10M", "auto-alt-ref": "0"} if "vpx" in codec else {}
    ), pixels[..., 3]


@pytest.mark.parametrize(
    ("codec", "kind", "name", "result_codec"),
    [
        ("qtrle", "argb", "out.webm", None),
        ("qtrle", "argb", "out.mov", "prores_ks"),
        ("libvpx-vp9", "yuva420p", "out.webm", None),
        ("libvpx", "yuva420p", "out.mkv", "ffv1"),
        ("libvpx", "yuva420p", "out.webm", "libvpx"),
    ],
)
def test_transparency_is_kept(tmp_path: Path, codec: str, kind: str, name: str, result_codec: str | None) -> None:
    clip, alpha = transparent_clip(tmp_path / ("in.mov" if codec == "qtrle" else "in.webm"), codec, kind)
    seen, report = copied(clip, tmp_path / name, codec=result_codec)
    assert [pixels.shape for pixels in seen] == [(48, 64, 4)] * 3
    if codec == "qtrle":  # RGB, so no colour is lost
        assert (seen[0][..., :3] == (200, 120, 40)).all()
    assert np.abs(seen[0][..., 3].astype(int) - alpha).max() <= (0 if codec == "qtrle" else 12)
    assert not any("transparency" in note for note in report.notes)
    again, _ = copied(tmp_path / name, tmp_path / "again.mkv", codec="ffv1")
    depth = 257 if again[0].dtype == np.uint16 else 1
    assert np.abs(again[0][..., 3].astype(int) / depth - alpha).max() <= 14


@pytest.mark.parametrize(("codec", "kind", "name"), [("qtrle", "argb", "a.mov"), ("libvpx-vp9", "yuva420p", "a.webm")])
def test_transparency_that_is_lost_is_named(tmp_path: Path, codec: str, kind: str, name: str) -> None:
    clip, _ = transparent_clip(tmp_path / name, codec, kind)
    seen, report = copied(clip, tmp_path / "out.mp4")
    assert [pixels.shape for pixels in seen] == [(48, 64, 3)] * 3
    assert "not kept: transparency, which libx264 does not hold" in report.notes[0]


@pytest.mark.parametrize(("codec", "extension"), [("libx264rgb", "mkv"), ("qtrle", "mov"), ("png", "mov")])
def test_rgb_codecs_keep_every_pixel(tmp_path: Path, codec: str, extension: str) -> None:
    clip = write_clip(tmp_path / "in.mkv", rgb_frames(3, pix_fmt="yuv444p"), codec="ffv1", options={})
    seen, report = copied(clip, tmp_path / f"out.{extension}", codec=codec, **({"crf": 0} if "264" in codec else {}))
    result = decoded(tmp_path / f"out.{extension}", "rgb24")
    assert report.notes == []
    assert all(np.array_equal(before, after) for before, after in zip(seen, result))


@pytest.mark.parametrize("size", [(63, 48), (64, 47)])
def test_odd_sizes_keep_every_chroma_sample(tmp_path: Path, size: tuple[int, int]) -> None:
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p")
    clip = write_clip(tmp_path / "in.mkv", [frame], codec="ffv1", options={})
    copied(clip, tmp_path / "out.mkv")
    with av.open(str(tmp_path / "out.mkv")) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height, stream.format.name) == (*size, "yuv444p")


def test_black_under_transparent_pixels_does_not_bleed(run: Run, tmp_path: Path) -> None:
    """What is hidden is black; what is seen is one colour, and stays that up to the rim."""
    pixels = np.zeros((48, 64, 4), np.uint8)
    pixels[8:40, 8:56] = (60, 200, 90, 255)
    frames = [av.VideoFrame.from_ndarray(pixels, format="rgba").reformat(format="argb") for _ in range(2)]
    clip = write_clip(tmp_path / "in.mov", frames, codec="qtrle", options={})
    done = run(clip, "-o", tmp_path / "out.mov", "--video-codec", "prores_ks")
    assert (done.returncode, done.stderr) == (0, "")
    large = decoded(tmp_path / "out.mov", "rgba")[0].astype(int)
    shown = large[..., 3] > 250
    assert abs(int(shown.sum()) - 4 * 32 * 48) < 100
    assert np.abs(large[shown][:, :3] - (60, 200, 90)).max() < 12


def test_an_opaque_video_in_a_transparent_format_needs_no_note(tmp_path: Path) -> None:
    frames = [frame.reformat(format="argb") for frame in rgb_frames(3, pix_fmt="rgb24")]
    clip = write_clip(tmp_path / "in.mov", frames, codec="qtrle", options={})
    _, report = copied(clip, tmp_path / "out.mp4")
    assert report.notes == []


@pytest.mark.parametrize("codec", ["ffv1", "libx264"])
def test_chroma_that_is_not_subsampled_stays_on_its_pixels(tmp_path: Path, codec: str) -> None:
    """4:4:4 blocks of random colours come back as they were: half a pixel's shift would blur every edge."""
    options = {"options": {}} if codec == "ffv1" else {"options": {"qp": "0"}}
    clip = write_clip(tmp_path / "in.mkv", rgb_frames(2, pix_fmt="yuv444p"), codec, **options)
    copied(clip, tmp_path / "out.mkv", codec="ffv1")
    for before, after in zip(decoded(clip), decoded(tmp_path / "out.mkv")):
        assert np.abs(before.astype(int) - after).max() <= 2


def test_rows_of_chroma_that_is_not_subsampled_stay_on_theirs(tmp_path: Path) -> None:
    """4:2:2 has every row: stripes of colour across the picture come back as they were."""
    stripes = np.zeros((48, 64, 3), np.uint8)
    stripes[::2] = (200, 30, 60)
    stripes[1::2] = (20, 120, 220)
    frame = av.VideoFrame.from_ndarray(stripes, format="rgb24").reformat(format="yuv422p")
    clip = write_clip(tmp_path / "in.mkv", [frame], "ffv1", options={})
    copied(clip, tmp_path / "out.mkv", codec="ffv1")
    (before,), (after,) = decoded(clip), decoded(tmp_path / "out.mkv")
    assert np.abs(before.astype(int) - after).max() <= 2


@pytest.mark.parametrize("frames", [range(3), [1]], ids=["whole file", "damaged frame"])
@pytest.mark.parametrize("place", [14, 15], ids=["primaries", "transfer"])
@pytest.mark.parametrize("number", [0, 3, 10, 156])
def test_colour_marks_that_ffmpeg_has_no_use_for_change_no_pixel(
    tmp_path: Path, number: int, place: int, frames: Iterable[int]
) -> None:
    """In ProRes's frame header (SMPTE RDD 36): 0 is unknown there, 3 and 156 are reserved; 10 is a logarithmic
    curve where it is a transfer."""
    clip = write_clip(tmp_path / "in.mov", rgb_frames(3, pix_fmt="yuv422p10le"), "prores_ks", options={})
    unmarked, _ = copied(clip, tmp_path / "unmarked.mov")
    data = bytearray(clip.read_bytes())
    headers = [at + 4 for at in range(len(data)) if data.startswith(b"icpf", at)]
    assert len(headers) == 3 and all(data[at + place] == 2 for at in headers)
    for frame in frames:
        data[headers[frame] + place] = number
    clip.write_bytes(data)
    seen, report = copied(clip, tmp_path / "out.mov")
    assert report.error is None and len(seen) == 3 and all(map(np.array_equal, seen, unmarked))


@pytest.mark.parametrize("codec", ["ffv1", "h264"], ids=["by filters", "by the reformatter"])
@pytest.mark.parametrize("kind", ["rgb4", "yaf32le"])
def test_a_pixel_format_that_ffmpeg_does_not_convert_is_the_video_s_error(codec: str, kind: str) -> None:
    """It was taken for a result that could not be written; on yaf32le FFmpeg 8 ends the process."""
    frame = av.VideoFrame(*SIZE, kind)
    frame.pts, frame.time_base = 0, Fraction(1, 25)
    look = Look.of(frame, SimpleNamespace(codec_context=SimpleNamespace(name=codec)))
    with pytest.raises(VideoError, match=rf"^clip.mkv: expected frames that FFmpeg turns into RGB, got {kind}"):
        ToRgb(look, "clip.mkv", alpha=False)(frame)
