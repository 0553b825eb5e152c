"""The exported network against a dense one, timed in turns on a crop of the user's own material.

The dense network is the cheapest dense export of the same checkpoint (rival.py), in ONNX Runtime, in float32.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from smsr_export.estimate.work import Crop, Measured
from smsr_export.records import FoldedNetwork
from smsr_export.rival import build_rival
from smsr_runtime.arrays import to_planes
from smsr_runtime.ort.backend import open_session
from smsr_runtime.resources import usable_processors
from smsr_runtime.session import Upscaler

ROUNDS = 5
_PAUSE_SECONDS = 0.1
"""Before each timed call: threads of the one before keep spinning for a while."""


@dataclass(frozen=True)
class Speed:
    """size: (h, w) of the crop; active_share: on it, 0..1; path: what the sparse network ran on.

    sparse, dense: seconds of each round, the same rounds for both.
    """

    name: str
    size: tuple[int, int]
    active_share: float
    path: str
    native: bool
    sparse: list[float]
    dense: list[float]

    @property
    def ratios(self) -> list[float]:
        """How many times longer the dense network took, in each round."""
        return [dense / sparse for dense, sparse in zip(self.dense, self.sparse, strict=True)]

    @property
    def ratio(self) -> float:
        """Their median."""
        return float(np.median(self.ratios))


def time_against_dense(upscaler: Upscaler, network: FoldedNetwork, samples: Sequence[Measured], share: float) -> Speed:
    """On the crop of the samples whose active share is nearest to `share`. Raises BackendError."""
    chosen, crop = choose(samples, share)
    image = to_planes(chosen.sample.pixels[crop])
    margins = upscaler.upscale_float(image, margins=True)[1]
    session = open_session(build_rival(network).SerializeToString(), threads=usable_processors() or 0, where="rival")
    sparse, dense = in_turns(
        functools.partial(upscaler.upscale_float, image), lambda: session.run(["upscaled"], {"image": image})
    )
    return Speed(
        name=chosen.sample.name,
        size=(image.shape[2], image.shape[3]),
        active_share=float(np.mean(upscaler.active_shares(margins))),
        path=upscaler.path,
        native=upscaler.compute_path.native,
        sparse=sparse,
        dense=dense,
    )


def choose(samples: Sequence[Measured], share: float) -> tuple[Measured, Crop]:
    """The sample and the place in it whose mean active share is nearest to `share`."""
    places = [(abs(its_share - share), one, crop) for one in samples for crop, its_share in one.crops]
    _, one, crop = min(places, key=lambda place: place[0])
    return one, crop


def in_turns(first: Callable[[], object], second: Callable[[], object]) -> tuple[list[float], list[float]]:
    """Seconds of ROUNDS calls of each after a first one that does not count, so that other load slows both."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for number in range(ROUNDS + 1):
        for run, taken in zip((first, second), seconds, strict=True):
            time.sleep(_PAUSE_SECONDS)
            start = time.perf_counter()
            run()
            if number:
                taken.append(time.perf_counter() - start)
    return seconds
