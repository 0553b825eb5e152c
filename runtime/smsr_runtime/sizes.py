"""Picture sizes that an engine takes: named by a user, kept in a manifest, built into an engine."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Tuple

from smsr_runtime.errors import UsageError

Size = Tuple[int, int]
"""(height, width) in pixels of the input."""
_SIDE_LIMIT = 1 << 15


@dataclass(frozen=True)
class Wanted:
    """Sizes that the user named for an engine; None: chosen when it is built (`tensorrt.profiles`)."""

    min: Size | None = None
    opt: Size | None = None
    max: Size | None = None

    @classmethod
    def parse(cls, smallest: str | None, usual: str | None, largest: str | None) -> Wanted:
        """--min-shape, --opt-shape, --max-shape. Raises UsageError for a malformed one and for a contradiction."""
        options = ("--min-shape", "--opt-shape", "--max-shape")
        sizes = [_parse(option, value) for option, value in zip(options, (smallest, usual, largest))]
        named = [(option, size) for option, size in zip(options, sizes) if size]
        for (first, small), (second, large) in zip(named, named[1:]):
            _check_order(first, small, second, large)
        return cls(*sizes)

    @classmethod
    def from_json(cls, record: Any) -> Wanted:
        """From the manifest's "profile"; anything else than sizes there counts as not named."""
        if not isinstance(record, dict):
            return cls()
        return cls(*(_stored(record.get(name)) for name in ("min", "opt", "max")))

    def as_json(self) -> dict[str, list[int]] | None:
        named = {"min": self.min, "opt": self.opt, "max": self.max}
        return {name: list(size) for name, size in named.items() if size} or None


@dataclass(frozen=True)
class Profile:
    """min <= opt <= max in height and in width; the engine is fastest near opt."""

    min: Size
    opt: Size
    max: Size

    @classmethod
    def from_json(cls, record: Any) -> Profile | None:
        """From the manifest's entry of an engine; None for anything else than three sizes."""
        sizes = Wanted.from_json(record)
        return cls(sizes.min, sizes.opt, sizes.max) if sizes.min and sizes.opt and sizes.max else None

    def holds(self, size: Size) -> bool:
        return all(low <= side <= high for low, side, high in zip(self.min, size, self.max))

    def as_json(self) -> dict[str, list[int]]:
        return {"min": list(self.min), "opt": list(self.opt), "max": list(self.max)}

    def __str__(self) -> str:
        return f"{text(self.min)} to {text(self.max)}, fastest at {text(self.opt)}"


def text(size: Size) -> str:
    """HEIGHTxWIDTH, as on the command line."""
    return f"{size[0]}x{size[1]}"


def _parse(option: str, value: str | None) -> Size | None:
    if value is None:
        return None
    match = re.fullmatch(r"(\d{1,6})[xX](\d{1,6})", value.strip())
    size = (int(match[1]), int(match[2])) if match else (0, 0)
    if not match or not all(1 <= side <= _SIDE_LIMIT for side in size):
        raise UsageError(option, f"HEIGHTxWIDTH, each 1 to {_SIDE_LIMIT}", repr(value), "write it like 720x1280")
    return size


def _check_order(first: str, small: Size, second: str, large: Size) -> None:
    if any(low > high for low, high in zip(small, large)):
        todo = "make it smaller, or the other larger, in height and in width"
        raise UsageError(first, f"at most {second} {text(large)}", text(small), todo)


def _stored(value: Any) -> Size | None:
    if (
        isinstance(value, list)
        and len(value) == 2
        and all(type(side) is int and 0 < side <= _SIDE_LIMIT for side in value)
    ):
        return (value[0], value[1])
    return None
