"""Reads trained networks: state dicts as PyTorch or safetensors files, from whatever trainer saved them.

No pickled code ever runs, nothing is ignored silently, and scale, features, modules and layers are recognised from
the tensors.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from smsr.checkpoint import formats
from smsr.checkpoint.network import network_from_state, recognise
from smsr.checkpoint.selection import select
from smsr.network import Network
from smsr_runtime.errors import CheckpointError, one_line

__all__ = [
    "PRETRAINED", "CheckpointWarning", "load_network", "locate", "network_from_state", "own_weights", "read_state",
    "recognise",
]  # fmt: skip

PRETRAINED = Path(__file__).parent.parent / "pretrained"
"""This project's own weights, `smsr_x2.safetensors` and so on; README.md there is their model card."""
Say = Callable[[str], None]


class CheckpointWarning(UserWarning):
    """A choice among several sets of weights, or tensors left out."""


def _warn(text: str) -> None:
    warnings.warn(one_line(text), CheckpointWarning, stacklevel=4)


def load_network(path: str | Path, weights: str | None = None, say: Say | None = None) -> Network:
    """The network of a checkpoint file, in eval mode, float32. Raises CheckpointError.

    weights: the set to take where the file has several ("params", "params_ema" ...), default: the averaged one.
    say: takes a line for each choice made and each thing left out; default: a CheckpointWarning.
    """
    return network_from_state(read_state(path, weights, say), path)


def read_state(path: str | Path, weights: str | None = None, say: Say | None = None) -> dict[str, Tensor]:
    """As `load_network`, but the bare state dict: wrappers and prefixes removed."""
    file = locate(path)
    state, notes = select(formats.load(file), path, weights)
    for note in notes:
        (say or _warn)(f"{path}: {note}")
    return state


def locate(path: str | Path) -> Path:
    """The file itself or, where there is none of that name, the project's own weights: "x2" names them for scale 2.

    Raises CheckpointError where neither is there.
    """
    file = Path(path)
    own = PRETRAINED / f"smsr_{str(path).lower()}.safetensors"
    if file.exists() or file.parent != Path() or not own.is_file():
        if not file.exists():
            todo = f"check the path; smsr's own weights are {', '.join(own_weights())}"
            raise CheckpointError(path, "a readable checkpoint file", "No such file or directory", todo)
        return file
    return own


def own_weights() -> list[str]:
    """Short names of the weights that come with the package, e.g. ["x2", "x4"]."""
    return sorted(file.stem.removeprefix("smsr_") for file in PRETRAINED.glob("smsr_x?.safetensors"))
