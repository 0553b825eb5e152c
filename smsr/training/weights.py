"""`smsr-train weights`: the averaged weights of a checkpoint as safetensors, ready for smsr-export and to publish."""

from __future__ import annotations

import argparse
import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from smsr_runtime import files
from smsr_runtime.console import Parser, say, show
from smsr_runtime.errors import UsageError

if TYPE_CHECKING:
    from smsr.network import Network


PROGRAM = "smsr-train weights"


def parser() -> argparse.ArgumentParser:
    parser = Parser(prog=PROGRAM, description=__doc__)
    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="RUN/best.pt or RUN/last.pt")
    parser.add_argument("--weights", metavar="NAME", help="another set of weights: network, the raw ones")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE.safetensors")
    parser.add_argument("--force", action="store_true", help="replace an existing file")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def run(options: argparse.Namespace) -> int:
    """Writes the file; returns the exit code. Raises CheckpointError, OutputError, UsageError."""
    from smsr import checkpoint

    if options.output.exists() and not options.force:
        raise UsageError(options.output, "a new file", "one that exists", "use --force to replace it")
    network = checkpoint.load_network(options.checkpoint, options.weights, partial(say, PROGRAM))
    write(options.output, network, replace=options.force)
    show(f"wrote {options.output}; next: smsr-eval {options.output} --data DATASET, smsr-export {options.output}")
    return 0


def write(path: Path, network: Network, *, replace: bool = True) -> None:
    """The network's weights, float32, with its sizes as metadata. Raises UsageError, OutputError."""
    from safetensors.torch import save

    from smsr.training import checkpoints

    if path.suffix != ".safetensors":
        raise UsageError(path, "a name ending in .safetensors", path.suffix or "no suffix", "give it that suffix")
    config = network.config
    sizes = {"scale": config.scale, "features": config.features, "modules": config.modules, "layers": config.layers}
    # a single metadata entry: safetensors writes several in an order that differs between processes
    data = save(checkpoints.weights(network), metadata={"smsr": json.dumps(sizes)})
    files.write_bytes(path, data, replace=replace)
