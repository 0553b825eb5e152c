"""What a caller may say about the engine of a bundle."""

from __future__ import annotations

from dataclasses import dataclass, field

from smsr_runtime.errors import UsageError
from smsr_runtime.sizes import Wanted
from smsr_runtime.tensorrt.log import Say


def _silent(_: str) -> None:
    """For callers that show no messages."""


@dataclass(frozen=True)
class EngineOptions:
    """rebuild: although there is an engine. wanted: its sizes, where none is named those of the bundle.

    workspace: bytes of scratch memory, None: all there is. say: takes lines for people.
    """

    rebuild: bool = False
    wanted: Wanted = field(default_factory=Wanted)
    workspace: int | None = None
    say: Say = _silent


def parse_workspace(mebibytes: int | None) -> int | None:
    """--workspace as bytes. Raises UsageError."""
    if mebibytes is not None and mebibytes < 1:
        raise UsageError("--workspace", "MiB, 1 or more", str(mebibytes), "leave it out to use what is free")
    return None if mebibytes is None else mebibytes << 20
