"""How strips are cut, counted by hand: 64 channels are 256 bytes a pixel, the picture is 100 wide and 400 high."""

from __future__ import annotations

import pytest

from smsr_runtime.ort.strip_memory import Cutter, PassBytes
from smsr_runtime.strips import Strips

MIB = 1 << 20
FIXED = 112 * MIB
FEATURES = 6 * 400 * 100 * 256
"""Six maps of the whole picture: the head's features and the sums of five modules."""
STARTS = 3 * 4 * MIB
"""Features are made of sums 4 MiB at a time, and ONNX Runtime takes some; in a file all six maps are read so, too."""
MODULE = 128 + 2 * 20
"""Rows of a module's strip of 128 rows with its halo; a pixel takes 10.5 * 256 bytes, 256 of features and 8."""
ENDS = int(5.5 * 256) * (64 + 2 * 8) * 100
"""In memory what ONNX Runtime takes for head and tail stays; with a file it goes in between."""
ROOM = FIXED + FEATURES + STARTS + ENDS + MODULE * 100 * 2952


@pytest.mark.parametrize(
    ("free", "beside", "cut"),
    [
        # 128 rows fit. The first and the last strip have one halo, and 20 rows more of their own: three strips have to
        # share all but 40 of 400 rows, 120 each. Head and tail take their most, 64 rows.
        (ROOM, 0, Strips(rows=120, ends=64, count=3, feature_bytes=FEATURES, in_file=False)),
        # 124 would fit beside the features, less than 128: they go to a file. A pixel then takes 12.5 * 256 + 8 bytes,
        # and 24 MiB more are for the maps: 302 rows, 260 in whole tiles without two halos, so two strips of 180.
        (ROOM - 1, 0, Strips(rows=180, ends=64, count=2, feature_bytes=FEATURES, in_file=True)),
        # One byte for the result has the same consequence.
        (ROOM, 1, Strips(rows=180, ends=64, count=2, feature_bytes=FEATURES, in_file=True)),
    ],
)
def test_the_memory_of_strips_is_what_one_counts_by_hand(free: int, beside: int, cut: Strips) -> None:
    cutter = Cutter(channels=64, modules=5, scale=2, bytes=PassBytes(ends=5.5, module=10.5), native=False)
    assert cutter.cut(400, 100, free, beside) == cut
