"""Cameras and streams: real senders over TCP and RTSP, replayed files, and sources that are lost."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from smsr_runtime.errors import VideoError
from smsr_runtime.live import newest as newest_module
from smsr_runtime.live.loop import LiveRun
from smsr_runtime.live.newest import Newest
from smsr_runtime.live.sinks import RecordSink
from smsr_runtime.live.source import LiveFrame, is_live
from smsr_runtime.media.video.colour import Look
from smsr_runtime.media.video.options import VideoOptions
from smsr_runtime.media.video.pipe import FramePipe
from tests.helpers import heed_signals
from tests.runtime.helpers import RUNTIME, Run, assert_one_line_error, nearest
from tests.runtime.hours import growth
from tests.runtime.streaming import Sender, has_rtsp, stream
from tests.runtime.tcp_sender import numbered, read_number
from tests.runtime.video import decoded, rgb_frames, write_clip


class Drawn:
    """A source of numbered frames, as fast as they are asked for; `fails`: raised in the place of the end."""

    name, rate = "drawn", Fraction(25)

    def __init__(
        self, count: int, fails: Exception | None = None, pause: Callable[[int], object] = lambda _: None
    ) -> None:
        self.closed = False
        self._count, self._number, self._fails, self._pause = count, 0, fails, pause

    def read(self) -> LiveFrame | None:
        if self._number == self._count:
            if self._fails is not None:
                raise self._fails
            return None
        self._pause(self._number)
        self._number += 1
        return LiveFrame(numbered((self._number - 1) % 4096), time.monotonic())

    def close(self) -> None:
        self.closed = True


def upscale(pixels: np.ndarray) -> tuple[np.ndarray, list[float]]:
    return nearest(pixels), [0.25, 0.5]


def test_what_is_live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    live = ["0", "12", "/dev/video0", "csi://0", "rtsp://camera/1", "RTSPS://camera/1", "http://a/b.mp4", "udp://:99"]
    assert all(is_live(name) for name in live)
    assert not any(is_live(name) for name in ("in.mp4", "-", "a/0", "in*.png", "file://in.mp4", "/dev/video"))
    (tmp_path / "0").write_text("a file of that name comes first")
    assert not is_live("0")


def test_a_slow_network_gets_the_newest_frame() -> None:
    """Ten frames come while one is made: nine are dropped, none is late."""
    made, come = threading.Semaphore(0), threading.Semaphore(0)

    def pause(number: int) -> None:
        if number and number % 10 == 0:
            come.release()
            made.acquire()

    numbers, source = [], Drawn(41, pause=pause)
    with Newest(source) as newest:
        for _ in range(4):
            come.acquire()
            frame = newest.get()
            assert frame is not None
            numbers.append(read_number(frame.pixels))
            made.release()
        last = newest.get()
        assert last is not None
        assert newest.get() is None
    assert numbers == [9, 19, 29, 39]
    assert read_number(last.pixels) == 40
    assert (newest.seen, newest.dropped) == (41, 36)
    assert source.closed


def test_frames_over_tcp_come_out_in_order_with_their_latency(bundle: Path) -> None:
    """A cable pulled out ends it after what came; every frame is one that was sent, and the newest then."""
    sender = Sender.tcp(200)
    try:
        seen = stream(bundle, sender, 30)
    finally:
        sender.stop()
    assert len(seen.numbers) >= 30, seen.errors
    assert seen.numbers == sorted(set(seen.numbers))
    assert min(seen.latencies) > 0
    assert "latency" in seen.errors


def test_frames_over_rtsp(bundle: Path) -> None:
    if not has_rtsp():
        pytest.skip(
            "GStreamer's RTSP server is missing (apt install gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-ugly)"
        )
    sender = Sender.rtsp()
    try:
        seen = stream(bundle, sender, 30)
    finally:
        sender.stop()
    assert len(seen.numbers) >= 30, seen.errors
    assert seen.numbers == sorted(set(seen.numbers))
    assert min(seen.latencies) > 0


def test_a_file_is_replayed_at_its_own_rate(run: Run, tmp_path: Path) -> None:
    clip, out = write_clip(tmp_path / "in.mkv", rgb_frames(30)), tmp_path / "out.mkv"
    done = run(clip, "-o", out, "--realtime", "--json", "--stats")
    assert done.returncode == 0, done.stderr
    (record,) = json.loads(done.stdout)["files"]
    assert record["seen"] == 30
    assert record["frames"] + record["dropped"] == 30
    assert record["frames"] == len(decoded(out))
    assert record["seconds"] > 29 / 25  # it waits for each frame's own time
    figures = record["stats"]
    assert 0 < figures["latency_ms"]["median"] <= figures["latency_ms"]["p95"]
    assert {"wait", "network", "encode"} == set(figures["stages_ms"])
    with av.open(str(out)) as container:
        times = [frame.time for frame in container.decode(video=0)]
    assert np.abs(np.array(times) * 25 - np.rint(np.array(times) * 25)).max() < 0.05  # captured at the file's times


def test_ctrl_c_ends_a_live_run_well(bundle: Path, tmp_path: Path) -> None:
    clip, out = write_clip(tmp_path / "in.mkv", rgb_frames(1000)), tmp_path / "out.mp4"
    command = [sys.executable, RUNTIME / "run.py", bundle, clip, "-o", out, "--realtime", "--stats"]
    with subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heed_signals
    ) as process:
        assert process.stderr is not None
        first = process.stderr.readline()
        process.send_signal(signal.SIGINT)
        text, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "frames/s" in first
    assert f"{out}  128x96, {len(decoded(out))} frames of " in text
    assert {path.name for path in tmp_path.iterdir()} == {"in.mkv", "out.mp4"}


def test_a_camera_that_is_unplugged_leaves_what_was_made(tmp_path: Path) -> None:
    lost = VideoError("camera 0", "frames until it is stopped", "none after 70 frames", "check its cable")
    source = Drawn(70, lost, pause=lambda _: time.sleep(0.002))
    sink = RecordSink("camera 0", tmp_path / "out.mp4", source.rate, VideoOptions())
    run = LiveRun(upscale, lambda: 0.0, [sink])
    newest = Newest(source)
    with pytest.raises(VideoError, match="none after 70 frames"), newest:
        run.run(newest, lambda _: None, lambda _: None)
    sink.finish()
    assert len(decoded(tmp_path / "out.mp4")) == run.stats.frames == newest.seen - newest.dropped
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


def test_a_size_that_changes_while_running(run: Run, tmp_path: Path) -> None:
    small = write_clip(tmp_path / "a.ts", rgb_frames(10), options={"bf": "0"})
    large = write_clip(tmp_path / "b.ts", rgb_frames(10, (96, 64)), options={"bf": "0"}, start=10)
    (tmp_path / "in.ts").write_bytes(small.read_bytes() + large.read_bytes())
    done = run(tmp_path / "in.ts", "-o", tmp_path / "out.mp4", "--realtime")
    assert_one_line_error(done, 1, "in.ts: expected frames of one kind, 64x48 yuv420p, got 96x64", "out.mp4 plays")
    assert 0 < len(decoded(tmp_path / "out.mp4")) <= 10


def test_no_frame_for_long_is_a_lost_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newest_module, "_PATIENCE", 0.3)
    held = threading.Event()
    source = Drawn(5, pause=lambda number: held.wait(10 * (number > 1)))
    with pytest.raises(VideoError, match=r"drawn: .*none for 0.3 s"), Newest(source) as newest:
        while newest.get() is not None:
            pass
    held.set()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["77", "-o", "out.mp4"], 1, "camera 77: expected a camera that opens"),
        (["/dev/video77", "-o", "out.mp4"], 1, "camera /dev/video77: expected a camera that opens"),
        (["csi://0", "-o", "out.mp4"], 2, "an OpenCV with GStreamer"),
        (["csi://front", "-o", "out.mp4"], 2, "the number of a port"),
        (["rtsp://127.0.0.1:9/x", "-o", "out.mp4"], 1, "a stream that answers"),
        (["0", "-o", "out.png"], 2, "a video file to write to"),
        (["0", "-o", "none/out.mp4"], 2, "an existing folder"),
        (["0", "-o", "out.mp4", "--resume"], 2, "--resume"),
        (["0"], 2, "INPUT and -o together"),
        (["in.mkv", "--display"], 2, "an OpenCV with windows"),
        (["in.mkv", "-o", "out.mp4", "--target-fps", "20", "--budget-ms", "9"], 2, "one of the two"),
        (["in.mkv", "-o", "out.mp4", "--target-fps", "20", "--resume"], 2, "--resume"),
        (["in.mkv", "-o", "out.mp4", "--theta-range", "0:2"], 2, "--target-fps or --budget-ms with it"),
        (["in.mkv", "-o", "out.mp4", "--target-fps", "20", "--theta", "2"], 2, "--theta-range"),
    ],
)
def test_wrong_live_usage_is_one_line(run: Run, tmp_path: Path, arguments: list[str], code: int, words: str) -> None:
    write_clip(tmp_path / "in.mkv", rgb_frames(3))
    assert_one_line_error(run(*arguments, cwd=tmp_path), code, words)
    assert {path.name for path in tmp_path.iterdir()} == {"in.mkv"}


@pytest.mark.parametrize(
    ("pix_fmt", "header", "most"), [("yuv420p", "C420jpeg", 12), ("yuv444p", "C444", 1), ("yuv422p10le", "C422p10", 8)]
)
def test_a_video_on_stdout_is_read_by_ffmpeg(
    bundle: Path, tmp_path: Path, pix_fmt: str, header: str, most: float
) -> None:
    """Every frame, as FFmpeg's own reader of y4m gives it back; its chroma is blurred where there are fewer samples."""
    clip = write_clip(tmp_path / "in.mkv", rgb_frames(5, pix_fmt=pix_fmt), "ffv1", options={})
    done = subprocess.run(
        [sys.executable, RUNTIME / "run.py", bundle, clip, "-o", "-"], capture_output=True, check=True
    )
    assert header in done.stdout.split(b"\n", 1)[0].decode().split()
    with av.open(io.BytesIO(done.stdout), format="yuv4mpegpipe") as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert container.streams.video[0].average_rate == 25
    assert len(frames) == 5
    sources = [nearest(pixels).astype(int)[8:-8, 8:-8] for pixels in decoded(clip, "rgb24")]
    away = [[np.abs(source - frame[8:-8, 8:-8]).mean() for source in sources] for frame in frames]
    assert np.argmin(away, axis=1).tolist() == [0, 1, 2, 3, 4]
    assert np.diag(away).max() < most


