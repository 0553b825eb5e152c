"""What a caller may say about a video's result, and what a finished one reports."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from smsr_runtime.errors import VideoError


@dataclass(frozen=True)
class VideoOptions:
    """codec: an encoder of FFmpeg, None for the container's; crf: constant quality, lower is better, None for the
    encoder's own; replace: whether a result of that name, made while this one was, is replaced."""

    codec: str | None = None
    crf: int | None = None
    replace: bool = True


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
