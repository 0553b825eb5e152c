"""--show-masks for videos and animations: the heat of work as a second moving picture, resumed to the same bytes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

import smsr_runtime
from smsr_runtime.media.masks import ACTIVE, BUSY, QUIET, heat, mosaic
from smsr_runtime.media.picture import Picture
from smsr_runtime.media.video import journal
from smsr_runtime.media.video.options import Beside, VideoOptions
from smsr_runtime.media.video.transfer import upscale_video
from smsr_runtime.resources import resident_memory
from smsr_runtime.run.upscale import check_frame
from tests.runtime.helpers import Run, assert_one_line_error
from tests.runtime.kills import clip_with_sound, killer
from tests.runtime.test_animation import TIMES, animated, read
from tests.runtime.video import decoded, rgb_frames, write_clip

FRAMES = 150
"""Two segments of 60 frames, and half a one."""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clip_with_sound(tmp_path_factory.mktemp("clips") / "in.mp4", FRAMES)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_heat_is_deeper_where_more_modules_worked() -> None:
    """By hand: none leaves the gray, one tints by 0.4 of its colour, both by 0.85; a mask's pixel is 2x2 here."""
    masks = [np.array([[0, 1, 1]], bool), np.array([[0, 0, 1]], bool)]
    shown = heat(np.full((2, 6, 3), 100, np.uint8), masks)
    assert shown.shape == (2, 6, 3)
    for place, (opacity, colour) in enumerate([(0.0, QUIET), (0.4, QUIET), (0.85, BUSY)]):
        expected = (1 - opacity) * 100 + opacity * np.array(colour)
        assert np.abs(shown[:, 2 * place : 2 * place + 2] - expected).max() <= 1
    white = heat(np.full((2, 2, 4), 65535, np.uint16), [np.ones((1, 1), bool)])
    assert np.abs(white - (0.15 * 255 + 0.85 * np.array(BUSY))).max() <= 2
    assert np.array_equal(mosaic(Picture(np.zeros((200, 200), np.uint8)), [np.ones((200, 200), bool)]).color[30, 9],
                          np.rint(0.55 * np.array(ACTIVE)).astype(np.uint8))  # fmt: skip


def test_a_real_clip_and_its_masks(run: Run, bundle: Path, shared: Path, tmp_path: Path) -> None:
    """65 frames of a film: as many in both, at the same times; each shows where that frame's modules worked."""
    with av.open(str(shared / "data" / "video" / "bikes.mp4")) as film:
        frames = [next(film.decode(video=0)).reformat(width=160, height=68) for _ in range(65)]
    write_clip(tmp_path / "in.mkv", frames)
    done = run(tmp_path / "in.mkv", "-o", tmp_path / "out.mkv", "--video-codec", "ffv1", "--show-masks", "--json")
    (record,) = json.loads(done.stdout)["files"]
    assert (done.returncode, record["masks"], record["frames"]) == (0, str(tmp_path / "out.masks.mkv"), 65)
    assert names(tmp_path) == {"in.mkv", "out.mkv", "out.masks.mkv"}
    times = []
    for name in ("out.mkv", "out.masks.mkv"):
        with av.open(str(tmp_path / name)) as result:
            times.append([frame.time for frame in result.decode(video=0)])
            assert (result.streams.video[0].width, result.streams.video[0].height) == (320, 136)
    assert times[0] == times[1] and len(times[0]) == 65
    upscaler = smsr_runtime.load(bundle)
    for number in (0, 30, 64):
        source = decoded(tmp_path / "in.mkv", "rgb24")[number]
        larger, margins = upscaler.with_margins(source)
        expected = heat(larger, [margin > 0 for margin in margins])
        shown = decoded(tmp_path / "out.masks.mkv", "rgb24")[number]
        assert np.abs(shown.astype(int) - expected).mean() < 6  # chroma is stored once per 2x2 pixels


