"""ONNX Runtime on the CPU, with the native library's kernels where there is one. The only file to import it."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Sequence

import numpy as np

from smsr_runtime.backend import FUNCTION_BODY, NATIVE, ComputePath, check_outputs
from smsr_runtime.bundle import Bundle
from smsr_runtime.errors import BackendError, MissingPackageError, reason
from smsr_runtime.ort.native import Library, LibraryChoice, NativeLibrary, find_library
from smsr_runtime.ort.strip_memory import BODY_BYTES, NATIVE_BYTES, Cutter
from smsr_runtime.ort.strip_parts import can_be_cut, read_parts
from smsr_runtime.ort.strips import StripNetwork
from smsr_runtime.resources import available_memory, bytes_per_pixel, check_memory, fits, usable_processors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from smsr_runtime.strips import StripJob, Strips

OLDEST = (1, 17)
"""The first ONNX Runtime whose operators our library and models can rely on; runtime/pyproject.toml names it too."""
_UNIQUE_NAMES_SINCE = (1, 22)
_CLASHING = ("GatherSliceToSplitFusion", "GatherToSplitFusion")
"""Switched off before 1.22: there these fusions give all nameless nodes, which our function body has, the same new
name, and the model is refused ("two nodes with same node name", microsoft/onnxruntime#24203)."""
_FATAL_ONLY = 4
"""ONNX Runtime's log level: its errors are raised as exceptions, and need not be logged too."""


@dataclass(frozen=True)
class _Kept:
    """How the last picture in strips was cut, with so many bytes beside it."""

    height: int
    width: int
    beside: int
    strips: Strips

    def serves(self, height: int, width: int, beside: int) -> bool:
        return (height, width) == (self.height, self.width) and beside <= self.beside and fits(beside)


class OrtBackend:
    """One session: a `smsr_runtime.backend.Backend`."""

    name = "ort"

    def __init__(
        self, bundle: Bundle, threads: int | None = None, library: LibraryChoice = Library.ENVIRONMENT
    ) -> None:
        """threads: None for all processors this process may use. Raises BackendError, NativeLibraryError."""
        self._bundle = bundle
        self._native = find_library(bundle.interface_hash, library)
        self.path = _compute_path(self._native, bundle)
        self._where = str(bundle.model)
        self._per_pixel = bytes_per_pixel(self.path, bundle.features)
        self._scale = bundle.scale
        self._threads = threads or usable_processors() or 0
        self._session = open_session(bundle.model_content(), self._native, self._threads, self._where)
        self._margins = [f"margin_{k}" for k in range(1, bundle.modules + 1)]
        self._held = 0
        """Pixels of the largest picture so far: its memory is kept for the next one."""
        self._kept: _Kept | None = None
        _check_names(self._where, self._session, ["upscaled", *self._margins])

    def run(
        self, image: NDArray[np.float32], theta: float = 0.0, *, margins: bool = False
    ) -> tuple[NDArray[np.float32], list[NDArray[np.float32]]]:
        """As `Backend.run`. MemoryLimitError comes before any work, BackendError where ONNX Runtime fails."""
        batch, _, height, width = image.shape
        if not self._fits(batch * height * width):
            check_memory(batch * height, width, self._per_pixel)
        names = ["upscaled", *(self._margins if margins else [])]
        upscaled, *asked_for = self._results(names, image, theta)
        self._held = max(self._held, batch * height * width)
        check_outputs(self._where, (image.shape, self._scale), upscaled, asked_for)
        return upscaled, asked_for

    def strips(self, height: int, width: int, beside: int = 0) -> Strips | None:
        """As `Backend.strips`. A picture of the last one's size is cut as that was, which left its memory for it."""
        if self._kept and self._kept.serves(height, width, beside):
            return self._kept.strips
        if self._kept:
            self._kept = None
            if "_strip_network" in self.__dict__:  # else nothing has run yet
                self._strip_network.release()
        if self._fits(height * width, beside):
            return None
        if not self.cuts:
            check_memory(height, width, self._per_pixel + beside // (height * width))
        if self._held:
            self._release()
        cut = self._cutter().cut(height, width, available_memory() or 0, beside)
        self._kept = _Kept(height, width, beside, cut)
        return cut

    @functools.cached_property
    def cuts(self) -> bool:
        """As `Backend.cuts`: of models that smsr-export makes."""
        return can_be_cut(self._bundle.model)

    def run_strips(self, job: StripJob, strips: Strips) -> list[NDArray[np.float32]]:
        """As `Backend.run_strips`. Raises BackendError where the model lacks a part, too."""
        return self._strip_network.run(job, strips)

    def _results(self, names: list[str], image: NDArray[np.float32], theta: float, options: Any = None) -> list[Any]:
        feeds = {"image": np.ascontiguousarray(image, dtype=np.float32), "theta": np.array(theta, np.float32)}
        try:
            results: list[Any] = self._session.run(names, feeds, options)
        except Exception as error:  # ONNX Runtime's exceptions share no base class
            todo = "run --selftest to see if the bundle works"
            raise BackendError(self._where, "a result", reason(error), todo) from error
        return results

    def _fits(self, pixels: int, beside: int = 0) -> bool:
        """Whether that many pixels can be run whole, with the memory that is held from earlier ones."""
        return fits(max(0, pixels - self._held) * self._per_pixel + beside)

    def _release(self) -> None:
        """Gives the memory that ONNX Runtime holds back to the system, by way of a run on one pixel."""
        self._results(["upscaled"], np.zeros((1, 3, 1, 1), np.float32), 0.0, _shrinking())
        self._held = 0

    def _cutter(self) -> Cutter:
        native = self.path.native
        bundle = self._bundle
        return Cutter(bundle.features, bundle.modules, bundle.scale, NATIVE_BYTES if native else BODY_BYTES, native)

    @functools.cached_property
    def _strip_network(self) -> StripNetwork:
        bundle = self._bundle
        parts = read_parts(bundle.model, bundle.modules, bundle.scale, native=self.path.native)
        share_arena()
        open_part = functools.partial(open_session, library=self._native, threads=self._threads, shared_arena=True)
        return StripNetwork(parts, self._where, open_part, _shrinking())


def _compute_path(library: NativeLibrary | None, bundle: Bundle) -> ComputePath:
    """In float32 where the library has no kernels for the bundle's precision; `model.onnx` for TensorRT is float32."""
    if library is None:
        return ComputePath(FUNCTION_BODY)
    reduced = bundle.target == "onnx" and library.computes_in(bundle.precision)
    return ComputePath(NATIVE, bundle.precision if reduced else "fp32", library.variant)


def open_session(
    model: Path | bytes,
    library: NativeLibrary | None = None,
    threads: int = 0,
    where: str = "ONNX model",
    *,
    shared_arena: bool = False,
) -> Any:
    """An InferenceSession of a file, or of its bytes; library: with our kernels; threads: 0 for ONNX Runtime's choice.

    where: what errors name; shared_arena: memory kept for the next run is that of `share_arena`, not the session's own.

    Raises MissingPackageError, BackendError where ONNX Runtime is too old or refuses the model.
    """
    # ONNX Runtime's wheels for Linux report usage over the network since 1.29; a tool that upscales pictures must not.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    version = installed_version()
    onnxruntime = _onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = _FATAL_ONLY
    # With memory patterns the second picture of a size allocates all its memory again, while that of the first stays
    # allocated: 3.6 GB instead of 1.9 at 1280x720, and no faster.
    options.enable_mem_pattern = False
    if shared_arena:
        options.add_session_config_entry("session.use_env_allocators", "1")
        # Each session has threads of its own: those of one that has run must not spin beside the next one's.
        options.add_session_config_entry("session.force_spinning_stop", "1")
    try:
        if library:
            options.register_custom_ops_library(str(library.path))
        return onnxruntime.InferenceSession(
            model if isinstance(model, bytes) else str(model),
            options,
            providers=["CPUExecutionProvider"],
            enable_fallback=0,  # else it prints on stdout what it did not like, and tries again
            disabled_optimizers=list(_CLASHING) if _version(version) < _UNIQUE_NAMES_SINCE else None,
        )
    except Exception as error:  # as above
        todo = f"update onnxruntime (this is {version}) or export the bundle again"
        raise BackendError(where, "a model ONNX Runtime can run", reason(error), todo) from error


def installed_version() -> str:
    """ONNX Runtime's version. Raises MissingPackageError, and BackendError for one that is too old."""
    version = str(_onnxruntime().__version__)
    if _version(version) < OLDEST:
        expected = ".".join(map(str, OLDEST)) + " or newer"
        raise BackendError("onnxruntime", expected, version, "pip install --upgrade onnxruntime")
    return version


def _onnxruntime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingPackageError("backend ort", "onnxruntime", "not installed", "pip install onnxruntime") from error
    return onnxruntime


@functools.lru_cache(maxsize=None)
def share_arena() -> None:
    """One arena in the process for all sessions that ask for it: they run one after the other and need it in turn."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    kind = state.OrtAllocatorType.ORT_ARENA_ALLOCATOR
    info = state.OrtMemoryInfo("Cpu", kind, 0, state.OrtMemType.DEFAULT)
    as_requested = {"arena_extend_strategy": 1, "initial_chunk_size_bytes": 1 << 20}
    state.create_and_register_allocator(info, state.OrtArenaCfg(as_requested))


def _shrinking() -> Any:
    """Options of a run after which a session gives its memory back."""
    import onnxruntime

    options = onnxruntime.RunOptions()
    options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    return options


def _version(text: str) -> tuple[int, ...]:
    """Major and minor number."""
    return tuple(int(part) for part in text.split(".")[:2])


def _check_names(where: str, session: Any, outputs: Sequence[str]) -> None:
    try:  # theta has a default initializer, so ONNX Runtime may list it as an overridable one and not as an input
        inputs = {item.name for item in [*session.get_inputs(), *session.get_overridable_initializers()]}
        given = {item.name for item in session.get_outputs()}
    except UnicodeDecodeError as error:
        raise BackendError(where, "names that are text", reason(error), "export the bundle again") from error
    missing = [name for name in ("image", "theta") if name not in inputs] + [n for n in outputs if n not in given]
    if missing:
        raise BackendError(where, f"inputs and outputs {', '.join(missing)}", "none", "export the bundle again")
