"""How a bundle is opened: what processes that compute for this one are told."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

from smsr_runtime.console import say
from smsr_runtime.run import PROGRAM
from smsr_runtime.session import Upscaler, load
from smsr_runtime.tensorrt.options import EngineOptions


@dataclass(frozen=True)
class Opening:
    """What `load` is called with. quiet: warnings are not shown."""

    bundle: str
    threads: int | None
    backend: str
    theta: float
    engine: EngineOptions
    memory: str | None
    quiet: bool = False


def open_bundle(opening: Opening) -> Upscaler:
    """Raises what `load` raises."""
    return load(opening.bundle, opening.threads, opening.backend, opening.theta, opening.engine, memory=opening.memory)


def show_warnings(opening: Opening) -> None:
    """In a process of its own: warnings as lines of this command."""
    warnings.showwarning = lambda message, *_, **__: None if opening.quiet else say(PROGRAM, f"warning: {message}")
