"""Stand-ins for `tensorrt` where no GPU is: the names of the real bindings, by version, and their rules.

They hold the control flow of backend and builder, and refuse what TensorRT refuses: fake_engine.py. Executing a plan
runs its model in ONNX Runtime on memory that poses as the GPU's. Names and rules were taken from NVIDIA's open sources
(pyCore.cpp and pyPlugin.cpp of releases 8.5, 8.6, 10.3 and 11.1).
The real parser and builder are tested in tests/export/test_tensorrt_parser.py.
"""

from __future__ import annotations

import ctypes
import enum
import json
import threading
import time
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from tests.runtime import fake_engine
from tests.runtime.fake_engine import Plugin, RefusedError
from tests.runtime.fake_pycuda import STREAMS, CudaError, driver

REGISTERED = b"SMSR_TEST_REGISTERED"
"""The C environment variable by which the test's plugin library registers itself when opened, as TensorRT 8's does."""
_libc = ctypes.CDLL(None)
_libc.getenv.restype = ctypes.c_char_p


def forget_library() -> None:
    """As in a fresh process: no library has registered itself."""
    _libc.unsetenv(REGISTERED)


@dataclass
class World:
    """What a test sets and looks at.

    too_large: areas above it run out of memory; old_driver: TensorRT cannot start; refusal, failure: its words as a
    build or a plan, an execution fails; plugin_format: what the inspector shows whatever the engine is; stray: what was
    freed without a current context, where that goes wrong; faulty_run: the run, counted from 1, in which the GPU fails;
    fault: its words from then on; most: bytes that may be allocated at a time; spoiled: engines give no numbers;
    wrong_pixels: what the library's kernel adds to a result.
    """

    version: str = "10.3.0"
    gpu: str = "NVIDIA Test"
    capability: tuple[int, int] = (8, 7)
    integrated: bool = False
    free: int = 8 << 30
    too_large: int = 1 << 40
    too_large_to_run: int = 1 << 40
    plugin_format: str = ""
    output_type: str = "float32"
    no_device: bool = False
    old_driver: bool = False
    refusal: str = ""
    failure: str = ""
    loaded: list[str] = field(default_factory=list)
    builds: list[dict[str, Any]] = field(default_factory=list)
    copies: int = 0
    pushed: int = 0
    synchronized: int = 0
    most: int = 1 << 40
    spoiled: bool = False
    wrong_pixels: int = 0
    fault: str = ""
    faulty_run: int = 0
    stray: list[str] = field(default_factory=list)
    memory: dict[int, np.ndarray] = field(default_factory=dict)

    @property
    def major(self) -> int:
        return int(self.version.split(".")[0])

    def registered(self, plugin: Plugin) -> bool:
        """Whether the registry has its creator: by a library that was loaded, or before TensorRT 10 opened."""
        by_itself = self.major < 10 and _libc.getenv(REGISTERED) == b"1"
        known = by_itself or any("libsmsr" in path for path in self.loaded)
        return known and plugin == ("SparseMaskModule", "1", "smsr")


def make_modules(world: World) -> dict[str, ModuleType]:
    """For sys.modules: tensorrt, pycuda and pycuda.driver."""
    modules = {"tensorrt": _tensorrt(world), "pycuda": ModuleType("pycuda"), "pycuda.driver": driver(world)}
    modules["pycuda"].driver = modules["pycuda.driver"]  # type: ignore[attr-defined]
    return modules


class Severity(enum.Enum):
    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)


class ILogger:
    Severity = Severity


class IProgressMonitor:
    pass


def _tensorrt(world: World) -> ModuleType:
    module = ModuleType(f"tensorrt_{id(world)}")  # a name of its own: the runtime keeps one logger per module
    module.__version__ = world.version  # type: ignore[attr-defined]
    creation = {"EXPLICIT_BATCH": 0} if world.major < 10 else {"EXPLICIT_BATCH": 0, "STRONGLY_TYPED": 1}
    if world.major > 10:
        creation = {"STRONGLY_TYPED": 0}
    flags = {"TF32": 7, "FP16": 0, "OBEY_PRECISION_CONSTRAINTS": 12} if world.major < 11 else {"TF32": 5}
    module.__dict__.update(
        ILogger=ILogger,
        NetworkDefinitionCreationFlag=enum.IntEnum("NetworkDefinitionCreationFlag", creation),
        BuilderFlag=enum.Enum("BuilderFlag", flags),
        MemoryPoolType=enum.Enum("MemoryPoolType", ["WORKSPACE"]),
        ProfilingVerbosity=enum.Enum("ProfilingVerbosity", ["LAYER_NAMES_ONLY", "DETAILED"]),
        LayerInformationFormat=enum.Enum("LayerInformationFormat", ["ONELINE", "JSON"]),
        float16="float16",
        float32="float32",
        Builder=lambda logger: Builder(world, logger),
        OnnxParser=Parser,
        Runtime=lambda logger: Runtime(world, logger),
        get_plugin_registry=lambda: Registry(world),
    )
    if world.major >= 10:
        module.IProgressMonitor = IProgressMonitor  # type: ignore[attr-defined]
    return module


