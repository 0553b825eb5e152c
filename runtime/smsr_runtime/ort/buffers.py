"""Arrays that are kept: fresh memory costs a page fault per page, up to a second per gigabyte in a virtual machine."""

from __future__ import annotations

import math
import mmap
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Buffers:
    """float32 arrays by name. An array's contents stand until the next one of its name is asked for."""

    def __init__(self) -> None:
        self._arrays: dict[str, NDArray[np.float32]] = {}

    def array(self, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """One of this shape, with anything in it: in the memory of the last one of its name where that suffices."""
        size = math.prod(shape)
        if name not in self._arrays or self._arrays[name].size < size:
            self._arrays.pop(name, None)  # first, so that there are never both
            self._arrays[name] = _new(size)
        return self._arrays[name][:size].reshape(shape)

    def clear(self) -> None:
        self._arrays.clear()


def _new(size: int) -> NDArray[np.float32]:
    """Of ordinary pages: numpy asks for huge ones, whose first use took three times as long in a virtual machine."""
    private = {"flags": mmap.MAP_PRIVATE} if hasattr(mmap, "MAP_PRIVATE") else {}  # Windows has no other
    return np.frombuffer(mmap.mmap(-1, max(1, size) * 4, **private), np.float32)
