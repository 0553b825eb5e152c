"""Runs that end early: what is encoded plays, and the next run goes on, to the bytes of one run."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from smsr_runtime.errors import OutputError, UsageError, VideoError
from smsr_runtime.media.video import journal
from smsr_runtime.media.video.options import Hooks, VideoOptions, VideoReport
from smsr_runtime.media.video.segments import SegmentWriter, with_sound_dts
from smsr_runtime.media.video.transfer import upscale_video
from tests.helpers import heed_signals
from tests.runtime.helpers import RUNTIME, Run, assert_one_line_error, run_limited
from tests.runtime.kills import clip_with_sound, killer
from tests.runtime.video import copied, decoded, rgb_frames, write_clip

FRAMES = 150
"""Two segments of 60 frames, and half a one."""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clip_with_sound(tmp_path_factory.mktemp("clips") / "in.mp4", FRAMES)


class Stop(Exception):
    """What ends a run early here."""


def made(
    source: Path, target: Path, stop: int | None = None, notes: list[str] | None = None, **options: object
) -> tuple[int, VideoReport | None]:
    """Without a network; stop: frames after which the run ends. How many frames went through, and the report."""
    count = 0

    def upscale(pixels: np.ndarray) -> tuple[np.ndarray, list[float]]:
        nonlocal count
        if count == stop:
            raise Stop
        count += 1
        return pixels, [float(pixels.mean()) / 255, 0.1]

    hooks = Hooks(say=(notes if notes is not None else []).append)
    try:
        report = upscale_video(upscale, source, target, VideoOptions(**options), hooks)  # type: ignore[arg-type]
        return count, report
    except Stop:
        return count, None


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_five_kills_do_not_change_a_byte(bundle: Path, tmp_path: Path) -> None:
    job = killer(bundle, tmp_path)
    job.kill(5)
    assert job.kills >= 5
    assert job.results >= 1


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [
        (".mp4", None),
        (".mkv", None),
        (".mov", "prores_ks"),
        (".webm", None),
        (".ts", None),
        (".avi", "mpeg4"),
        (".mpg", None),
        (".mkv", "ffv1"),
        (".mp4", "libx265"),
    ],
)
def test_a_resumed_result_is_that_of_one_run(clip: Path, tmp_path: Path, suffix: str, codec: str | None) -> None:
    """Stopped in the second segment; the frames of the first do not go through the network again."""
    source = clip if suffix not in (".webm", ".avi", ".mpg") else write_clip(tmp_path / "in.mkv", rgb_frames(FRAMES))
    whole, resumed, notes = tmp_path / f"whole{suffix}", tmp_path / f"resumed{suffix}", list[str]()
    _, one = made(source, whole, codec=codec)
    assert made(source, resumed, stop=100, notes=notes, codec=codec) == (100, None)
    assert (tmp_path / f"resumed.partial{suffix}").is_file()
    assert notes[0].endswith(
        "plays, with the 100 frames made so far; the same command with --resume goes on after frame 60"
    )
    count = 0

    def counting(pixels: np.ndarray) -> tuple[np.ndarray, list[float]]:
        nonlocal count
        count += 1
        return pixels, [float(pixels.mean()) / 255, 0.1]

    two = upscale_video(counting, source, resumed, VideoOptions(codec=codec, resume=True))
    assert count == FRAMES - 60
    assert resumed.read_bytes() == whole.read_bytes()
    assert one is not None
    assert (two.frames, two.active, two.size_in, two.size_out) == (FRAMES, one.active, one.size_in, one.size_out)
    assert names(tmp_path) - {"in.mkv"} == {f"whole{suffix}", f"resumed{suffix}"}


def test_segments_meet_without_a_seam(clip: Path, tmp_path: Path) -> None:
    """Every frame with its own time, and each as it went in."""
    made(clip, tmp_path / "out.mkv", codec="ffv1")
    with av.open(str(clip)) as before, av.open(str(tmp_path / "out.mkv")) as after:
        times = [[frame.time for frame in container.decode(video=0)] for container in (before, after)]
    assert np.allclose(np.diff(times[0]), np.diff(times[1]), atol=2e-3)
    for one, two in zip(decoded(clip), decoded(tmp_path / "out.mkv")):
        assert np.abs(one.astype(int) - two).mean() < 2  # to RGB and back; another frame is 20 and more away


class UnsetTimes:
    """An encoder's stream whose packets' dts nobody set, as libx265's for few frames may be: behind their pts."""

    def __init__(self, stream: Any) -> None:
        object.__setattr__(self, "stream", stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.stream, name, value)

    def encode(self, frame: Any) -> list[Any]:
        packets = list(self.stream.encode(frame))
        for packet in packets:
            packet.dts = 2**40
        return packets


