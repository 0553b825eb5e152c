"""Animated pictures: every frame, its time, how often all is shown; Pillow reads what was written."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from PIL.GifImagePlugin import GifImageFile
from PIL.PngImagePlugin import PngInfo

from smsr_runtime.media.codecs import animation, pillow
from smsr_runtime.media.image import decode_bytes
from tests.runtime.helpers import Run, assert_one_line_error, nearest, opened

COLORS = [(90, 0, 0), (0, 90, 0), (0, 0, 90), (80, 80, 0)]
TIMES = [40, 250, 100, 1000]


def drawing(color: tuple[int, ...], left: int) -> Image.Image:
    """A square on black that moves; equal frames would be merged."""
    pixels = np.zeros((8, 12, len(color)), np.uint8)
    pixels[2:6, left : left + 4] = color
    return Image.fromarray(pixels)


def animated(kind: str, **options: Any) -> bytes:
    alpha = options.pop("alpha", False)
    images = [drawing((*color, 255) if alpha else color, 2 * at) for at, color in enumerate(COLORS)]
    stream = io.BytesIO()
    if kind == "WEBP":
        options["lossless"] = True
    images[0].save(stream, kind, save_all=True, append_images=images[1:], duration=TIMES, **options)
    return stream.getvalue()


def read(path: Path) -> tuple[list[np.ndarray], list[float], int]:
    frames, times = [], []
    with Image.open(path) as image:
        for number in range(image.n_frames):
            image.seek(number)
            image.load()
            frames.append(np.asarray(image.convert("RGBA")))
            times.append(float(image.info["duration"]))
        return frames, times, int(image.info.get("loop", 0))


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("source", ["GIF", "WEBP", "PNG"])
@pytest.mark.parametrize("target", ["png", "webp"])
def test_all_frames_and_times_are_kept(run: Run, tmp_path: Path, source: str, target: str, alpha: bool) -> None:
    (tmp_path / f"in.{source}").write_bytes(animated(source, alpha=alpha, loop=0))
    done = run(tmp_path / f"in.{source}", "-o", tmp_path / f"out.{target}", "--json")
    record = json.loads(done.stdout)["files"][0]
    assert (done.returncode, record["frames"], record["notes"], len(record["active"])) == (0, 4, [], 2)
    frames, times, loop = read(tmp_path / f"out.{target}")
    assert (times, loop) == (TIMES, 0)
    for frame, given in zip(frames, read(tmp_path / f"in.{source}")[0], strict=True):
        expected = nearest(given)
        visible = frame[..., 3] > 0
        assert np.array_equal(visible, expected[..., 3] > 0)
        off = np.abs(frame[..., :3].astype(int) - expected[..., :3])[visible]
        assert off.max() <= (1 if target == "png" else 40)  # WebP is lossy, these colours are saturated


@pytest.mark.parametrize(("kind", "loop", "plays"), [
    ("GIF", None, 1), ("GIF", 0, 0), ("GIF", 2, 3), ("WEBP", 0, 0), ("WEBP", 3, 3), ("PNG", 0, 0), ("PNG", 5, 5),
])  # fmt: skip
def test_how_often_it_is_shown_is_kept(run: Run, tmp_path: Path, kind: str, loop: int | None, plays: int) -> None:
    """A GIF states how often it is repeated."""
    (tmp_path / f"in.{kind}").write_bytes(animated(kind, **({} if loop is None else {"loop": loop})))
    for target in ("png", "webp"):
        assert run(tmp_path / f"in.{kind}", "-o", tmp_path / f"out.{target}", "--quiet").returncode == 0
        assert read(tmp_path / f"out.{target}")[2] == plays


def test_a_gif_s_frames_are_counted_once_and_not_to_see_whether_it_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each count reads them all; whether there is a second takes reading that one."""
    sought: list[int] = []
    seek = GifImageFile._seek

    def counted(image: GifImageFile, frame: int, update_image: bool = True) -> None:
        sought.append(frame)
        seek(image, frame, update_image)

    monkeypatch.setattr(GifImageFile, "_seek", counted)
    images = [drawing(COLORS[number % 4], number % 8) for number in range(30)]
    stream = io.BytesIO()
    images[0].save(stream, "GIF", save_all=True, append_images=images[1:], duration=40)
    sought.clear()
    assert animation.is_animated(stream.getvalue(), "in.gif")
    assert max(sought) == 1
    sought.clear()
    assert len(list(animation.frames(stream.getvalue(), "in.gif", lambda header: None))) == 30
    assert sought.count(29) == 2  # counted, and shown


def test_the_first_frame_alone_is_said(run: Run, tmp_path: Path) -> None:
    (tmp_path / "in.gif").write_bytes(animated("GIF"))
    done = run(tmp_path / "in.gif", "-o", tmp_path / "out.tiff")
    assert done.returncode == 0
    assert "4 frames or pages: only the first is used" in done.stderr


def test_a_picture_for_those_who_show_no_animation_is_no_frame(run: Run, tmp_path: Path) -> None:
    (tmp_path / "in.png").write_bytes(animated("PNG", default_image=True, loop=0))
    assert run(tmp_path / "in.png", "-o", tmp_path / "out.png").returncode == 0
    assert len(read(tmp_path / "out.png")[0]) == 3


