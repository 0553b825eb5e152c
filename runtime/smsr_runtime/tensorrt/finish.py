"""From a bundle whose engine is pending, or for another machine, to one that runs here."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Sequence

from smsr_runtime.bundle import MODEL_TRT, Bundle, read_bundle
from smsr_runtime.errors import InputError, MemoryLimitError, OutputError
from smsr_runtime.files import make_folder, write_bytes
from smsr_runtime.resources import bytes_per_pixel
from smsr_runtime.selftest import self_test
from smsr_runtime.sizes import Profile, Wanted, text
from smsr_runtime.tensorrt.backend import TrtBackend, compute_path
from smsr_runtime.tensorrt.build import BuildRequest, Engine, build_engine
from smsr_runtime.tensorrt.log import Say
from smsr_runtime.tensorrt.machine import Machine
from smsr_runtime.tensorrt.options import EngineOptions
from smsr_runtime.tensorrt.plugin import load_plugin
from smsr_runtime.tensorrt.profiles import profiles
from smsr_runtime.tensorrt.publish import check_has_model, check_writable, describe, publish


def finish_bundle(bundle: Bundle, options: EngineOptions, machine: Machine) -> Bundle:
    """Builds the engine, tries it on the golden picture, puts it into the bundle; returns the bundle as read again.

    Where building or trying runs out of GPU memory, the next smaller of our sizes is taken. Raises NativeLibraryError,
    MemoryLimitError, BackendError, SelfTestError, OutputError; in every case the bundle is as it was.
    """
    check_has_model(bundle)
    check_writable(bundle)
    bundle.model_content(MODEL_TRT)  # TensorRT reads it from its file; here it is checked
    load_plugin(machine.trt, machine.major, bundle.interface_hash)
    wanted = options.wanted if options.wanted != Wanted() else bundle.wanted
    per_pixel = bytes_per_pixel(compute_path(bundle, machine), bundle.features)
    candidates = profiles(wanted, machine.free_memory(), per_pixel)
    engine = _built(bundle, machine, options, candidates)
    while not _fits(bundle, machine, options, engine, smallest=candidates[-1]):
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


def _fits(bundle: Bundle, machine: Machine, options: EngineOptions, engine: Engine, smallest: Profile) -> bool:
    """Whether this GPU can run the engine: building tries pictures of the size `opt` alone.

    Raises MemoryLimitError where it cannot and no smaller profile is left.
    """
    try:
        _try(bundle, machine, options, engine)
    except MemoryLimitError:
        if engine.profile == smallest:
            raise
        options.say(f"note: not enough GPU memory to run {text(engine.profile.max)}")
        return False
    return True


def _try(bundle: Bundle, machine: Machine, options: EngineOptions, engine: Engine) -> None:
    backend = TrtBackend(bundle, machine, engine.data, engine.profile)
    try:
        options.say(f"self-test passed: {self_test(bundle, backend)}")
    except InputError as error:
        options.say(f"note: no self-test, its picture is outside the profile ({error.got})")
    finally:
        backend.close()


def cache_file(machine: Machine) -> Path:
    """Timings hold for one GPU model and one TensorRT: kept in the user's cache folder under both names."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "smsr"
    gpu = re.sub(r"[^A-Za-z0-9.]+", "-", machine.gpu)
    return folder / f"timings-{gpu}-{machine.compute_capability}-tensorrt-{machine.tensorrt}.cache"


def _read(file: Path) -> bytes:
    """Timings of earlier builds; empty where there are none or they cannot be read: the build only takes longer."""
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