def test_raw_frames_are_the_pixels_themselves() -> None:
    """In 8 and in 16 bits, without any header; the note says how FFmpeg reads them."""
    written = io.BytesIO()
    pipe = FramePipe("raw", Fraction(30000, 1001), written.write)  # type: ignore[arg-type]
    look = Look((48, 64), 5, full_range=False, bits=8, chroma="420", alpha=False, turns=0, codec="")
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    assert "rgb24 -video_size 64x48 -framerate 30000/1001" in pipe.write(pixels, look)
    assert written.getvalue() == pixels.tobytes()
    assert "rgb48le" in pipe.write(pixels.astype(np.uint16), look)


def test_a_reader_that_goes_away_is_one_line(bundle: Path, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "in.mkv", rgb_frames(100, (320, 240)), options={"crf": "30"})
    line = f"set -o pipefail; {sys.executable} {RUNTIME / 'run.py'} {bundle} {clip} -o - | head -c 1000 >/dev/null"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False, timeout=60)
    assert_one_line_error(done, 1, "standard output")


def test_hours_of_frames_take_no_more_memory(tmp_path: Path) -> None:
    """600 frames, then twice as many again, through queue, recorder and figures: a short form of `python -m
    tests.runtime.hours`."""
    first, rest = growth(tmp_path / "out.mkv", 600, 1800)
    assert rest - first < 8_000_000


def test_the_governor_moves_theta_within_its_range(run: Run, tmp_path: Path) -> None:
    """An unreachable budget: theta goes to its upper bound and no further."""
    clip = write_clip(tmp_path / "in.mkv", rgb_frames(40))
    done = run(clip, "-o", tmp_path / "out.mkv", "--budget-ms", "0.01", "--theta-range=-1:3.5", "--json")
    assert done.returncode == 0, done.stderr
    (record,) = json.loads(done.stdout)["files"]
    assert record["stats"]["theta_range"] == [-1, 3.5]
    assert record["frames"] == 40


def test_figures_are_shown_with_stats_alone(run: Run, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "in.mkv", rgb_frames(5))
    done = run(clip, "-o", tmp_path / "out.mkv", "--json")
    (record,) = json.loads(done.stdout)["files"]
    assert record["stats"]["theta_range"] == [0, 0]
    assert set(record["stats"]["stages_ms"]) == {"network", "decode and encode"}
    assert "frames/s" not in done.stderr
