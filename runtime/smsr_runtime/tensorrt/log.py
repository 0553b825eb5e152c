"""TensorRT's callbacks: its error lines, and how far a build is. Their base classes come with the module."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Callable, Sequence

from smsr_runtime.errors import BackendError, one_line

_STEP = 10
"""Percent between two lines of progress."""
_OUT_OF_MEMORY = re.compile(
    r"out of memory|outofmemory|insufficient (device |gpu )?memory|memory allocation|failed_allocation|"
    r"cudaerrormemoryallocation|requested amount of gpu memory|workspace limit|insufficient workspace",
    re.IGNORECASE,
)


@dataclass
class Log:
    """Error lines in the order they came; the last one is usually a consequence of the first."""

    errors: list[str] = field(default_factory=list)

    def summary(self) -> str:
        return self.errors[0] if self.errors else "no reason given"

    @property
    def out_of_memory(self) -> bool:
        """Whether GPU memory ran out, in the words of one of the versions."""
        return any(_OUT_OF_MEMORY.search(line) for line in self.errors)


_loggers: dict[str, Any] = {}


def shared_logger(trt: Any, log: Log) -> Any:
    """The process's one ILogger; from now on it keeps errors in `log`, for our own one-line messages.

    TensorRT remembers the first logger it is given and writes to it ever after: it must never be freed.
    """
    if trt.__name__ not in _loggers:
        _loggers[trt.__name__] = _make_logger(trt)
    logger = _loggers[trt.__name__]
    logger.target = log
    return logger


def _make_logger(trt: Any) -> Any:
    class Collector(trt.ILogger):  # type: ignore[misc]  # the base is known at run time only
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.target = Log()

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                self.target.errors.append(one_line(message))

    return Collector()


def opened(kind: Callable[[Any], Any], logger: Any, log: Log) -> Any:
    """A trt.Builder or trt.Runtime. Raises BackendError where TensorRT cannot work, as with a driver too old for it."""
    try:
        return kind(logger)
    except TypeError as error:  # the bindings' word for a null pointer
        got, todo = log.summary(), "update the GPU's driver, or run with --backend ort"
        raise BackendError("TensorRT", "a GPU and a driver it can work with", got, todo) from error


def make_monitor(trt: Any, say: Callable[[str], None], stopping: Sequence[int]) -> Any:
    """An IProgressMonitor that says every tenth of the build, or None before TensorRT 9.

    stopping: a list as `held_signals` fills it; as soon as something is in it, TensorRT is told to stop.
    """
    if not hasattr(trt, "IProgressMonitor"):
        return None

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]  # as above
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._steps: dict[str, int] = {}
            self._said = 0

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            if parent_phase is None:
                self._steps[phase_name] = num_steps
                self._said = 0

        def step_complete(self, phase_name: str, step: int) -> bool:
            self._tell(phase_name, step)
            return not stopping

        def phase_finish(self, phase_name: str) -> None:
            self._steps.pop(phase_name, None)

        def _tell(self, phase_name: str, step: int) -> None:
            steps = self._steps.get(phase_name, 0)
            percent = 100 * (step + 1) // steps if steps else 0
            if percent >= self._said + _STEP:
                self._said = percent - percent % _STEP
                say(f"{phase_name}: {self._said} %")

    return Monitor()
