"""How strips are cut, counted by hand: 64 channels are 256 bytes a pixel, the picture is 100 wide and 400 high."""

from __future__ import annotations

import pytest

from smsr_runtime.ort.strip_memory import Cutter, PassBytes
from smsr_runtime.strips import Strips

FIXED = 96 << 20
FEATURES = 4 * 400 * 100 * 256
"""Four maps of the whole picture."""
MODULE = 128 + 2 * 20
"""Rows of a module's strip of 128 rows with its halo; a pixel of it takes 10.5 * 256 + 8 bytes."""
ROOM = FIXED + FEATURES + MODULE * 100 * 2696


@pytest.mark.parametrize(
    ("room", "cut"),
    [
        # 128 rows fit: four strips, of 100 rows each to be equal; head and tail take their most, 64 rows.
        (ROOM, Strips(rows=100, ends=64, finish=64, count=4, feature_bytes=FEATURES, in_file=False)),
        # 124 would fit beside the features, less than 128: they go to a file. A pixel then takes 12.5 * 256 + 8 bytes:
        # 268 rows, 228 without the halo, so two strips of 200.
        (ROOM - 1, Strips(rows=200, ends=64, finish=64, count=2, feature_bytes=FEATURES, in_file=True)),
    ],
)
def test_the_memory_of_strips_is_what_one_counts_by_hand(room: int, cut: Strips) -> None:
    cutter = Cutter(channels=64, scale=2, bytes=PassBytes(ends=5.5, module=10.5, finish=5.5), native=False)
    assert cutter.cut(400, 100, room) == cut
