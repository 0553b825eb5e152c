"""What a run tells: a line each validation, TensorBoard scalars, one JSON object a line in `metrics.jsonl`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm


class Journal:
    """Of the leading process; for the others every call does nothing. A full disk costs the journal, not the run."""

    def __init__(self, run: Path, first: int, steps: int, leads: bool) -> None:
        self.leads, self.path = leads, run / "metrics.jsonl"
        self.bar: Any = tqdm(
            initial=first, total=steps, unit="step", disable=None if leads else True, dynamic_ncols=True
        )
        self.writer = _tensorboard(run, first) if leads else None
        if leads and self.path.exists():
            _forget_after(self.path, first)

    def say(self, text: str) -> None:
        """A line on stdout, above the progress bar."""
        if self.leads:
            self.bar.write(text, file=sys.stdout)
            sys.stdout.flush()

    def advance(self, step: int, shown: str | None = None) -> None:
        self.bar.update(step - self.bar.n)
        if shown:
            self.bar.set_postfix_str(shown, refresh=False)

    def record(self, step: int, scalars: dict[str, float]) -> None:
        """Scalars of a step, to both files."""
        if not self.leads:
            return
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": step, **{k: round(v, 6) for k, v in scalars.items()}}) + "\n")
            if self.writer is not None:
                for name, value in scalars.items():
                    self.writer.add_scalar(name, value, step)
        except OSError as error:
            self.leads = False
            print(f"smsr-train: {self.path}: {error.strerror or error}; metrics are no longer kept", file=sys.stderr)

    def close(self) -> None:
        self.bar.close()
        try:
            if self.writer is not None:
                self.writer.close()
        except OSError:
            pass


def _tensorboard(run: Path, first: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        print("smsr-train: TensorBoard is not installed; scalars go to metrics.jsonl alone", file=sys.stderr)
        return None
    return SummaryWriter(str(run / "tensorboard"), purge_step=first or None)


def _forget_after(path: Path, step: int) -> None:
    """Drops what an interrupted run wrote after its last checkpoint; it will be written again."""
    lines = path.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if line.startswith("{") and line.endswith("}") and json.loads(line)["step"] <= step]
    path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
