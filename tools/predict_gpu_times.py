"""Turns what smsr_cuda_counts prints into microseconds per launch on an H200, for both kernels.

    build/native/tests/cuda/smsr_cuda_counts 180 320 0.3 > counts.txt
    python3 tools/predict_gpu_times.py counts.txt --scale 16        # 720 x 1280 has 16 times as many pixels
    build/native/tests/cuda/smsr_cuda_counts 128 128 0.63 227 132 > small.txt   # as a whole: its slowest block counts
    python3 tools/predict_gpu_times.py small.txt --step 0.7712 --unit 2.0562    # fitted by the command above

A launch takes at least what each unit of the machine needs alone: tensor cores, first-level cache and shared memory,
DRAM. The gathering kernel waits for its loads besides: a warp needs a time per step of its sum and a time per unit of
64 pixels. These two are fitted to the times of convolutions measured at 720 x 1280, share 0.3 (`--measured`). The
staged kernel's range was not fitted, and is 20 to 35 % too low: from no loss at all to the part of the tensor cores'
peak that TensorRT's own dense convolution reaches. A picture counted as a whole (`--scale 1`) waits for its slowest
block and warp. Modules: launches take 5 us each (measured: about 5 even in a graph); a phase of the staged kernel
2.5 us, an assumption: a barrier of all blocks, and the time of the first copies. docs/kernels-cuda.md states the error.
"""

from __future__ import annotations

import argparse
from typing import NamedTuple

# H200, measured: docs/kernels-cuda.md.
PROCESSORS = 132
HERTZ = 1.755e9
MMA_PER_SECOND = 322e12 / 2048
WAVEFRONTS_PER_SECOND = PROCESSORS * HERTZ
DRAM_BYTES_PER_SECOND = 4.2e12
DENSE_EFFICIENCY = 106.0 / 147.0
"""TensorRT's dense 3x3 convolution of 64 channels takes 147 us at 720 x 1280; 106 us at the peak."""
SCHEDULERS = 4
"""Of a multiprocessor: a warp reaches a quarter of its peak."""
LAUNCH_US = 5.0
PHASE_US = 2.5
SECTOR = 32
GATHER_WARPS = {"convolution": 8, "collect": 12}
GATHER_INPUTS = {"convolution": 8, "collect": 4}
"""16-byte loads of a lane per step."""
GATHER_STORES = {"convolution": 18, "collect": 8}
"""Store instructions of a warp per unit."""


class Launch(NamedTuple):
    """One launch that multiplies; numbers of the whole picture."""

    kernel: str
    kind: str
    counts: dict[str, float]
    whole: bool

    def floors(self) -> dict[str, float]:
        """Microseconds that each unit of the machine needs alone."""
        c = self.counts
        # Sectors of one request come from different lines: four of them, 128 bytes, are a wavefront at best.
        wavefronts = c["shared_wavefronts"] + (c["load_sectors"] + c["store_sectors"]) / 4
        bytes_moved = SECTOR * (c["copy_sectors"] + c["store_sectors"])
        if self.kernel == "gather":  # most loads are served by the caches: only the staged kernel's copies count
            bytes_moved = 0
        mma = c["mma"]
        if self.whole and self.kernel == "staged":
            mma = max(mma, PROCESSORS * c["most_of_block"], PROCESSORS * SCHEDULERS * c["most_of_warp"])
        return {
            "tensor cores": 1e6 * mma / MMA_PER_SECOND,
            "shared memory": 1e6 * wavefronts / WAVEFRONTS_PER_SECOND,
            "DRAM": 1e6 * bytes_moved / DRAM_BYTES_PER_SECOND,
        }

    def per_warp(self) -> tuple[float, float]:
        """Steps and units of one of the gathering kernel's warps."""
        warps = GATHER_WARPS[self.kind] * PROCESSORS
        units = self.counts["store_requests"] / GATHER_STORES[self.kind]
        loads = self.counts["load_requests"] - (units * GATHER_STORES["collect"] if self.kind == "collect" else 0)
        return loads / GATHER_INPUTS[self.kind] / warps, units / warps


