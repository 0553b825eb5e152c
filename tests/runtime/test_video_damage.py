"""Damaged videos: no run hangs, what can be decoded is kept, what is missing is counted."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from smsr_runtime.errors import MemoryLimitError, VideoError
from smsr_runtime.media.video.options import Hooks, VideoOptions
from smsr_runtime.media.video.transfer import upscale_video
from smsr_runtime.run.upscale import check_frame
from smsr_runtime.session import load
from tests.runtime.helpers import RUNTIME, Run, assert_one_line_error
from tests.runtime.video import RATE, copied, rgb_frames, write_clip

FRAMES = 100
DAMAGED_FILES = 40
_STOPPED = f"""
import sys
sys.path.insert(0, {str(RUNTIME)!r})
from pathlib import Path
from smsr_runtime.errors import VideoError
from smsr_runtime.media.video.source import open_source, pyav, video_stream

def decode_three(path):
    frames = 0
    with open_source(path) as container:
        video = video_stream(container, path)
        video.thread_type, video.codec_context.thread_count = "AUTO", 8
        for packet in container.demux(video):
            for _ in packet.decode():
                frames += 1
                if frames == 3:
                    raise VideoError(path, "", "stopped", "")

for name in sys.argv[1:]:
    try:
        decode_three(Path(name))
        print("whole", flush=True)
    except (VideoError, pyav().FFmpegError) as error:
        print(type(error).__name__, flush=True)
"""
"""Frees a decoder in the midst of its work, as Ctrl-C and every error does; its threads have errors to log then."""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A moving pattern in H.264, with a keyframe every second."""
    path = tmp_path_factory.mktemp("clips") / "clip.mkv"
    options = {"crf": "20", "g": str(RATE), "keyint_min": str(RATE), "sc_threshold": "0", "bf": "0"}
    container = {"cluster_time_limit": "960"}
    return write_clip(path, rgb_frames(FRAMES), options=options, container=container)


def damaged(clip: Path, folder: Path, seed: int) -> Path:
    """A copy of `clip` with 1 to 200 bytes changed behind its header."""
    rng, data = np.random.default_rng(seed), bytearray(clip.read_bytes())
    for position in rng.integers(600, len(data) - 300, rng.integers(1, 200)):
        data[position] = rng.integers(0, 256)
    path = folder / f"{seed}.mkv"
    path.write_bytes(data)
    return path


def test_no_damaged_file_hangs_a_run_that_stops(clip: Path, tmp_path: Path) -> None:
    names = [str(damaged(clip, tmp_path, seed)) for seed in range(DAMAGED_FILES)]
    command = [sys.executable, "-c", _STOPPED, *names]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert len(done.stdout.split()) == DAMAGED_FILES
    assert "VideoError" in done.stdout


def test_a_damaged_h265_stream_on_which_ffmpeg_s_frame_threads_wait_for_each_other_ends(
    run: Run, tmp_path: Path
) -> None:
    """Found by tests/faults/damaged_videos.py; every run of it hung, SIGTERM included."""
    done = run(Path(__file__).parent / "damaged_hevc.mkv", "-o", tmp_path / "out.mkv", "--quiet")
    assert done.returncode in (0, 1), done.stderr  # 8 of 10 frames are lost, less than half a second
    assert frame_times(tmp_path / "out.mkv")


def test_whatever_the_damage_the_result_is_whole_or_there_is_none(clip: Path, tmp_path: Path) -> None:
    counted = 0
    for seed in range(DAMAGED_FILES):
        out = tmp_path / f"out-{seed}.mp4"
        try:
            _, report = copied(damaged(clip, tmp_path, seed), out)
        except VideoError:
            assert not out.exists()
            continue
        assert len(frame_times(out)) == report.frames
        assert np.all(np.diff(frame_times(out)) > 0)
        counted += report.error is not None
        assert not any("clock" in note for note in report.notes)  # a damaged time is no second recording
        assert report.frames == FRAMES or report.error is not None
    assert counted > DAMAGED_FILES / 2
    assert not list(tmp_path.glob(".*"))


