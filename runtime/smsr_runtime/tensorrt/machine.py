"""This machine as the builder and the backend see it: TensorRT, CUDA, the GPU."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any, Iterator

from smsr_runtime.errors import BackendError

OLDEST = (8, 5)
"""The first TensorRT with named tensors and execute_async_v3; JetPack 5.1 has it."""
MAJORS = (8, 10, 11)


@dataclass(frozen=True)
class Machine:
    """trt: the module tensorrt. cuda: pycuda.driver. context: the GPU's primary one.

    compute_capability: such as "8.7". integrated: GPU and CPU share their memory (Jetson).
    """

    trt: Any
    cuda: Any
    context: Any
    gpu: str
    compute_capability: str
    integrated: bool

    @property
    def tensorrt(self) -> str:
        """Version as an engine depends on it: major.minor.patch."""
        return ".".join(str(self.trt.__version__).split(".")[:3])

    @property
    def major(self) -> int:
        return int(self.tensorrt.split(".")[0])

    @contextlib.contextmanager
    def current(self) -> Iterator[None]:
        """Makes the context current in the calling thread; may be nested."""
        self.context.push()
        try:
            yield
        finally:
            self.context.pop()

    def free_memory(self) -> int:
        """Bytes of GPU memory that are free."""
        with self.current():
            free, _ = self.cuda.mem_get_info()
        return int(free)


def check_version(version: str) -> None:
    """Raises BackendError for a TensorRT that neither the backend nor a plugin library supports."""
    major, minor = (int(part) for part in version.split(".")[:2])
    if major not in MAJORS or (major, minor) < OLDEST:
        known = "8.5, 8.6, 10.x or 11.x"
        raise BackendError("tensorrt", known, version, "install one of these, or run with --backend ort")