def test_a_video_of_one_frame_needs_no_decoding_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip, opened = write_clip(tmp_path / "in.mp4", rgb_frames(1)), SegmentWriter._opened

    def unset(writer: SegmentWriter, shape: list[int]) -> tuple[Any, Any]:
        container, stream = opened(writer, shape)
        return container, UnsetTimes(stream)

    monkeypatch.setattr(SegmentWriter, "_opened", unset)
    copied(clip, tmp_path / "out.mp4")
    assert len(decoded(tmp_path / "out.mp4")) == 1


def test_decoding_times_of_few_frames_are_set_right() -> None:
    """I P B B in file order: shown 0 3 1 2, so decoded one place before; times that nobody set are replaced."""
    garbage = [[0, 9999, 1], [3, -5000, 1], [1, 7, 1], [2, 7, 1]]
    assert with_sound_dts(garbage) == [[0, -1, 1], [3, 0, 1], [1, 1, 1], [2, 2, 1]]
    assert with_sound_dts([[0, 12345, 512]]) == [[0, 0, 512]]
    many = [[number, number - 2, 1] for number in range(20)]
    assert with_sound_dts(many) == many
    late = [[number, number + 5, 1] for number in range(20)]  # decoded after they are shown
    assert with_sound_dts(late) == [[number, number, 1] for number in range(20)]


@pytest.mark.parametrize("frames", [1, 2, 61])
def test_a_last_segment_of_one_frame(tmp_path: Path, frames: int) -> None:
    clip = write_clip(tmp_path / "in.mkv", rgb_frames(frames))
    for codec in ("libx265", "libx264"):
        made(clip, tmp_path / f"{codec}.mp4", codec=codec)
        assert len(decoded(tmp_path / f"{codec}.mp4")) == frames


def test_a_partial_result_has_the_sound_of_its_frames_alone(clip: Path, tmp_path: Path) -> None:
    made(clip, tmp_path / "out.mp4", stop=70)
    with av.open(str(tmp_path / "out.partial.mp4")) as container:
        ends = [float(stream.duration * stream.time_base) for stream in container.streams]
        assert sum(1 for _ in container.decode(video=0)) == 70
    assert abs(ends[0] - ends[1]) < 0.2


def test_transparency_goes_through_segments(tmp_path: Path) -> None:
    """VP9 keeps it beside each packet."""
    pixels = [np.full((48, 64, 4), (200, 40, 40, 2 * number), np.uint8) for number in range(70)]
    frames = [av.VideoFrame.from_ndarray(one, "rgba").reformat(format="yuva444p10le") for one in pixels]
    clip = write_clip(tmp_path / "in.mov", frames, "prores_ks", options={})
    made(clip, tmp_path / "whole.webm")
    made(clip, tmp_path / "out.webm", stop=65)
    made(clip, tmp_path / "out.webm", resume=True)
    assert (tmp_path / "out.webm").read_bytes() == (tmp_path / "whole.webm").read_bytes()
    seen, _ = copied(tmp_path / "out.webm", tmp_path / "again.mkv", codec="ffv1")
    assert np.abs([int(pixels[24, 32, 3]) - 2 * number for number, pixels in enumerate(seen)]).max() <= 3