def test_masks_are_those_of_the_theta_that_a_target_moved_to(run: Run, tmp_path: Path) -> None:
    """A rate out of reach: theta goes from 0 to its bound, 60. Module k works where red is above 100 k + theta."""
    ramp = np.zeros((48, 256, 3), np.uint8)
    ramp[..., 0] = np.arange(256)
    frames = [av.VideoFrame.from_ndarray(ramp, format="rgb24").reformat(format="bgr0") for _ in range(40)]
    write_clip(tmp_path / "in.mkv", frames, "ffv1", options={})
    target = ("--target-fps", "100000", "--theta-range", "0:60")
    done = run(tmp_path / "in.mkv", "-o", tmp_path / "out.mkv", "--video-codec", "ffv1", "--show-masks", *target)
    assert done.returncode == 0, done.stderr
    assert names(tmp_path) == {"in.mkv", "out.mkv", "out.masks.mkv"}
    larger, shown = (decoded(tmp_path / name, "rgb24") for name in ("out.mkv", "out.masks.mkv"))
    assert len(larger) == len(shown) == 40

    def apart(number: int, theta: int) -> float:
        masks = [np.asarray(ramp[..., 0] > 100 * module + theta) for module in (1, 2)]
        return float(np.abs(shown[number].astype(int) - heat(larger[number], masks)).mean())

    for number, theta, other in ((0, 0, 60), (39, 60, 0)):
        assert apart(number, theta) < 3
        assert apart(number, other) > 6


class Stop(Exception):
    """What ends a run early here."""


def made(source: Path, target: Path, stop: int | None = None, **options: Any) -> int:
    """Without a network; masks are the inverted frame. stop: frames after which it ends. How many were upscaled."""
    count = 0

    def upscale(pixels: NDArray[Any]) -> tuple[NDArray[Any], list[float]]:
        nonlocal count
        if count == stop:
            raise Stop
        count += 1
        return pixels, [0.5]

    beside = Beside(target.with_name(f"{target.stem}.masks{target.suffix}"), lambda pixels: 255 - pixels[..., :3])
    try:
        upscale_video(upscale, source, target, VideoOptions(**options), beside=beside)
    except Stop:
        assert (target.with_name(f"{target.stem}.partial{target.suffix}")).is_file()
        assert (target.with_name(f"{target.stem}.masks.partial{target.suffix}")).is_file()
    return count


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [(".mp4", None), (".webm", None), (".mov", "prores_ks"), (".avi", "mpeg4"), (".mkv", "libx265")],
)
def test_both_are_resumed_to_the_bytes_of_one_run(clip: Path, tmp_path: Path, suffix: str, codec: str | None) -> None:
    source = clip if suffix not in (".webm", ".avi") else write_clip(tmp_path / "in.mkv", rgb_frames(FRAMES))
    whole, resumed = tmp_path / f"whole{suffix}", tmp_path / f"resumed{suffix}"
    assert made(source, whole, codec=codec) == FRAMES
    assert made(source, resumed, stop=100, codec=codec) == 100
    assert made(source, resumed, codec=codec, resume=True) == FRAMES - 60
    for kind in ("", ".masks"):
        one, two = (tmp_path / f"{name}{kind}{suffix}" for name in ("resumed", "whole"))
        assert one.read_bytes() == two.read_bytes()
        assert len(decoded(one)) == FRAMES
    assert names(tmp_path) - {"in.mkv"} == {
        f"{name}{kind}{suffix}" for name in ("whole", "resumed") for kind in ("", ".masks")
    }


@pytest.mark.parametrize("lost", ["", ".masks"], ids=["the video's", "the masks'"])
def test_each_goes_on_where_it_was(clip: Path, tmp_path: Path, lost: str) -> None:
    """Killed between the two: one has a segment more than the other, or its journal is gone."""
    made(clip, tmp_path / "whole.mp4")
    made(clip, tmp_path / "out.mp4", stop=130)
    folder = journal.folder_of(tmp_path / f"out{lost}.mp4")
    (folder / "000001.segment").unlink()
    assert made(clip, tmp_path / "out.mp4", resume=True) == FRAMES - 60
    made(clip, tmp_path / "again.mp4", stop=130)
    shutil.rmtree(journal.folder_of(tmp_path / f"again{lost}.mp4"))
    assert made(clip, tmp_path / "again.mp4", resume=True) == FRAMES
    for kind in ("", ".masks"):
        expected = (tmp_path / f"whole{kind}.mp4").read_bytes()
        assert (tmp_path / f"out{kind}.mp4").read_bytes() == expected == (tmp_path / f"again{kind}.mp4").read_bytes()


def test_kills_do_not_change_a_byte_of_either(bundle: Path, tmp_path: Path) -> None:
    """The command, killed at random moments; left-overs of either are gone in the end."""
    job = killer(bundle, tmp_path, masks=True)
    job.kill(3)
    assert job.kills >= 3 and job.results >= 1


