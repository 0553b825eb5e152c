"""Runs trained networks, as PyTorch or as exported bundles, over benchmark pictures and measures them.

PSNR and SSIM on Y of the output rounded to 8 bits, a border of `scale` pixels cut (SMSR, section 4.2).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from smsr import activity, checkpoint, images, metrics
from smsr.activity import Work
from smsr.images import Image, Source
from smsr.network import Network, NetworkConfig
from smsr_runtime.errors import CheckpointError, DataError, SmsrError

Margins = list[NDArray[np.float32]]


class Model(Protocol):
    """name: for tables; engine: what computes; dense: dense channels per module and layer."""

    name: str
    engine: str
    config: NetworkConfig
    dense: list[list[int]]

    def upscale(self, low: Image) -> tuple[Image, Margins]:
        """(H, W, 3) -> (sH, sW, 3), and the K margins (H, W), theta already taken off."""


@dataclass(frozen=True)
class Row:
    """One picture: PSNR in dB and SSIM on Y, and the work done."""

    picture: str
    psnr: float
    ssim: float
    work: Work


@dataclass(frozen=True)
class Result:
    """One model on one data set; `gray` names its one-channel pictures."""

    model: Model
    dataset: str
    rows: list[Row]
    gray: list[str]

    @property
    def psnr(self) -> float:
        return float(np.mean([row.psnr for row in self.rows]))

    @property
    def ssim(self) -> float:
        return float(np.mean([row.ssim for row in self.rows]))

    @property
    def work(self) -> Work:
        """Mean over the pictures, as the paper averages."""
        shares = np.mean([row.work.shares for row in self.rows], axis=0).tolist()
        return activity.work(self.model.config, self.model.dense, shares)


class TorchModel:
    """A network in PyTorch, float32, hard masks."""

    def __init__(self, network: Network, name: str, theta: float = 0.0) -> None:
        self.network, self.name, self.theta = network, name, theta
        self.engine = f"PyTorch {torch.__version__.split('+')[0]}"
        self.config, self.dense = network.config, activity.dense_channels(network)

    def upscale(self, low: Image) -> tuple[Image, Margins]:
        with torch.inference_mode():
            upscaled, margins = self.network.infer(planes(low), self.theta)
        pixels = metrics.quantise(upscaled[0].permute(1, 2, 0).numpy())
        return pixels, [(margin[0, 0] - self.theta).numpy() for margin in margins]


class BundleModel:
    """An exported bundle, run by the code that ships."""

    def __init__(self, bundle: Path, backend: str, threads: int | None, theta: float = 0.0) -> None:
        import smsr_runtime

        try:
            self.upscaler = smsr_runtime.load(bundle, threads=threads, backend=backend, theta=theta)
        except smsr_runtime.SmsrError as error:
            raise _fault(error) from error
        manifest = self.upscaler.bundle.manifest
        self.name, self.engine = bundle.name, f"{self.upscaler.backend}, {self.upscaler.path}"
        try:
            self.config = NetworkConfig(*(manifest[key] for key in ("scale", "features", "modules", "layers")))
            self.dense = [[int(count) for count in module] for module in manifest["dense_channels"]]
        except (KeyError, TypeError, ValueError) as error:
            got = f"{type(error).__name__}: {error}"
            raise CheckpointError(bundle, "a manifest with the network's sizes", got, "export it again") from error

    def upscale(self, low: Image) -> tuple[Image, Margins]:
        import smsr_runtime

        try:
            pixels, margins = self.upscaler.with_margins(low)
        except smsr_runtime.SmsrError as error:
            raise _fault(error) from error
        return np.asarray(pixels, np.uint8), [margin - np.float32(self.upscaler.theta) for margin in margins]


class RuntimeFault(SmsrError):
    """An error of `smsr_runtime`, in its own words."""


def _fault(error: Any) -> RuntimeFault:
    fault = RuntimeFault(error.where, error.expected, error.got, error.todo)
    fault.exit_code = error.exit_code
    return fault


@dataclass(frozen=True)
class Opening:
    """How models are opened: threshold, the runtime's backend, threads (None: its own choice)."""

    theta: float = 0.0
    backend: str = "auto"
    threads: int | None = None


def open_model(path: Path, opening: Opening) -> Model:
    """A bundle (directory) or a checkpoint (.pt, .safetensors). Raises SmsrError."""
    if (path / "manifest.json").is_file() or path.suffix == ".smsr":
        return BundleModel(path, opening.backend, opening.threads, opening.theta)
    return TorchModel(checkpoint.load_network(path), path.name, opening.theta)


def planes(low: Image) -> torch.Tensor:
    """(H, W, 3) uint8 -> (1, 3, H, W) float32."""
    return torch.from_numpy(low.transpose(2, 0, 1)[None].astype(np.float32))


def dataset_name(folder: Path) -> str:
    folder = folder.resolve()
    return folder.parent.name if folder.name == "HR" else folder.name


def evaluate(model: Model, folder: Path) -> Iterator[Row]:
    """A row for each picture of a data set, in order of names. Raises DataError for what cannot be read."""
    for source in images.find(folder, model.config.scale, "auto"):
        yield measure(model, source)


def measure(model: Model, source: Source) -> Row:
    """Raises DataError for what cannot be read, and for pictures too small to be measured."""
    scale = model.config.scale
    low, high = images.read_pair(source, scale)
    smallest = metrics.SSIM_WINDOW + 2 * scale
    if min(high.shape[:2]) < smallest:
        got = f"{high.shape[1]}x{high.shape[0]}"
        raise DataError(source, f"at least {smallest}x{smallest} pixels for SSIM without its border", got, "remove it")
    pixels, margins = model.upscale(low)
    shares = [float((margin > 0).mean()) for margin in margins]
    psnr, ssim = metrics.psnr_y(pixels, high, scale), metrics.ssim_y(pixels, high, scale)
    return Row(source.name, psnr, ssim, activity.work(model.config, model.dense, shares))


def gray_pictures(folder: Path) -> list[str]:
    """Names of the one-channel pictures of a data set."""
    import io

    from PIL import Image as Pillow

    names = []
    for source in images.find(folder, 2):
        with Pillow.open(io.BytesIO(source.data())) as picture:
            if picture.mode in ("1", "L", "LA", "I", "I;16"):
                names.append(source.name)
    return names


def parameters(config: NetworkConfig) -> int:
    """Number of trained values of a network of this size."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in Network(config).parameters())


def as_json(results: Sequence[Result]) -> str:
    """Every number of every picture, and the means."""
    return json.dumps([_result_json(result) for result in results], indent=2)


def _result_json(result: Result) -> dict[str, object]:
    config = result.model.config
    return {
        "model": result.model.name,
        "engine": result.model.engine,
        "dataset": result.dataset,
        "scale": config.scale,
        "parameters": parameters(config),
        "dense_channels": result.model.dense,
        "mean": _numbers(result.psnr, result.ssim, result.work),
        "pictures": [{"picture": row.picture, **_numbers(row.psnr, row.ssim, row.work)} for row in result.rows],
    }


def _numbers(psnr: float, ssim: float, work: Work) -> dict[str, object]:
    return {
        "psnr_y": round(psnr, 4) if np.isfinite(psnr) else None,
        "ssim_y": round(ssim, 5),
        "active_share": round(work.active_share, 4),
        "active_shares": [round(share, 4) for share in work.shares],
        "macs_per_pixel_dense": round(work.dense),
        "macs_per_pixel": round(work.remaining),
    }