class Registry:
    def __init__(self, world: World) -> None:
        self._world = world
        if world.major >= 10:
            self.load_library = world.loaded.append
            self.get_creator = self._find
        else:
            self.get_plugin_creator = self._find

    def _find(self, name: str, version: str, namespace: str) -> object | None:
        return object() if self._world.registered((name, version, namespace)) else None


@dataclass
class Layer:
    name: str
    dtype: str
    num_outputs: int = 1
    output: str = ""
    precision: str = "unset"
    output_types: dict[int, str] = field(default_factory=dict)

    def get_input(self, _: int) -> Any:
        return SimpleNamespace(dtype=self.dtype, name=self.output)

    get_output = get_input

    def set_output_type(self, index: int, kind: str) -> None:
        self.output_types[index] = kind


class Network:
    """The plugins are those of the model; the other layers stand for what the real exporter's model has."""

    def __init__(self, world: World, flags: int) -> None:
        self.world, self.flags, self.model = world, flags, b""
        self.layers: list[Layer] = []

    def take(self, model: Any) -> None:
        self.model = model.SerializeToString()
        # Weakly typed: all are float32 until built.
        inside = fake_engine.features_type(model) if self.world.major >= 10 else "float32"
        self.layers = [Layer(name, "float32") for name in ("centred/Sub", "bicubic/Conv", "phases/Add")]
        self.layers += [Layer(node.name, inside) for node in fake_engine.plugins_of(model)]
        self.layers.append(Layer("tail/Conv", inside))
        self.layers.append(Layer("(Unnamed Layer* 5) [Shuffle]", "float32", output="upscaled"))
        self.layers.append(Layer("image_padded/Pad_7", "int32"))  # sizes

    @property
    def num_layers(self) -> int:
        return len(self.layers)

    def get_layer(self, index: int) -> Layer:
        return self.layers[index]


class Parser:
    def __init__(self, network: Network, logger: Any) -> None:
        self._network, self._logger = network, logger
        self._errors: list[str] = []

    @property
    def num_errors(self) -> int:
        return len(self._errors)

    def get_error(self, index: int) -> Any:
        return SimpleNamespace(desc=lambda: self._errors[index])

    def parse_from_file(self, model: str) -> bool:
        try:
            self._network.take(fake_engine.parse(model, self._network.world.registered))
        except RefusedError as error:
            self._errors.append(str(error))
            self._logger.log(Severity.ERROR, str(error))
        return not self._errors


class Config:
    """Attributes the real one lacks in this version are refused."""

    def __init__(self, logger: Any) -> None:
        self._logger = logger
        self.flags: set[str] = set()
        self.cleared: set[str] = set()
        self.profile: dict[str, Any] = {}
        self.pools: dict[Any, int] = {}
        self.profiling_verbosity: Any = None
        self.progress_monitor: Any = None
        self.cache: bytes | None = None

    def set_flag(self, flag: Any) -> None:
        self.flags.add(flag.name)

    def clear_flag(self, flag: Any) -> None:
        self.cleared.add(flag.name)

    def set_memory_pool_limit(self, pool: Any, size: int) -> None:
        self.pools[pool.name] = size

    def add_optimization_profile(self, profile: Any) -> None:
        self.profile = profile.shapes

    def create_timing_cache(self, saved: bytes) -> Any:
        if saved == b"rubbish":
            self._logger.log(Severity.ERROR, "Error Code 3: timing cache of another version")
            return None
        return SimpleNamespace(serialize=lambda: saved + b"+timings")

    def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch
        self.cache = cache.serialize()
        return True


def _check_driver(world: World, logger: Any) -> None:
    if world.old_driver:
        logger.log(Severity.ERROR, "CUDA initialization failure with error: 35")
        raise TypeError("pybind11::init(): factory function returned nullptr")


class Builder:
    def __init__(self, world: World, logger: Any) -> None:
        _check_driver(world, logger)
        self._world, self._logger = world, logger

    def create_network(self, flags: int) -> Network:
        return Network(self._world, flags)

    def create_builder_config(self) -> Config:
        return Config(self._logger)

    def create_optimization_profile(self) -> Any:
        made = SimpleNamespace(shapes={})
        made.set_shape = lambda name, *shapes: made.shapes.update({name: shapes})
        return made

    def build_serialized_network(self, network: Network, config: Config) -> bytes | None:
        facts = {"network": network, "config": config}
        self._world.builds.append(facts)
        largest = config.profile["image"][2]
        if largest[2] * largest[3] > self._world.too_large:
            self._logger.log(Severity.ERROR, "Error Code 2: OutOfMemory (Requested size was 9 bytes.)")
            return None
        if self._world.refusal:
            self._logger.log(Severity.ERROR, self._world.refusal)
            return None
        shapes = [list(shape) for shape in config.profile["image"]]
        half = self._world.major >= 10 or "FP16" in config.flags
        capability = "{}.{}".format(*self._world.capability)
        return fake_engine.Plan(self._world.version, capability, shapes, half, network.model).serialized()


