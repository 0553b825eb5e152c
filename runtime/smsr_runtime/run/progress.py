"""Progress on stderr: a bar where tqdm is installed and stderr is a terminal, else nothing. Alone imports tqdm."""

from __future__ import annotations

import functools
import sys
from typing import Any, TextIO

from smsr_runtime.console import put


class Progress:
    """Context manager; `step()` once per unit, `part()` for the strips of a large one.

    `say()` prints a line without breaking the bar.
    """

    def __init__(self, total: int | None, unit: str, *, shown: bool) -> None:
        self._terminal = sys.stderr is not None and sys.stderr.isatty()
        self._bar: Any = _bar(total, unit) if shown and self._terminal else None
        self._parts: Any = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        for bar in (self._parts, self._bar):
            if bar is not None:
                bar.close()

    def step(self) -> None:
        if self._bar is not None:
            self._bar.update()

    def part(self, done: int, total: int, *, shown: bool) -> None:
        """`done` of `total` strips of this unit are computed: a bar of their own, gone when all are."""
        if self._parts is None and shown and self._terminal:
            self._parts = _bar(total, "strip", leave=False)
        if self._parts is None:
            return
        self._parts.update()
        if done == total:
            self._parts.close()
            self._parts = None

    def say(self, text: str, stream: TextIO) -> None:
        put(text, stream, functools.partial(self._bar.write, file=stream) if self._bar is not None else None)


def _bar(total: int | None, unit: str, *, leave: bool = True) -> Any:
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    return tqdm(total=total, unit=unit, dynamic_ncols=True, file=sys.stderr, leave=leave)
