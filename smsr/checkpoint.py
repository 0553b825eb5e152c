"""Reads trained networks: the published state dict, wrapped or not, as PyTorch file or safetensors.

No pickled code ever runs (`weights_only=True`), nothing is ignored silently, and scale, features,
modules and layers are recognised from the tensors.
"""

from __future__ import annotations

import pickle
import re
import warnings
from pathlib import Path

import torch
from torch import Tensor

from smsr import contract
from smsr.network import Network, NetworkConfig
from smsr_runtime.errors import CheckpointError

WRAPPERS = ("state_dict", "params", "model")
PRETRAINED = Path(__file__).parent / "pretrained"
"""This project's own weights, `smsr_x2.safetensors` and so on; README.md there is their model card."""
_TODO = "give a checkpoint trained by smsr-train or one of SMSR's published ones"


def load_network(path: str | Path) -> Network:
    """The network of a checkpoint file, in eval mode, float32. Raises CheckpointError."""
    return network_from_state(read_state(path), path)


def locate(path: str | Path) -> Path:
    """The file itself; where there is none of that name, the project's own weights: "x2" names them for scale 2."""
    own = PRETRAINED / f"smsr_{path}.safetensors"
    return own if not Path(path).exists() and own.is_file() else Path(path)


def own_weights() -> list[str]:
    """Short names of the weights that come with the package, e.g. ["x2", "x4"]."""
    return sorted(file.stem.removeprefix("smsr_") for file in PRETRAINED.glob("smsr_x?.safetensors"))


def read_state(path: str | Path) -> dict[str, Tensor]:
    """The bare state dict of a checkpoint file: wrappers and `module.` prefixes removed."""
    path = locate(path)
    if path.is_dir():
        raise CheckpointError(path, "a checkpoint file", "a folder", _TODO)
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise CheckpointError(path, "a readable checkpoint file", error.strerror or str(error), _TODO) from error
    if not head:
        raise CheckpointError(path, "a checkpoint", "an empty file", "download or save it again")
    if re.match(rb"(\xef\xbb\xbf)?\s*<(!doctype|html|\?xml)", head, re.IGNORECASE):
        raise CheckpointError(path, "a checkpoint", "a web page", "download the file itself, not its page")
    loaded = _load_safetensors(path) if path.suffix == ".safetensors" else _load_torch(path, head)
    return _unwrap(loaded, path)


def network_from_state(state: dict[str, Tensor], where: str | Path) -> Network:
    """The network of a bare state dict; `where` names its source in errors."""
    state = dict(state)
    config = recognise(state, where)
    _take_mean(state, where)
    _check_names_and_shapes(state, config, where)
    state = {name: value.float() for name, value in state.items()}
    _check_numbers(state, where)
    network = Network(config).eval()
    network.load_state_dict(state)
    return network


def recognise(state: dict[str, Tensor], where: str | Path) -> NetworkConfig:
    """Scale, features, modules and layers from the tensors' names and shapes."""
    needed = ("head.0.weight", "tail.0.weight", "body.0.body.ch_mask")
    missing = [name for name in needed if name not in state]
    if missing:
        first = ", ".join(sorted(state)[:3]) or "no tensors"
        expected = f"an SMSR state dict with {', '.join(missing)}"
        raise CheckpointError(where, expected, f"{len(state)} tensors ({first}, ...)", _TODO)
    try:
        scale = round((state["tail.0.weight"].shape[0] / 3) ** 0.5)
        numbers = {int(match[1]) for name in state if (match := re.match(r"body\.(\d{1,9})\.", name))}
        # a name such as `body.99999999.x` must not give that many modules
        modules = 1 + max(number for number in numbers if number < len(state))
        _, features, layers, _ = state["body.0.body.ch_mask"].shape
        if layers > len(state):
            raise ValueError(f"{layers} layers in {len(state)} tensors")
        return NetworkConfig(scale=scale, features=features, modules=modules, layers=layers)
    except (ValueError, IndexError) as error:
        shapes = ", ".join(f"{name} {tuple(state[name].shape)}" for name in needed)
        raise CheckpointError(where, f"shapes of an SMSR network ({error})", shapes, _TODO) from error


def _load_safetensors(path: Path) -> object:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(path, "a safetensors file", str(error), _TODO) from error


def _load_torch(path: Path, head: bytes) -> object:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns about damaged bytes; our error says it in one line
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise _refused_pickle(path, head, error) from error
    except Exception as error:  # damaged bytes make torch's unpickler raise nearly anything
        raise _damaged(path, head, error) from error


