"""What this machine lets the process use: memory and processors, containers' limits included."""

from __future__ import annotations

import contextlib
import contextvars
import os
import re
import sys
from pathlib import Path
from typing import Iterator

from smsr_runtime.backend import FUNCTION_BODY, NATIVE, TENSORRT, ComputePath
from smsr_runtime.errors import MemoryLimitError, UsageError

_BYTES_PER_PIXEL = {
    (NATIVE, "float32"): 2400,
    (FUNCTION_BODY, "float32"): 6600,
    (TENSORRT, "float16"): 1490,
    (TENSORRT, "float32"): 2610,
}
"""Peak memory of one inference per input pixel at 64 features, x2, by kernels and type of the tensors.

ONNX Runtime: measured, with a tenth on top: resident set of version 1.32 on noise: 2110 native at 1280x720, 6020
function body at 640x360. TensorRT in float16: the context of an engine for up to 1280x720 took 1007 MB in TensorRT
8.6.0, 1093 bytes per pixel; the plugin's workspace has grown by 78 since; 80 are for image, result and margins in
float32, and 105 for three pictures under way: pixels, result and margins of each; a tenth on top. float32: twice the
context as it was measured, not measured itself.
"""
_MEASURED_FEATURES = 64

_COPIES_OF_FILE = 3
"""Of a picture's file that are in memory at a time: as read, in parts, and what a decoder is given."""

_CGROUP = Path("/sys/fs/cgroup")


_limit: contextvars.ContextVar[int | None] = contextvars.ContextVar("limit", default=None)


@contextlib.contextmanager
def limited(memory: int | None) -> Iterator[None]:
    """Within it, `available_memory` allows the process `memory` resident bytes at most; None changes nothing."""
    before = _limit.set(memory if memory is not None else _limit.get())
    try:
        yield
    finally:
        _limit.reset(before)


def parse_memory(text: str | int, option: str = "--memory") -> int:
    """Bytes of a limit such as "2G", "512M" or 2147483648. Raises UsageError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", str(text).strip(), re.IGNORECASE)
    size = int(float(match[1]) * 1024 ** " KMGT".index(match[2].upper() or " ")) if match else 0
    if size < 1:
        raise UsageError(option, "a size such as 2G or 512M", repr(text), "write it with K, M, G or T")
    return size


def in_units(size: float) -> str:
    """Bytes in words, such as "1.5 GiB", "84.0 MiB" or "17 bytes"."""
    for shift, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if size >= 1 << shift:
            return f"{size / (1 << shift):.1f} {unit}"
    return f"{size:.0f} bytes"


def available_memory() -> int | None:
    """Bytes that can still be allocated without an out-of-memory kill and `limited`; None where there is no limit."""
    limits = [_meminfo(), _cgroup_free("memory.max", "memory.current")]
    limits.append(_cgroup_free("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"))
    limit = _limit.get()
    if limit is not None:
        limits.append(max(limit - resident_memory(), 0))
    known = [limit for limit in limits if limit is not None]
    return min(known) if known else None


def bytes_per_pixel(path: ComputePath, features: int) -> int:
    """Estimate of one inference's memory per input pixel for a network with this number of features."""
    tensors = "float16" if path.kernels == TENSORRT and path.computes_in("fp16") else "float32"
    return _BYTES_PER_PIXEL[path.kernels, tensors] * features // _MEASURED_FEATURES


def fits(needed: int) -> bool:
    """Whether there is memory for this many bytes, as far as the system says."""
    available = available_memory()
    return available is None or needed <= available


def check_memory(height: int, width: int, per_pixel: int, where: str = "picture") -> None:
    """Raises MemoryLimitError where an input of height x width pixels would not fit."""
    needed, available = height * width * per_pixel, available_memory()
    if available is None or needed <= available:
        return
    expected = f"at most {available // per_pixel} pixels ({in_units(available)} of memory free)"
    got = f"{width}x{height} = {height * width} pixels (about {in_units(needed)})"
    raise MemoryLimitError(where, expected, got, "cut the picture into parts or use a machine with more memory")


def check_file(size: int, where: str) -> None:
    """Raises MemoryLimitError where a file of this many bytes, read and taken apart, would not fit."""
    available = available_memory()
    if available is not None and _COPIES_OF_FILE * size > available:
        expected, got = f"less than the {in_units(available)} of memory free", f"a file of {in_units(size)}"
        raise MemoryLimitError(where, expected, got, "use a machine with more memory")


def resident_memory() -> int:
    """Bytes of memory that the process holds now; where the system does not say, the most that it ever held."""
    pages = _read(Path("/proc/self/statm")).split()
    if len(pages) > 1:
        return int(pages[1]) * os.sysconf("SC_PAGE_SIZE")
    try:
        import resource
    except ImportError:  # Windows
        return 0
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def usable_processors() -> int | None:
    """Processors the process is limited to; None where it may use the whole machine."""
    quota = _cgroup_processors()
    if hasattr(os, "sched_getaffinity"):
        allowed = len(os.sched_getaffinity(0))
        if allowed < (os.cpu_count() or 1):
            return min(allowed, quota or allowed)
    return quota


def _read(path: Path) -> str:
    """The file's text; empty where the system has no such file."""
    try:
        return path.read_text(encoding="ascii")
    except OSError:
        return ""


def _meminfo() -> int | None:
    for line in _read(Path("/proc/meminfo")).splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _cgroup_free(limit: str, usage: str) -> int | None:
    most, used = _read(_CGROUP / limit).strip(), _read(_CGROUP / usage).strip()
    return max(int(most) - int(used), 0) if most.isdigit() and used.isdigit() else None


def _cgroup_processors() -> int | None:
    parts = _read(_CGROUP / "cpu.max").split()
    if len(parts) != 2 or not parts[0].isdigit():
        return None
    quota = max(1, int(parts[0]) // int(parts[1]))
    return quota if quota < (os.cpu_count() or 1) else None


def in_memory(folder: Path) -> bool:
    """Whether files in this folder lie in memory (tmpfs): Linux only, elsewhere False."""
    place, kind = os.path.realpath(folder), ""
    longest = -1
    for line in _read(Path("/proc/self/mounts")).splitlines():
        _, mount, name = line.split(" ")[:3]
        inside = place == mount or place.startswith(os.path.join(mount, ""))
        if inside and len(mount) >= longest:
            longest, kind = len(mount), name
    return kind in ("tmpfs", "ramfs")