def test_one_frame_is_a_still_picture(tmp_path: Path) -> None:
    drawing(COLORS[0], 1).save(tmp_path / "in.gif")
    assert not animation.is_animated((tmp_path / "in.gif").read_bytes(), "in")
    assert animation.is_animated(animated("GIF"), "in")


def test_without_pillow_a_png_s_first_frame_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pillow, "installed", lambda: False)
    assert not animation.is_animated(animated("PNG"), "in")


def test_a_damaged_frame_leaves_nothing(run: Run, tmp_path: Path) -> None:
    for kind in ("png", "webp"):
        data = animated(kind.upper())
        (tmp_path / f"in.{kind}").write_bytes(data[: int(0.8 * len(data))])
        assert_one_line_error(run(tmp_path / f"in.{kind}", "-o", tmp_path / "out.png"), 1, f"in.{kind}")
    assert {path.suffix for path in tmp_path.iterdir()} == {".png", ".webp"}
    assert not (tmp_path / "out.png").exists()


def test_the_size_of_all_frames_is_checked_before_they_are_decoded() -> None:
    sizes: list[Any] = []
    frames = animation.frames(animated("GIF"), "in", sizes.append)
    next(frames)
    assert [(size.height, size.width) for size in sizes] == [(4 * 8, 12)]


def test_a_huge_canvas_is_refused_before_a_decoder_sees_it(run: Run, tmp_path: Path) -> None:
    """WebP's decoder allocates all of it at once."""
    data = bytearray(animated("WEBP"))
    data[24:30] = 2 * (16382).to_bytes(3, "little")
    (tmp_path / "in.webp").write_bytes(data)
    assert_one_line_error(run(tmp_path / "in.webp", "-o", tmp_path / "out.webp"), 1, "16383x16383", "memory free")


def test_times_that_a_format_cannot_state_are_said() -> None:
    picture = next(animation.frames(animated("GIF"), "in", lambda _: None)).picture
    for kind, longest in (("PNG", 65535), ("WEBP", 16777215)):
        for milliseconds, plays, expected in (
            (longest, 65535, (longest, 65535)),
            (longest + 1, 1, (longest, 1)),
            (40, 65536, (40, 0)),
        ):
            given = animation.Frame(picture, milliseconds, plays)
            frame = animation.fitting(given, kind)
            assert (frame.milliseconds, frame.plays) == expected
            said = [f"{kind} cannot state its times: the nearest are taken"]
            assert frame.picture.notes == ([] if expected == (milliseconds, plays) else said)
            other = animation.Frame(decode_bytes(animated("PNG"), "in"), milliseconds, frame.plays)
            assert animation.encode([frame, animation.fitting(other, kind)], kind, 90)


def test_a_profile_goes_with_all_frames(run: Run, tmp_path: Path) -> None:
    (tmp_path / "in.webp").write_bytes(animated("WEBP", icc_profile=b"profile" * 20))
    for target in ("png", "webp"):
        assert run(tmp_path / "in.webp", "-o", tmp_path / f"out.{target}").returncode == 0
        assert opened(tmp_path / f"out.{target}").info["icc_profile"] == b"profile" * 20


def test_metadata_that_an_animation_does_not_keep_is_said(run: Run, tmp_path: Path) -> None:
    exif = b"Exif\0\0II*\0" + struct.pack("<IHHHIII", 8, 1, 0x0132, 2, 4, 0x414141, 0)
    (tmp_path / "in.webp").write_bytes(animated("WEBP", exif=exif, xmp=b"<x/>"))
    done = run(tmp_path / "in.webp", "-o", tmp_path / "out.webp")
    assert "note: " + str(tmp_path / "in.webp") + ": not kept: XMP data, EXIF data" in done.stderr
    (tmp_path / "in.gif").write_bytes(animated("GIF", comment=b"hello"))
    assert "not kept: a comment" in run(tmp_path / "in.gif", "-o", tmp_path / "out.png").stderr
    texts = PngInfo()
    texts.add_text("Title", "My film")
    (tmp_path / "in.png").write_bytes(animated("PNG", pnginfo=texts))
    done = run(tmp_path / "in.png", "-o", tmp_path / "texts.png")
    assert "in.png: not kept: texts" in done.stderr
    assert run(tmp_path / "in.gif", "-o", tmp_path / "out.png", "--strip-metadata", "--force").stderr == ""


@pytest.mark.parametrize("kind", ["gif", "apng"])
def test_gif_and_apng_become_a_video(run: Run, tmp_path: Path, kind: str) -> None:
    (tmp_path / f"in.{kind}").write_bytes(animated("GIF" if kind == "gif" else "PNG", loop=0))
    done = run(tmp_path / f"in.{kind}", "-o", tmp_path / "out.mp4")
    assert done.returncode == 0, done.stderr
    with av.open(str(tmp_path / "out.mp4")) as container:
        times = [float(frame.pts * frame.time_base) for frame in container.decode(video=0)]
    assert np.allclose(times[:4], [0, 0.04, 0.29, 0.39], atol=0.011)