def clusters(data: bytes | bytearray) -> list[int]:
    """Where Matroska's clusters begin."""
    return [place for place in range(len(data)) if data.startswith(b"\x1f\x43\xb6\x75", place)]


def test_a_lost_cluster_is_counted(run: Run, clip: Path, tmp_path: Path) -> None:
    """Four clusters of one second, the third made unreadable: 25 frames are missing."""
    data, path, out = bytearray(clip.read_bytes()), tmp_path / "in.mkv", tmp_path / "out.mkv"
    starts = clusters(data)
    assert len(starts) == FRAMES // RATE
    data[starts[2] : starts[3]] = bytes(starts[3] - starts[2])
    path.write_bytes(data)
    done = run(path, "-o", out, "--json")
    document = json.loads(done.stdout)
    (record,) = document["files"]
    assert (done.returncode, document["exit_code"], document["failed"]) == (1, 1, 1)
    assert (record["output"], record["frames"]) == (str(out), 75)
    assert record["error"]["got"].endswith(" bytes that cannot be read, about 25 frames missing from 1.96 s to 3.00 s")
    assert "in.mkv: expected an undamaged video" in done.stderr
    assert "out.mkv holds what could be decoded" in done.stderr
    with av.open(str(out)) as container:
        times = [frame.time for frame in container.decode(video=0)]
    assert np.allclose(times, [*np.arange(50) / RATE, *np.arange(75, 100) / RATE], atol=1e-3)
    quiet = run(path, "-o", out, "--force", "--quiet")
    assert_one_line_error(quiet, 1, "in.mkv", "about 25 frames missing")


