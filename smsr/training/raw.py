"""Raw training data: decoded pictures of one scale in one safetensors file, which a run maps instead of reading.

Tensors: `low` (P, 3) and `high` (s s P, 3), uint8, all pictures one after the other; `sizes` (I, 2), int64, heights and
widths of the low sides. Metadata `smsr`: a JSON object with the scale and the pictures' names.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from smsr.images import Source
from smsr.training.store import Store
from smsr_runtime import files
from smsr_runtime.errors import DataError

SUFFIX = ".safetensors"


def is_raw(path: Path) -> bool:
    return path.suffix == SUFFIX


def write(path: Path, store: Store) -> None:
    """Writes a store with pixels, atomically. Raises OutputError."""
    from safetensors.torch import save_file

    assert store.pixels is not None
    low, high = store.pixels
    names = [f"{source.container.stem}/{source.member}" for source in store.sources]
    tensors = {"low": low.contiguous(), "high": high.contiguous(), "sizes": torch.from_numpy(store.sizes)}
    with files.replacing(path) as part:
        save_file(tensors, part, {"smsr": json.dumps({"scale": store.scale, "names": names})})


def read(path: Path, scale: int) -> Store:
    """The pictures of a file, mapped: a page is read when a patch first needs it. Raises DataError."""
    from safetensors import SafetensorError, safe_open

    todo = f"make it again: smsr-train pack FOLDER --raw {scale} -o FILE{SUFFIX}"
    if not path.is_file():
        raise DataError(path, "raw training data", "nothing there", "check the path")
    try:
        with safe_open(path, "pt") as file:
            head = json.loads((file.metadata() or {})["smsr"])
            low, high, sizes = (file.get_tensor(name) for name in ("low", "high", "sizes"))
        names = [str(name) for name in head["names"]]
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        got = getattr(error, "strerror", None) or f"another or a damaged file ({type(error).__name__})"
        raise DataError(path, "raw training data", got, todo) from error
    if head["scale"] != scale:
        raise DataError(path, f"pictures for x{scale}", f"x{head['scale']}", todo)
    pixels = int(sizes.prod(dim=1).sum())
    if len(names) != len(sizes) or low.shape != (pixels, 3) or high.shape != (pixels * scale**2, 3):
        raise DataError(path, "as many pixels as its pictures have", f"{len(low)} and {len(high)}", todo)
    return Store(scale, [Source(path, name) for name in names], np.asarray(sizes), (low, high))


def without_small(store: Store, min_side: int, skipped: list[str]) -> Store:
    """Without pictures whose low side is below `min_side`; adds a line for each to `skipped`. Raises DataError."""
    large = [index for index, size in enumerate(store.sizes.tolist()) if min(size) >= min_side]
    s = store.scale
    for index in sorted(set(range(len(store.sources))) - set(large)):
        height, width = store.sizes[index].tolist()
        got = f"expected at least {min_side * s}x{min_side * s}, got {width * s}x{height * s}; left out"
        skipped.append(f"{store.sources[index]}: {got}")
    if not large:
        raise DataError("training data", "at least one usable picture", f"none ({skipped[0]})", "lower --min-patch")
    return store.subset(large)
