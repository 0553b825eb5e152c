"""The network of a bare state dict: scale, features, modules and layers from its tensors, everything checked."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import torch
from torch import Tensor

from smsr import contract
from smsr.checkpoint.formats import TODO
from smsr.checkpoint.selection import MARKS
from smsr.network import Network, NetworkConfig
from smsr_runtime.errors import CheckpointError


def network_from_state(state: dict[str, Tensor], where: str | Path) -> Network:
    """The network of a bare state dict, in eval mode, float32; `where` names its source in errors."""
    state = dict(state)
    config = recognise(state, where)
    _check_tensors(state, where)
    _take_mean(state, where)
    _check_names(state, config, where)
    _check_shapes(state, config, where)
    state = {name: value.float() for name, value in state.items()}
    _check_numbers(state, where)
    network = Network(config).eval()
    network.load_state_dict(state)
    return network


def recognise(state: dict[str, Tensor], where: str | Path) -> NetworkConfig:
    """Scale, features, modules and layers from the tensors' names and shapes."""
    missing = [name for name in MARKS if name not in state]
    if missing:
        got = f"{len(state)} tensors ({', '.join(sorted(state)[:3])}, ...)"
        raise CheckpointError(where, f"an SMSR state dict with {', '.join(missing)}", got, TODO)
    try:
        scale = round((state["tail.0.weight"].shape[0] / 3) ** 0.5)
        numbers = {int(match[1]) for name in state if (match := re.match(r"body\.(\d{1,9})\.", name))}
        # a stray `body.99999999.x` must not ask for that many modules
        modules = 1 + max(number for number in numbers if number < len(state))
        _, features, layers, _ = state["body.0.body.ch_mask"].shape
        if layers > len(state):
            raise ValueError(f"{layers} layers in {len(state)} tensors")
        return NetworkConfig(scale=scale, features=features, modules=modules, layers=layers)
    except (ValueError, IndexError) as error:
        shapes = ", ".join(f"{name} {tuple(state[name].shape)}" for name in MARKS)
        raise CheckpointError(where, f"shapes of an SMSR network ({error})", shapes, TODO) from error


def _check_tensors(state: dict[str, Tensor], where: str | Path) -> None:
    """Every tensor stores the numbers that its shape promises: none is sparse, quantised, meta or repeats memory."""
    for name, value in state.items():
        if value.layout != torch.strided or value.is_quantized or value.device.type == "meta":
            kind = "quantised" if value.is_quantized else "meta" if value.device.type == "meta" else "sparse"
            raise CheckpointError(where, f"{name} as a plain dense tensor", f"a {kind} one", "save it as a plain one")
        if value.numel() * value.element_size() > value.untyped_storage().nbytes():
            got = f"a tensor of shape {tuple(value.shape)} that stores fewer numbers"
            raise CheckpointError(where, f"{name} with all its numbers", got, "save it again with .contiguous()")


def _take_mean(state: dict[str, Tensor], where: str | Path) -> None:
    """Removes the constants `sub_mean` and `add_mean` from `state`, after checking their values."""
    mean = torch.tensor(contract.RGB_MEAN)
    for name, sign in (("sub_mean", -1.0), ("add_mean", 1.0)):
        for part, value in (("weight", torch.eye(3).view(3, 3, 1, 1)), ("bias", sign * mean)):
            stored = state.pop(f"{name}.{part}", None)
            if stored is not None and not _is_constant(stored, value):
                raise CheckpointError(
                    where,
                    f"{name}.{part} to hold the constant mean {contract.RGB_MEAN} of 0..255 images",
                    f"{stored.flatten()[:4].tolist()}",
                    "smsr supports networks on 0..255 RGB with DIV2K's mean only",
                )


def _is_constant(stored: Tensor, value: Tensor) -> bool:
    """Equal but for rounding: of the literature's constants to 1e-3, and of the type that they are stored in."""
    if stored.shape != value.shape or not stored.is_floating_point():
        return False
    return torch.allclose(stored.float(), value, rtol=torch.finfo(stored.dtype).eps, atol=1e-3)


def _one_module(config: NetworkConfig) -> dict[str, Tensor]:
    """Names and shapes of the network with its first module alone, without memory for their numbers."""
    with torch.device("meta"):
        return dict(Network(dataclasses.replace(config, modules=1)).state_dict())


def _names(config: NetworkConfig) -> set[str]:
    """All tensors' names; found from one module's, since a wrong file can ask for any number of modules."""
    first = _one_module(config)
    inside = [name.removeprefix("body.0.") for name in first if name.startswith("body.0.")]
    outside = {name for name in first if not name.startswith("body.0.")}
    return outside | {f"body.{index}.{name}" for index in range(config.modules) for name in inside}


def _check_names(state: dict[str, Tensor], config: NetworkConfig, where: str | Path) -> None:
    expected = _names(config)
    missing, extra = sorted(expected - state.keys()), sorted(state.keys() - expected)
    if missing or extra:
        got = "; ".join(
            f"{len(names)} {kind}: {', '.join(names[:4])}{', ...' if len(names) > 4 else ''}"
            for kind, names in (("missing", missing), ("unknown", extra))
            if names
        )
        raise CheckpointError(where, f"the {len(expected)} tensors of {config}", got, TODO)


def _check_shapes(state: dict[str, Tensor], config: NetworkConfig, where: str | Path) -> None:
    first = _one_module(config)
    for name, value in state.items():
        shape = tuple(first[re.sub(r"^body\.\d+\.", "body.0.", name)].shape)
        if name == "collect.0.weight":
            shape = (config.features, config.modules * config.features, 1, 1)
        if tuple(value.shape) != shape:
            raise CheckpointError(where, f"{name} of shape {shape}", f"{tuple(value.shape)}", TODO)
        if not value.is_floating_point():
            raise CheckpointError(where, f"{name} of a floating-point type", f"{value.dtype}", TODO)


def _check_numbers(state: dict[str, Tensor], where: str | Path) -> None:
    bad = [name for name, value in state.items() if not torch.isfinite(value).all()]
    if bad:
        raise CheckpointError(
            where, "finite weights", f"NaN or infinity in {', '.join(bad[:4])}", "train again or take an earlier one"
        )