def test_frames_that_do_not_decode_are_counted(run: Run, clip: Path, tmp_path: Path) -> None:
    """Each packet of the second second of an MP4 is overwritten; the rest is kept."""
    path = tmp_path / "in.mp4"
    with av.open(str(clip)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    with av.open(str(path)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux() if packet.size]
    data = bytearray(path.read_bytes())
    for position, size in places[RATE : 2 * RATE]:
        data[position + 4 : position + size] = bytes(size - 4)
    path.write_bytes(data)
    done = run(path, "-o", tmp_path / "out.mp4")
    assert done.returncode == 1
    assert "got 25 packets that cannot be decoded, about 25 frames missing from 0.96 s to 2.00 s;" in done.stderr
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 75


def test_frames_lost_all_over_the_file_are_counted(clip: Path, tmp_path: Path) -> None:
    """Two frames are left, far apart, and nothing else says that there were more."""
    data, path = bytearray(clip.read_bytes()), tmp_path / "in.mkv"
    with av.open(str(clip)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux() if packet.size]
    first, last = places[1][0], clusters(data)[-1]
    data[first:last] = bytes(last - first)
    path.write_bytes(data)
    seen, report = copied(path, tmp_path / "out.mkv")
    assert len(seen) == 1 + RATE
    assert report.error is not None
    assert "bytes that cannot be read" in report.error.got
    assert "about 74 frames missing" in report.error.got


def test_a_lost_first_cluster_is_counted(clip: Path, tmp_path: Path) -> None:
    """The result begins with what is left, at 0 seconds."""
    data, path = bytearray(clip.read_bytes()), tmp_path / "in.mkv"
    start, end = clusters(data)[:2]
    data[start:end] = bytes(end - start)
    path.write_bytes(data)
    seen, report = copied(path, tmp_path / "out.mkv")
    assert (len(seen), frame_times(tmp_path / "out.mkv")[0]) == (75, 0)
    assert report.error is not None
    assert "bytes that cannot be read" in report.error.got


def test_a_lost_last_cluster_is_counted(clip: Path, tmp_path: Path) -> None:
    data, path = bytearray(clip.read_bytes()), tmp_path / "in.mkv"
    start = clusters(data)[3]
    data[start : start + 500] = bytes(500)
    path.write_bytes(data)
    seen, report = copied(path, tmp_path / "out.mkv")
    assert len(seen) == 75
    assert report.error is not None
    assert report.error.got == "no frames from 3.0 s to its end at 4.0 s"


@pytest.mark.parametrize(
    ("options", "more"), [({"crf": "1"}, ""), ({"crf": "20", "bf": "0"}, ", 59 of about 60 frames")]
)
def test_frames_with_holes_are_counted(options: dict[str, str], more: str, tmp_path: Path) -> None:
    """A broadcast that lost two of its 188-byte pieces; of the second kind FFmpeg marks the packet, and no frame."""
    clip = write_clip(tmp_path / "whole.ts", rgb_frames(60, (320, 240)), options=options)
    pieces = [clip.read_bytes()[start : start + 188] for start in range(0, clip.stat().st_size, 188)]
    (tmp_path / "in.ts").write_bytes(b"".join(piece for place, piece in enumerate(pieces) if place not in (60, 61)))
    _, report = copied(tmp_path / "in.ts", tmp_path / "out.mkv")
    assert report.error is not None
    assert report.error.got == f"1 frame with errors in the picture{more}"


def test_a_hole_is_counted_beside_two_clocks_set_back(tmp_path: Path) -> None:
    """Two pieces lost from the first of three parts put together byte by byte, of which the second is one frame: FFmpeg
    marks the packet with the hole, and the first part's last two for the second part's counters."""
    whole = [
        write_clip(tmp_path / f"{start}.ts", rgb_frames(count, (320, 240)), start=start,
                   options={"crf": "20", "bf": "0"}).read_bytes()
        for start, count in ((500, 40), (300, 1), (100, 20))
    ]  # fmt: skip
    first = whole[0][: 60 * 188] + whole[0][62 * 188 :]
    (tmp_path / "in.ts").write_bytes(first + whole[1] + whole[2])
    _, report = copied(tmp_path / "in.ts", tmp_path / "out.mkv")
    assert report.error is not None
    assert report.error.got == "1 frame with errors in the picture"
    assert report.notes == ["its clock is set back, 2 times in all: the parts follow each other"]


def test_a_gap_in_uneven_times_is_no_damage(tmp_path: Path) -> None:
    """A screen recording has a frame where something changes."""
    times = [0, 1, 2, 30, 31, 60, 100, 101]
    path = tmp_path / "in.mkv"
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=RATE, options={"bf": "0"})
        video.width, video.height = 64, 48
        for time, frame in zip(times, rgb_frames(len(times))):
            frame.pts, frame.time_base = time, Fraction(1, RATE)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    _, report = copied(path, tmp_path / "out.mkv")
    assert (report.error, report.notes) == (None, [])
    assert np.allclose(frame_times(tmp_path / "out.mkv"), np.array(times) / RATE, atol=1e-3)


