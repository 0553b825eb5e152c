"""Parity: the bundle, run by the code that ships, against PyTorch float32 with hard masks (DESIGN 9)."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from tabulate import tabulate

from smsr import contract, metrics, resize
from smsr.images import Source, find, read_pair
from smsr.network import InferenceResult, Network
from smsr_export.sample import sample_picture

FUNCTION_BODY = "function body"
_BRANCH_REACH = 7
"""Pixels a mask branch sees to each side: 1 + 2 for two 3x3 (one at half resolution), 4 for pool and phases."""


@dataclass(frozen=True)
class Picture:
    """low: (H, W, 3) RGB uint8; high: its (sH, sW, 3) original, or None."""

    name: str
    low: NDArray[np.uint8]
    high: NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class ParityRow:
    """One picture on one path. max_abs: out of every flip's reach; psnr_*: dB on Y, None without an original."""

    picture: str
    path: str
    width: int
    height: int
    mask_pixels: int
    flips: int
    max_abs: float
    rmse: float
    active_share: float
    psnr_torch: float | None
    psnr: float | None

    @property
    def size(self) -> str:
        return f"{self.width}x{self.height}" if self.width else ""


@dataclass(frozen=True)
class Parity:
    """Verdict over all rows; `failures` says each limit that was broken, in words."""

    precision: str
    rows: list[ParityRow]
    failures: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return not self.failures

    @property
    def in_reduced_precision(self) -> bool:
        """Whether what was asked for ran somewhere: always in fp32, else by a variant named after the precision."""
        return self.precision == "fp32" or any(row.path.endswith(self.precision) for row in self.rows)

    def as_json(self) -> dict[str, object]:
        """Plain JSON data; a number that is not finite becomes null."""
        rows = [{key: _json_number(value) for key, value in dataclasses.asdict(row).items()} for row in self.rows]
        return {
            "passed": self.passed,
            "in_reduced_precision": self.in_reduced_precision,
            "failures": self.failures,
            "rows": rows,
        }

    def table(self) -> str:
        """The rows and, a path, their mean PSNR as plain text."""
        head = ["picture", "path", "size", "active", "mask flips", "max diff", "RMSE", "PSNR PyTorch", "PSNR"]
        cells = [
            [row.picture, row.path, row.size, f"{row.active_share:.3f}", row.flips,
             f"{row.max_abs:.1e}", f"{row.rmse:.1e}", _decibel(row.psnr_torch), _decibel(row.psnr)]
            for row in [*self.rows, *self._means()]
        ]  # fmt: skip
        return tabulate(cells, head, disable_numparse=True, colalign=("left", "left", *["right"] * 7))

    def _means(self) -> list[ParityRow]:
        """A summary row a path: sums of flips, largest difference, mean PSNR."""
        paths = list(dict.fromkeys(row.path for row in self.rows))
        groups = [[row for row in self.rows if row.path == path] for path in paths]
        return [_summary(rows) for rows in groups if len(rows) > 1]