def test_a_folder_has_masks_of_its_videos_and_pictures(run: Run, tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    write_clip(source / "a.mkv", rgb_frames(3))
    (source / "b.gif").write_bytes(animated("GIF"))
    assert run(source, "-o", out, "--show-masks").returncode == 0
    assert names(out) == {"a.mkv", "a.masks.mkv", "b.png", "b.masks.png"}
    again = run(source, "-o", out, "--show-masks", "--resume")
    assert again.returncode == 0 and "2 were there already" in again.stderr
    (out / "a.masks.mkv").unlink()
    assert_one_line_error(
        run(source, "-o", out, "--show-masks", "--resume"), 2, "a.mkv", "no masks beside it", "--force"
    )


def test_masks_alone_go_on(run: Run, tmp_path: Path) -> None:
    """The video is whole, and what is left of its masks is a journal: --resume makes them, and the video stays."""
    clip = write_clip(tmp_path / "in.mkv", rgb_frames(70))
    assert run(clip, "-o", tmp_path / "out.mkv", "--show-masks").returncode == 0
    before = [(tmp_path / name).read_bytes() for name in ("out.mkv", "out.masks.mkv")]
    left = journal.folder_of(tmp_path / "out.masks.mkv")
    left.mkdir()
    (left / "journal.jsonl").write_bytes(b"")
    done = run(clip, "-o", tmp_path / "out.mkv", "--show-masks", "--resume", "--json")
    assert done.returncode == 0 and len(json.loads(done.stdout)["files"]) == 1
    assert [(tmp_path / name).read_bytes() for name in ("out.mkv", "out.masks.mkv")] == before
    assert names(tmp_path) == {"in.mkv", "out.mkv", "out.masks.mkv"}


def test_an_animation_s_masks_move_as_it_does(run: Run, bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "in.gif").write_bytes(animated("GIF"))
    assert run(tmp_path / "in.gif", "-o", tmp_path / "out.png", "--show-masks").returncode == 0
    frames, times, _ = read(tmp_path / "out.masks.png")
    results, _, _ = read(tmp_path / "out.png")
    assert times == TIMES and [frame.shape[:2] for frame in frames] == [frame.shape[:2] for frame in results]
    grays = [cv2.cvtColor(frame[..., :3], cv2.COLOR_RGB2GRAY) for frame in results]
    for frame, gray in zip(frames, grays):
        plain = (frame[..., 0] == frame[..., 1]) & (frame[..., 1] == frame[..., 2])
        assert plain.any() and np.abs(frame[..., 0].astype(int) - gray)[plain].max() <= 1
    (tmp_path / "film").mkdir()
    assert run(tmp_path / "in.gif", "-o", tmp_path / "film" / "out.mp4", "--show-masks").returncode == 0
    assert names(tmp_path / "film") == {"out.mp4", "out.masks.mp4"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["-o", "-"], "-o -"), (["-o", "out.mkv", "--realtime"], "a camera, stream or replay")],
    ids=["stdout", "live"],
)
def test_where_masks_have_no_place_they_are_refused(run: Run, tmp_path: Path, arguments: list[str], words: str) -> None:
    clip = write_clip(tmp_path / "in.mkv", rgb_frames(3))
    assert_one_line_error(run(clip, *arguments, "--show-masks", cwd=tmp_path), 2, "--show-masks", words)
    assert names(tmp_path) == {"in.mkv"}


def test_an_existing_file_of_masks_is_not_overwritten(run: Run, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "in.mkv", rgb_frames(3))
    (tmp_path / "out.masks.mkv").write_bytes(b"mine")
    assert_one_line_error(run(clip, "-o", tmp_path / "out.mkv", "--show-masks"), 2, "out.masks.mkv", "--force")
    assert (tmp_path / "out.masks.mkv").read_bytes() == b"mine"


def test_memory_for_two_encoders_is_asked_for(bundle: Path) -> None:
    upscaler = smsr_runtime.load(bundle, memory=resident_memory() + 3400 * 2**20)
    check_frame(upscaler, "x", 1100, 1100)
    with pytest.raises(smsr_runtime.SmsrError):
        check_frame(upscaler, "x", 1100, 1100, videos=2)
