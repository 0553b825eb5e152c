"""Pictures through an engine as pixels, several under way at a time.

The stand-ins of fake_pycuda.py run queued work as late as streams and events allow: what does not wait for what it
needs computes with old memory, and its result differs here.
"""

from __future__ import annotations

import functools
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import smsr_runtime
from smsr_runtime.media.video import piping
from smsr_runtime.media.video.pipe import FramePipe
from smsr_runtime.run.jobs import Job
from smsr_runtime.run.settings import Settings
from smsr_runtime.run.videos import make_video
from smsr_runtime.selftest import self_test
from smsr_runtime.tensorrt.backend import TrtBackend
from smsr_runtime.tensorrt.execution import Execution
from smsr_runtime.tensorrt.frames import SLOTS
from tests.runtime.fake_tensorrt import World
from tests.runtime.helpers import compile_library, nearest
from tests.runtime.tensorrt_machine import PICTURE
from tests.runtime.video import rgb_frames, write_clip

FRAMES = [np.random.default_rng(seed).integers(0, 100, (9, 13, 3), dtype=np.uint8) for seed in range(7)]


def computed(upscaler: smsr_runtime.Upscaler, picture: np.ndarray) -> np.ndarray:
    """From the network's own output, by NumPy."""
    per_unit = {1: 1, 2: 257}[picture.dtype.itemsize]
    planes = picture.transpose(2, 0, 1)[None].astype(np.float32) / np.float32(per_unit)
    upscaled = upscaler.upscale_float(planes)[0][0].transpose(1, 2, 0)
    rounded: np.ndarray = np.rint(np.clip(upscaled, 0, 255) * np.float32(per_unit)).astype(picture.dtype)
    return rounded


@pytest.mark.parametrize("integrated", [False, True], ids=["discrete", "jetson"])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_pixels_are_those_of_the_network_s_output(kind: Any, integrated: bool, world: World, pending: Path) -> None:
    world.integrated = integrated
    upscaler = smsr_runtime.load(pending)
    largest = np.iinfo(kind).max
    for height, width in ((9, 13), (4, 4), (9, 13)):
        picture = np.random.default_rng(height).integers(0, largest, (height, width, 3), dtype=kind, endpoint=True)
        for theta in (0.0, 70.0):
            upscaler.theta = theta
            result, margins = upscaler.with_margins(picture)
            assert result.dtype == kind and np.array_equal(result, computed(upscaler, picture))
            planes = picture.transpose(2, 0, 1)[None] / np.float32(largest / 255)
            expected = upscaler.upscale_float(planes.astype(np.float32), margins=True)[1]
            assert all(map(np.array_equal, margins, (margin[0, 0] for margin in expected)))


def test_several_are_under_way_and_nothing_waits_until_all_places_are_taken(world: World, pending: Path) -> None:
    upscaler = smsr_runtime.load(pending)
    assert upscaler.ahead == SLOTS - 1
    upscaler(PICTURE)
    before = world.synchronized
    begun = [upscaler.begin(frame) for frame in FRAMES[:SLOTS]]
    assert world.synchronized == before
    begun += [upscaler.begin(frame) for frame in FRAMES[SLOTS:]]
    for frame, one in reversed(list(zip(FRAMES, begun, strict=True))):
        assert np.array_equal(one.result()[0], nearest(frame)) and one.result()[1] == []


@pytest.mark.parametrize("integrated", [False, True], ids=["discrete", "jetson"])
def test_each_has_its_own_theta_and_margins(integrated: bool, world: World, pending: Path) -> None:
    """The tiny model's result is 1 less where module 1 is active."""
    world.integrated = integrated
    upscaler, expected, begun = smsr_runtime.load(pending), [], []
    for number, frame in enumerate(FRAMES):
        upscaler.theta = 15.0 * number - 90
        expected.append(upscaler.with_margins(frame))
    assert not np.array_equal(expected[0][0], nearest(FRAMES[0]))
    for number, frame in enumerate(FRAMES):
        upscaler.theta = 15.0 * number - 90
        begun.append(upscaler.begin(frame, margins=number % 2 == 0))
    for number, (one, (pixels, margins)) in enumerate(zip(begun, expected, strict=True)):
        result = one.result()
        assert np.array_equal(result[0], pixels) and len(result[1]) == (0 if number % 2 else 2)
        assert all(map(np.array_equal, result[1], margins))


