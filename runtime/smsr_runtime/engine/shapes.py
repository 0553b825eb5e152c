"""The sizes an engine takes: optimization profiles over H and W, batch 1 (the backend runs pictures one by one)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Sequence, Tuple

from smsr_runtime.errors import UsageError

Size = Tuple[int, int]
"""(height, width) in pixels of the input."""

BYTES_PER_PIXEL = {"fp16": 2400, "fp32": 4800}
"""GPU memory of one inference per input pixel at 64 features, x2: what the tensors of one module, the plugin's
workspace and the float32 ends take, by their shapes, half as much again. Reckoned, not measured on a GPU yet."""
_SMALLEST: Size = (16, 16)
_USUAL: Size = (540, 960)
_LARGEST: tuple[Size, ...] = ((1920, 1920), (1280, 1280), (960, 960), (640, 640), (480, 480), (320, 320), (192, 192))
"""Square, so that a picture fits upright too."""
_SIDE_LIMIT = 1 << 15


@dataclass(frozen=True)
class Wanted:
    """Sizes the user named; None: ours."""

    min: Size | None = None
    opt: Size | None = None
    max: Size | None = None

    def as_json(self) -> dict[str, list[int]] | None:
        named = {"min": self.min, "opt": self.opt, "max": self.max}
        return {name: list(size) for name, size in named.items() if size} or None


@dataclass(frozen=True)
class Profile:
    """min <= opt <= max in height and in width; the engine is fastest near opt."""

    min: Size
    opt: Size
    max: Size

    def holds(self, size: Size) -> bool:
        return all(low <= side <= high for low, side, high in zip(self.min, size, self.max))

    def as_json(self) -> dict[str, list[int]]:
        return {"min": list(self.min), "opt": list(self.opt), "max": list(self.max)}

    def __str__(self) -> str:
        return f"{text(self.min)} to {text(self.max)}, fastest at {text(self.opt)}"


def text(size: Size) -> str:
    return f"{size[0]}x{size[1]}"


def parse_size(option: str, value: str | None) -> Size | None:
    """HEIGHTxWIDTH as on the command line. Raises UsageError naming `option`."""
    if value is None:
        return None
    match = re.fullmatch(r"(\d{1,6})[xX](\d{1,6})", value.strip())
    size = (int(match[1]), int(match[2])) if match else (0, 0)
    if not match or not all(1 <= side <= _SIDE_LIMIT for side in size):
        raise UsageError(option, f"HEIGHTxWIDTH, each 1 to {_SIDE_LIMIT}", repr(value), "write it like 720x1280")
    return size


def parse_wanted(smallest: str | None, usual: str | None, largest: str | None) -> Wanted:
    """The three options. Raises UsageError where one is malformed or they contradict each other."""
    wanted = Wanted(
        parse_size("--min-shape", smallest), parse_size("--opt-shape", usual), parse_size("--max-shape", largest)
    )
    named = [
        (option, size)
        for option, size in (("--min-shape", wanted.min), ("--opt-shape", wanted.opt), ("--max-shape", wanted.max))
        if size
    ]
    for (first, small), (second, large) in zip(named, named[1:]):
        _check_order(first, small, second, large)
    return wanted


def parse_workspace(mebibytes: int | None) -> int | None:
    """--workspace as bytes. Raises UsageError."""
    if mebibytes is not None and mebibytes < 1:
        raise UsageError("--workspace", "MiB, 1 or more", str(mebibytes), "leave it out to use what is free")
    return None if mebibytes is None else mebibytes << 20


def _check_order(first: str, small: Size, second: str, large: Size) -> None:
    if any(low > high for low, high in zip(small, large)):
        todo = "make it smaller, or the other larger, in height and in width"
        raise UsageError(first, f"at most {second} {text(large)}", text(small), todo)


def stored_wanted(record: Any) -> Wanted:
    """From the manifest's "profile"; anything else than sizes there counts as not named."""
    if not isinstance(record, dict):
        return Wanted()
    return Wanted(*(_stored(record.get(name)) for name in ("min", "opt", "max")))


def _stored(value: Any) -> Size | None:
    if isinstance(value, list) and len(value) == 2 and all(isinstance(side, int) and side > 0 for side in value):
        return (value[0], value[1])
    return None


def profiles(wanted: Wanted, free: int, per_pixel: int) -> Sequence[Profile]:
    """Profiles to try in this order: ours shrink where GPU memory runs out, a largest size that was named does not.

    free: bytes of GPU memory; the first one of ours takes at most half of it.
    """
    if wanted.max:
        return [_filled(wanted, wanted.max)]
    floor = wanted.opt or wanted.min or (1, 1)
    larger = [(max(size[0], floor[0]), max(size[1], floor[1])) for size in _LARGEST]
    fitting = [size for size in larger if size[0] * size[1] * per_pixel <= free // 2] or larger[-1:]
    return [_filled(wanted, size) for size in dict.fromkeys(fitting)]


def _filled(wanted: Wanted, largest: Size) -> Profile:
    smallest = wanted.min or _both(min, _SMALLEST, wanted.opt or largest)
    smallest = _both(min, smallest, largest)
    usual = wanted.opt or _both(max, _both(min, _USUAL, largest), smallest)
    return Profile(smallest, usual, largest)


def _both(pick: Any, first: Size, second: Size) -> Size:
    return (pick(first[0], second[0]), pick(first[1], second[1]))
