"""What the commands share: exit codes, errors as one line, stopping signals.

Exit codes: 0 done; 1 the work failed, a missing package included; 2 wrong usage; 128 + N stopped by signal N.
Lines on stderr begin with the program's name, as argparse's own do: `smsr-run: error: ...`.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import signal
import sys
import threading
import traceback
from typing import Any, Callable, Iterator, NoReturn, TextIO

from smsr_runtime.errors import InternalError, MissingPackageError, SmsrError, one_line, printable, reason

INTERRUPTED = 128 + signal.SIGINT
_LONGEST_LINE = 5000
"""Characters of a line on stderr: an error has four parts."""
_STOPPING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))

OnError = Callable[[SmsrError], None]


class Parser(argparse.ArgumentParser):
    """Shows no control characters of a command line, as a file's name may have; a --help not printed is an error."""

    def error(self, message: str) -> NoReturn:
        super().error(one_line(message))

    def _print_message(self, message: str, file: Any = None) -> None:
        """argparse's one way to a stream, which drops what the stream does not take."""
        if message:
            put(message.rstrip("\n"), file or sys.stderr)

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        if message:
            put(message.rstrip("\n"), sys.stderr)
        try:
            _finish_stdout()
        except (BrokenPipeError, SmsrError) as error:
            detach(sys.stdout)
            if isinstance(error, SmsrError):
                say(self.prog, f"error: {error}")
                status = status or error.exit_code
        sys.exit(status)


def run_command(
    program: str,
    work: Callable[[], int | None],
    debug: bool = False,
    interrupted: str = "interrupted: nothing half-written is left",
    on_error: OnError | None = None,
) -> int:
    """Runs `work` and returns the process's exit code: `work`'s own, or that of the error it ended with.

    debug: also shows the traceback; interrupted: what Ctrl-C leaves behind; on_error: sees the error, for --json.
    """
    try:
        with _unwinding():
            code = work()
            _finish_stdout()
            return code or 0
    except KeyboardInterrupt:
        say(program, interrupted)
        return INTERRUPTED
    except BrokenPipeError as error:
        detach(sys.stdout)
        error_ = SmsrError("standard output", "a reader until the end", "one that closed it", "read all of it")
        return _report(program, error_, error, debug, on_error)
    except Exception as error:
        return _report(program, as_smsr(program, error), error, debug, on_error)


def as_smsr(where: object, error: Exception) -> SmsrError:
    """The error itself where it is ours, else one that wraps it."""
    if isinstance(error, SmsrError):
        return error
    if isinstance(error, ModuleNotFoundError):
        return missing_package(where, error.name or str(error))
    return InternalError(where, error)


def missing_package(where: object, package: str) -> MissingPackageError:
    """The one wording for a package that an optional part of smsr needs."""
    extra = _OF_PROGRAMS.get(str(where), EXTRAS[package]) if package in EXTRAS else None
    todo = f"pip install 'smsr[{extra}]'" if extra else f"pip install {package}"
    return MissingPackageError(where, f"the package {package}", "not installed", todo)


EXTRAS = {
    "torch": "export", "onnx": "export", "onnx_graphsurgeon": "export", "safetensors": "export", "tabulate": "export",
    "jinja2": "export",
    "matplotlib": "train", "openvino": "bench", "nncf": "int8", "tensorrt": "trt", "pycuda": "trt",
}  # fmt: skip
"""The extra of the distribution `smsr` that brings each package."""
_OF_PROGRAMS = {"smsr-train": "train", "smsr-eval": "train", "smsr-bench": "bench"}
"""The extra that brings all that a program needs."""


def say(program: str, text: str) -> None:
    """A line for people, on stderr."""
    put(f"{program}: {one_line(text, _LONGEST_LINE)}", sys.stderr)


def show(text: str) -> None:
    """Lines for people, on stdout."""
    put(text, sys.stdout)


def put(text: str, stream: TextIO | None, write: Callable[[str], object] | None = None) -> None:
    """Lines on stdout or stderr, at once, without control characters; write: what puts them there, if not print.

    A stream that takes no more does not stop the work: a reader that closed stdout has seen enough, any other reason is
    raised by `run_command` at the end; where stderr fails nobody can be told.
    """
    try:
        (write or functools.partial(print, file=stream))(_encodable(printable(text), stream))
        if stream is not None:
            stream.flush()
    except OSError as error:
        detach(stream)
        if stream is sys.stdout and not isinstance(error, BrokenPipeError):
            _unwritten.append(error)


def _encodable(text: str, stream: TextIO | None) -> str:
    """What the stream's encoding lacks, as escapes."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


_unwritten: list[OSError] = []
"""Why stdout took no more."""


def detach(stream: TextIO | None) -> None:
    """After a failed write: what lies in the buffer must not fail again at the end of Python."""
    if stream is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _finish_stdout() -> None:
    """Raises BrokenPipeError, SmsrError for what could not be written."""
    try:
        if sys.stdout is not None:  # else closed before the start
            sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        detach(sys.stdout)
        _unwritten.append(error)
    if _unwritten:
        raise unwritten(_unwritten.pop())


def unwritten(error: OSError) -> SmsrError:
    """What a failed write to stdout means, for any reason but a reader that is gone."""
    return SmsrError("standard output", "room for what is printed", reason(error), "free some space or redirect it")


def _report(program: str, error: SmsrError, cause: Exception, debug: bool, on_error: OnError | None) -> int:
    if debug:
        put("".join(traceback.format_exception(type(cause), cause, cause.__traceback__)).rstrip(), sys.stderr)
    say(program, f"error: {error}")
    if on_error is not None:
        on_error(error)
    return error.exit_code


@contextlib.contextmanager
def _unwinding() -> Iterator[None]:
    """SIGTERM and SIGHUP unwind like Ctrl-C does, so that temporary files are removed; in the main thread only."""
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        heard = [number for number in _STOPPING if signal.getsignal(number) is not signal.SIG_IGN]  # nohup ignores one
        before = {number: signal.signal(number, _stop) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(number: int, _: object) -> NoReturn:
    raise SystemExit(128 + number)
