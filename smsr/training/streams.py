"""Streams of random numbers: a draw is seeded by (seed, stream, ...), so that no two purposes share numbers."""

from __future__ import annotations

from enum import IntEnum


class Stream(IntEnum):
    """The values are part of what a seed means: changed, a run is no longer the one that was recorded."""

    CHANNEL_NOISE = 1
    SPATIAL_NOISE = 2
    IMAGE_ORDER = 3
    CROPS = 4
