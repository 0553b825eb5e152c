"""Renames that replace nothing, and two names that change places at once: Linux's renameat2, or what comes closest."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import os
from pathlib import Path
from typing import Any

_NOREPLACE, _EXCHANGE = 1, 2
_CURRENT_FOLDER = -100
_UNSUPPORTED = (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP)
"""By the kernel, or by the file system."""
_TAKEN = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR, errno.EISDIR)


def rename_new(source: Path, target: Path) -> None:
    """Renames a file or folder; raises FileExistsError where `target` is there, whatever it is, and OSError.

    Without renameat2 an empty folder that appears at the last moment may be replaced by a folder, and on a file system
    without hard links a file by a file.
    """
    if _renameat2(source, target, _NOREPLACE):
        return
    if not source.is_dir():
        with contextlib.suppress(OSError):
            os.link(source, target)
            return source.unlink()
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    try:
        os.rename(source, target)
    except OSError as error:
        if error.errno in _TAKEN:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from error
        raise


def exchange(first: Path, second: Path) -> bool:
    """Two names change places at once; False where the system cannot do that. Raises OSError."""
    return _renameat2(first, second, _EXCHANGE)


def _renameat2(source: Path, target: Path, flag: int) -> bool:
    function = _function()
    if function is None:
        return False
    if function(_CURRENT_FOLDER, os.fsencode(source), _CURRENT_FOLDER, os.fsencode(target), flag) == 0:
        return True
    number = ctypes.get_errno()
    if number in _UNSUPPORTED:
        return False
    raise OSError(number, os.strerror(number), str(source), None, str(target))


@functools.lru_cache(maxsize=None)
def _function() -> Any:
    """The C library's renameat2; None on systems without it."""
    try:
        function = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, TypeError, AttributeError):  # TypeError: Windows
        return None
    function.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
    return function
