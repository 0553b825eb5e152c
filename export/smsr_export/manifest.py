"""The bundle's manifest (format: docs/interfaces.md). No dates: the same input gives the same bytes."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from smsr import __version__, contract
from smsr.complexity import network_macs
from smsr.network import NetworkConfig
from smsr_export.parity.report import Parity
from smsr_export.records import FoldedNetwork
from smsr_runtime.bundle import FORMAT, FORMAT_VERSION, file_facts, sha256, write_manifest

_PACKAGES = ("torch", "onnx", "onnxruntime", "numpy")


def describe(
    name: str, checkpoint: Path, config: NetworkConfig, folded: FoldedNetwork, precision: str = "fp32"
) -> dict[str, Any]:
    """The manifest but for `files`, `golden` and `parity`."""
    dense_channels = [list(module.dense_channels) for module in folded.modules]
    macs = network_macs(config, dense_channels)
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "name": name,
        "target": "onnx",
        "precision": precision,
        "scale": config.scale,
        "features": config.features,
        "layers": config.layers,
        "modules": config.modules,
        "value_range": [0, 255],
        "interface_hash": contract.interface_hash(),
        "dense_channels": dense_channels,
        "checkpoint": {"file": checkpoint.name, "sha256": sha256(checkpoint)},
        "versions": _versions(),
        "engine": None,
        "macs": {
            "fixed_per_pixel": macs.fixed,
            "dense_per_pixel": macs.dense,
            "active_per_pixel": [module.active for module in macs.modules],
            "inactive_per_pixel": [module.inactive for module in macs.modules],
        },
    }


def _versions() -> dict[str, str]:
    packages = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {"smsr": __version__, "python": platform.python_version(), **packages}


def complete(bundle: Path, facts: Mapping[str, Any], parity: Parity | None = None) -> dict[str, Any]:
    """All entries, with the hashes of all files there; a failed parity counts as accepted."""
    verdict = None if parity is None else {**parity.as_json(), "accepted_failure": not parity.passed}
    return {**facts, "parity": verdict, "files": file_facts(bundle)}


def write(bundle: Path, facts: Mapping[str, Any], parity: Parity | None = None) -> None:
    """Writes `bundle`/manifest.json with all entries."""
    write_manifest(bundle, complete(bundle, facts, parity))
