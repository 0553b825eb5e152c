"""Streams of random numbers: a draw is seeded by (seed, stream, ...), so that no two purposes share numbers."""

from __future__ import annotations

from enum import IntEnum


class Stream(IntEnum):
    """The values must not change: a recorded seed would then give another run."""

    CHANNEL_NOISE = 1
    SPATIAL_NOISE = 2
    IMAGE_ORDER = 3
    CROPS = 4
