"""From a bundle whose engine is pending, or for another machine, to one that runs here."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Sequence

from smsr_runtime.bundle import MODEL_TRT, Bundle, read_bundle
from smsr_runtime.errors import MemoryLimitError, OutputError, UsageError
from smsr_runtime.files import make_folder, write_bytes
from smsr_runtime.resources import bytes_per_pixel
from smsr_runtime.sizes import Profile, Wanted, text
from smsr_runtime.tensorrt.build import BuildRequest, Engine, Say, build_engine
from smsr_runtime.tensorrt.machine import Machine
from smsr_runtime.tensorrt.plugin import load_plugin
from smsr_runtime.tensorrt.profiles import profiles
from smsr_runtime.tensorrt.publish import check_writable, describe, publish


def _silent(_: str) -> None:
    """For callers without anybody to tell."""


@dataclass(frozen=True)
class EngineOptions:
    """rebuild: although there is an engine. workspace: bytes, None: all there is. say: takes lines for people."""

    rebuild: bool = False
    wanted: Wanted = field(default_factory=Wanted)
    workspace: int | None = None
    say: Say = _silent


def parse_workspace(mebibytes: int | None) -> int | None:
    """--workspace as bytes. Raises UsageError."""
    if mebibytes is not None and mebibytes < 1:
        raise UsageError("--workspace", "MiB, 1 or more", str(mebibytes), "leave it out to use what is free")
    return None if mebibytes is None else mebibytes << 20


def check_has_model(bundle: Bundle) -> None:
    """Raises UsageError for a bundle without model.trt.onnx."""
    if not bundle.has_tensorrt_model:
        todo = "export the checkpoint with smsr-export --target trt, or run with --backend ort"
        raise UsageError(bundle.path, f"a bundle with {MODEL_TRT}", "one for ONNX Runtime only", todo)


def finish_engine(
    bundle: Bundle, machine: Machine, options: EngineOptions, prove: Callable[[bytes, Profile], None]
) -> Bundle:
    """Builds the engine, has `prove` try it, puts it into the bundle; returns the bundle as read again.

    Where building or trying runs out of GPU memory, the next smaller of our sizes is taken. Raises NativeLibraryError,
    MemoryLimitError, BackendError, OutputError, whatever `prove` does; in every case the bundle is as it was.
    """
    check_has_model(bundle)
    check_writable(bundle)
    load_plugin(machine.trt, machine.major, bundle.interface_hash)
    wanted = options.wanted if options.wanted != Wanted() else bundle.wanted
    per_pixel = bytes_per_pixel(f"TensorRT {bundle.precision}", bundle.features)
    candidates = profiles(wanted, machine.free_memory(), per_pixel)
    engine = _built(bundle, machine, options, candidates)
    while not _proved(engine, candidates, options, prove):
        candidates = candidates[candidates.index(engine.profile) + 1 :]
        engine = _built(bundle, machine, options, candidates)
    publish(bundle, engine.data, describe(bundle, machine, engine.profile))
    options.say(f"engine for {machine.gpu}, TensorRT {machine.tensorrt}: {engine.profile}")
    return read_bundle(bundle.path)


def _built(bundle: Bundle, machine: Machine, options: EngineOptions, candidates: Sequence[Profile]) -> Engine:
    timings = cache_file(machine)
    request = BuildRequest(bundle.path / MODEL_TRT, bundle.precision, options.workspace, _read(timings))
    with machine.current():
        engine = build_engine(machine.trt, request, candidates, options.say)
    _keep(timings, engine, options.say)
    return engine


def _proved(
    engine: Engine, candidates: Sequence[Profile], options: EngineOptions, prove: Callable[[bytes, Profile], None]
) -> bool:
    """False where the engine is too large for this GPU and a smaller one may not be: building tries `opt` alone."""
    try:
        prove(engine.data, engine.profile)
    except MemoryLimitError:
        if engine.profile == candidates[-1]:
            raise
        options.say(f"note: not enough GPU memory to run {text(engine.profile.max)}")
        return False
    return True


def cache_file(machine: Machine) -> Path:
    """Timings hold for one GPU model and one TensorRT: kept in the user's cache folder under both names."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "smsr"
    gpu = re.sub(r"[^A-Za-z0-9.]+", "-", machine.gpu)
    return folder / f"timings-{gpu}-{machine.compute_capability}-tensorrt-{machine.tensorrt}.cache"


def _read(file: Path) -> bytes:
    """Timings of earlier builds; none yet, or unreadable: the build only takes longer."""
    try:
        return file.read_bytes()
    except OSError:
        return b""


def _keep(file: Path, engine: Engine, say: Say) -> None:
    if not engine.cache:
        return
    try:
        make_folder(file.parent)
        write_bytes(file, engine.cache)
    except OutputError as error:
        say(f"note: the next build takes as long as this one: {error.where}: {error.got}")
