"""smsr-run --dial: a theta by the bundle's curve, and curves that are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from smsr_runtime.bundle import read_bundle
from smsr_runtime.dial import theta_of
from smsr_runtime.errors import BundleError, UsageError
from tests.runtime.helpers import Run, write_manifest


def point(theta: Any, share: Any, psnr: Any = 38.0, macs: Any = 0.5) -> dict[str, Any]:
    return {"theta": theta, "active_share": share, "psnr": psnr, "macs_share": macs}


CURVE = {"pictures": 1, "points": [point(0, 0.5), point(2.0, 0.3, None), point(6.0, 0.1)]}


@pytest.mark.parametrize(("value", "theta"), [(100, 0), (75, 1), (50, 2), (25, 4), (0, 6)])
def test_the_share_goes_in_equal_steps(value: float, theta: float) -> None:
    assert theta_of(Path("b"), {"dial": CURVE}, value) == pytest.approx(theta)


@pytest.mark.parametrize("value", [-0.1, 100.1, float("nan")])
def test_other_values_are_refused(value: float) -> None:
    with pytest.raises(UsageError, match="0 \\(fastest\\) to 100"):
        theta_of(Path("b"), {"dial": CURVE}, value)


def test_the_command_runs_with_the_theta_of_the_dial(own_bundle: Path, run: Run, tmp_path: Path) -> None:
    write_manifest(own_bundle, dial=CURVE)
    picture = np.zeros((2, 4, 3), np.uint8)
    picture[..., 2] = [90, 101, 103, 104]  # red; the first module's margin is 100 less
    assert cv2.imwrite(str(tmp_path / "in.png"), picture)
    done = run(tmp_path / "in.png", "-o", tmp_path / "out.png", "--dial", 50, "--json", bundle=own_bundle)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["theta"] == pytest.approx(2.0) and document["files"][0]["active"] == [0.5, 0.0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--dial", "50"], "the dial's curve"),
        (["--dial", "50", "--theta", "1"], "no --theta with it"),
        (["--dial", "many"], "--dial"),
    ],
)
def test_what_cannot_mean_anything_is_refused_in_one_line(
    arguments: list[str], words: str, run: Run, tmp_path: Path
) -> None:
    assert cv2.imwrite(str(tmp_path / "in.png"), np.zeros((2, 4, 3), np.uint8))
    done = run(tmp_path / "in.png", "-o", tmp_path / "out.png", *arguments)
    assert done.returncode == 2 and words in done.stderr and len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize(
    "entry",
    [
        None,
        [],
        {},
        {"points": []},
        {"points": [point(0, 0.5)]},
        {"points": [point(0, 0.5), [2.0, 0.3]]},
        {"points": [point(1.0, 0.5), point(2.0, 0.3)]},
        {"points": [point(0, 0.5), point(2.0, 0.5)]},
        {"points": [point(0, 0.5), point(0, 0.3)]},
        {"points": [point(0, 1.5), point(2.0, 0.3)]},
        {"points": [point(0, 0.5), point(2.0, -0.1)]},
        {"points": [point(0, 0.5), point("2", 0.3)]},
        {"points": [point(0, 0.5), point(True, 0.3)]},
        {"points": [point(0, 0.5, "38"), point(2.0, 0.3)]},
        {"points": [point(0, 0.5, macs=2), point(2.0, 0.3)]},
        {"points": [{"theta": 0, "active_share": 0.5, "macs_share": 0.5}, point(2.0, 0.3)]},
        {"points": [point(step, 1 - step / 200) for step in range(101)]},
    ],
)
def test_a_curve_that_is_none_is_refused(entry: Any, own_bundle: Path) -> None:
    write_manifest(own_bundle, dial=entry)
    with pytest.raises(BundleError, match='"dial"'):
        read_bundle(own_bundle)
