"""Progress on stderr: a bar where tqdm is installed and stderr is a terminal, else nothing. Alone imports tqdm."""

from __future__ import annotations

import functools
import sys
from typing import Any, TextIO

from smsr_runtime.console import put


class Progress:
    """Context manager; `step()` once per unit, `say()` prints a line without breaking the bar."""

    def __init__(self, total: int | None, unit: str, *, shown: bool) -> None:
        terminal = sys.stderr is not None and sys.stderr.isatty()
        self._bar: Any = _bar(total, unit) if shown and terminal else None

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def step(self) -> None:
        if self._bar is not None:
            self._bar.update()

    def say(self, text: str, stream: TextIO) -> None:
        put(text, stream, functools.partial(self._bar.write, file=stream) if self._bar is not None else None)


def _bar(total: int | None, unit: str) -> Any:
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    return tqdm(total=total, unit=unit, dynamic_ncols=True, file=sys.stderr)
