"""Does this bundle, on this device, give the golden output it was exported with?"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from smsr_runtime.errors import BundleError, SelfTestError, reason
from smsr_runtime.media.image import decode
from smsr_runtime.session import Upscaler

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class SelfTest:
    """max_abs: largest difference from the golden output (0..255); rmse: root mean square of the differences.

    allowed: the bundle's limit on the one of them that `measure` names.
    """

    max_abs: float
    allowed: float
    seconds: float
    rmse: float
    measure: str = "largest difference"

    def __str__(self) -> str:
        found = self.rmse if self.measure == "RMSE" else self.max_abs
        return f"{self.measure} {found:.2g} of 255 (allowed {self.allowed:g})"


def self_test(upscaler: Upscaler) -> SelfTest:
    """Runs the golden input at theta 0. Raises SelfTestError past the limit.

    The hashes of all files and the library's contract were checked when the bundle was loaded.
    """
    golden, folder = upscaler.bundle.golden, upscaler.bundle.path
    picture = decode(folder / golden.input)
    if picture.gray or picture.deep:
        raise BundleError(folder / golden.input, "8-bit RGB", "another kind", "export the bundle again")
    image = picture.color.transpose(2, 0, 1)[None].astype(np.float32)
    expected = _load(folder / golden.output)
    trained = Upscaler(upscaler.bundle, upscaler.engine, theta=0.0)
    start = time.perf_counter()
    output, _ = trained.upscale_float(image)
    seconds = time.perf_counter() - start
    if output.shape != expected.shape:
        raise SelfTestError(folder / golden.output, f"shape {expected.shape}", str(output.shape), "export again")
    return _judged(output.astype(np.float64) - expected, upscaler, seconds)


def _judged(difference: NDArray[np.float64], upscaler: Upscaler, seconds: float) -> SelfTest:
    """An engine in reduced precision is held to the RMSE (DESIGN 9): a flipped mask pixel may differ by much."""
    golden, engine = upscaler.bundle.golden, upscaler.backend == "trt"
    largest, rmse = float(np.max(np.abs(difference))), float(np.sqrt(np.mean(difference**2)))
    found = SelfTest(largest, golden.max_abs, seconds, rmse)
    if engine and golden.engine_rmse is not None:
        found = SelfTest(largest, golden.engine_rmse, seconds, rmse, "RMSE")
    if not (rmse if found.measure == "RMSE" else largest) <= found.allowed:  # NaN fails too
        todo = "run with SMSR_ORT_LIBRARY=none to see if the native library is at fault; export again if not"
        if engine:
            todo = "build the engine again with --rebuild; with --backend ort the bundle runs without it"
        expected = f"{found.measure} at most {found.allowed:g} of 255 from the golden output"
        raise SelfTestError(f"self-test ({upscaler.path})", expected, f"{largest:g}, RMSE {rmse:g}", todo)
    return found


def _load(path: Path) -> NDArray[np.float32]:
    try:
        array: NDArray[np.float32] = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise BundleError(path, "a numpy array", reason(error), "export the bundle again") from error
    return array
