"""Errors of smsr and its exporter; the runtime, which must stand alone, has its own tree of the same form.

SmsrError
+-- UsageError        the command or call is wrong (exit code 2)
+-- CheckpointError   a file that is not, or not a usable, checkpoint
+-- DataError         pictures or folders that cannot be used
+-- ExportError       the export failed
    +-- ParityError   the exported model differs from PyTorch
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable


class SmsrError(Exception):
    """One line: where, expected, got, what to do. `exit_code` is the process's exit code."""

    exit_code = 1

    def __init__(self, where: object, expected: str, got: str, todo: str) -> None:
        self.where, self.expected, self.got, self.todo = str(where), expected, got, todo
        super().__init__(" ".join(f"{where}: expected {expected}, got {got}; {todo}".split()))


class UsageError(SmsrError):
    exit_code = 2


class CheckpointError(SmsrError):
    pass


class DataError(SmsrError):
    pass


class ExportError(SmsrError):
    pass


class ParityError(ExportError):
    pass


_EXTRAS = {"smsr-eval": "train"}
"""The extra of the package a program needs, where it is not named after the program."""


def run_command(program: str, work: Callable[[], int | None], debug: bool, interrupted: str = "interrupted") -> int:
    """Runs `work`; returns the process's exit code. Errors are one line on stderr; `debug` shows the traceback."""
    try:
        code = work()
        sys.stdout.flush()
        return code or 0
    except KeyboardInterrupt:
        print(f"{program}: {interrupted}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, `head` say, has left; what lies in the buffer must not fail again at the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print(f"{program}: standard output was closed before the end", file=sys.stderr)
        return 1
    except Exception as error:
        if debug:
            raise
        return report(program, error)


def report(program: str, error: Exception) -> int:
    """Prints the one line of an error that ends `program`; returns the exit code. The runtime's errors have one too."""
    code = getattr(error, "exit_code", None)
    if isinstance(code, int):
        print(f"{program}: {error}", file=sys.stderr)
        return code
    text = " ".join(str(error).split())[:300] or type(error).__name__
    hint = "run again with --debug and report it"
    if isinstance(error, ModuleNotFoundError):
        extra = _EXTRAS.get(program, program.removeprefix("smsr-"))
        hint = f"pip install 'smsr[{extra}]', or make setup"
    print(f"{program}: unexpected {type(error).__name__}: {text}; {hint}", file=sys.stderr)
    return 1
