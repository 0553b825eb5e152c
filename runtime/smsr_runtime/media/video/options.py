"""What a caller may say about a video's result, and what a finished one reports."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

from smsr_runtime.errors import VideoError

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class VideoOptions:
    """codec: an encoder of FFmpeg, None for the container's; crf: constant quality, lower is better, None for the
    encoder's own.

    deinterlace: "auto" for what is marked as interlaced, "on" for every frame, "off".
    resume: go on with what an earlier run of the same job has left; force: else begin again.
    replace: whether a result of that name, made while this one was, is replaced.
    job: what else decides about the pixels, such as the bundle; machine: what decides about single bits only.
    """

    codec: str | None = None
    crf: int | None = None
    deinterlace: str = "auto"
    resume: bool = False
    force: bool = False
    replace: bool = True
    job: dict[str, Any] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Hooks:
    """on_frame: called after each frame made, or taken from an earlier run; say: takes notes while it works.

    check_size: takes a frame's height and width before any is decoded; raises MemoryLimitError for one too large.
    """

    on_frame: Callable[[], None] = lambda: None
    say: Callable[[str], None] = lambda text: None
    check_size: Callable[[int, int], None] = lambda height, width: None


@dataclass(frozen=True)
class Beside:
    """A second video. draw: takes each upscaled frame just after it was made -> (H, W, 3) uint8."""

    target: Path
    draw: Callable[[NDArray[Any]], NDArray[Any]]


@dataclass(frozen=True)
class Task:
    """One video to make."""

    source: Path
    target: Path
    options: VideoOptions


@dataclass
class VideoReport:
    """frames written; active: mean share of active pixels per module, 0..1; sizes as (height, width).

    error: the source was damaged; the result has what could be decoded.
    """

    frames: int = 0
    seconds: float = 0.0
    size_in: list[int] = field(default_factory=list)
    size_out: list[int] = field(default_factory=list)
    active: list[float] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    error: VideoError | None = None
