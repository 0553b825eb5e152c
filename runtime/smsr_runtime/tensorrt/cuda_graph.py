"""CUDA graphs through the driver's C functions, which pycuda does not have."""

from __future__ import annotations

import ctypes
import os
from typing import Any, Callable

from smsr_runtime.errors import BackendError, UsageError, reason

_THREAD_LOCAL = 1
"""CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: other threads may go on allocating."""
_DRIVER = "libcuda.so.1"
GRAPH_VARIABLE = "SMSR_CUDA_GRAPH"
_TODO = f"leave {GRAPH_VARIABLE} unset"


def graphs_wanted() -> bool:
    """SMSR_CUDA_GRAPH: 1 replays a CUDA graph from the second picture of a size on; unset or 0 does not."""
    value = os.environ.get(GRAPH_VARIABLE, "") or "0"
    if value not in ("0", "1"):
        raise UsageError(GRAPH_VARIABLE, "0 or 1", repr(value), "unset it")
    return value == "1"


class CudaGraph:
    """The work that `queue` puts on the stream, recorded once and launched as one piece from then on."""

    def __init__(self, stream: Any, queue: Callable[[], None]) -> None:
        """stream: a pycuda stream; queue: must neither allocate nor wait. Raises BackendError."""
        self._driver = _driver()
        self._executable = ctypes.c_void_p()
        graph = ctypes.c_void_p()
        handle = ctypes.c_void_p(stream.handle)
        self._call("cuStreamBeginCapture_v2", handle, ctypes.c_int(_THREAD_LOCAL))
        try:
            queue()
        except BaseException:  # the stream must leave capture mode; its error about that says less than this one
            self._driver.cuStreamEndCapture(handle, ctypes.byref(graph))
            raise
        self._call("cuStreamEndCapture", handle, ctypes.byref(graph))
        try:
            self._call("cuGraphInstantiateWithFlags", ctypes.byref(self._executable), graph, ctypes.c_ulonglong(0))
        finally:
            self._call("cuGraphDestroy", graph)

    def launch(self, stream: Any) -> None:
        self._call("cuGraphLaunch", self._executable, ctypes.c_void_p(stream.handle))

    def close(self) -> None:
        if self._executable:
            self._call("cuGraphExecDestroy", self._executable)
            self._executable = ctypes.c_void_p()

    def _call(self, name: str, *arguments: Any) -> None:
        function = getattr(self._driver, name, None)
        if function is None:
            raise BackendError("CUDA graph", f"{name}, of CUDA 11.4", "an older driver", _TODO)
        code = function(*arguments)
        if code:
            raise BackendError("CUDA graph", f"{name} to succeed", f"CUDA error {code}", _TODO)


def _driver() -> Any:
    try:
        return ctypes.CDLL(_DRIVER)
    except OSError as error:
        raise BackendError("CUDA graph", _DRIVER, reason(error), _TODO) from error