def test_sizes_types_and_planes_may_change_between_them(world: World, pending: Path) -> None:
    upscaler = smsr_runtime.load(pending)
    deep = FRAMES[1].astype(np.uint16) * 257
    pictures: list[Any] = [FRAMES[0], deep, FRAMES[2], FRAMES[3][:5], FRAMES[4]]
    begun = [upscaler.begin(picture) for picture in pictures]
    planes = upscaler.upscale_float(FRAMES[5].transpose(2, 0, 1)[None].astype(np.float32))[0]
    begun.append(upscaler.begin(FRAMES[6]))
    for picture, one in zip([*pictures, FRAMES[6]], begun, strict=True):
        assert np.array_equal(one.result()[0], computed(upscaler, picture))
    assert np.array_equal(planes[0].transpose(1, 2, 0), nearest(FRAMES[5]))


def test_an_iterable_s_results_come_in_its_order_and_a_batch_is_one_array(world: World, pending: Path) -> None:
    upscaler = smsr_runtime.load(pending)
    taken: list[int] = []

    def frames() -> Any:
        for number, frame in enumerate(FRAMES):
            taken.append(number)
            yield frame

    for number, (pixels, margins) in enumerate(upscaler.upscale_all(frames(), margins=True)):
        assert np.array_equal(pixels, nearest(FRAMES[number])) and len(margins) == 2
        assert len(taken) == min(len(FRAMES), number + SLOTS)
    batch = np.stack(FRAMES)
    assert np.array_equal(upscaler(batch), np.stack([nearest(frame) for frame in FRAMES]))


def test_on_the_cpu_each_is_computed_when_it_is_begun(world: World, pending: Path) -> None:
    upscaler = smsr_runtime.load(pending, backend="ort")
    assert upscaler.ahead == 0
    assert all(np.array_equal(one, nearest(frame)) for frame, (one, _) in zip(FRAMES, upscaler.upscale_all(FRAMES)))


