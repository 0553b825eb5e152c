"""Whole-picture feature maps between the passes of `ort.strips`: in memory, or in a temporary file without a name."""

from __future__ import annotations

import contextlib
import mmap
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, ContextManager, Iterator, NamedTuple, Protocol, Sequence

import numpy as np

from smsr_runtime.errors import OutputError, reason
from smsr_runtime.resources import in_memory, in_units

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from smsr_runtime.ort.buffers import Buffers

    Rows = NDArray[np.float32]
    """(1, h, W, C): some rows of a map, contiguous."""

_TODO = "free some space there, or let TMPDIR name a folder on another disk"


class Strip(NamedTuple):
    """Rows first .. end, and low .. high with the halo."""

    low: int
    first: int
    end: int
    high: int

    @property
    def own(self) -> slice:
        """The rows without the halo, within those with it."""
        return slice(self.first - self.low, self.end - self.low)


class Maps(Protocol):
    """Named maps (1, H, W, C) float32, written from the top."""

    def read(self, name: str, first: int, end: int) -> Rows:
        """Rows first .. end, not to be changed."""
        ...

    def window(self, name: str, strip: Strip) -> ContextManager[Rows]:
        """Rows low .. high to be written; those above `first` stay as they were, those from `end` on are undefined."""
        ...


class MapsInMemory:
    """Rows are views: nothing is copied."""

    def __init__(self, names: Sequence[str], shape: tuple[int, int, int], buffers: Buffers) -> None:
        """shape: (H, W, C)."""
        self._buffers = buffers
        self._maps = {name: buffers.array(name, (1, *shape)) for name in names}

    def read(self, name: str, first: int, end: int) -> Rows:
        return self._maps[name][:, first:end]

    @contextlib.contextmanager
    def window(self, name: str, strip: Strip) -> Iterator[Rows]:
        above = self._maps[name][:, strip.low : strip.first]
        kept = self._buffers.array("above", above.shape)
        kept[:] = above
        yield self._maps[name][:, strip.low : strip.high]
        above[:] = kept


class MapsInFile:
    """Rows are written explicitly: a full disk is an error then, where writing to a mapping would be a signal. They are
    read through mappings of their own, which go with the arrays: only those in use count as resident memory."""

    def __init__(
        self, names: Sequence[str], shape: tuple[int, int, int], buffers: Buffers, folder: Path | None
    ) -> None:
        """shape: (H, W, C). Raises OutputError where the disk has no room."""
        self._shape, self._buffers = shape, buffers
        self._row = shape[1] * shape[2] * 4
        self._start = {name: index * shape[0] * self._row for index, name in enumerate(names)}
        self._folder = _folder(folder, len(names) * shape[0] * self._row)
        with self._errors():
            self._file = tempfile.TemporaryFile(  # noqa: SIM115  open as long as this object is
                prefix="smsr.", dir=self._folder, buffering=0
            )
            self._file.truncate(len(names) * shape[0] * self._row)

    def close(self) -> None:
        self._file.close()

    def read(self, name: str, first: int, end: int) -> Rows:
        start = self._start[name] + first * self._row
        before = start % mmap.ALLOCATIONGRANULARITY
        with self._errors():
            mapped = mmap.mmap(
                self._file.fileno(),
                before + (end - first) * self._row,
                access=mmap.ACCESS_READ,
                offset=start - before,
            )
        return np.frombuffer(mapped, np.float32, offset=before).reshape(1, end - first, *self._shape[1:])

    @contextlib.contextmanager
    def window(self, name: str, strip: Strip) -> Iterator[Rows]:
        rows = self._buffers.array("written", (1, strip.high - strip.low, *self._shape[1:]))
        yield rows
        self._write(self._start[name] + strip.first * self._row, rows[:, strip.own])

    def _write(self, position: int, rows: Rows) -> None:
        left = rows.data.cast("B")
        with self._errors():
            self._file.seek(position)
            while left:
                left = left[self._file.write(left) :]

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            where = f"temporary file in {self._folder}"
            raise OutputError(where, "to keep a picture's features", reason(error), _TODO) from error


@contextlib.contextmanager
def open_maps(
    names: Sequence[str], shape: tuple[int, int, int], buffers: Buffers, *, in_file: bool, folder: Path | None
) -> Iterator[Maps]:
    """Maps (1, H, W, C) of these names; buffers: for them, or for rows of them; folder: of the file, which is gone at
    the end, None: TMPDIR or the system's."""
    if not in_file:
        yield MapsInMemory(names, shape, buffers)
        return
    maps = MapsInFile(names, shape, buffers, folder)
    try:
        yield maps
    finally:
        maps.close()


def _folder(folder: Path | None, needed: int) -> Path:
    """TMPDIR where it is set, else `folder`, else the system's: the first one on a disk. Raises OutputError."""
    named = os.environ.get("TMPDIR")
    places = [Path(named)] if named else [*([folder] if folder else []), Path(tempfile.gettempdir())]
    on_disk = [place for place in places if not in_memory(place)]
    if not on_disk:
        got = " and ".join(f"{place}, which lies in memory" for place in places)
        raise OutputError("temporary file", "a folder on a disk", got, "let TMPDIR name one")
    place = on_disk[0]
    try:
        free = shutil.disk_usage(place).free
    except OSError as error:
        raise OutputError(place, "a folder for a temporary file", reason(error), _TODO) from error
    if free < needed:
        expected = f"{in_units(needed)} of disk for the picture's features"
        raise OutputError(place, expected, f"{in_units(free)} free", _TODO)
    return place
