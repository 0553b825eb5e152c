"""A checkpoint as a model to evaluate: PyTorch, float32, hard masks."""

from __future__ import annotations

from pathlib import Path

import torch

from smsr import checkpoint, metrics
from smsr.evaluation.models import Margins, Opening
from smsr.images import Image
from smsr.network import Network
from smsr_runtime.arrays import to_pixels, to_planes


def open_checkpoint(path: Path, opening: Opening) -> TorchModel:
    """Raises CheckpointError."""
    if opening.threads:
        torch.set_num_threads(opening.threads)
    return TorchModel(checkpoint.load_network(path), path.name, opening.theta)


class TorchModel:
    """theta: threshold on the margins."""

    def __init__(self, network: Network, name: str, theta: float = 0.0) -> None:
        self.network, self.name, self.theta = network, name, theta
        self.backend = f"PyTorch {torch.__version__.split('+')[0]}"
        self.config, self.dense = network.config, network.dense_channels()

    def upscale(self, low: Image) -> tuple[Image, Margins]:
        """(H, W, 3) -> (sH, sW, 3), and the K margins (H, W), theta subtracted."""
        with torch.inference_mode():
            upscaled, margins = self.network.infer(torch.from_numpy(to_planes(low)), self.theta)
        pixels = metrics.quantise(to_pixels(upscaled.numpy()))
        return pixels, [(margin[0, 0] - self.theta).numpy() for margin in margins]
