"""Finds the native library (fast kernels as an ONNX Runtime custom op) and checks what it was built from."""

from __future__ import annotations

import ctypes
import enum
import os
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Union

from smsr_runtime.errors import NativeLibraryError, NativeLibraryWarning, reason

LIBRARY_VARIABLE = "SMSR_ORT_LIBRARY"
VARIANT_VARIABLE = "SMSR_CPU"
_PACKAGE = Path(__file__).parent.parent
_SUFFIX = {"darwin": ".dylib", "win32": ".dll"}.get(sys.platform, ".so")
DEFAULT_LIBRARY = _PACKAGE / "native" / f"libsmsr_ort{_SUFFIX}"
SUMS_OPERATOR, SCALED_SUM_OPERATOR = "SparseMaskSums", "ScaledSum"
"""Of the library alone, for strips; bundles, and so their interface hash, do not know them."""
_SYMBOLS = ("RegisterCustomOps", "smsr_interface_hash", "smsr_operators", "smsr_cpu_variants", "smsr_cpu_variant")


def how_to_install() -> str:
    """What brings this release's native library, by how the runtime came here: a clone, pip, or a copied folder."""
    if (_PACKAGE.parents[1] / "plugins").is_dir():
        return "make native, in the repository"
    if _PACKAGE.parent.name in ("site-packages", "dist-packages"):
        return (
            "pip install --force-reinstall --no-deps smsr-runtime, where there is a wheel for this machine or, "
            "to build it, a C++17 compiler (Debian: apt install g++)"
        )
    return f"build it in the repository on a machine of this kind (make native) and copy it to {_PACKAGE / 'native'}"


_warned = False


class Library(enum.Enum):
    """Which native library computes, where the caller names no file.

    ENVIRONMENT: the file that SMSR_ORT_LIBRARY names; unset, the one that is installed; `none`, none. SMSR_CPU forces
    a variant: a name that the library does not have, or no library, is an error, never a fallback.
    NONE: the model's function body, whatever the environment says.
    """

    ENVIRONMENT = "environment"
    NONE = "none"


LibraryChoice = Union[Library, str, Path]
"""A member of Library, or a library's file (of which SMSR_CPU forces a variant)."""


@dataclass(frozen=True)
class NativeLibrary:
    """A checked library: file, the variant in use and all that this CPU could use, best first."""

    path: Path
    variant: str
    variants: str

    def computes_in(self, precision: str) -> bool:
        """Whether the variant in use has kernels with multiplicands of this precision: "fp32", "bf16", "fp16".

        A variant for reduced precision is named after it (docs/interfaces.md); each has float32 kernels too.
        """
        return precision == "fp32" or self.variant.endswith(precision)


def find_library(interface_hash: str, choice: LibraryChoice = Library.ENVIRONMENT) -> NativeLibrary | None:
    """The library to register, checked against the bundle's `interface_hash`; None: run without one.

    Warns once per process where none is installed. Raises NativeLibraryError for a library that is named
    but missing, not loadable, built from another contract, or lacks the variant that SMSR_CPU names.
    """
    if choice is Library.NONE:
        return None
    named = os.environ.get(LIBRARY_VARIABLE, "") if choice is Library.ENVIRONMENT else str(choice)
    path = Path(named) if named else DEFAULT_LIBRARY
    if named == "none" or not (named or path.exists()):
        _refuse_forced_variant()
        if named != "none":
            _warn_once()
        return None
    return _check(path, interface_hash)


def installed_library() -> tuple[NativeLibrary, str]:
    """The library that the environment names or that is installed, and the interface hash it was built from.

    Raises NativeLibraryError where there is none or it is of no use here.
    """
    named = os.environ.get(LIBRARY_VARIABLE, "")
    if named == "none":
        raise NativeLibraryError(LIBRARY_VARIABLE, "a library", "none", f"unset {LIBRARY_VARIABLE}")
    path = Path(named) if named else DEFAULT_LIBRARY
    if not path.exists():
        raise NativeLibraryError(path, "the native library", "no such file", how_to_install())
    built_from = _text(_open(path).smsr_interface_hash)
    return _check(path, built_from), built_from


def _warn_once() -> None:
    global _warned  # noqa: PLW0603  one warning per process, whatever the warning filters do
    if _warned:
        return
    _warned = True
    warnings.warn(
        f"no native library at {DEFAULT_LIBRARY}: the model runs through its ONNX function body, several times "
        f"slower; to have it: {how_to_install()}; or name one in {LIBRARY_VARIABLE}",
        NativeLibraryWarning,
        stacklevel=2,
    )


def _refuse_forced_variant() -> None:
    forced = os.environ.get(VARIANT_VARIABLE, "")
    if forced:
        todo = f"install the library ({how_to_install()}) or unset {VARIANT_VARIABLE}"
        raise NativeLibraryError(f"{VARIANT_VARIABLE}={forced}", "a native library", "none", todo)


def _check(path: Path, interface_hash: str) -> NativeLibrary:
    library = _open(path)
    built_from = _text(library.smsr_interface_hash)
    if built_from != interface_hash:
        expected = f"interface hash {interface_hash} (the bundle's)"
        raise NativeLibraryError(path, expected, f"{built_from} (the library's)", _rebuild())
    operators = _text(library.smsr_operators)
    lacking = sorted({SUMS_OPERATOR, SCALED_SUM_OPERATOR} - set(operators.split(",")))
    if lacking:
        raise NativeLibraryError(path, f"operators {', '.join(lacking)} too", f"only {operators}", _rebuild())
    variant, variants = _text(library.smsr_cpu_variant), _text(library.smsr_cpu_variants)
    if not variant:
        forced = os.environ.get(VARIANT_VARIABLE, "")
        todo = f"set {VARIANT_VARIABLE} to one of these or unset it"
        raise NativeLibraryError(VARIANT_VARIABLE, f"a variant this CPU has ({variants})", repr(forced), todo)
    return NativeLibrary(path.resolve(), variant, variants)


def _open(path: Path) -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(str(path.resolve()))
        for name in _SYMBOLS:
            getattr(library, name)
    except OSError as error:
        got = reason(error) if path.exists() else "no such file"
        raise NativeLibraryError(path, "a loadable native library", got, _rebuild()) from error
    except AttributeError as error:
        raise NativeLibraryError(path, "smsr's native library", reason(error), _rebuild()) from error
    return library


def _rebuild() -> str:
    return f"install this release's library again ({how_to_install()}), or run without: {LIBRARY_VARIABLE}=none"


def _text(function: ctypes._NamedFuncPointer) -> str:
    function.restype = ctypes.c_char_p
    function.argtypes = []
    value: bytes | None = function()
    return (value or b"").decode()
