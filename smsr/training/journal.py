"""What a run reports: one line per validation, TensorBoard scalars, one JSON object per line of `metrics.jsonl`."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from smsr_runtime import files
from smsr_runtime.console import put, say
from smsr_runtime.errors import OutputError


class Journal:
    """The leading process writes it; in the others its methods do nothing. On a full disk the run goes on."""

    def __init__(self, run: Path, first: int, steps: int, *, leads: bool) -> None:
        self.leads, self.keeps, self.path = leads, leads, run / "metrics.jsonl"
        self.bar: Any = tqdm(
            initial=first, total=steps, unit="step", disable=None if leads else True, dynamic_ncols=True
        )
        self.writer: Any = None
        if leads:
            with self._giving_up_on_errors():
                if self.path.exists():
                    _forget_after(self.path, first)
                self.writer = _tensorboard(run, first)

    def say(self, text: str) -> None:
        """A line on stdout, above the progress bar."""
        if self.leads:
            put(text, sys.stdout, partial(self.bar.write, file=sys.stdout) if not self.bar.disable else None)

    def advance(self, step: int, shown: str | None = None) -> None:
        self.bar.update(step - self.bar.n)
        if shown:
            self.bar.set_postfix_str(shown, refresh=False)

    def record(self, step: int, scalars: dict[str, float]) -> None:
        """Writes a step's scalars to metrics.jsonl and TensorBoard."""
        if not self.keeps:
            return
        with self._giving_up_on_errors():
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": step, **{k: round(v, 6) for k, v in scalars.items()}}) + "\n")
            if self.writer is not None:
                for name, value in scalars.items():
                    self.writer.add_scalar(name, value, step)

    def close(self) -> None:
        self.bar.close()
        if self.keeps and self.writer is not None:
            with self._giving_up_on_errors():
                self.writer.close()

    @contextlib.contextmanager
    def _giving_up_on_errors(self) -> Iterator[None]:
        """At the first error of writing, reports it and stops writing; the run goes on."""
        try:
            yield
        except (OSError, OutputError) as error:
            self.keeps = False
            text = error.got if isinstance(error, OutputError) else error.strerror or error
            say("smsr-train", f"{self.path}: {text}; metrics are no longer kept")


def _tensorboard(run: Path, first: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        say("smsr-train", "TensorBoard is not installed; scalars go to metrics.jsonl alone")
        return None
    threading.excepthook = _silent_for_tensorboard
    return SummaryWriter(str(run / "tensorboard"), purge_step=first or None)


def _silent_for_tensorboard(failure: threading.ExceptHookArgs) -> None:
    """Hides the traceback of TensorBoard's writing thread on a full disk; its next scalar raises the error again."""
    if not (isinstance(failure.exc_value, OSError) and type(failure.thread).__module__.startswith("tensorboard.")):
        threading.__excepthook__(failure)


def _forget_after(path: Path, step: int) -> None:
    """Drops the lines after `step`, which an interrupted run wrote after its last checkpoint and will write again."""
    lines = path.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if line.startswith("{") and line.endswith("}") and json.loads(line)["step"] <= step]
    files.write_bytes(path, "".join(f"{line}\n" for line in kept).encode())
