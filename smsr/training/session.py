"""One call of smsr-train: puts data, state and batches together, runs the loop, reports the outcome."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from smsr import images
from smsr.training import checkpoints, config, raw, state, validation, weights
from smsr.training.batches import Batches, DeviceBatches, HostBatches
from smsr.training.config import Recipe, Settings
from smsr.training.distributed import World, world
from smsr.training.journal import Journal
from smsr.training.loop import Parts, Trainer
from smsr.training.plan import Planner
from smsr.training.reopen import reopen_masks
from smsr.training.state import State, WarmStart
from smsr.training.stopping import GO_ON, TIME_LIMIT, Stopper
from smsr.training.store import Loading, Store, load
from smsr.training.tail import fit_tail
from smsr_runtime import files, locks
from smsr_runtime.console import say, show
from smsr_runtime.errors import CheckpointError, DataError, UsageError

_NAMED = 20
"""At most this number of left-out images is named on the terminal; RUN/skipped.txt names all."""


def train(recipe: Recipe, settings: Settings) -> int:
    """Trains; returns the process's exit code."""
    if settings.threads:
        torch.set_num_threads(settings.threads)
    start = None if settings.init_from is None else state.warm_start(settings.init_from)
    if start is not None:
        recipe = dataclasses.replace(recipe, init_from=start.file)
    with Stopper(settings.time_limit) as stopper, world(settings.device) as (here, device), _locked(settings, here):
        here.samples(recipe.batch)
        saved = here.from_leader(_begin(recipe, settings) if here.leads else None)
        recipe = _with_start_of(saved, recipe)
        training, valid = _data(recipe, settings, here)
        _check_same_data(saved, training, settings)
        _tune(device)
        current = state.new(recipe, device, None if saved else start, channels_last=settings.channels_last)
        if saved:
            current.restore(saved)
        patch = _patch_size(recipe, training, here)
        planner = Planner(training.sizes, patch, recipe.batch, recipe.seed)
        journal = Journal(settings.run, current.step, recipe.steps, leads=here.leads)
        if not saved:
            # every process uses the whole of the first batches, so that all compute the same weights
            _adapt(current, start, recipe, HostBatches(training, planner, range(recipe.batch), device, 0))
        batches = _batches(training, planner, here.samples(recipe.batch), device, settings)
        parts = Parts(
            recipe, settings, here, device, current, batches, valid, journal, training.fingerprint, stopper
        )  # fmt: skip
        try:
            code = _run(Trainer(parts))
        finally:
            journal.close()
        return _finish(current, recipe, settings, here, code)


@contextlib.contextmanager
def _locked(settings: Settings, here: World) -> Iterator[None]:
    """Makes the run's folder, and holds it for this run. Raises UsageError, which names who has it, OutputError."""
    if not here.leads:
        yield
        return
    files.make_folder(settings.run)

    def refuse(holder: str) -> UsageError:
        return UsageError(
            settings.run, "a folder of its own", f"one that {holder} trains in", "name another -o, or wait"
        )

    with contextlib.ExitStack() as stack:
        try:
            can_lock = stack.enter_context(locks.exclusive(settings.run / checkpoints.LOCK, refuse))
        except OSError as error:
            raise files.not_written(settings.run, error, "choose another place with -o") from error
        if not can_lock:
            say("smsr-train", f"note: {settings.run} cannot be locked here: start no other run in it")
        yield


def _run(trainer: Trainer) -> int:
    """PyTorch notices a worker's end by a signal, so that its error may come out of any line. Raises DataError."""
    try:
        return trainer.run()
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        last = trainer.parts.settings.run / checkpoints.LAST
        todo = f"free memory, or lower --workers, then go on with --resume: {last} is kept"
        raise DataError("a worker of --workers", "batches until the end", str(error), todo) from error


def _adapt(current: State, start: WarmStart | None, recipe: Recipe, batches: HostBatches) -> None:
    """At the start of a run: opens masks again, fits a tail that the warm start does not have. Raises UsageError."""
    if recipe.reopen_masks:
        reopen_masks(current.network, next(batches.run(0, 1)).low.float(), recipe.reopen_masks)
    if recipe.fit_tail:
        if start is None or start.network.config.scale == recipe.scale:
            got = "no warm start" if start is None else f"one of x{recipe.scale}, which has its tail"
            raise UsageError("--fit-tail", "--init-from with a checkpoint of another scale", got, "leave it out")
        fit_tail(current.network, batches.run(0, math.ceil(recipe.fit_tail / recipe.batch)))
    current.average.load_state_dict(current.network.state_dict())


def _begin(recipe: Recipe, settings: Settings) -> dict[str, Any] | None:
    """Begins the run in its folder, or reads its checkpoint. Raises UsageError, CheckpointError, OutputError."""
    run, last = settings.run, settings.run / checkpoints.LAST
    if last.exists():
        if not settings.resume:
            raise UsageError(run, "a new folder, or --resume", "a run that was begun", "add --resume or name another")
        saved = checkpoints.read(last)
        wrong = config.differences(saved["recipe"], _with_start_of(saved, recipe))
        if wrong:
            raise CheckpointError(
                last, "the recipe it was begun with", "; ".join(wrong), "repeat that recipe or name another folder"
            )
        return saved
    files.write_bytes(run / checkpoints.RECIPE, f"{config.as_json(recipe)}\n".encode())
    return None


def _with_start_of(saved: dict[str, Any] | None, recipe: Recipe) -> Recipe:
    """A resumed run needs its warm start no more: without --init-from the recorded name and hash hold."""
    if saved is None or recipe.init_from:
        return recipe
    return dataclasses.replace(recipe, init_from=saved["recipe"].get("init_from", ""))


