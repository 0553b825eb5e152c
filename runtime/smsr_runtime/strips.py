"""A picture that is computed in strips of rows, because it would not fit into memory as a whole.

Channel attention needs the mean of a module's features over the whole picture, and nothing else does: so all strips of
one module come first, then its scale, then all strips of the next one (docs/design.md, Large pictures).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

from smsr_runtime.resources import in_units

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Read = Callable[[int, int], NDArray[np.float32]]
    Write = Callable[[int, NDArray[np.float32]], None]


@dataclass(frozen=True)
class Strips:
    """How one picture is computed.

    rows: of a strip in a module; ends: in head and tail. count: of a module's strips. feature_bytes: the whole
    picture's features, kept between passes in memory or, where `in_file`, in a temporary file.
    """

    rows: int
    ends: int
    count: int
    feature_bytes: int
    in_file: bool

    def as_json(self) -> dict[str, Any]:
        where = "file" if self.in_file else "memory"
        return {"rows": self.rows, "count": self.count, "features": where, "feature_bytes": self.feature_bytes}

    def __str__(self) -> str:
        where = "a temporary file" if self.in_file else "memory"
        return f"{self.count} strips of {self.rows} rows, {in_units(self.feature_bytes)} of features in {where}"


def _ignore(_done: int, _total: int) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True)
class StripJob:
    """One picture (height, width) at theta.

    read(y0, y1): its rows as (1, 3, y1 - y0, W) float32 0..255, contiguous; a row may be read again.
    write(y0, rows): takes the result's rows from y0 on, (1, 3, h, s*W) float32, not clamped; each row once, in order.
    margins: whether they are asked for. step: called with the number of strips done and of all, over all passes.
    folder: for the temporary file; None: the system's. The file has no name: it goes however the run ends.
    """

    height: int
    width: int
    theta: float
    read: Read
    write: Write
    margins: bool = False
    step: Callable[[int, int], None] = _ignore
    folder: Path | None = None
