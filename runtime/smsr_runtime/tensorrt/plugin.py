"""Finds the TensorRT plugin library, checks what it was built from, registers its creator.

SMSR_TRT_LIBRARY names another library file than native/libsmsr_trt{8,10,11}.so, one for each major TensorRT.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Any

from smsr_runtime.errors import NativeLibraryError, reason

LIBRARY_VARIABLE = "SMSR_TRT_LIBRARY"
NATIVE = Path(__file__).parent.parent / "native"
NAME, VERSION, NAMESPACE = "SparseMaskModule", "1", "smsr"
"""The names of the model's nodes and of the library's creator; the exporter takes them from here."""
BUILD = "build it on this machine (docs/jetson.md), or name one in SMSR_TRT_LIBRARY"


def library_path(major: int) -> Path:
    """The library for this major TensorRT; raises NativeLibraryError where there is none."""
    named = os.environ.get(LIBRARY_VARIABLE, "")
    path = Path(named) if named else NATIVE / f"libsmsr_trt{major}.so"
    if not path.is_file():
        raise NativeLibraryError(path, f"the plugin library for TensorRT {major}", "no such file", BUILD)
    return path


def load_plugin(trt: Any, major: int, interface_hash: str) -> Path:
    """Registers SparseMaskModule, once in a process; returns the library's path.

    Raises NativeLibraryError for a library that is missing, not loadable, of another contract, or without it.
    """
    path = library_path(major)
    _check_contract(path, interface_hash)
    registry = trt.get_plugin_registry()
    if not _registered(registry):
        _load(registry, path, major)
    if not _registered(registry):
        got = f"a library without plugin {NAME} version {VERSION} of namespace {NAMESPACE} for TensorRT {major}"
        raise NativeLibraryError(path, "smsr's plugin library", got, BUILD)
    return path


def _check_contract(path: Path, interface_hash: str) -> None:
    library = opened(path)
    function = getattr(library, "smsr_interface_hash", None)
    if function is None:
        raise NativeLibraryError(path, "smsr's plugin library", "no smsr_interface_hash in it", BUILD)
    function.restype, function.argtypes = ctypes.c_char_p, []
    built_from = (function() or b"").decode()
    if built_from != interface_hash:
        expected = f"interface hash {interface_hash} (the bundle's)"
        raise NativeLibraryError(path, expected, f"{built_from} (the library's)", "build this release's library again")


def opened(path: Path) -> ctypes.CDLL:
    """The library, once in a process. Raises NativeLibraryError."""
    try:
        return ctypes.CDLL(str(path.resolve()))
    except OSError as error:
        raise NativeLibraryError(path, "a loadable plugin library", reason(error), BUILD) from error


def _load(registry: Any, path: Path, major: int) -> None:
    """TensorRT 8: nothing, since the library registered itself when it was opened, and load_library lies in other
    places of the registry from patch to patch. Later: load_library, since a library that registers itself would be
    called through another version's registry."""
    if major < 10:
        return
    try:
        registry.load_library(str(path.resolve()))
    except Exception as error:  # the bindings' exceptions share no base class
        raise NativeLibraryError(path, "a library TensorRT can load", reason(error), BUILD) from error


def _registered(registry: Any) -> bool:
    find = getattr(registry, "get_creator", None) or registry.get_plugin_creator
    return find(NAME, VERSION, NAMESPACE) is not None
