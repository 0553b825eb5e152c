"""Builds an engine from model.trt.onnx with whichever TensorRT is installed: 8.5, 8.6, 10.x, 11.x.

Members of TensorRT's enumerations are looked up by name: their numbers differ between versions.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Sequence

from smsr_runtime.errors import BackendError, MemoryLimitError
from smsr_runtime.signals import held_signals
from smsr_runtime.sizes import Profile, text
from smsr_runtime.tensorrt.log import Log, Say, make_monitor, opened, shared_logger
from smsr_runtime.tensorrt.precision import check_strongly_typed, check_weakly_typed, pin_float32_ends


@dataclass(frozen=True)
class BuildRequest:
    """model: model.trt.onnx; precision: fp16 or fp32; workspace: bytes of scratch memory, None: all there is.

    cache: timings of earlier builds on this GPU (b"": none), which make the next one faster; plugins: False for a
    model that carries its modules as ONNX functions, whose features are ordinary tensors.
    """

    model: Path
    precision: str
    workspace: int | None = None
    cache: bytes = b""
    plugins: bool = True


@dataclass(frozen=True)
class Engine:
    """data: as TensorRT serialized it; cache: the timings to keep."""

    data: bytes
    profile: Profile
    cache: bytes


class _NoMemoryError(Exception):
    """The GPU's memory did not suffice for one profile."""


def build_engine(trt: Any, request: BuildRequest, profiles: Sequence[Profile], say: Say) -> Engine:
    """Builds with the first profile that GPU memory allows.

    Raises MemoryLimitError where none does, BackendError where TensorRT refuses the model or would compute in
    another precision than asked for.
    """
    for profile in profiles:
        say(f"building the engine for {profile} ({request.precision}); this takes minutes")
        try:
            with held_signals() as stopping:
                return _build(trt, request, profile, say, stopping)
        except _NoMemoryError:
            say(f"note: not enough GPU memory for {text(profile.max)}")
    smallest = profiles[-1].max
    limit = ", or a larger --workspace" if request.workspace else ""
    todo = f"free GPU memory, or name a --max-shape below {text(smallest)}{limit}"
    got = f"out of memory at {text(smallest)}"
    raise MemoryLimitError(request.model, "enough GPU memory to build the engine", got, todo)


def strongly_typed(trt: Any) -> bool:
    """Whether tensors keep the model's types; before TensorRT 9 they were hints."""
    return hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED")


def _build(trt: Any, request: BuildRequest, profile: Profile, say: Say, stopping: Sequence[int]) -> Engine:
    log = Log()
    logger, monitor = shared_logger(trt, log), make_monitor(trt, say, stopping)
    builder = opened(trt.Builder, logger, log)
    network = _parsed(trt, builder, logger, request, log)
    config = builder.create_builder_config()
    _configure(trt, config, network, request)
    config.add_optimization_profile(_optimization_profile(builder, profile))
    cache = _set_cache(config, request.cache)
    log.errors.clear()  # a cache of another TensorRT is logged as an error, but is no reason for a build to fail
    if monitor is not None:
        config.progress_monitor = monitor
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise KeyboardInterrupt if stopping else _refusal(request, log)
    data = bytes(plan)
    if not strongly_typed(trt):
        check_weakly_typed(trt, logger, data, request.model, request.precision)
    return Engine(data, profile, bytes(cache.serialize()) if cache is not None else b"")


def _parsed(trt: Any, builder: Any, logger: Any, request: BuildRequest, log: Log) -> Any:
    flags = trt.NetworkDefinitionCreationFlag
    wanted = flags.STRONGLY_TYPED if strongly_typed(trt) else flags.EXPLICIT_BATCH
    network = builder.create_network(1 << int(wanted))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(request.model)):
        messages = dict.fromkeys(parser.get_error(index).desc() for index in range(parser.num_errors))
        refusal = "; ".join(messages) or log.summary()
        todo = "export again with this release; is the plugin library the one for this TensorRT?"
        raise BackendError(request.model, f"a model TensorRT {trt.__version__} can read", refusal, todo)
    if strongly_typed(trt) and request.plugins:
        check_strongly_typed(trt, network, request.model, request.precision)
    return network


def _configure(trt: Any, config: Any, network: Any, request: BuildRequest) -> None:
    # TF32 rounds the multiplicands of float32 convolutions to 10 bits; the float32 ends need all 23.
    config.clear_flag(trt.BuilderFlag.TF32)
    if request.workspace is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, request.workspace)
    if strongly_typed(trt):
        return
    if request.precision == "fp16":
        config.set_flag(trt.BuilderFlag.FP16)
    config.set_flag(trt.BuilderFlag.OBEY_PRECISION_CONSTRAINTS)
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    pin_float32_ends(trt, network)


def _optimization_profile(builder: Any, profile: Profile) -> Any:
    made = builder.create_optimization_profile()
    made.set_shape("image", *((1, 3, *size) for size in (profile.min, profile.opt, profile.max)))
    return made


def _set_cache(config: Any, saved: bytes) -> Any:
    """A timing cache of the saved timings, an empty one where TensorRT refuses those, None where it refuses both."""
    cache = config.create_timing_cache(saved)
    if cache is None or not config.set_timing_cache(cache, False):
        cache = config.create_timing_cache(b"")
        if cache is None or not config.set_timing_cache(cache, False):
            return None
    return cache


def _refusal(request: BuildRequest, log: Log) -> Exception:
    if log.out_of_memory:
        return _NoMemoryError()
    todo = "run with --debug and report it with these words"
    return BackendError(request.model, "an engine", log.summary(), todo)
