"""One fact about this machine, and the targets that need it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Iterable

from smsr_runtime.errors import SmsrError, one_line, reason

CPU, GPU, EXPORT, TRAIN, BENCH = "cpu", "trt", "export", "train", "bench"
TARGETS = {
    CPU: "run bundles on the CPU",
    GPU: "run engines on an NVIDIA GPU",
    EXPORT: "export checkpoints",
    TRAIN: "train and evaluate",
    BENCH: "benchmark",
}


@dataclass(frozen=True)
class Finding:
    """name: what was looked for; value: what is there, or why it is of no use; ok: None for a mere fact.

    needed_by: targets that do not work without it; remedy: the command or step that mends a lack.
    """

    name: str
    ok: bool | None
    value: str
    needed_by: tuple[str, ...] = ()
    remedy: str = ""

    def as_json(self) -> dict[str, Any]:
        parts = {"name": self.name, "ok": self.ok, "value": self.value, "needed_by": list(self.needed_by)}
        return {**parts, "remedy": self.remedy if self.ok is False else ""}


def fact(name: str, value: object) -> Finding:
    return Finding(name, None, one_line(str(value)))


def examined(name: str, needed_by: Iterable[str], remedy: str, look: Callable[[], str]) -> Finding:
    """What `look` returns, or, where it raises, why not; an smsr error brings a remedy of its own."""
    try:
        return Finding(name, True, one_line(look()), tuple(needed_by))
    except SmsrError as error:
        return Finding(name, False, f"{error.got} ({error.where})", tuple(needed_by), error.todo)
    except Exception as error:  # whatever a broken installation raises is what a doctor is asked about
        return Finding(name, False, reason(error), tuple(needed_by), remedy)
