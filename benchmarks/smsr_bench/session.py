"""One benchmark run: pictures, then one picture at other active shares and at other sizes."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from tqdm import tqdm

from smsr import metrics
from smsr.complexity import network_macs
from smsr.network_config import NetworkConfig
from smsr_bench import engines, machine, masks, measure, memory
from smsr_bench.engines import ENGINES, OURS
from smsr_bench.inputs import Input
from smsr_bench.measure import Timing
from smsr_bench.report import Row
from smsr_bench.runs import Run
from smsr_bench.span import build_span
from smsr_bench.subject import Subject
from smsr_export.records import FoldedNetwork
from smsr_export.rival import build_rival
from smsr_runtime.arrays import to_pixels
from smsr_runtime.ort.native import find_library

SHARES = tuple(step / 10 for step in range(11))
SIZES = ((240, 256), (360, 360), (480, 540), (720, 720), (1080, 960), (1080, 1920))
"""(h, w): 0.06, 0.13, 0.26, 0.52, 1.04, 2.07 megapixels"""
SHARE_ENGINES = ("native", "native-bf16", "rival", "openvino", "openvino-bf16")
SIZE_ENGINES = ("native", "rival")
BF16 = ("openvino-bf16", "native-bf16")
LARGE, LARGE_ROUNDS = 200_000, 3
"""From LARGE pixels on: LARGE_ROUNDS at most, and no PyTorch engine, since one run takes seconds."""
HUGE, HUGE_ENGINES = 600_000, ("native", "native-bf16", "rival")
"""From HUGE pixels on only these: interleaved engines are in memory together; a rival takes 7 GB for 0.9 megapixels."""
OURS_ALONE = 1_200_000
"""From this number of pixels on no rival at all, for the same reason."""


@dataclass
class Bench:
    """Measures rows of one bundle. threads: of every engine; kernels: our library's variant; probe: see `machine`."""

    subject: Subject
    names: Sequence[str]
    threads: int
    rounds: int
    with_memory: bool = field(default=True, kw_only=True)
    kernels: str = field(init=False)
    probe: Callable[[], float] = field(init=False)

    def __post_init__(self) -> None:
        self.subject.upscaler(self.threads)  # raises where there is no native library
        library = find_library(self.subject.bundle.interface_hash)
        assert library is not None
        self.kernels = library.variant
        self.probe = machine.peak_probe(library.path, self.threads)

    def pictures(self, inputs: Sequence[Input]) -> list[Row]:
        """One row per input, all engines; peak memory on the largest input."""
        runs = engines.make(self.names, self.subject, self.threads)
        rows = [self._measured(item, runs) for item in tqdm(inputs, "pictures", disable=None)]
        del runs
        if self.with_memory:
            largest = max(range(len(inputs)), key=lambda index: inputs[index].pixels)
            names = [name for name in self.names if ENGINES[name].package != "torch" or inputs[largest].pixels < LARGE]
            rows[largest].memory.update(self._memory(inputs[largest], names))
        return rows

    def shares(self, item: Input) -> list[Row]:
        """One picture with 0, 10 ... 100 % of every module's pixels active; each pass measures every share once."""
        with tempfile.TemporaryDirectory() as folder:
            subjects = [self._with_share(item, share, Path(folder) / f"{share:.1f}") for share in SHARES]
            passes = tqdm(range(self._rounds(item)), "active shares", disable=None)
            timings = [[self._share_timing(item, subject) for subject in subjects] for _ in passes]
            merged = [measure.merged(of_share) for of_share in zip(*timings, strict=True)]
            return [self._row(item, timing, subject) for timing, subject in zip(merged, subjects, strict=True)]

    def _with_share(self, item: Input, share: float, folder: Path) -> Subject:
        network = masks.with_active_share(
            self.subject.network, share, lambda network: self._margins(network, item.image)
        )
        folder.mkdir()
        return self.subject.changed(network, folder)

    def _share_timing(self, item: Input, subject: Subject) -> Timing:
        """One round, by engines made for this share alone: those of all shares together would not fit into memory."""
        names = [name for name in self._chosen(SHARE_ENGINES) if self._fits(name, item)]
        runs = engines.make(names, subject, self.threads)
        return measure.time_engines(runs, item.image, 1, self.probe)

    def sizes(self, item: Input) -> list[Row]:
        """One picture's texture at SIZES."""
        runs = engines.make(self._chosen(SIZE_ENGINES), self.subject, self.threads)
        places = tqdm(SIZES, "sizes", disable=None)
        return [self._measured(item.mirrored_to(*size), runs) for size in places]

    @staticmethod
    def _fits(name: str, item: Input) -> bool:
        if item.pixels >= OURS_ALONE:
            return name == OURS
        if item.pixels >= HUGE:
            return name in HUGE_ENGINES
        return item.pixels < LARGE or ENGINES[name].package != "torch"

    def _chosen(self, engines: Sequence[str]) -> list[str]:
        return [name for name in engines if name in self.names]

    def _rounds(self, item: Input) -> int:
        return min(self.rounds, LARGE_ROUNDS) if item.pixels >= LARGE else self.rounds

    def _measured(self, item: Input, runs: dict[str, Run]) -> Row:
        fitting = {name: run for name, run in runs.items() if self._fits(name, item)}
        keep = [name for name in fitting if item.high is not None and not ENGINES[name].other_network]
        timing = measure.time_engines(fitting, item.image, self._rounds(item), self.probe, keep=keep)
        row = self._row(item, timing, self.subject)
        decibels = {name: self._psnr(item, upscaled) for name, upscaled in timing.upscaled.items()}
        row.psnr.update(
            {name: value for name, value in decibels.items() if math.isfinite(value)}
        )  # JSON has no infinity
        return row

    def _psnr(self, item: Input, upscaled: NDArray[np.float32]) -> float:
        """As smsr-eval measures it: dB on Y, rounded to 8 bits, a border of `scale` pixels cut."""
        assert item.high is not None
        return metrics.psnr_y(to_pixels(metrics.quantise(upscaled)), item.high, self.subject.network.scale)

    def _row(self, item: Input, timing: Timing, subject: Subject) -> Row:
        upscaler = subject.upscaler(self.threads)
        shares = upscaler.active_shares(upscaler.upscale_float(item.image, margins=True)[1])
        macs = network_macs(config(subject.network), [module.dense_channels for module in subject.network.modules])
        return Row(
            picture=item.name,
            width=item.size[1],
            height=item.size[0],
            rounds=len(timing.peaks),
            active_shares=shares,
            gmacs=macs.remaining(shares) * item.pixels / 1e9,
            dense_gmacs=macs.dense * item.pixels / 1e9,
            peak=timing.peak,
            seconds={name: timing.median(name) for name in timing.seconds},
            ratios={name: timing.ratio(name, OURS) for name in timing.seconds},
            bf16_ratio=timing.ratio(*BF16) if set(BF16) <= timing.seconds.keys() else None,
        )

    def _margins(self, network: FoldedNetwork, image: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        with tempfile.TemporaryDirectory() as folder:
            upscaler = self.subject.changed(network, Path(folder)).upscaler(self.threads)
            return upscaler.upscale_float(image, margins=True)[1]

    def _memory(self, item: Input, names: Sequence[str]) -> dict[str, int]:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            onnx.save_model(build_rival(self.subject.network), folder / memory.RIVAL_FILE)
            onnx.save_model(build_span(self.subject.network.scale), folder / memory.SPAN_FILE)
            np.save(folder / "image.npy", item.image)
            bundle, image = self.subject.bundle.path, folder / "image.npy"
            # bf16 of ours has the tensors of "native"; an int8 model would have to be calibrated again in the process
            measured = [name for name in names if name != "native-bf16" and not ENGINES[name].calibrated]
            return {name: memory.peak_bytes(name, bundle, image, folder, self.threads) for name in measured}


def config(network: FoldedNetwork) -> NetworkConfig:
    return NetworkConfig(network.scale, network.features, len(network.modules), network.layers)