@pytest.mark.parametrize("to_stdout", [False, True], ids=["file", "pipe"])
def test_a_video_s_frames_overlap_and_stay_in_order(
    to_stdout: bool, world: World, pending: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same bytes as by ONNX Runtime; and all places are taken while frames come."""
    clip, under_way, results = write_clip(tmp_path / "clip.mkv", rgb_frames(7)), [], []
    upscalers = {backend: smsr_runtime.load(pending, backend=backend) for backend in ("ort", "trt")}
    begin = Execution.begin

    def counted(self: Execution, *words: Any) -> Any:
        frame = begin(self, *words)
        under_way.append(len(self._under_way))
        return frame

    monkeypatch.setattr(Execution, "begin", counted)
    for backend, upscaler in upscalers.items():
        piped = bytearray()
        monkeypatch.setattr(piping, "FramePipe", functools.partial(FramePipe, write=piped.extend))
        job = Job(clip, tmp_path / f"{backend}.{'y4m' if to_stdout else 'mkv'}", video=True, to_stdout=to_stdout)
        record = make_video(upscaler, job, Settings(quiet=True), lambda: None)
        assert record["frames"] == 7 and len(record["active"]) == 2
        results.append(bytes(piped) if to_stdout else job.output.read_bytes())
    assert results[0] == results[1] and len(results[0]) > 1000
    # A file's encoder is set up by the first frame's result.
    assert under_way == ([1, 2, 3, 3, 3, 3, 3] if to_stdout else [1, 1, 2, 3, 3, 3, 3])


def test_without_memory_for_another_frame_the_places_there_are_used_in_turn(world: World, pending: Path) -> None:
    upscaler = smsr_runtime.load(pending)
    upscaler(PICTURE)
    world.most = sum(map(len, world.memory.values())) + 100
    results = [pixels for pixels, _ in upscaler.upscale_all(FRAMES)]
    assert all(map(np.array_equal, results, map(nearest, FRAMES)))
    assert isinstance(upscaler.opened, TrtBackend) and len(upscaler.opened._execution._slots) == 1


def test_a_gpu_s_failure_is_of_the_frame_that_was_computed_then(world: World, pending: Path) -> None:
    upscaler = smsr_runtime.load(pending)
    upscaler(PICTURE)
    world.faulty_run = 2
    begun = [upscaler.begin(frame) for frame in FRAMES[:3]]
    for number in (2, 1, 0):  # whichever is asked for first
        if number == 0:
            assert np.array_equal(begun[number].result()[0], nearest(FRAMES[number]))
        else:
            for _ in range(2):
                with pytest.raises(smsr_runtime.BackendError, match=r"a result, got .*illegal memory access"):
                    begun[number].result()


def test_what_cannot_be_queued_is_that_frame_s_error_alone(world: World, pending: Path) -> None:
    upscaler = smsr_runtime.load(pending)
    first = upscaler.begin(FRAMES[0])
    world.failure = "Error Code 1: Cuda Runtime (invalid argument)"
    second = upscaler.begin(FRAMES[1])
    world.failure = ""
    too_large = upscaler.begin(np.zeros((3, 3, 3), np.uint8))
    last = upscaler.begin(FRAMES[2])
    for one, frame in ((first, FRAMES[0]), (last, FRAMES[2])):
        assert np.array_equal(one.result()[0], nearest(frame))
    with pytest.raises(smsr_runtime.BackendError, match=r"a failed execution \(Error Code 1: Cuda Runtime"):
        second.result()
    with pytest.raises(smsr_runtime.InputError, match="the engine's profile"):
        too_large.result()


def test_what_is_no_number_is_noticed_though_pixels_cannot_show_it(world: World, pending: Path) -> None:
    upscaler = smsr_runtime.load(pending)
    world.spoiled = True
    with pytest.raises(smsr_runtime.BackendError, match="network: expected finite numbers, got NaN or infinity"):
        upscaler(PICTURE)
    world.spoiled = False
    assert np.array_equal(upscaler(PICTURE), nearest(PICTURE))


@pytest.mark.parametrize("wrong", [1, 2])
def test_the_self_test_takes_the_way_of_pixels_too(wrong: int, world: World, pending: Path) -> None:
    upscaler = smsr_runtime.load(pending)
    world.wrong_pixels = wrong
    if wrong == 1:
        assert self_test(upscaler.bundle, upscaler.opened).difference == 0
        return
    words = r"as pixels\): expected pixels within 1 of the rounded output, got a difference of 2; build the plugin"
    with pytest.raises(smsr_runtime.SelfTestError, match=words):
        self_test(upscaler.bundle, upscaler.opened)


def test_without_memory_for_the_first_frame_nothing_is_left_of_it(world: World, pending: Path) -> None:
    upscaler, errors = smsr_runtime.load(pending), []
    upscaler.upscale_float(PICTURE.transpose(2, 0, 1)[None].astype(np.float32))
    world.most = sum(map(len, world.memory.values())) + PICTURE.size + 8  # of four buffers two

    def attempt() -> None:
        try:
            upscaler(PICTURE)
        except smsr_runtime.MemoryLimitError as error:
            errors.append(error)

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
    held = sum(map(len, world.memory.values()))
    assert len(errors) == 1 and world.stray == [] and held == world.most - PICTURE.size - 8
    world.most *= 2
    assert np.array_equal(upscaler(PICTURE), nearest(PICTURE))


def test_frames_under_way_are_done_before_memory_is_given_back(world: World, pending: Path) -> None:
    upscaler = smsr_runtime.load(pending)
    begun = [upscaler.begin(frame) for frame in FRAMES[:2]]
    assert isinstance(upscaler.opened, TrtBackend)
    upscaler.opened.close()
    assert all(np.array_equal(one.result()[0], nearest(frame)) for one, frame in zip(begun, FRAMES))
    assert not upscaler.opened._execution._slots and world.stray == []


def test_frames_nobody_asked_for_leave_nothing(world: World, pending: Path) -> None:
    upscaler = smsr_runtime.load(pending)
    for frame in FRAMES:
        upscaler.begin(frame)
    del upscaler
    assert world.memory == {} and world.stray == []


def test_a_library_of_an_earlier_release_is_refused(
    world: World, pending: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from smsr import contract

    source = f'const char* smsr_interface_hash(void) {{ return "{contract.interface_hash()}"; }}'
    monkeypatch.setenv("SMSR_TRT_LIBRARY", str(compile_library(tmp_path / "libsmsr_old.so", source)))
    with pytest.raises(smsr_runtime.NativeLibraryError, match="got one without smsr_pixels_to_planes; build it on"):
        smsr_runtime.load(pending)
