"""The process that computes: it alone holds the network, and is killed where a picture takes too long.

An inference cannot be stopped from within, and a decoder that a hostile file crashes must not take the page with it.
"""

from __future__ import annotations

import functools
import multiprocessing
import shutil
import signal
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from smsr_runtime.console import as_smsr
from smsr_runtime.errors import BackendError, SmsrError
from smsr_runtime.run import PROGRAM
from smsr_runtime.run.jobs import Job
from smsr_runtime.run.opening import Opening, open_bundle, show_warnings
from smsr_runtime.run.pictures import Made, record, upscale_bytes
from smsr_runtime.run.serve.limits import Limits, UnavailableError, check_pixels
from smsr_runtime.run.settings import Settings
from smsr_runtime.run.upscale import check_size
from smsr_runtime.session import Upscaler

_JOB = Job(Path("the picture"), Path("result.png"), Path("result.masks.png"))
"""Names for messages and formats: nothing is read from or written to them, and a client names nothing."""


@dataclass(frozen=True)
class Answer:
    """The result and its masks as PNG files, and the record as --json prints it."""

    result: bytes
    masks: bytes
    record: dict[str, Any]


class Worker:
    """One process, started anew after it was killed. `about`: facts of the bundle, once it has been started."""

    def __init__(self, opening: Opening, limits: Limits, folder: Path) -> None:
        """folder: for the features of pictures in strips; a process whose parent was killed removes it."""
        self.about: dict[str, Any] = {}
        self._arguments = (opening, limits, folder)
        self._seconds = limits.seconds
        self._process: Any = None
        self._pipe: Connection[Any, Any] | None = None

    def start(self) -> None:
        """Opens the bundle, however long that takes. Raises what `load` raises."""
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, *self._arguments), daemon=True)
        self._process.start()
        theirs.close()
        self.about = self._received(self._pipe)

    def upscale(self, data: bytes, theta: float) -> Answer:
        """data: the picture's file. Raises UnavailableError after the time limit, and what `upscale_bytes` raises."""
        if self._process is not None and not self._process.is_alive():  # killed meanwhile, as for its memory
            self.stop()
        if self._process is None:
            self.start()
        pipe = self._pipe
        assert pipe is not None
        try:
            pipe.send((data, theta))
            ready = pipe.poll(self._seconds)
        except OSError as error:
            raise self._ended() from error
        if not ready:
            self.stop()
            todo = "try a smaller picture or a higher theta, or start it with a larger --time-limit"
            raise UnavailableError("the picture", f"a result within {self._seconds:g} s", "none yet", todo)
        answer: Answer = self._received(pipe)
        return answer

    def stop(self) -> None:
        """Kills the process, whatever it is doing."""
        process, pipe = self._process, self._pipe
        self._process = self._pipe = None
        if process is not None and pipe is not None:
            process.kill()
            process.join()
            pipe.close()

    def _received(self, pipe: Connection[Any, Any]) -> Any:
        try:
            answer = pipe.recv()
        except (EOFError, OSError) as error:
            raise self._ended() from error
        if isinstance(answer, SmsrError):
            raise answer
        return answer

    def _ended(self) -> SmsrError:
        """The process is gone: killed for its memory, or crashed by a library."""
        process = self._process
        if process is not None:
            process.join(1)
        code = "stopped" if process is None else f"exit code {process.exitcode}"
        self.stop()
        return BackendError("the process that computes", "an answer", code, "try a smaller picture")


def _work(pipe: Connection[Any, Any], opening: Opening, limits: Limits, folder: Path) -> None:
    """The process: opens the bundle, then a picture at a time until the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all of a terminal's processes; the parent ends this
    show_warnings(opening)
    try:
        upscaler = open_bundle(opening)
    except Exception as error:
        return pipe.send(as_smsr(PROGRAM, error))
    upscaler.folder = folder
    pipe.send(_about(upscaler))
    while True:
        try:
            data, theta = pipe.recv()
        except (EOFError, OSError):  # the parent stopped, or was killed and could not tidy up
            return shutil.rmtree(folder, ignore_errors=True)
        pipe.send(_answer(upscaler, limits, data, theta))


def _about(upscaler: Upscaler) -> dict[str, Any]:
    return {
        "name": upscaler.bundle.name,
        "scale": upscaler.scale,
        "theta": upscaler.theta,
        "path": upscaler.path,
        "modules": upscaler.bundle.modules,
    }


def _answer(upscaler: Upscaler, limits: Limits, data: bytes, theta: float) -> Answer | SmsrError:
    start = time.perf_counter()
    try:
        upscaler.theta = theta
        made: Made = upscale_bytes(upscaler, _JOB, Settings(), data, functools.partial(_check, upscaler, limits))
    except Exception as error:  # a decoder may raise anything for a damaged file, and the next picture is welcome
        return as_smsr(_JOB.input, error)
    assert made.masks is not None
    return Answer(made.data, made.masks, record(_JOB, made, upscaler.path, time.perf_counter() - start))


def _check(upscaler: Upscaler, limits: Limits, where: str, height: int, width: int) -> None:
    check_pixels(limits, where, height, width)
    check_size(upscaler, where, height, width)
