"""Whether a bundle, on this device, gives the golden output that it was exported with."""

from __future__ import annotations

import dataclasses
import io
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from smsr_runtime.arrays import to_planes
from smsr_runtime.backend import TENSORRT, Backend, ComputePath, Queue
from smsr_runtime.bundle import Bundle, Golden
from smsr_runtime.errors import BundleError, SelfTestError, reason
from smsr_runtime.media.image import decode_bytes
from smsr_runtime.strips import StripJob, Strips

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ROWS = 16
"""Of strips in the self-test."""


@dataclass(frozen=True)
class SelfTest:
    """max_abs: largest difference from the golden output (0..255); rmse: root mean square of the differences.

    allowed: the bundle's limit on the one of them that `measure` names. strips_max_abs: the largest difference of the
    picture computed in strips, as large ones are; None where the backend computes none.
    """

    max_abs: float
    allowed: float
    seconds: float
    rmse: float
    measure: str = "largest difference"
    strips_max_abs: float | None = None

    @property
    def difference(self) -> float:
        """The one that `measure` names."""
        return self.rmse if self.measure == "RMSE" else self.max_abs

    def __str__(self) -> str:
        return f"{self.measure} {self.difference:.2g} of 255 (allowed {self.allowed:g})"


def self_test(bundle: Bundle, backend: Backend) -> SelfTest:
    """Runs the golden input at theta 0. Raises SelfTestError past the limit.

    The hashes of all files were checked when the bundle was read, the library's contract when the backend was made.
    """
    golden, folder = bundle.golden, bundle.path
    picture = decode_bytes(bundle.content(golden.input), str(folder / golden.input))
    if picture.gray or picture.deep:
        raise BundleError(folder / golden.input, "8-bit RGB", "another kind", "export the bundle again")
    image = to_planes(picture.color)
    shape = (1, 3, bundle.scale * picture.height, bundle.scale * picture.width)
    expected = _array(bundle.content(golden.output), shape, folder / golden.output)
    start = time.perf_counter()
    output, _ = backend.run(image, theta=0.0)
    seconds = time.perf_counter() - start
    result = _checked(output.astype(np.float64) - expected, golden, str(backend.path), backend.path, seconds)
    if isinstance(backend, Queue):
        _check_pixels(backend, picture.color, output[0], str(backend.path))
    if not backend.cuts:
        return result
    cut = _in_strips(backend, image, expected.shape)
    in_strips = _checked(cut - expected, golden, f"{backend.path}, in strips", backend.path, seconds)
    return dataclasses.replace(result, strips_max_abs=in_strips.max_abs)


def _check_pixels(backend: Queue, picture: NDArray[np.uint8], output: NDArray[np.float32], name: str) -> None:
    """The way that pictures take, as pixels: its result is the output (3, sH, sW), rounded."""
    pixels, _ = backend.begin(picture).result()
    rounded = np.rint(np.clip(output, 0, 255)).transpose(1, 2, 0)
    largest = np.max(np.abs(pixels - rounded))
    if largest > 1:  # an engine need not give the same bits twice
        todo = "build the plugin library of this release again"
        expected = "pixels within 1 of the rounded output"
        raise SelfTestError(f"self-test ({name}, as pixels)", expected, f"a difference of {largest:g}", todo)


def _in_strips(backend: Backend, image: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """The output as a picture that does not fit into memory gets it: from strips of few rows."""
    output = np.zeros(shape)

    def write(first: int, rows: NDArray[np.float32]) -> None:
        output[:, :, first : first + rows.shape[2]] = rows

    height, width = image.shape[2:]
    job = StripJob(height, width, 0.0, lambda first, end: np.ascontiguousarray(image[:, :, first:end]), write)
    backend.run_strips(job, Strips(_ROWS, _ROWS, -(-height // _ROWS), 0, in_file=False))
    return output


def _checked(difference: NDArray[np.float64], golden: Golden, name: str, path: ComputePath, seconds: float) -> SelfTest:
    result = _compared(difference, golden, path, seconds)
    if not result.difference <= result.allowed:  # NaN fails too
        raise _failed(result, name, path)
    return result


def _compared(difference: NDArray[np.float64], golden: Golden, path: ComputePath, seconds: float) -> SelfTest:
    """What computes in reduced precision is held to the RMSE: where a mask pixel flips, a pixel may differ by much."""
    largest, rmse = float(np.max(np.abs(difference))), float(np.sqrt(np.mean(difference**2)))
    if golden.reduced_rmse is not None and not path.computes_in("fp32"):
        return SelfTest(largest, golden.reduced_rmse, seconds, rmse, "RMSE")
    return SelfTest(largest, golden.max_abs, seconds, rmse)


def _failed(result: SelfTest, name: str, path: ComputePath) -> SelfTestError:
    todo = "run with SMSR_ORT_LIBRARY=none to see if the native library is at fault; export again if not"
    if path.kernels == TENSORRT:
        todo = "build the engine again with --rebuild; smsr-run --backend ort runs the bundle without it"
    expected = f"{result.measure} at most {result.allowed:g} of 255 from the golden output"
    got = f"{result.max_abs:g}, RMSE {result.rmse:g}"
    return SelfTestError(f"self-test ({name})", expected, got, todo)


def _array(data: bytes, shape: tuple[int, ...], where: Path) -> NDArray[np.float32]:
    """A .npy file's array, of this shape: its header is read first, since numpy takes as much memory as that says."""
    stream = io.BytesIO(data)
    try:
        if np.lib.format.read_magic(stream) != (1, 0):
            raise ValueError("another version than 1.0")
        stored, _, kind = np.lib.format.read_array_header_1_0(stream)
        if stored != shape or kind != np.dtype(np.float32):
            raise ValueError(f"{kind} of shape {stored}, expected float32 of {shape}")
        stream.seek(0)
        array: NDArray[np.float32] = np.load(stream, allow_pickle=False)
    except Exception as error:  # numpy's parser of headers raises nearly anything
        raise BundleError(where, "a numpy array", reason(error), "export the bundle again") from error
    return array
