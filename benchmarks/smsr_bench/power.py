"""The power mode a machine runs in, and the watts it takes where sensors can be read: RAPL, and INA on a Jetson."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

SAMPLE_SECONDS = 0.05
Readings = dict[str, float]
"""Watts of each sensor, by its name."""


def mode(system: Path = Path("/sys")) -> str:
    """nvpmodel's mode on a Jetson, else frequency governor and platform profile; "not readable" without them."""
    if shutil.which("nvpmodel"):
        done = subprocess.run(["nvpmodel", "-q"], capture_output=True, text=True, check=False)
        named = [
            line.split(":", 1)[1].strip() for line in done.stdout.splitlines() if line.startswith("NV Power Mode:")
        ]
        if named:
            return named[0]
    files = ("devices/system/cpu/cpu0/cpufreq/scaling_governor", "firmware/acpi/platform_profile")
    return ", ".join(filter(None, (_text(system / file) for file in files))) or "not readable"


def watts(work: Callable[[], object], seconds: float, system: Path = Path("/sys")) -> Readings:
    """Mean watts of every sensor while `work` repeats for `seconds`; empty where none can be read."""
    stop, samples = threading.Event(), list[Readings]()

    def sample() -> None:
        while not stop.wait(SAMPLE_SECONDS):
            samples.append(_ina(system))

    counters, start = _counters(system), time.monotonic()
    if not counters and not _ina(system):
        return {}
    thread = threading.Thread(target=sample)
    thread.start()
    try:
        while time.monotonic() < start + seconds:
            work()
    finally:
        stop.set()
        thread.join()
    after, elapsed = _counters(system), time.monotonic() - start
    energies = {name: ((after[name][0] - before) % span) / elapsed for name, (before, span) in counters.items()}
    sensors = {name: float(np.mean([reading[name] for reading in samples])) for name in _ina(system) if samples}
    return {**energies, **sensors}


def _counters(system: Path) -> dict[str, tuple[float, float]]:
    """RAPL's packages: joules so far, and at how many joules the counter begins again."""
    counters = {}
    for zone in sorted((system / "class" / "powercap").glob("intel-rapl:[0-9]")):
        energy, span = _text(zone / "energy_uj"), _text(zone / "max_energy_range_uj")
        if energy and span:
            counters[_text(zone / "name") or zone.name] = float(energy) / 1e6, float(span) / 1e6
    return counters


def _ina(system: Path) -> Readings:
    """The INA sensors' rails: volts times amperes."""
    rails = {}
    for label in sorted(system.glob("bus/i2c/drivers/ina3221*/*/hwmon/hwmon*/in*_label")):
        number = label.name.removeprefix("in").removesuffix("_label")
        volts, amperes = (_text(label.with_name(f"{kind}{number}_input")) for kind in ("in", "curr"))
        if volts and amperes:
            rails[_text(label)] = float(volts) * float(amperes) / 1e6  # millivolts, milliamperes
    return rails


def _text(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:  # not there, or for root alone
        return ""
