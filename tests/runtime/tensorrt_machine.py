"""A machine with the stand-ins of fake_tensorrt.py installed, and bundles for it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from smsr import contract
from smsr_runtime.run import command
from tests.runtime.fake_pycuda import HOOK
from tests.runtime.fake_tensorrt import World, make_modules
from tests.runtime.helpers import compile_library, write_manifest

PICTURE = np.random.default_rng(3).integers(0, 100, (9, 13, 3), dtype=np.uint8)
SOURCE = """
#include <stdint.h>
#include <stdlib.h>
typedef void (*Hook)(const void*, const void*, void*, int32_t, int32_t, int32_t, void*);
static const Hook hook = (Hook){hook}ull;
const char* smsr_pixels_to_planes(const void* pixels, float* planes,
                                  int32_t h, int32_t w, int32_t bytes, void* stream) {{
  hook(pixels, planes, NULL, h, w, bytes, stream);
  return NULL;
}}
const char* smsr_planes_to_pixels(const float* planes, void* pixels, uint32_t* not_finite,
                                  int32_t h, int32_t w, int32_t bytes, void* stream) {{
  hook(pixels, planes, not_finite, h, w, bytes, stream);
  return NULL;
}}
const char* smsr_interface_hash(void) {{ return "{hash}"; }}
__attribute__((constructor)) static void registered(void) {{ setenv("SMSR_TEST_REGISTERED", "{sign}", 1); }}
"""


def plugin_library(folder: Path, interface_hash: str = contract.interface_hash(), sign: int = 1) -> Path:
    """A library as the runtime checks one, by the C compiler; opened, it registers itself with the stand-in."""
    return compile_library(folder / "libsmsr_trt.so", SOURCE.format(hash=interface_hash, sign=sign, hook=HOOK))


def install(world: World, monkeypatch: pytest.MonkeyPatch, without: tuple[str, ...] = (), **changes: Any) -> None:
    """Makes the stand-ins of `world`, after these changes to it, what is imported; `without`: not installed."""
    vars(world).update(changes)
    for name in ("tensorrt", "pycuda", "pycuda.driver"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    for name, module in make_modules(world).items():
        monkeypatch.setitem(sys.modules, name, module)
    for name in without:
        monkeypatch.setitem(sys.modules, name, None)


def write_pending(bundle: Path, **changes: Any) -> None:
    golden = {"input": "golden/input.png", "output": "golden/output.npy", "max_abs": 0.001, "engine_rmse": 0.08}
    sizes = {"min": [4, 4]}
    write_manifest(
        bundle, **{"target": "trt", "precision": "fp16", "engine": "pending", "profile": sizes, "golden": golden}
        | changes
    )  # fmt: skip


def manifest(bundle: Path) -> dict[str, Any]:
    return dict(json.loads((bundle / "manifest.json").read_text()))


def tree(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def error_of(capsys: pytest.CaptureFixture[str], code: int, *arguments: object) -> str:
    """Runs the command in this process; its one error line."""
    assert command.main([str(argument) for argument in arguments]) == code
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("smsr-run: error: ")]
    assert ": expected " in line and ", got " in line and "; " in line
    return line
