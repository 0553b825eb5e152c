"""Runs pictures through PyTorch and through what ships, and judges each path by the precision it computes in."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import smsr_runtime
from smsr import contract
from smsr.network import Network
from smsr_export.parity.comparison import FloatUpscaler, compare, infer
from smsr_export.parity.limits import failures
from smsr_export.parity.pictures import Picture
from smsr_export.parity.report import Parity
from smsr_export.parity.rows import ParityRow
from smsr_runtime.ort.native import Library

See = Callable[[Picture, NDArray[np.float32], Sequence[NDArray[np.float32]]], None]
"""Takes a picture, its upscaled (1, 3, sH, sW) and the margins (1, 1, H, W) of its modules."""


@dataclass(frozen=True)
class Candidate:
    """One path to compare: its name in tables, what upscales on it, and the precision of its multiplicands."""

    path: str
    upscaler: FloatUpscaler
    precision: str


def verify(
    network: Network, bundle: Path, pictures: Sequence[Picture], precision: str, see: See | None = None
) -> Parity:
    """Parity of each path that this machine has for a bundle exported in `precision`.

    A path without kernels for it computes in float32, and is held to float32's limits. see: is shown what the first
    path makes of each picture.
    """
    return verify_paths(network, _paths(bundle), pictures, precision, see)


def verify_paths(
    network: Network,
    candidates: Iterable[Candidate],
    pictures: Sequence[Picture],
    precision: str,
    see: See | None = None,
) -> Parity:
    """Parity of these paths; each is held to the limits of its own precision."""
    references = [infer(network, picture) for picture in pictures]
    rows: list[ParityRow] = []
    broken: list[str] = []
    precisions = {"fp32"}
    for one in candidates:
        pairs = zip(pictures, references, strict=True)
        compared = [
            compare(network, picture, reference, _seen(one.upscaler, picture, see), one.path)
            for picture, reference in pairs
        ]
        see = None
        broken += failures(compared, contract.TOLERANCES[one.precision])
        precisions.add(one.precision)
        rows += compared
    return Parity(precision, rows, broken, precision in precisions)


def _seen(upscaler: FloatUpscaler, picture: Picture, see: See | None) -> FloatUpscaler:
    return upscaler if see is None else _Seen(upscaler, functools.partial(see, picture))


@dataclass(frozen=True)
class _Seen:
    """An upscaler whose results are shown to somebody."""

    upscaler: FloatUpscaler
    see: Callable[[NDArray[np.float32], Sequence[NDArray[np.float32]]], None]

    def upscale_float(
        self, image: NDArray[np.float32], *, margins: bool
    ) -> tuple[NDArray[np.float32], list[NDArray[np.float32]]]:
        result = self.upscaler.upscale_float(image, margins=margins)
        self.see(*result)
        return result


def _paths(bundle: Path) -> Iterator[Candidate]:
    """The native library where it is built, and the function body always."""
    upscaler = smsr_runtime.load(bundle)
    if upscaler.compute_path.native:
        yield _candidate(upscaler)
        upscaler = smsr_runtime.load(bundle, library=Library.NONE)
    yield _candidate(upscaler)


def _candidate(upscaler: smsr_runtime.Upscaler) -> Candidate:
    return Candidate(str(upscaler.compute_path), upscaler, upscaler.compute_path.precision)
