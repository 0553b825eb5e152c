"""What changes in training: network, its average, optimizer, scaler, step; how it is built, saved and restored."""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from smsr import checkpoint
from smsr.network import Network
from smsr.training import checkpoints
from smsr.training.config import Recipe
from smsr_runtime.bundle import sha256
from smsr_runtime.console import say
from smsr_runtime.errors import CheckpointError


@dataclass
class State:
    """average: exponential moving average of the network's weights: what is validated, saved and shipped."""

    network: Network
    average: Network
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    step: int = 0
    best_psnr: float = 0.0

    @torch.no_grad()
    def update_average(self, decay: float) -> None:
        """After step `self.step`; early steps weigh more, so that the average forgets the random start."""
        decay = min(decay, (1 + self.step) / (10 + self.step))
        averages: list[Tensor] = list(self.average.parameters())
        weights: list[Tensor] = list(self.network.parameters())
        torch._foreach_lerp_(averages, weights, 1.0 - decay)

    def saved(self, recipe: Recipe, fingerprint: str) -> dict[str, Any]:
        """The training checkpoint; plain data and tensors alone."""
        return {
            **checkpoints.for_inference(self.average, recipe),
            "step": self.step,
            "best_psnr": self.best_psnr,
            "data": fingerprint,
            "network": checkpoints.weights(self.network),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "random": checkpoints.random_states(),
        }

    def restore(self, saved: dict[str, Any]) -> None:
        self.network.load_state_dict(saved["network"])
        self.average.load_state_dict(saved["state_dict"])
        groups = [{**group, "fused": True} for group in saved["optimizer"]["param_groups"]]  # older CPU runs: not fused
        self.optimizer.load_state_dict({**saved["optimizer"], "param_groups": groups})
        if saved["scaler"]:
            self.scaler.load_state_dict(saved["scaler"])
        self.step, self.best_psnr = int(saved["step"]), float(saved["best_psnr"])
        checkpoints.restore_random_states(saved["random"])


@dataclass(frozen=True)
class WarmStart:
    """A network to start from. file: its name and SHA-256, for the recipe; notes: what reading it had to say."""

    path: Path
    file: str
    network: Network
    notes: list[str]


def warm_start(path: Path) -> WarmStart:
    """Reads a checkpoint to start from. Raises CheckpointError."""
    notes: list[str] = []
    network = checkpoint.load_network(path, say=notes.append)
    return WarmStart(path, f"{path.name} {sha256(checkpoint.locate(path))}", network, notes)


def new(recipe: Recipe, device: torch.device, start: WarmStart | None = None, *, channels_last: bool = False) -> State:
    """A network from the seed, or with the weights of `start`, without the tail where its scale is another.

    Raises CheckpointError.
    """
    torch.manual_seed(recipe.seed)
    network = Network(recipe.network)
    if start is not None:
        _start_from(network, start)
    network.to(device)
    if channels_last:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = copy.deepcopy(network).eval().requires_grad_(False)
    optimizer = torch.optim.Adam(network.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.999), fused=True)
    scaler = torch.amp.GradScaler(device.type, enabled=precision(recipe, device) is torch.float16)
    return State(network.train(), average, optimizer, scaler)


def precision(recipe: Recipe, device: torch.device) -> torch.dtype:
    """The type that convolutions compute in; `auto`: bfloat16 on GPUs that have it, else float32."""
    if recipe.precision == "auto":
        return torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported() else torch.float32
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[recipe.precision]


def _start_from(network: Network, start: WarmStart) -> None:
    for note in start.notes:
        say("smsr-train", note)
    mine, theirs = network.config, start.network.config
    if dataclasses.replace(theirs, scale=mine.scale) != mine:
        got = f"{theirs.features}, {theirs.modules} and {theirs.layers}"
        expected = f"{mine.features} features, {mine.modules} modules and {mine.layers} layers"
        raise CheckpointError(start.path, expected, got, "give the sizes of that network, or start from another")
    weights: dict[str, Tensor] = start.network.state_dict()
    if theirs.scale != mine.scale:
        weights = {name: value for name, value in weights.items() if not name.startswith("tail.")}
    network.load_state_dict(weights, strict=False)
