"""How a picture is cut so that its strips fit into the memory there is."""

from __future__ import annotations

from dataclasses import dataclass

from smsr_runtime.errors import MemoryLimitError
from smsr_runtime.ort.strips import END_HALO, MODULE_HALO, START_BYTES, TILE, strip_count
from smsr_runtime.resources import in_units
from smsr_runtime.strips import Strips

_FIXED = 112 << 20
"""Bytes for the sessions of the parts, their packed weights and threads."""
_RING_ROWS = 80
"""Rows of features that the native module keeps of its layers, whatever the strip's height (measured: 70)."""
_MOST_END_ROWS = 64
"""Of head and tail: more rows gain nothing, their halo is small."""
_LEAST_IN_MEMORY = 128
"""Rows of a module's strip below which features go to a file: the halo would cost more than reading and writing it."""


@dataclass(frozen=True)
class PassBytes:
    """Memory per pixel of a strip, its halo included, in multiples of one pixel's features (4 C bytes).

    ends: in head and tail. Inputs and outputs are not counted. What ONNX Runtime allocates in one pass, with a tenth on
    top: resident sets of version 1.32, float32 and bf16, noise.
    """

    ends: float
    module: float


NATIVE_BYTES = PassBytes(ends=2.7, module=0.25)
BODY_BYTES = PassBytes(ends=5.5, module=10.5)


@dataclass(frozen=True)
class Cutter:
    """channels, modules and scale of the network; bytes: of the compute path; native: whether our kernels run it."""

    channels: int
    modules: int
    scale: int
    bytes: PassBytes
    native: bool

    def cut(self, height: int, width: int, free: int, beside: int = 0) -> Strips:
        """The largest strips for `free` bytes, `beside` of which are taken by the result; features in memory where
        strips of a fair height fit beside them.

        Raises MemoryLimitError where not even the smallest ones fit.
        """
        room = free - beside
        features = self._maps * height * width * self._features
        rows = self._module_rows(width, room - features, in_file=False)
        in_file = rows + 2 * MODULE_HALO < min(height, _LEAST_IN_MEMORY + 2 * MODULE_HALO)
        if in_file:
            rows = self._module_rows(width, room, in_file=True)
        ends = self._end_rows(width, room - (0 if in_file else features), in_file=in_file)
        if min(rows, ends) < TILE:
            raise self._too_small(height, width, free, beside)
        count = strip_count(height, rows, MODULE_HALO)
        even = -(-(height - 2 * MODULE_HALO) // count)  # no strip is larger than their number asks for
        return Strips(max(TILE, -(-even // TILE) * TILE), ends, count, features, in_file)

    @property
    def _maps(self) -> int:
        """The head's features, and each module's sums."""
        return 1 + self.modules

    @property
    def _features(self) -> int:
        """Bytes of one pixel's features."""
        return 4 * self.channels

    def _module_rows(self, width: int, room: int, *, in_file: bool) -> int:
        rings = _RING_ROWS * width * self._features if self.native else 0
        # In memory ONNX Runtime keeps what it took for head and tail; with a file it gives that back.
        ends = 0 if in_file else int(self.bytes.ends * self._features) * width * (_MOST_END_ROWS + 2 * END_HALO)
        per_pixel = (self.bytes.module + (2 if in_file else 1)) * self._features + 8  # features in, sums out
        taken = _FIXED + rings + ends + self._starts(width, in_file=in_file)
        return _fitting(room - taken, width, per_pixel, MODULE_HALO)

    def _end_rows(self, width: int, room: int, *, in_file: bool) -> int:
        picture = 12 * (2 + 5 * self.scale**2)  # rows read, and rows of the result while they are rounded
        per_pixel = (self.bytes.ends + (2 if in_file else 1)) * self._features + picture  # collected, and the head's
        return min(
            _MOST_END_ROWS, _fitting(room - _FIXED - self._starts(width, in_file=in_file), width, per_pixel, END_HALO)
        )

    def _starts(self, width: int, *, in_file: bool) -> int:
        """Bytes while features are made of sums: rows of all maps, and what ONNX Runtime allocates."""
        return ((self._maps if in_file else 0) + 3) * max(START_BYTES, width * self._features)

    def _too_small(self, height: int, width: int, free: int, beside: int) -> MemoryLimitError:
        result = f", and {in_units(beside)} for the result" if beside else ""
        expected = f"at least {in_units(self.least(width))} of memory free for strips of {width} pixels{result}"
        todo = "raise --memory, cut the picture into narrower parts or use a machine with more memory"
        return MemoryLimitError("picture", expected, f"{in_units(free)} for {width}x{height}", todo)

    def least(self, width: int) -> int:
        """Bytes for strips of TILE rows."""
        room = _FIXED
        while min(self._module_rows(width, room, in_file=True), self._end_rows(width, room, in_file=True)) < TILE:
            room += 1 << 20
        return room


def _fitting(room: int, width: int, per_pixel: float, halo: int) -> int:
    """Rows for which there is room, beside a halo above and below; 0 or less: none."""
    return (int(room // (width * per_pixel)) - 2 * halo) // TILE * TILE
