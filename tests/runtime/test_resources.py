"""What a container leaves to the process: memory and processors; what a picture needs; --threads."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import smsr_runtime
from smsr_runtime import resources
from smsr_runtime.backend import FUNCTION_BODY, NATIVE, TENSORRT, ComputePath
from smsr_runtime.run import command, opening

GIB = 1 << 30


@pytest.fixture
def cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A control group's folder; the machine itself has 8 processors and memory without end."""
    monkeypatch.setattr(resources, "_CGROUP", tmp_path)
    monkeypatch.setattr(resources, "_meminfo", lambda: 1 << 50)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    return tmp_path


def put(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize(
    ("files", "free"),
    [
        ({}, 1 << 50),
        ({"memory.max": "3000\n", "memory.current": "1000\n"}, 2000),
        ({"memory.max": "max\n", "memory.current": "1000\n"}, 1 << 50),
        ({"memory.max": "1000\n", "memory.current": "3000\n"}, 0),
        ({"memory/memory.limit_in_bytes": "5000\n", "memory/memory.usage_in_bytes": "1500\n"}, 3500),
    ],
    ids=["none", "version 2", "no limit", "past it", "version 1"],
)
def test_memory_is_what_the_control_group_leaves(cgroup: Path, files: dict[str, str], free: int) -> None:
    put(cgroup, **files)
    assert resources.available_memory() == free


def test_memory_is_what_the_machine_has_left(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Linux counts in KiB; a part of the machine's is never more than all of it."""
    monkeypatch.setattr(resources, "_CGROUP", tmp_path)
    text = "MemTotal:       4000 kB\nMemFree:         100 kB\nMemAvailable:   3000 kB\n"
    monkeypatch.setattr(resources, "_read", lambda path: text if path.name == "meminfo" else "")
    assert resources.available_memory() == 3000 * 1024
    monkeypatch.setattr(resources, "_read", lambda path: "")
    assert resources.available_memory() is None
    resources.check_memory(10**6, 10**6, 10**6)  # nothing is known: nothing is refused


@pytest.mark.parametrize(
    ("quota", "allowed", "processors"),
    [
        ("", 8, None),
        ("max 100000\n", 8, None),
        ("250000 100000\n", 8, 2),
        ("50000 100000\n", 8, 1),
        ("800000 100000\n", 8, None),
        ("", 3, 3),
        ("250000 100000\n", 3, 2),
        ("600000 100000\n", 3, 3),
    ],
)
def test_processors_are_those_of_quota_and_affinity(
    cgroup: Path, monkeypatch: pytest.MonkeyPatch, quota: str, allowed: int, processors: int | None
) -> None:
    if quota:
        put(cgroup, **{"cpu.max": quota})
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(allowed)), raising=False)
    assert resources.usable_processors() == processors


def test_a_session_has_the_threads_of_the_quota_unless_they_are_named(bundle: Path, cgroup: Path) -> None:
    put(cgroup, **{"cpu.max": "300000 100000\n"})
    assert threads_of(smsr_runtime.load(bundle)) == 3
    assert threads_of(smsr_runtime.load(bundle, threads=2)) == 2
    put(cgroup, **{"cpu.max": "max 100000\n"})
    assert threads_of(smsr_runtime.load(bundle)) == 0  # ONNX Runtime's choice: all


def threads_of(upscaler: smsr_runtime.Upscaler) -> int:
    return int(upscaler.opened._session.get_session_options().intra_op_num_threads)  # type: ignore[attr-defined]


def test_the_command_passes_its_threads_on(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []

    def load(*arguments: object, **options: object) -> smsr_runtime.Upscaler:
        opened.append(smsr_runtime.load(*arguments, **options))  # type: ignore[arg-type]
        return opened[-1]

    monkeypatch.setattr(opening, "load", load)
    Image.new("RGB", (4, 4)).save(tmp_path / "in.png")
    words = [str(bundle), str(tmp_path / "in.png"), "-o", str(tmp_path / "out.png")]
    assert command.main([*words, "--threads", "3", "--theta", "7"]) == 0
    assert (threads_of(opened[0]), opened[0].theta) == (3, 7.0)


def test_every_picture_of_a_batch_counts(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """5 x 6 pixels at 16 features: 30 * 6600 / 4 bytes each."""
    upscaler = smsr_runtime.load(bundle, threads=1)
    monkeypatch.setattr(resources, "available_memory", lambda: 2 * 30 * 1650)
    assert upscaler.upscale_float(np.zeros((2, 3, 5, 6), np.float32))[0].shape == (2, 3, 10, 12)
    upscaler = smsr_runtime.load(bundle, threads=1)  # another one: this one holds the memory of 60 pixels
    with pytest.raises(smsr_runtime.MemoryLimitError, match=r"at most 60 pixels .*got 6x15 = 90 pixels"):
        upscaler.upscale_float(np.zeros((3, 3, 5, 6), np.float32))
    with pytest.raises(smsr_runtime.MemoryLimitError, match=r"at most 60 pixels .*got 6x15 = 90 pixels"):
        upscaler.opened.run(np.zeros((3, 3, 5, 6), np.float32))  # which looks for itself


@pytest.mark.parametrize(
    ("path", "least"),
    [
        (ComputePath(NATIVE), 6 * 64 * 4),
        (ComputePath(FUNCTION_BODY), (6 + 4 + 4) * 64 * 4),
        (ComputePath(TENSORRT, "fp16"), 6 * 64 * 2),
        (ComputePath(TENSORRT, "fp32"), 6 * 64 * 4),
    ],
    ids=str,
)
def test_an_estimate_is_at_least_the_features_that_wait_and_not_much_more(path: ComputePath, least: int) -> None:
    """Five modules' features wait for the last layer beside the first ones, 64 channels each; in the function body a
    module's four layers beside their four masked copies too."""
    assert least <= resources.bytes_per_pixel(path, 64) <= 4 * least
    assert resources.bytes_per_pixel(path, 32) == resources.bytes_per_pixel(path, 64) / 2


def test_an_engine_s_estimate_is_what_one_took() -> None:
    """docs/benchmark/gpu.md: 1007 MB of context at 1280x720, and 78 bytes per pixel of workspace since; float32 buffers
    of 3 + 12 + 5 numbers per pixel; pixels up and down, and margins, of three pictures under way."""
    took = 1007.0e6 + 1280 * 720 * (78 + (3 + 12 + 5) * 4 + 3 * (3 + 12 + 5 * 4))
    assert took <= 1280 * 720 * resources.bytes_per_pixel(ComputePath(TENSORRT, "fp16"), 64) <= 1.15 * took


def test_a_file_is_refused_where_three_of_its_size_do_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "available_memory", lambda: 3 * GIB)
    resources.check_file(GIB, "in.png")
    with pytest.raises(smsr_runtime.MemoryLimitError, match=r"in\.png: expected less than the 3\.0 GiB"):
        resources.check_file(GIB + 1, "in.png")


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1024, "1.0 KiB"), (84 << 20, "84.0 MiB"), (3 << 29, "1.5 GiB")],
)
def test_sizes_are_said_in_units_that_fit_them(size: int, words: str) -> None:
    assert resources.in_units(size) == words