def test_an_unfinished_run_is_not_forgotten(clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    made(clip, out, stop=130)
    with pytest.raises(UsageError, match=r"no unfinished run, got one with 120 frames in .*--resume"):
        made(clip, out)
    assert "out.mp4.resume" in names(tmp_path)
    assert made(clip, out, force=True)[1] is not None
    assert names(tmp_path) == {"out.mp4"}


@pytest.mark.parametrize(
    ("change", "words"),
    [({"crf": 30}, "crf 30 in place of None"), ({"job": {"theta": 2}}, "theta 2 in place of 0")],
)
def test_only_the_same_job_is_resumed(clip: Path, tmp_path: Path, change: dict[str, object], words: str) -> None:
    made(clip, tmp_path / "out.mp4", stop=70, job={"theta": 0})
    with pytest.raises(UsageError, match=words):
        made(clip, tmp_path / "out.mp4", None, None, **{"resume": True, "job": {"theta": 0}, **change})
    assert made(clip, tmp_path / "out.mp4", resume=True, job={"theta": 0})[1] is not None


def test_a_changed_input_is_not_resumed(clip: Path, tmp_path: Path) -> None:
    source = tmp_path / "in.mp4"
    shutil.copy(clip, source)
    made(source, tmp_path / "out.mp4", stop=70)
    os.utime(source, ns=(0, 0))
    with pytest.raises(UsageError, match=r"input .* in place of"):
        made(source, tmp_path / "out.mp4", resume=True)


def test_a_journal_of_another_version_is_refused(clip: Path, tmp_path: Path) -> None:
    made(clip, tmp_path / "out.mp4", stop=70)
    file = journal.folder_of(tmp_path / "out.mp4") / "journal.jsonl"
    file.write_text(file.read_text().replace('"format_version": 1', '"format_version": 2', 1))
    before = file.read_bytes()
    with pytest.raises(UsageError, match="a journal of version 1, got version 2"):
        made(clip, tmp_path / "out.mp4", resume=True)
    assert file.read_bytes() == before


def test_the_active_share_is_the_mean_over_all_frames(clip: Path, tmp_path: Path) -> None:
    """Over three segments, by the frames as they come out of the decoder; the stand-in's shares are means of pixels."""
    _, report = made(clip, tmp_path / "out.mkv")
    assert report is not None
    assert report.active == pytest.approx([np.mean([frame.mean() / 255 for frame in decoded(clip)]), 0.1], abs=1e-3)


def test_another_machine_is_named(clip: Path, tmp_path: Path) -> None:
    made(clip, tmp_path / "out.mp4", stop=70, machine={"processors": 2})
    _, report = made(clip, tmp_path / "out.mp4", resume=True, machine={"processors": 4})
    assert report is not None
    assert report.notes == ["resumed with processors 4 in place of 2: the same video, not bit by bit"]


@pytest.mark.parametrize("damage", ["cut journal", "changed segment", "no segment", "stray file"])
def test_what_a_crash_of_the_machine_may_leave(clip: Path, tmp_path: Path, damage: str) -> None:
    made(clip, tmp_path / "whole.mp4")
    out = tmp_path / "out.mp4"
    made(clip, out, stop=140)
    folder = journal.folder_of(out)
    second = sorted(folder.glob("*.segment"))[1]
    if damage == "cut journal":
        lines = (folder / "journal.jsonl").read_bytes()
        (folder / "journal.jsonl").write_bytes(lines[:-20])
    elif damage == "changed segment":
        data = bytearray(second.read_bytes())
        data[len(data) // 2] ^= 1
        second.write_bytes(data)
    elif damage == "no segment":
        second.unlink()
    else:
        (folder / ".000002.abc.part.segment").write_bytes(b"half")
    assert made(clip, out, resume=True)[1] is not None
    assert out.read_bytes() == (tmp_path / "whole.mp4").read_bytes()


def test_two_runs_of_one_job_do_not_mix(clip: Path, tmp_path: Path) -> None:
    def upscale(pixels: np.ndarray) -> tuple[np.ndarray, list[float]]:
        with pytest.raises(UsageError, match="no other run that makes it, got one at work"):
            made(clip, tmp_path / "out.mp4", resume=True)
        raise Stop

    with pytest.raises(Stop):
        upscale_video(upscale, clip, tmp_path / "out.mp4", VideoOptions())
    assert names(tmp_path) == set()


def test_frames_that_change_leave_what_was_made(tmp_path: Path) -> None:
    small = write_clip(tmp_path / "a.ts", rgb_frames(10), options={"bf": "0"})
    large = write_clip(tmp_path / "b.ts", rgb_frames(10, (96, 64)), options={"bf": "0"}, start=10)
    (tmp_path / "in.ts").write_bytes(small.read_bytes() + large.read_bytes())
    with pytest.raises(
        VideoError, match=r"frames of one kind.*out.partial.mp4 plays, with the \d+ frames made so far$"
    ):
        made(tmp_path / "in.ts", tmp_path / "out.mp4")
    assert 8 <= len(decoded(tmp_path / "out.partial.mp4")) <= 10
    assert not (tmp_path / "out.mp4").exists()


def test_a_disk_that_will_be_full_is_seen_in_time(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the first segment there is less room than the result takes: that much is put together, and plays."""
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1_000_000))
    with pytest.raises(
        OutputError, match=r"MiB free to write it, got 976\.6 KiB; free some space; .*60 frames made so far"
    ):
        made(clip, tmp_path / "out.mp4")
    assert len(decoded(tmp_path / "out.partial.mp4")) == 60
    monkeypatch.undo()
    assert made(clip, tmp_path / "out.mp4", resume=True)[0] == FRAMES - 60


@pytest.mark.parametrize("limit", [100, 20_000, 60_000])
def test_a_full_disk_leaves_what_has_room(bundle: Path, clip: Path, tmp_path: Path, limit: int) -> None:
    """Files of at most `limit` bytes: one error, and a partial result of as many frames as fit, or none."""
    done = run_limited(limit, bundle, clip, "-o", tmp_path / "out.mkv")
    assert_one_line_error(done, 1, "file too large")
    partial = tmp_path / "out.partial.mkv"
    assert partial.exists() == (limit > 100)
    if partial.exists():
        assert partial.stat().st_size <= limit
        assert f"with the {len(decoded(partial))} " in done.stderr
        assert len(decoded(partial)) > 3


def test_a_signal_at_the_moment_a_segment_is_kept(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its line is in the journal, and nothing after that was done: it counts, once."""

    journaled = 0
    flush = os.fsync

    def fsync(handle: int) -> None:
        nonlocal journaled
        flush(handle)
        name = os.readlink(f"/proc/self/fd/{handle}")
        journaled += name.endswith("journal.jsonl")
        if name.endswith("journal.jsonl"):
            raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(KeyboardInterrupt):
        made(clip, tmp_path / "out.mp4")
    monkeypatch.undo()
    assert journaled == 1
    assert len(decoded(tmp_path / "out.partial.mp4")) == 60
    assert made(clip, tmp_path / "out.mp4", resume=True)[0] == FRAMES - 60


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_what_plays_and_says_how_to_go_on(bundle: Path, tmp_path: Path, number: signal.Signals) -> None:
    clip = write_clip(tmp_path / "in.mkv", rgb_frames(400, (320, 240)), options={"crf": "30"})
    out = tmp_path / "out.mp4"
    command = [sys.executable, RUNTIME / "run.py", bundle, clip, "-o", out]
    with subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heed_signals
    ) as process:
        journal_file = tmp_path / "out.mp4.resume" / "journal.jsonl"
        while process.poll() is None and not (journal_file.exists() and journal_file.read_bytes().count(b"\n") > 1):
            time.sleep(0.01)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number, errors
    assert names(tmp_path) == {"in.mkv", "out.mp4.resume", "out.partial.mp4"}
    said = errors.splitlines()[0]
    assert "out.partial.mp4 plays, with the " in said
    assert "--resume goes on after frame" in said
    assert f"with the {len(decoded(tmp_path / 'out.partial.mp4'))} frames" in said


def test_a_folder_is_resumed_by_what_is_there(run: Run, tmp_path: Path) -> None:
    """Results not older than their inputs stay; others are refused without --force."""
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for name in ("a.mkv", "b.mkv"):
        write_clip(source / name, rgb_frames(3))
    assert run(source, "-o", out).returncode == 0
    (out / "b.mkv").unlink()
    before = (out / "a.mkv").stat().st_mtime_ns
    done = run(source, "-o", out, "--resume", "--json")
    document = json.loads(done.stdout)
    assert ([record["input"] for record in document["files"]], document["there"]) == ([str(source / "b.mkv")], 1)
    assert done.stderr.strip().endswith("1 of 1 files done, 0 failed, 1 were there already")
    assert (out / "a.mkv").stat().st_mtime_ns == before
    os.utime(source / "a.mkv", ns=(before + 10**9, before + 10**9))
    assert_one_line_error(run(source, "-o", out, "--resume"), 2, "a.mkv", "older than its input", "--force")
    again = json.loads(run(source, "-o", out, "--resume", "--force", "--json").stdout)
    assert ([record["input"] for record in again["files"]], again["there"]) == ([str(source / "a.mkv")], 1)