def _summary(rows: Sequence[ParityRow]) -> ParityRow:
    # a picture that both reproduce exactly would make both means infinite and hide the others
    finite = [row for row in rows if not row.psnr == row.psnr_torch == math.inf] or rows

    def mean(values: Sequence[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return float(np.mean(known)) if known else None

    return ParityRow(
        picture="all",
        path=rows[0].path,
        width=0,
        height=0,
        mask_pixels=sum(row.mask_pixels for row in rows),
        flips=sum(row.flips for row in rows),
        max_abs=float(np.max([row.max_abs for row in rows])),  # of numpy: Python's max() loses a NaN
        rmse=float(np.sqrt(np.mean([row.rmse**2 for row in rows]))),
        active_share=float(np.mean([row.active_share for row in rows])),
        psnr_torch=mean([row.psnr_torch for row in finite]),
        psnr=mean([row.psnr for row in finite]),
    )


def _json_number(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _decibel(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def own_pictures(scale: int) -> list[Picture]:
    """What verifies where the user names no picture: our own drawing, at an even and at an odd size."""
    sizes = {"own sample": (96, 128), "own sample, odd": (61, 75)}
    drawn = {name: sample_picture(height * scale, width * scale) for name, (height, width) in sizes.items()}
    return [Picture(name, resize.downscale(high, scale), high) for name, high in drawn.items()]


def read_pictures(paths: Sequence[str], scale: int) -> list[Picture]:
    """High-resolution pictures of files, folders and ZIP files with their low-resolution side.

    Where `HR/NAME.png` has an `LR_bicubic/Xs/NAMExs.png` beside its folder, that is taken; otherwise the low
    side is made by antialiased bicubic. A file inside a folder `LR_bicubic` counts as low-resolution.
    Raises DataError.
    """
    return [_read(source, scale) for path in paths for source in _sources(Path(path), scale)]


def _sources(path: Path, scale: int) -> list[Source]:
    if path.is_dir() or path.suffix.lower() == ".zip":
        return find(path, scale)
    return [Source(path.parent, path.name)]


def _read(source: Source, scale: int) -> Picture:
    folder = source.container
    if "LR_bicubic" in folder.parts:
        return Picture(source.name, source.high())
    published = folder.parent / "LR_bicubic" / f"X{scale}" / f"{source.name}x{scale}.png"
    if published.is_file():
        source = dataclasses.replace(source, low=published)
    return Picture(source.name, *read_pair(source, scale))


def open_session(model: bytes) -> Any:
    """An InferenceSession of a whole model through its function bodies, as the runtime opens one."""
    from smsr_runtime.ort import backend

    return backend.open_session(model)


def verify(network: Network, bundle: Path, pictures: Sequence[Picture], precision: str) -> Parity:
    """Runs every picture through PyTorch and each path of the bundle this machine has.

    Paths without kernels of `precision` compute in float32, and are held to its limits.
    """
    return verify_on(network, _paths(bundle), pictures, precision, float32_elsewhere=True)


def verify_on(
    network: Network,
    paths: Iterable[tuple[str, object]],
    pictures: Sequence[Picture],
    precision: str,
    float32_elsewhere: bool = False,
) -> Parity:
    """As `verify`, for upscalers by name: anything with `upscale_float` as smsr_runtime's Upscaler has it."""
    rows: list[ParityRow] = []
    references = [_infer(network, picture) for picture in pictures]
    for name, upscaler in paths:
        for picture, reference in zip(pictures, references, strict=True):
            rows.append(_compare(network, picture, reference, upscaler, name))
    names = dict.fromkeys(row.path for row in rows)
    held_to = {name: "fp32" if float32_elsewhere and not name.endswith(precision) else precision for name in names}
    failures = [text for name in names for text in _failures(rows, name, contract.TOLERANCES[held_to[name]])]
    return Parity(precision, rows, failures)


def _paths(bundle: Path) -> Iterator[tuple[str, object]]:
    """The function body always, and the native library where it is built."""
    import smsr_runtime

    upscaler = smsr_runtime.load(bundle)
    if upscaler.path != FUNCTION_BODY:
        yield upscaler.path, upscaler
    with environment("SMSR_ORT_LIBRARY", "none"), environment("SMSR_CPU", None):
        upscaler = smsr_runtime.load(bundle)
    yield upscaler.path, upscaler


@contextlib.contextmanager
def environment(name: str, value: str | None) -> Iterator[None]:
    before = os.environ.pop(name, None)
    if value is not None:
        os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name, None)
        if before is not None:
            os.environ[name] = before


def _planes(picture: Picture) -> NDArray[np.float32]:
    return np.ascontiguousarray(picture.low.transpose(2, 0, 1)[None].astype(np.float32))


def _infer(network: Network, picture: Picture) -> InferenceResult:
    with torch.inference_mode():
        return network.infer(torch.from_numpy(_planes(picture)))


def _compare(network: Network, picture: Picture, reference: InferenceResult, upscaler: object, path: str) -> ParityRow:
    upscaled, margins = upscaler.upscale_float(_planes(picture), margins=True)  # type: ignore[attr-defined]
    expected = reference.upscaled.numpy()
    flips = [(ours > 0) != (theirs.numpy() > 0) for ours, theirs in zip(margins, reference.margins, strict=True)]
    difference = np.abs(upscaled.astype(np.float64) - expected)
    height, width = picture.low.shape[:2]
    return ParityRow(
        picture=picture.name,
        path=path,
        width=width,
        height=height,
        mask_pixels=sum(flip.size for flip in flips),
        flips=sum(int(flip.sum()) for flip in flips),
        max_abs=_out_of_reach(difference, flips, network),
        rmse=float(np.sqrt(np.mean(difference**2))),
        active_share=float(np.mean([(margin > 0).mean() for margin in margins])),
        psnr_torch=_psnr(expected, picture, network),
        psnr=_psnr(upscaled, picture, network),
    )


def _psnr(upscaled: NDArray[np.floating], picture: Picture, network: Network) -> float | None:
    if picture.high is None:
        return None
    return metrics.psnr_y(metrics.quantise(upscaled[0].transpose(1, 2, 0)), picture.high, network.config.scale)


def _out_of_reach(difference: NDArray[np.floating], flips: list[NDArray[np.bool_]], network: Network) -> float:
    """Largest difference where no flipped mask pixel is within reach; 0 where every pixel is."""
    scale, layers, modules = network.config.scale, network.config.layers, network.config.modules
    reached = np.zeros(difference.shape[-2:], np.uint8)
    for index, flip in enumerate(flips):
        reach = (modules - index) * layers + (modules - 1 - index) * _BRANCH_REACH + 2
        if flip.any():
            spot = np.kron(flip[0, 0].astype(np.uint8), np.ones((scale, scale), np.uint8))
            kernel = np.ones((2 * reach * scale + 1,) * 2, np.uint8)
            reached = np.maximum(reached, np.asarray(cv2.dilate(spot, kernel), np.uint8))
    untouched = difference[..., reached == 0]
    return float(untouched.max()) if untouched.size else 0.0


def _failures(rows: Sequence[ParityRow], path: str, allowed: contract.Tolerance) -> Iterator[str]:
    """Each limit that `path` broke, in words."""
    total = _summary([row for row in rows if row.path == path])
    most_flips = max(allowed.min_flips, int(allowed.flips * total.mask_pixels))
    # "not <=" and not ">": a NaN must fail
    if not total.flips <= most_flips:
        yield f"{path}: {total.flips} mask flips of {total.mask_pixels}, allowed {most_flips}"
    if allowed.max_abs is not None and not total.max_abs <= allowed.max_abs:
        yield f"{path}: outputs differ by {total.max_abs:.2e}, allowed {allowed.max_abs:.0e}"
    if allowed.rmse is not None and not total.rmse <= allowed.rmse:
        yield f"{path}: RMSE {total.rmse:.3f}, allowed {allowed.rmse}"
    if total.psnr is not None and total.psnr_torch is not None:
        drop = 0.0 if total.psnr == total.psnr_torch else abs(total.psnr - total.psnr_torch)  # both may be infinite
        if not drop <= allowed.psnr_db:
            yield f"{path}: PSNR differs by {drop:.4f} dB, allowed {allowed.psnr_db}"
