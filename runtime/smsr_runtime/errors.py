"""Every error of smsr, its runtime, exporter, trainer and benchmark: one line of where, expected, got, what to do.

SmsrError                  exit code 1: the work failed
  UsageError               exit code 2: the command line or its files cannot mean anything
  CheckpointError          a file that is no usable checkpoint
  DataError                training or benchmark pictures, or their folders, that cannot be used
  ExportError              the export failed
    ParityError            the exported model differs from PyTorch
  BundleError              not a bundle, a newer format, a changed byte
  NativeLibraryError       the native library is not loadable or built from another contract
  BackendError             no such backend here, or it refuses the model
  InputError               an array handed to `load()`'s callable has the wrong shape or type
  MemoryLimitError         the picture needs more memory than there is
  PictureError             an image file that is damaged or of an unsupported kind
  VideoError               the same for videos
  OutputError              a result that cannot be written
  MissingPackageError      an optional package is needed and not installed
  SelfTestError            the golden output is not reproduced
  InternalError            any other exception, as a command shows it

NativeLibraryWarning       no native library: the model runs, several times slower
BackendWarning             no TensorRT or GPU for a bundle made for them: it runs on the CPU
"""

from __future__ import annotations

import os
from typing import Any

_CONTROL = frozenset(
    [*range(0x20), *range(0x7F, 0xA0), 0x061C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A), 0xFEFF]
)
"""C0 and C1 control characters, breaks of lines and paragraphs, and what turns the direction of writing."""
_LONGEST = 1000
"""Characters of one part of a message; of a longer one its beginning and its end are shown."""


def is_printable(text: str) -> bool:
    """Whether a terminal shows the text and does nothing else: no control characters, no lone surrogates."""
    return not any(code in _CONTROL or 0xD800 <= code < 0xE000 for code in map(ord, text))


def printable(text: str, line_break: str = "\n") -> str:
    """The text with a blank for each control character but `line_break`, a question mark for each lone surrogate."""
    if is_printable(text):
        return text
    return "".join(
        character if character == line_break else " " if ord(character) in _CONTROL else character
        for character in text.encode("utf-8", "replace").decode("utf-8")
    )


def one_line(text: str, longest: int = _LONGEST) -> str:
    """At most `longest` characters on one line; see `printable`."""
    if len(text) > longest:
        text = f"{text[: longest * 2 // 3]} ... {text[-(longest // 3 - 5) :]}"
    return printable(text, "").strip()


class SmsrError(Exception):
    """Base of the tree; `exit_code` is what a command returns for it."""

    exit_code = 1

    def __init__(self, where: object, expected: str, got: str, todo: str) -> None:
        self.where = one_line(str(where))
        self.expected = one_line(expected)
        self.got = one_line(got)
        self.todo = one_line(todo)
        super().__init__(f"{self.where}: expected {self.expected}, got {self.got}; {self.todo}")

    def as_json(self) -> dict[str, str]:
        """The parts and the whole sentence, for --json."""
        parts = {"where": self.where, "expected": self.expected, "got": self.got, "todo": self.todo}
        return {"kind": type(self).__name__, "message": str(self), **parts}

    def __reduce__(self) -> tuple[Any, ...]:
        """Errors travel between processes."""
        return _made_again, (type(self), self.where, self.expected, self.got, self.todo)


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


class BundleError(SmsrError):
    pass


class NativeLibraryError(SmsrError):
    pass


class BackendError(SmsrError):
    pass


class InputError(SmsrError, ValueError):
    pass


class MemoryLimitError(SmsrError, MemoryError):
    pass


class PictureError(SmsrError):
    pass


class VideoError(SmsrError):
    pass


class OutputError(SmsrError):
    pass


class MissingPackageError(SmsrError, ImportError):
    pass


class SelfTestError(SmsrError):
    pass


class InternalError(SmsrError):
    """What a command shows for any other exception."""

    def __init__(self, where: object, error: BaseException) -> None:
        text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        super().__init__(where, "no internal error", text[:300], "run with --debug for the traceback and report it")


class NativeLibraryWarning(UserWarning):
    pass


class BackendWarning(UserWarning):
    pass


def with_todo(error: SmsrError, more: str) -> SmsrError:
    """The same error with one thing more to know at its end."""
    return _made_again(type(error), error.where, error.expected, error.got, f"{error.todo}; {more}")


def _made_again(kind: type[SmsrError], where: str, expected: str, got: str, todo: str) -> SmsrError:
    """Of kinds that are made from other things, too."""
    same = kind.__new__(kind)
    SmsrError.__init__(same, where, expected, got, todo)
    return same


def reason(error: BaseException) -> str:
    """What an exception says, in one line: an OSError's system message without the path."""
    if isinstance(error, OSError) and error.errno is not None:
        return os.strerror(error.errno).lower()
    return one_line(str(error)) or type(error).__name__