def _damaged(path: Path, head: bytes, error: Exception) -> CheckpointError:
    got = "a damaged or cut one" if head.startswith((b"PK", b"\x80\x02\x8a\x0al")) else "something else"
    return CheckpointError(path, "a PyTorch checkpoint", f"{got} ({_first_line(error)})", _TODO)


def _refused_pickle(path: Path, head: bytes, error: Exception) -> CheckpointError:
    named = re.search(r"GLOBAL `?([\w.]+)`?", str(error))
    if named is None:
        return _damaged(path, head, error)
    return CheckpointError(
        path,
        "a checkpoint of plain tensors",
        f"a pickle that would run code ({named[1]}); nothing was run",
        "save it again with torch.save(network.state_dict(), PATH)",
    )


def _first_line(error: Exception) -> str:
    """torch's reason without its advice to load with `weights_only=False`, which would run code."""
    text = str(error).rpartition("WeightsUnpickler error:")[2].strip()
    first = (text or type(error).__name__).splitlines()[0][:200]
    return "its bytes cannot be read" if "weights_only" in first or "Weights only" in first else first


def _unwrap(loaded: object, path: Path) -> dict[str, Tensor]:
    for _ in WRAPPERS:  # not until no wrapper is left: a pickled dict may contain itself
        if not isinstance(loaded, dict) or _is_state(loaded):
            break
        loaded = next((loaded[key] for key in WRAPPERS if isinstance(loaded.get(key), dict)), loaded)
    if not isinstance(loaded, dict) or not _is_state(loaded):
        keys = ", ".join(map(str, list(loaded)[:4])) if isinstance(loaded, dict) else ""
        got = f"keys {keys or 'none'}" if isinstance(loaded, dict) else type(loaded).__name__
        raise CheckpointError(path, f"a state dict, bare or under one of {', '.join(WRAPPERS)}", got, _TODO)
    if all(name.startswith("module.") for name in loaded):
        return {name.removeprefix("module."): value for name, value in loaded.items()}
    return dict(loaded)


def _is_state(loaded: dict[object, object]) -> bool:
    return bool(loaded) and all(isinstance(key, str) and isinstance(value, Tensor) for key, value in loaded.items())


def _take_mean(state: dict[str, Tensor], where: str | Path) -> None:
    """Removes the constants `sub_mean` and `add_mean` from `state`, after checking their values."""
    mean = torch.tensor(contract.RGB_MEAN)
    for name, sign in (("sub_mean", -1.0), ("add_mean", 1.0)):
        for part, value in (("weight", torch.eye(3).view(3, 3, 1, 1)), ("bias", sign * mean)):
            stored = state.pop(f"{name}.{part}", None)
            if stored is not None and not _is_close(stored, value):
                raise CheckpointError(
                    where,
                    f"{name}.{part} to hold the constant mean {contract.RGB_MEAN} of 0..255 images",
                    f"{stored.flatten()[:4].tolist()}",
                    "smsr supports networks on 0..255 RGB with DIV2K's mean only",
                )


def _is_close(stored: Tensor, value: Tensor) -> bool:
    return stored.shape == value.shape and torch.allclose(stored.float(), value, rtol=0.0, atol=1e-3)


def _check_names_and_shapes(state: dict[str, Tensor], config: NetworkConfig, where: str | Path) -> None:
    with torch.device("meta"):  # names and shapes without memory: a wrong file may name enormous sizes
        expected = Network(config).state_dict()
    missing, extra = sorted(expected.keys() - state.keys()), sorted(state.keys() - expected.keys())
    if missing or extra:
        got = "; ".join(
            f"{len(names)} {kind}: {', '.join(names[:4])}{', ...' if len(names) > 4 else ''}"
            for kind, names in (("missing", missing), ("unknown", extra))
            if names
        )
        raise CheckpointError(where, f"the {len(expected)} tensors of {config}", got, _TODO)
    for name, tensor in expected.items():
        if state[name].shape != tensor.shape:
            raise CheckpointError(where, f"{name} of shape {tuple(tensor.shape)}", f"{tuple(state[name].shape)}", _TODO)
        if not state[name].is_floating_point():
            raise CheckpointError(where, f"{name} of a floating-point type", f"{state[name].dtype}", _TODO)


def _check_numbers(state: dict[str, Tensor], where: str | Path) -> None:
    bad = [name for name, value in state.items() if not torch.isfinite(value).all()]
    if bad:
        raise CheckpointError(
            where, "finite weights", f"NaN or infinity in {', '.join(bad[:4])}", "train again or take an earlier one"
        )
