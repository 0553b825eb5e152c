"""Every error of the runtime. Each says where, what was expected, what was found, what to do, in one line.

SmsrError                  exit code 1: the work failed
  UsageError               exit code 2: the command line or its files cannot mean anything
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

NativeLibraryWarning       no native library: the model runs, several times slower
BackendWarning             no TensorRT or GPU for a bundle made for them: it runs on the CPU
"""

from __future__ import annotations

import os


def one_line(text: str) -> str:
    """Line breaks and other control characters as blanks, so that an error stays one line."""
    return "".join(" " if ord(character) < 32 else character for character in text).strip()


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


class UsageError(SmsrError):
    exit_code = 2


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
        found = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        super().__init__(where, "no internal error", found, "run with --debug for the traceback and report it")


class NativeLibraryWarning(UserWarning):
    pass


class BackendWarning(UserWarning):
    pass


def reason(error: BaseException) -> str:
    """What an exception says, in one line: an OSError's system message without the path."""
    if isinstance(error, OSError) and error.errno is not None:
        return os.strerror(error.errno).lower()
    return one_line(str(error)) or type(error).__name__