def _data(recipe: Recipe, settings: Settings, here: World) -> tuple[Store, Store]:
    """Training and validation images. Raises DataError."""
    loading = Loading(recipe.scale, recipe.min_patch, "memory", settings.threads)
    store = _mapped(recipe, settings, here, loading) or _read(recipe, settings, here, loading)
    if here.leads:
        _name_skipped(loading.skipped, settings.run)
    if settings.valid is not None:
        low_images = images.find(settings.valid, recipe.scale, recipe.low_images)
        return store, load(low_images, Loading(recipe.scale, 8, loading.cache, settings.threads))
    held = validation.held_out(len(store.sources), recipe.hold_out)
    # compared by file: where a folder is given twice, both copies of a picture are held out
    names = [(source.container.resolve(), source.member) for source in store.sources]
    held_files = {names[index] for index in held}
    kept = [index for index, name in enumerate(names) if name not in held_files]
    if not kept:
        got = f"{len(store.sources)} with {len(held)} held out for validation"
        raise DataError("training data", "at least one image", got, "add images, lower --hold-out, or give --valid")
    if here.leads:
        show(f"{len(kept)} images to train on, {len(held)} held out for validation")
    return store.subset(kept), store.subset(held)


def _mapped(recipe: Recipe, settings: Settings, here: World, loading: Loading) -> Store | None:
    """The pictures of a raw file; None where DATA are others. Raises UsageError, DataError."""
    if not any(raw.is_raw(path) for path in settings.data):
        return None
    if len(settings.data) > 1:
        todo = "pack all DATA into one file with smsr-train pack --raw"
        raise UsageError("DATA", "one raw file, or folders and ZIP files", f"{len(settings.data)} mixed", todo)
    store = raw.read(settings.data[0], recipe.scale)
    if here.leads:
        show(f"mapped {len(store.sources)} images of {settings.data[0]}")
    return raw.without_small(store, recipe.min_patch, loading.skipped)


def _read(recipe: Recipe, settings: Settings, here: World, loading: Loading) -> Store:
    """The pictures of folders and ZIP files. Raises DataError."""
    sources = [source for path in settings.data for source in images.find(path, recipe.scale, recipe.low_images)]
    loading.cache = _cache(sources, settings)
    if here.leads:
        made = sum(source.low is None for source in sources)
        where = "memory" if loading.cache == "memory" else "none: read again for each patch"
        show(f"reading {len(sources)} images ({made} low-resolution sides made by bicubic); cache: {where}")
    return load(sources, loading)


def _cache(sources: Sequence[images.Source], settings: Settings) -> str:
    """`auto`: memory where the decoded images need at most about half of the free memory."""
    if settings.data_on_device:
        return "memory"
    if settings.cache != "auto":
        return settings.cache
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 0
    encoded = sum(_size(source) for source in sources)
    return "memory" if encoded * 12 < free or encoded < 100 * 2**20 else "none"


def _size(source: images.Source) -> int:
    return (source.container / source.member).stat().st_size if source.container.is_dir() else len(source.data())


def _name_skipped(skipped: list[str], run: Path) -> None:
    for line in skipped[:_NAMED]:
        say("smsr-train", f"skipped {line}")
    if len(skipped) > _NAMED:
        say("smsr-train", f"skipped {len(skipped) - _NAMED} more, all in {run / 'skipped.txt'}")
    if skipped:
        files.write_bytes(run / "skipped.txt", "".join(f"{line}\n" for line in skipped).encode())


def _check_same_data(saved: dict[str, Any] | None, store: Store, settings: Settings) -> None:
    if saved and saved["data"] != store.fingerprint:
        got = f"others now ({store.fingerprint}, there {saved['data']})"
        todo = "give the same DATA in the same order, or begin another run with --init-from"
        raise DataError(settings.run / checkpoints.LAST, "the training images it was begun with", got, todo)


def _patch_size(recipe: Recipe, store: Store, here: World) -> int:
    smallest = int(store.sizes.min())
    even = max(recipe.min_patch, smallest - smallest % 2)  # odd sides cost a pad in each module
    patch = min(recipe.patch, even) if recipe.patch > smallest else recipe.patch
    if patch < recipe.patch and here.leads:
        sides = f"{recipe.patch} to {patch} (x{recipe.scale}: {patch * recipe.scale} in high resolution)"
        show(f"patch: shrunk from {sides}, the smallest image's side")
    return patch


def _tune(device: torch.device) -> None:
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")


def _batches(store: Store, planner: Planner, samples: range, device: torch.device, settings: Settings) -> Batches:
    if settings.data_on_device:
        return DeviceBatches(store, planner, samples, device)
    return HostBatches(store, planner, samples, device, settings.workers)


def _finish(final: State, recipe: Recipe, settings: Settings, here: World, code: int) -> int:
    """Reports the outcome; returns the exit code."""
    if not here.leads:
        return 0
    last = settings.run / checkpoints.LAST
    if settings.export_weights is not None:
        weights.write(settings.export_weights, final.average)
        show(f"wrote {settings.export_weights}")
    if code != GO_ON and final.step < recipe.steps:
        reason = "time limit" if code == TIME_LIMIT else f"signal {code}"
        show(f"stopped at step {final.step} of {recipe.steps} ({reason}); {last} is saved: go on with --resume")
        return 0 if code == TIME_LIMIT else 128 + code
    best = settings.run / checkpoints.BEST
    show(
        f"done: {final.step} steps, best {final.best_psnr:.3f} dB; next: smsr-train weights {best} -o FILE.safetensors"
    )
    return 0
