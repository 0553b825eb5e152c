"""Finds the network's weights in whatever a training program saved around them.

Trainers wrap a state dict in dictionaries ("params", "state_dict", "model" ...), put prefixes before its names
("module.", "_orig_mod.", "net." ...), and often keep two sets: the raw weights and their moving average. Any depth
and any prefix is followed; where there are several sets the averaged one is taken, and the choice is said.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from smsr.checkpoint.formats import TODO
from smsr_runtime.errors import CheckpointError

MARKS = ("head.0.weight", "tail.0.weight", "body.0.body.ch_mask")
"""Names that every SMSR state dict has."""
_DEEPEST, _MOST = 6, 10_000
"""How many dictionaries inside each other, and how many altogether, are looked through."""
_AVERAGED = re.compile(r"(^|[^a-z])(ema|averaged?|avg|swa|shadow)([^a-z]|$)", re.IGNORECASE)
_COUNTERS = ("total_ops", "total_params")
"""Buffers that the MAC counter thop leaves in a network."""
_OWN_FORMAT, _OWN_AVERAGED = "smsr-training", "state_dict"


@dataclass(frozen=True)
class Candidate:
    """One set of weights. name: where it lies, "params_ema" or "state_dict.module"; state: without prefixes.

    rest: names in the same dictionary that are no part of the set.
    """

    name: str
    state: dict[str, Tensor]
    averaged: bool
    rest: list[str] = field(default_factory=list)


def select(loaded: object, where: str | Path, wanted: str | None = None) -> tuple[dict[str, Tensor], list[str]]:
    """The state dict to use, and notes on what was chosen and what was left out.

    wanted: the name of a set, whole or its last part. Raises CheckpointError where there is none, or no telling which.
    """
    candidates = _candidates(loaded)
    if not candidates:
        raise _none(loaded, where)
    chosen, notes = _chosen(candidates, where, wanted)
    state, counters = _without_counters(chosen.state)
    if counters:
        notes.append(f"left out: {counters} counters of thop ({', '.join(_COUNTERS)})")
    if chosen.rest:
        shown = ", ".join(chosen.rest[:3]) + (", ..." if len(chosen.rest) > 3 else "")
        notes.append(f"left out: {len(chosen.rest)} tensors beside {chosen.name} ({shown})")
    return state, notes


def _chosen(candidates: list[Candidate], where: str | Path, wanted: str | None) -> tuple[Candidate, list[str]]:
    names = ", ".join(candidate.name for candidate in candidates)
    if wanted is not None:
        matching = [candidate for candidate in candidates if wanted in (candidate.name, candidate.name.split(".")[-1])]
        if len(matching) != 1:
            got = f"{len(matching)} of that name; it has {names}"
            raise CheckpointError(where, f"one set of weights named {wanted}", got, "name one of these with --weights")
        return matching[0], []
    if len(candidates) == 1:
        return candidates[0], []
    averaged = [candidate for candidate in candidates if candidate.averaged]
    if len(averaged) != 1:
        raise CheckpointError(where, "one set of weights, or one that is averaged", names, "name one with --weights")
    taken = averaged[0].name
    return averaged[0], [
        f"has several sets of weights ({names}): the averaged one is taken, {taken}; --weights names another"
    ]


def _candidates(loaded: object) -> list[Candidate]:
    own = isinstance(loaded, dict) and loaded.get("format") == _OWN_FORMAT
    sets = []
    for path, content in _dictionaries(loaded):
        tensors = {key: value for key, value in content.items() if isinstance(key, str) and isinstance(value, Tensor)}
        prefixes = [key[: -len(MARKS[2])] for key in tensors if key.endswith(MARKS[2])]
        for prefix in (prefix for prefix in prefixes if prefix == "" or prefix.endswith(".")):
            name = ".".join([*path, *prefix.split(".")[:-1]]) or "the top level"
            averaged = _AVERAGED.search(name) is not None or (own and name == _OWN_AVERAGED)
            sets.append(_set(name, averaged, tensors, prefix, prefixes))
    return sets


def _set(name: str, averaged: bool, tensors: Mapping[str, Tensor], prefix: str, prefixes: list[str]) -> Candidate:
    others = tuple(other for other in prefixes if other.startswith(prefix) and other != prefix)
    inside = [key for key in tensors if key.startswith(prefix) and not (others and key.startswith(others))]
    rest = [key for key in tensors if not key.startswith(tuple(prefixes))]
    return Candidate(name, {key[len(prefix) :]: tensors[key] for key in inside}, averaged, rest)


def _dictionaries(loaded: object) -> Iterator[tuple[tuple[str, ...], dict[object, object]]]:
    """Every dictionary inside `loaded`, outermost first, with the keys that lead to it; each only once."""
    seen: set[int] = set()
    queue: list[tuple[tuple[str, ...], object]] = [((), loaded)]
    while queue and len(seen) < _MOST:
        path, content = queue.pop(0)
        if not isinstance(content, dict) or id(content) in seen or len(path) > _DEEPEST:
            continue
        seen.add(id(content))
        yield path, content
        queue += [((*path, str(key)), value) for key, value in content.items() if isinstance(value, dict)]


def _without_counters(state: dict[str, Tensor]) -> tuple[dict[str, Tensor], int]:
    kept = {name: value for name, value in state.items() if name.split(".")[-1] not in _COUNTERS}
    return kept, len(state) - len(kept)


def _none(loaded: object, where: str | Path) -> CheckpointError:
    """What there is instead: a state dict of another network, or no state dict at all."""
    for _, content in _dictionaries(loaded):
        names = [key for key, value in content.items() if isinstance(key, str) and isinstance(value, Tensor)]
        if names and len(names) == len(content):
            missing = [mark for mark in MARKS if mark not in names]
            got = f"{len(names)} tensors ({', '.join(sorted(names)[:3])}, ...)"
            return CheckpointError(where, f"an SMSR state dict with {', '.join(missing)}", got, TODO)
    keys = ", ".join(map(str, list(loaded)[:4])) if isinstance(loaded, dict) else ""
    got = f"keys {keys or 'none'}" if isinstance(loaded, dict) else type(loaded).__name__
    return CheckpointError(
        where, "a state dict, bare or inside dictionaries such as state_dict, params, model", got, TODO
    )
