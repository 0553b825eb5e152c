"""Training checkpoints: everything that a bit-exact resume needs, written atomically, read without running code.

The averaged weights are under `state_dict`, where `smsr.checkpoint.load_network`, and so the exporter, reads them.
"""

from __future__ import annotations

import dataclasses
import io
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from smsr.checkpoint import formats
from smsr.network import Network
from smsr.training.config import Recipe
from smsr_runtime import files
from smsr_runtime.errors import CheckpointError

FORMAT = "smsr-training"
VERSION = 1
LAST, BEST, RECIPE, LOCK = "last.pt", "best.pt", "recipe.json", ".lock"


def write(path: Path, content: dict[str, Any]) -> None:
    """Saves `content`; a failure leaves the file that was there. Raises OutputError."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    files.write_bytes(path, buffer.getbuffer(), "make its folder writable, then go on with --resume")


def weights(network: Network) -> dict[str, Tensor]:
    """The state dict on the CPU, float32, in plain memory order: what other programs expect."""
    return {name: value.detach().float().cpu().contiguous() for name, value in network.state_dict().items()}


def for_inference(network: Network, recipe: Recipe, **facts: object) -> dict[str, Any]:
    """A checkpoint to use, not to resume: weights, recipe and `facts`."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "state_dict": weights(network),
        "recipe": dataclasses.asdict(recipe),
        **facts,
    }


def random_states() -> dict[str, Any]:
    """States of all random generators that a run may use, as plain data."""
    name, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": (str(name), torch.from_numpy(np.array(keys, np.int64)), int(position), int(has_gauss), float(gauss)),
        "python": random.getstate(),
    }


def restore_random_states(states: dict[str, Any]) -> None:
    torch.set_rng_state(states["torch"])
    if torch.cuda.is_available() and len(states["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(states["cuda"])
    name, keys, *rest = states["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    random.setstate(states["python"])


def read(path: Path) -> dict[str, Any]:
    """A training checkpoint. Raises CheckpointError for anything else."""
    todo = "name the folder of a run of smsr-train, or start a new one without --resume"
    content = formats.load(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT or "optimizer" not in content:
        raise CheckpointError(path, "a training checkpoint with its optimizer", "weights alone, or another file", todo)
    if content.get("version") != VERSION:
        raise CheckpointError(path, f"version {VERSION}", str(content.get("version")), "use the release that wrote it")
    return content
