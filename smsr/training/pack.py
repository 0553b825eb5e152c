"""`smsr-train pack`: many pictures as one uncompressed ZIP file, as they are or recompressed without loss.

With --raw: decoded, with their low-resolution sides, as one safetensors file, which a run maps at once.
"""

from __future__ import annotations

import argparse
import io
import os
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from smsr import contract, images
from smsr.images import Source
from smsr_runtime import files
from smsr_runtime.console import Parser, say, show
from smsr_runtime.errors import UsageError

PROGRAM = "smsr-train pack"
_OVERHEAD = 256
"""Bytes, generously rounded up, that a ZIP file takes per entry beside the data."""


def parser() -> argparse.ArgumentParser:
    parser = Parser(prog=PROGRAM, description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="folders of pictures, or ZIP files")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE.zip")
    parser.add_argument(
        "--raw", type=int, choices=contract.SCALES, metavar="SCALE",
        help="decode for this scale into a large file (-o FILE.safetensors) that a run maps at once",
    )  # fmt: skip
    parser.add_argument(
        "--limit-mib", type=float, default=0.0, metavar="M",
        help="leave pictures out, drawn evenly from all folders, until the file has at most M MiB; default: no limit",
    )  # fmt: skip
    parser.add_argument("--lossless-webp", action="store_true", help="store PNG and the like as lossless WebP: smaller")
    parser.add_argument("--force", action="store_true", help="replace an existing file")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def run(options: argparse.Namespace) -> int:
    """Writes the file, atomically; prints what it holds. Raises DataError, OutputError, UsageError."""
    output: Path = options.output
    if output.exists() and not options.force:
        raise UsageError(output, "a new file", "one that exists", "use --force to replace it")
    if options.raw:
        return _run_raw(options)
    sources = [source for folder in options.folders for source in images.find(folder, 2)]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        entries = list(pool.map(lambda source: _entry(source, webp=options.lossless_webp), sources))
    chosen = choose([len(data) + _OVERHEAD for _, data in entries], round(options.limit_mib * 2**20))
    _write(output, [(sources[index], *entries[index]) for index in chosen], replace=options.force)
    mib = output.stat().st_size / 2**20
    show(f"wrote {output}: {len(chosen)} of {len(sources)} pictures, {mib:.1f} MiB; next: smsr-train {output} -o RUN")
    return 0


def _run_raw(options: argparse.Namespace) -> int:
    from smsr.training import raw
    from smsr.training.store import Loading, load

    output: Path = options.output
    if not raw.is_raw(output):
        raise UsageError(output, f"a name ending in {raw.SUFFIX}", output.suffix or "no suffix", "give it that suffix")
    if options.limit_mib or options.lossless_webp:
        raise UsageError("--raw", "neither --limit-mib nor --lossless-webp", "one of them", "leave it out")
    sources = [source for folder in options.folders for source in images.find(folder, options.raw, "auto")]
    loading = Loading(options.raw, 1)
    store = load(sources, loading)
    for line in loading.skipped:
        say(PROGRAM, f"skipped {line}")
    raw.write(output, store)
    mib = output.stat().st_size / 2**20
    show(f"wrote {output}: {len(store.sources)} pictures for x{options.raw}, {mib:.1f} MiB; next: smsr-train {output}")
    return 0


def choose(sizes: Sequence[int], limit: int) -> list[int]:
    """Indices, in order, of what fits into `limit` bytes (0: everything), drawn in a fixed random order."""
    if not limit:
        return list(range(len(sizes)))
    chosen, total = [], _OVERHEAD
    for index in np.random.default_rng(0).permutation(len(sizes)).tolist():
        if total + sizes[index] <= limit:
            chosen.append(index)
            total += sizes[index]
    if not chosen:
        raise UsageError("--limit-mib", "room for at least one picture", f"{limit} bytes", "raise it")
    return sorted(chosen)


def _entry(source: Source, *, webp: bool) -> tuple[str, bytes]:
    """Suffix and bytes; JPEG and WebP stay as they are."""
    data, suffix = source.data(), Path(source.member).suffix.lower()
    if not webp or suffix in (".jpg", ".jpeg", ".webp"):
        return suffix, data
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(images.decode(data, source)).save(file, "WEBP", lossless=True, quality=75, method=4)
    return (".webp", file.getvalue()) if file.tell() < len(data) else (suffix, data)


def _write(output: Path, entries: list[tuple[Source, str, bytes]], *, replace: bool) -> None:
    names: set[str] = set()
    with files.replacing(output, replace=replace) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as file:
        for source, suffix, data in entries:
            name = f"{source.container.stem}/{source.name}{suffix}"
            while name in names:  # folders of the same name
                name = f"_{name}"
            names.add(name)
            file.writestr(zipfile.ZipInfo(name), data)