def frame_times(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        return [frame.time for frame in container.decode(video=0)]


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_cut_matroska_file_is_refused_before_any_work(run: Run, clip: Path, tmp_path: Path, share: float) -> None:
    data, path = clip.read_bytes(), tmp_path / "cut.mkv"
    path.write_bytes(data[: int(len(data) * share)])
    done = run(path, "-o", tmp_path / "out.mkv")
    assert_one_line_error(done, 1, f"cut.mkv: expected at least {len(data)} bytes", f"got {path.stat().st_size}")
    assert not (tmp_path / "out.mkv").exists()


def test_a_live_recording_that_broke_off_is_taken_as_it_is(clip: Path, tmp_path: Path) -> None:
    """Matroska's mark for a size that is not known."""
    data, path = bytearray(clip.read_bytes()), tmp_path / "live.mkv"
    segment = data.index(b"\x18\x53\x80\x67")
    data[segment + 4 : segment + 12] = b"\x01" + b"\xff" * 7
    path.write_bytes(data[: clusters(data)[3]])
    seen, _ = copied(path, tmp_path / "out.mkv")
    assert len(seen) == 75


def test_unreadable_files_are_one_line(run: Run, clip: Path, tmp_path: Path) -> None:
    data = clip.read_bytes()
    unknown = data.replace(b"V_MPEG4/ISO/AVC", b"V_UNKNOWN/CODEC")
    cases = {
        "empty.mkv": (b"", "a readable video"),
        "zeros.mp4": (bytes(4096), "a readable video"),
        "header.mkv": (data[:200], "a readable video"),
        "unknown.mkv": (unknown, "a codec that FFmpeg decodes"),
    }
    for name, (content, words) in cases.items():
        (tmp_path / name).write_bytes(content)
        assert_one_line_error(run(tmp_path / name, "-o", tmp_path / "out.mp4"), 1, name, words)
    assert not list(tmp_path.glob("*out*"))


def test_a_size_that_changes_in_mid_stream_is_named(run: Run, tmp_path: Path) -> None:
    small = write_clip(tmp_path / "a.ts", rgb_frames(10), options={"bf": "0"})
    large = write_clip(tmp_path / "b.ts", rgb_frames(10, (96, 64)), options={"bf": "0"}, start=10)
    path = tmp_path / "in.ts"
    path.write_bytes(small.read_bytes() + large.read_bytes())
    done = run(path, "-o", tmp_path / "out.mp4")
    assert_one_line_error(done, 1, "in.ts: expected frames of one kind, 64x48 yuv420p, got 96x64 yuv420p at ")
    assert not (tmp_path / "out.mp4").exists()


def test_frames_too_large_for_memory_are_refused_before_they_are_decoded(run: Run, tmp_path: Path) -> None:
    """The header says 16000x16000, in 45 kB: a frame takes 400 MB to decode and more than a terabyte to upscale."""
    data = write_clip(tmp_path / "small.mkv", rgb_frames(3, (320, 256)), "ffv1", options={}).read_bytes()
    small, large = bytes.fromhex("b0820140ba820100"), bytes.fromhex("b0823e80ba823e80")  # PixelWidth and PixelHeight
    assert data.count(small) == 1
    (tmp_path / "in.mkv").write_bytes(data.replace(small, large))
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    done = run(tmp_path / "in.mkv", "-o", tmp_path / "out.mkv")
    assert_one_line_error(done, 1, "in.mkv: expected at ", "pixels")
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < before + 300_000


def test_the_size_is_checked_before_a_frame_is_decoded(clip: Path, tmp_path: Path) -> None:
    def refuse(height: int, width: int) -> None:
        raise MemoryLimitError(f"{width}x{height}", "less", "more", "cut it")

    with pytest.raises(MemoryLimitError, match=r"^64x48: "):
        upscale_video(lambda pixels: (pixels, []), clip, tmp_path / "out.mkv", VideoOptions(), Hooks(check_size=refuse))
    assert list(tmp_path.iterdir()) == []


def test_a_frame_too_large_for_memory_is_named_with_both_sizes(
    clip: Path, tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """64x48 pixels at 6600 bytes for the network (at 16 features a quarter of it) and 4 x 250 for the video."""
    needed = 64 * 48 * (6600 // 4 + 4 * 250)
    for free, fits in ((needed, True), (needed - 1, False)):
        monkeypatch.setattr("smsr_runtime.resources.available_memory", lambda free=free: free)
        upscaler = load(bundle)
        if fits:
            check_frame(upscaler, "in.mkv", 48, 64)
            continue
        with pytest.raises(MemoryLimitError, match=r"^in.mkv: expected at most 3071 pixels .* got 64x48 = 3072 pixels"):
            check_frame(upscaler, "in.mkv", 48, 64)
