"""Commands that write, what they start from, and what may be under their results' names at any moment."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import torch
from PIL import Image

from smsr.checkpoint import load_network
from smsr.network import NetworkConfig
from smsr.training.cli import main as train
from smsr_export.cli import main as export
from smsr_runtime.bundle import read_bundle
from smsr_runtime.run.command import main as run
from tests.helpers import random_network
from tests.runtime.helpers import tiny_model, write_bundle
from tests.runtime.video import rgb_frames, write_clip
from tests.training.helpers import TINY, equal, read, write_pictures

Main = Callable[[Sequence[str]], int]


@dataclass(frozen=True)
class Scenario:
    """One command, run in the folder `work`, which before lies in `start`.

    results: names of its results. old: whether each is there at the start. state: what one is: raises AssertionError
    for half a result; "absent", or a text that is equal for equal content. again: the arguments of the next run.
    """

    main: Main
    arguments: Sequence[str]
    results: Sequence[str]
    state: Callable[[Path], str]
    again: Sequence[str]
    old: bool = False


def digest(path: Path) -> str:
    """Of a file, or of all files below a folder."""
    if not os.path.lexists(path):
        return "absent"
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    parts = [f"{file.relative_to(path.parent)} {hashlib.sha256(file.read_bytes()).hexdigest()}" for file in files
             if file.is_file()]  # fmt: skip
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def bundle_state(path: Path) -> str:
    if os.path.lexists(path):
        read_bundle(path)
    return digest(path)


def clip_state(path: Path) -> str:
    if not path.exists():
        return "absent"
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray() for frame in container.decode(video=0)]
    assert len(frames) == 4
    return hashlib.sha256(b"".join(frame.tobytes() for frame in frames)).hexdigest()[:12]


def plays(path: Path) -> bool:
    """Whether a video has a frame and decodes to its end."""
    try:
        with av.open(str(path)) as container:
            return sum(1 for _ in container.decode(video=0)) > 0
    except av.FFmpegError:
        return False


def checkpoint_state(path: Path) -> str:
    """A checkpoint of training can always be loaded."""
    if not path.exists():
        return "absent"
    load_network(path, say=lambda _: None)
    return f"step {read(path)['step']}"


def make_start(folder: Path) -> None:
    """Inputs, and what is there before with --force."""
    folder.mkdir()
    small = NetworkConfig(2, 16, 1, 2)
    for name, seed in (("old", 3), ("new", 4)):
        torch.save(random_network(small, seed).state_dict(), folder / f"{name}.pt")
    write_bundle(folder / "tiny.smsr", tiny_model())
    (folder / "in").mkdir()
    random = np.random.default_rng(0)
    for name in ("a", "b"):
        Image.fromarray(random.integers(0, 256, (60, 80, 3), dtype=np.uint8)).save(folder / "in" / f"{name}.png")
    write_clip(folder / "clip.mp4", rgb_frames(4))
    write_pictures(folder / "pictures", 3)


def write_old(folder: Path) -> None:
    """Earlier results, by the commands themselves."""
    assert export([str(folder / "old.pt"), "-o", str(folder / "x.smsr")]) == 0
    assert export([str(folder / "old.pt"), "-o", str(folder / "x.onnx")]) == 0
    shutil.copy(folder / "in" / "a.png", folder / "out.png")
    shutil.copy(folder / "clip.mp4", folder / "out.mp4")


_TRAIN = ("pictures", *TINY, "--steps", "4", "--validate-every", "2", "-o", "run")
_VERIFY = ("--verify", "pictures/p0.png")
_QUIET = ("--threads", "1", "--quiet")


def scenarios() -> dict[str, Scenario]:
    """By name. A name that ends with "over" begins with old results."""
    folder = ("out/a.png", "out/b.png")
    video = ("tiny.smsr", "clip.mp4", "-o", "out.mp4", *_QUIET)
    return {
        "export": Scenario(export, ["new.pt", "-o", "x.smsr", *_VERIFY], ["x.smsr"], bundle_state,
                           ["new.pt", "-o", "x.smsr", "--force", *_VERIFY]),
        "export over": Scenario(export, ["new.pt", "-o", "x.smsr", "--force", *_VERIFY], ["x.smsr"], bundle_state,
                                ["new.pt", "-o", "x.smsr", "--force", *_VERIFY], old=True),
        "export file over": Scenario(export, ["new.pt", "-o", "x.onnx", "--force", *_VERIFY], ["x.onnx"], digest,
                                     ["new.pt", "-o", "x.onnx", "--force", *_VERIFY], old=True),
        "run folder": Scenario(run, ["tiny.smsr", "in", "-o", "out", *_QUIET], folder, digest,
                               ["tiny.smsr", "in", "-o", "out", "--force", *_QUIET]),
        "run over": Scenario(run, ["tiny.smsr", "in/b.png", "-o", "out.png", "--force", *_QUIET], ["out.png"], digest,
                             ["tiny.smsr", "in/b.png", "-o", "out.png", "--force", *_QUIET], old=True),
        "video over": Scenario(run, [*video, "--force"], ["out.mp4"], clip_state, [*video, "--force"], old=True),
        "train": Scenario(train, _TRAIN, ["run/last.pt", "run/best.pt"], checkpoint_state, [*_TRAIN, "--resume"]),
    }  # fmt: skip


def same_run(first: Path, second: Path) -> bool:
    """Whether two runs ended with the same checkpoint, bit for bit.

    But for the generators of Python and NumPy, which nothing draws from and each forked process seeds anew.
    """
    contents = [read(run / "last.pt") for run in (first, second)]
    for content in contents:
        content["random"] = content["random"]["torch"]
    return equal(*contents)
