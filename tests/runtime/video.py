"""Clips for the tests of videos, made with PyAV; and calls that leave the network out."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from smsr_runtime.media.video.options import VideoOptions, VideoReport
from smsr_runtime.media.video.transfer import upscale_video

RATE = 25


def pattern(number: int, size: tuple[int, int] = (64, 48)) -> np.ndarray:
    """(width, height) -> (H, W, 3) uint8: blocks of colour that move right by one pixel per frame."""
    width, height = size
    blocks = np.random.default_rng(3).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    return np.ascontiguousarray(np.roll(blocks.repeat(8, axis=0).repeat(8, axis=1), number, axis=1))


def write_clip(path: Path, frames: list[av.VideoFrame], codec: str = "libx264", **options: Any) -> Path:
    """Frames with their own times. options: `options` of the encoder, `container` as open() takes them, `start` of
    the first frame in frames, and attributes of the stream's codec context."""
    start = options.pop("start", 0)
    with av.open(str(path), "w", options=options.pop("container", {})) as container:
        video = container.add_stream(codec, rate=RATE, options=options.pop("options", {"crf": "1"}))
        video.width, video.height, video.pix_fmt = frames[0].width, frames[0].height, frames[0].format.name
        video.codec_context.time_base = Fraction(1, RATE)
        for name, value in options.items():
            setattr(video.codec_context, name, value)
        for number, frame in enumerate(frames):
            frame.pts, frame.time_base = start + number, Fraction(1, RATE)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    return path


def rgb_frames(count: int, size: tuple[int, int] = (64, 48), pix_fmt: str = "yuv420p") -> list[av.VideoFrame]:
    frames = [av.VideoFrame.from_ndarray(pattern(number, size), format="rgb24") for number in range(count)]
    return [frame.reformat(format=pix_fmt) for frame in frames]


def decoded(path: Path, kind: str | None = None) -> list[np.ndarray]:
    """Every frame, in its own pixel format unless `kind` names one."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format=kind) if kind else frame.to_ndarray() for frame in container.decode(video=0)]


def copied(source: Path, target: Path, **options: Any) -> tuple[list[np.ndarray], VideoReport]:
    """The video through everything but a network, which hands its frames on; and the frames that it was given."""
    seen: list[np.ndarray] = []

    def upscale(pixels: np.ndarray) -> tuple[np.ndarray, list[float]]:
        seen.append(pixels)
        return pixels, [0.5]

    report = upscale_video(upscale, source, target, VideoOptions(**options))
    return seen, report
