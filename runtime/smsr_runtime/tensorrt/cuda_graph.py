"""CUDA graphs through the driver's C functions: pycuda has none of them."""

from __future__ import annotations

import ctypes
from typing import Any, Callable

from smsr_runtime.errors import BackendError, reason

_THREAD_LOCAL = 1
"""CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: other threads may go on allocating."""
_DRIVER = "libcuda.so.1"
_TODO = "leave SMSR_CUDA_GRAPH unset"


class CudaGraph:
    """What `queue` puts on the stream, recorded once and launched as one piece of work from then on."""

    def __init__(self, stream: Any, queue: Callable[[], None]) -> None:
        """stream: a pycuda stream; queue: must neither allocate nor wait. Raises BackendError."""
        self._driver = _driver()
        self._executable = ctypes.c_void_p()
        graph = ctypes.c_void_p()
        handle = ctypes.c_void_p(stream.handle)
        self._call("cuStreamBeginCapture_v2", handle, ctypes.c_int(_THREAD_LOCAL))
        try:
            queue()
        except BaseException:  # the stream must leave its capture; that it was cut short is no news
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