class Runtime:
    def __init__(self, world: World, logger: Any) -> None:
        assert world.pushed > 0, "no context is current"
        _check_driver(world, logger)
        self._world, self._logger = world, logger

    def deserialize_cuda_engine(self, data: bytes) -> Engine | None:
        assert self._world.pushed > 0, "no context is current"
        if self._world.refusal:
            self._logger.log(Severity.ERROR, self._world.refusal)
            return None
        world = self._world
        try:
            capability = "{}.{}".format(*world.capability)
            plan = fake_engine.read_plan(data, world.version, capability, world.registered)
        except RefusedError as error:
            self._logger.log(Severity.ERROR, str(error))
            return None
        return Engine(world, self._logger, plan)


class Engine:
    num_layers = 3

    def __init__(self, world: World, logger: Any, plan: fake_engine.Plan) -> None:
        self._world, self._logger, self._plan = world, logger, plan
        self.execution = fake_engine.Execution(plan)
        self.outputs = self.execution.outputs
        self._names = ["image", "theta", *self.outputs]
        self.num_io_tensors = len(self._names)

    def get_tensor_name(self, index: int) -> str:
        return str(self._names[index])

    def get_tensor_dtype(self, name: str) -> str:
        return self._world.output_type if name in self.outputs else "float32"

    def create_execution_context(self) -> ExecutionContext | None:
        _, _, height, width = self._plan.shapes[2]
        if height * width > self._world.too_large_to_run:
            self._logger.log(Severity.ERROR, "Error Code 2: OutOfMemory (Requested size was 9 bytes.)")
            return None
        return ExecutionContext(self, self._world, self._logger, self._plan.shapes)

    def execute(self, memory: dict[str, np.ndarray], shape: tuple[int, ...]) -> None:
        world = self._world
        world.faulty_run -= 1
        if world.faulty_run == 0:
            world.fault = "cuEventSynchronize failed: an illegal memory access was encountered"
            raise CudaError(world.fault)
        values = {name: held.view(np.float32) for name, held in memory.items()}
        feeds = {"image": values["image"].reshape(shape).copy(), "theta": values["theta"].reshape(()).copy()}
        for name, output in self.execution.run(**feeds).items():
            values[name][:] = output.ravel()
        if world.spoiled:
            values["upscaled"][5] = np.nan

    def __del__(self) -> None:
        if not self._world.pushed:
            self._world.stray.append("engine")

    def create_engine_inspector(self) -> Any:
        half, single = "Channel major FP16 format where channel % 8 == 0", "Row major linear FP32"
        features = self._world.plugin_format or (half if self._plan.half else single)
        plugin = {"Name": "features_1/SparseMaskModule", "Inputs": [{"Format/Datatype": features}]}
        copy = {"Name": f"Reformatting CopyNode for Input Tensor 1 to {plugin['Name']}", "LayerType": "Reformat"}
        float32 = {"Inputs": [{"Format/Datatype": "Row major linear FP32"}]}
        layers = [{"Name": "tail/Conv", **float32}, {**copy, **float32}, plugin]
        return SimpleNamespace(get_layer_information=lambda index, _: json.dumps(layers[index]))


class ExecutionContext:
    """For one thread at a time, as the real one: two in it at once are an error here."""

    def __init__(self, engine: Engine, world: World, logger: Any, shapes: list[list[int]]) -> None:
        self._engine, self._world, self._logger, self._shapes = engine, world, logger, shapes
        self._shape: tuple[int, ...] = ()
        self._addresses: dict[str, int] = {}
        self._user = 0

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        assert name == "image"
        self._shape, self._user = shape, threading.get_ident()
        fits = all(low <= side <= high for low, side, high in zip(self._shapes[0], shape, self._shapes[2], strict=True))
        if not fits:
            self._logger.log(
                Severity.ERROR, f"Set dimension {shape} for tensor image does not satisfy any optimization profiles."
            )
        return fits

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self._engine.execution.shapes(self._shape)[name]

    def set_tensor_address(self, name: str, address: int) -> bool:
        assert type(address) is int
        self._addresses[name] = address
        return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        assert set(self._addresses) == {"image", "theta", *self._engine.outputs}
        if self._world.failure:
            self._logger.log(Severity.ERROR, self._world.failure)
            return False
        self._user, shape = threading.get_ident(), self._shape
        memory = {name: self._world.memory[at] for name, at in self._addresses.items()}
        STREAMS[stream_handle].add(lambda: self._engine.execute(memory, shape))
        time.sleep(0.001)  # the GPU works; another thread that may enter does so now
        assert self._user == threading.get_ident() and self._shape == shape, "two threads in one execution context"
        return True
