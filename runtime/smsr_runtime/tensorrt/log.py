"""TensorRT's callbacks: its error lines, and a build's progress. Their base classes come with the module tensorrt."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Callable, Sequence

from smsr_runtime.errors import BackendError, one_line

Say = Callable[[str], None]
"""Takes one line for people."""
_STEP = 10
"""Percent between two lines of progress."""
_OUT_OF_MEMORY = re.compile(
    r"out of memory|outofmemory|insufficient (device |gpu )?memory|memory allocation|failed_allocation|"
    r"cudaerrormemoryallocation|requested amount of gpu memory|workspace limit|insufficient workspace",
    re.IGNORECASE,
)


@dataclass
class Log:
    """Error lines in order; the last one is usually a consequence of the first."""

    errors: list[str] = field(default_factory=list)

    def summary(self) -> str:
        return self.errors[0] if self.errors else "no reason given"

    @property
    def out_of_memory(self) -> bool:
        """Whether GPU memory ran out; each version of TensorRT words it differently."""
        return any(_OUT_OF_MEMORY.search(line) for line in self.errors)


_loggers: dict[str, Any] = {}


def shared_logger(trt: Any, log: Log) -> Any:
    """The process's one ILogger; from now on it keeps errors in `log`, for our own one-line messages.

    TensorRT keeps a pointer to the first logger it gets and goes on writing to it: it must never be freed.
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
    except TypeError as error:  # the bindings raise it for a null pointer
        got, todo = log.summary(), "update the GPU's driver, or run with --backend ort"
        raise BackendError("TensorRT", "a GPU and a driver it can work with", got, todo) from error


def make_monitor(trt: Any, say: Say, stopping: Sequence[int]) -> Any:
    """An IProgressMonitor that reports each tenth of the build, or None before TensorRT 9.

    stopping: a list as `held_signals` fills it; once it holds a signal, the monitor makes TensorRT stop.
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
            self._report(phase_name, step)
            return not stopping

        def phase_finish(self, phase_name: str) -> None:
            self._steps.pop(phase_name, None)

        def _report(self, phase_name: str, step: int) -> None:
            steps = self._steps.get(phase_name, 0)
            percent = 100 * (step + 1) // steps if steps else 0
            if percent >= self._said + _STEP:
                self._said = percent - percent % _STEP
                say(f"{phase_name}: {self._said} %")

    return Monitor()