def read(path: str, scale: float) -> tuple[list[Launch], dict[str, float]]:
    """The launches, or phases, that multiply: convolutions, then the collect; and the time of all launches' starts."""
    with open(path, encoding="utf-8") as file:
        lines = [line.split() for line in file if line.strip()]
    names = lines[0][2:]
    launches: list[Launch] = []
    starts = {
        "gather": LAUNCH_US * sum(line[0] == "gather" for line in lines),
        "staged": 2 * LAUNCH_US + PHASE_US * sum(line[0] == "staged" for line in lines[1:]),
    }
    for kernel in ("gather", "staged"):
        rows = [[float(number) * scale for number in line[2:]] for line in lines[1:] if line[0] == kernel]
        multiplying = [dict(zip(names, row)) for row in rows if row[names.index("mma")] > 0]
        if not multiplying:
            raise SystemExit(f"{path}: expected launches of {kernel} with mma, got none; write it by smsr_cuda_counts")
        kinds = ["convolution"] * (len(multiplying) - 1) + ["collect"]
        launches += [Launch(kernel, kind, counts, scale == 1) for kind, counts in zip(kinds, multiplying)]
    return launches, starts


def fit(rows: list[tuple[float, float]], times: list[float]) -> tuple[float, float]:
    """Least squares of times = a * row[0] + b * row[1]."""
    xx = sum(x * x for x, _ in rows)
    xy = sum(x * y for x, y in rows)
    yy = sum(y * y for _, y in rows)
    xt = sum(x * t for (x, _), t in zip(rows, times))
    yt = sum(y * t for (_, y), t in zip(rows, times))
    determinant = xx * yy - xy * xy
    return (xt * yy - yt * xy) / determinant, (yt * xx - xt * xy) / determinant


def main() -> None:
    """Prints a line per launch and the sum of each kernel's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("counts", help="what smsr_cuda_counts printed")
    parser.add_argument("--scale", type=float, default=1.0, help="pixels of the picture by pixels counted")
    parser.add_argument("--step", type=float, help="us of a gathering warp per step; default: fitted to --measured")
    parser.add_argument("--unit", type=float, help="us of a gathering warp per unit; default: fitted to --measured")
    parser.add_argument(
        "--measured",
        type=float,
        nargs="+",
        default=[225.0, 157.0, 167.0, 80.0, 214.0],
        help="us of the gathering kernel's launches, the collect last; default: 720 x 1280, share 0.3, one H200",
    )
    given = parser.parse_args()
    launches, starts = read(given.counts, given.scale)
    gather = [launch for launch in launches if launch.kernel == "gather"]
    step, unit = given.step, given.unit
    if step is None or unit is None:
        if len(given.measured) != len(gather):
            raise SystemExit(f"--measured: expected {len(gather)} times, one per launch, got {len(given.measured)}")
        step, unit = fit([launch.per_warp() for launch in gather[:-1]], given.measured[: len(gather) - 1])
        print(f"fitted: {step:.3f} us per step, {unit:.3f} us per unit (--step {step:.4f} --unit {unit:.4f})")
    for kernel in ("gather", "staged"):
        low_sum = high_sum = 0.0
        for number, launch in enumerate(launch for launch in launches if launch.kernel == kernel):
            floors = launch.floors()
            low = max(floors.values())
            high = max(floors["tensor cores"] / DENSE_EFFICIENCY, low)
            if kernel == "gather":
                steps, units = launch.per_warp()
                low = high = max(low, step * steps + unit * units)
            low_sum += low
            high_sum += high
            parts = ", ".join(f"{name} {time:.0f}" for name, time in floors.items() if time > 0)
            time = f"{low:.0f}" if kernel == "gather" else f"{low:.0f} to {high:.0f}"
            c = launch.counts
            conflicts = 100 * (c["shared_wavefronts"] / c["least_wavefronts"] - 1)
            measured = ""
            if kernel == "gather" and given.step is None and number < len(given.measured):
                error = 100 * (low / given.measured[number] - 1)
                measured = f"; measured {given.measured[number]:.0f}, error {error:+.0f} %"
            print(f"{kernel} {launch.kind}: {time} us (alone: {parts}; bank conflicts {conflicts:.0f} %{measured})")
        low_sum, high_sum = low_sum + starts[kernel], high_sum + starts[kernel]
        print(f"{kernel} module: {low_sum:.0f} us" + (f" to {high_sum:.0f}" if kernel == "staged" else ""))


if __name__ == "__main__":
    main()
