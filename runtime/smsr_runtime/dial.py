"""The dial's curve: what theta costs and saves, as smsr-export --dial measured it, and a theta for 0 to 100.

100 is theta 0, as trained; 0 the fastest point of the curve; between them the active share goes in equal steps.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Mapping

import numpy as np

from smsr_runtime.errors import BundleError, UsageError

ENTRY = "dial"
"""In the manifest; optional."""
_MOST_POINTS = 100
_POINT = '"theta", "active_share", "macs_share", "psnr" (or null)'


def check_dial(file: Path, manifest: Mapping[str, Any], todo: str) -> None:
    """Raises BundleError for a curve that `theta_of` cannot use; file: the manifest's."""
    if ENTRY not in manifest:
        return
    entry = manifest[ENTRY]
    points = entry.get("points") if isinstance(entry, dict) else None
    if not isinstance(points, list) or not 2 <= len(points) <= _MOST_POINTS or not all(map(_is_point, points)):
        expected = f'"{ENTRY}" with 2 to {_MOST_POINTS} "points" of {_POINT}'
        raise BundleError(file, expected, repr(entry)[:60], todo)
    thetas, shares = ([point[name] for point in points] for name in ("theta", "active_share"))
    if thetas[0] != 0 or not (_rises(thetas) and _rises(shares[::-1])):
        expected = f'"{ENTRY}" from theta 0 up, with ever lower active shares'
        raise BundleError(file, expected, f"theta {thetas}, shares {shares}"[:120], todo)


def theta_of(bundle: Path, manifest: Mapping[str, Any], value: float) -> float:
    """The theta of a dial's value, 0 to 100. Raises UsageError where the bundle has no curve."""
    if not 0 <= value <= 100:
        raise UsageError("--dial", "0 (fastest) to 100 (as trained)", f"{value:g}", "or use --theta")
    if ENTRY not in manifest:
        todo = "use --theta, or export with --verify PICTURES --dial"
        raise UsageError("--dial", "a bundle with the dial's curve", f"none in {bundle}", todo)
    points = manifest[ENTRY]["points"]
    thetas, shares = ([point[name] for point in reversed(points)] for name in ("theta", "active_share"))
    wanted = shares[0] + (shares[-1] - shares[0]) * value / 100
    return float(np.interp(wanted, shares, thetas))


def _rises(values: list[float]) -> bool:
    return all(low < high for low, high in zip(values, values[1:]))


def _is_point(point: Any) -> bool:
    if not isinstance(point, dict):
        return False
    shares: list[Any] = [point.get("active_share"), point.get("macs_share")]
    decibel = point.get("psnr", "missing")
    fits = all(_is_number(share) and 0 <= share <= 1 for share in shares)
    return fits and _is_number(point.get("theta")) and (decibel is None or _is_number(decibel))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
