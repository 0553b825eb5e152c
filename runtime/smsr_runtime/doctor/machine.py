"""The machine: system, processor, memory; on a Jetson its board, JetPack and power mode."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

from smsr_runtime.doctor.finding import Finding, fact
from smsr_runtime.resources import available_memory, in_units, usable_processors

_L4T = Path("/etc/nv_tegra_release")
_BOARD = Path("/proc/device-tree/model")


def findings() -> list[Finding]:
    memory = available_memory()
    return [
        fact("system", f"{platform.system()} {platform.release()}, {_system()}, Python {platform.python_version()}"),
        fact("processor", f"{_processor()}, {usable_processors() or os.cpu_count()} threads usable"),
        fact("memory free", "unknown" if memory is None else in_units(memory)),
        *_jetson(),
    ]


def _system() -> str:
    name = _matched(r'^PRETTY_NAME="?(.*?)"?$', Path("/etc/os-release"))
    return f"{name or 'unknown distribution'}, {' '.join(platform.libc_ver())}".rstrip(", ")


def _processor() -> str:
    model = _matched(r"^model name\s*: (.*)$", Path("/proc/cpuinfo"))
    return f"{model or 'unknown model'} ({platform.machine()})"


def _jetson() -> list[Finding]:
    if not _L4T.is_file():
        return []
    release = re.search(r"R(\d+).*?REVISION: ([\d.]+)", _L4T.read_text())
    board = _BOARD.read_text().strip("\0\n") if _BOARD.is_file() else "unknown"
    l4t = ".".join(release.groups()) if release else "unknown release"
    return [fact("Jetson", f"{board}, L4T {l4t}"), fact("power mode", _power_mode())]


def _power_mode() -> str:
    if shutil.which("nvpmodel") is None:
        return "unknown: no nvpmodel"
    done = subprocess.run(["nvpmodel", "-q"], capture_output=True, text=True, check=False, timeout=10)
    mode = re.search(r"NV Power Mode: (\S+)", done.stdout)
    return f"{mode.group(1)} (most: sudo nvpmodel -m 0; sudo jetson_clocks)" if mode else "unknown"


def _matched(pattern: str, path: Path) -> str:
    """The first group of the first match in a file; empty where there is no file or no match."""
    match = re.search(pattern, path.read_text(errors="replace"), re.M) if path.is_file() else None
    return match.group(1) if match else ""
