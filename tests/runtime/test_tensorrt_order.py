"""In which order, and by how many threads at a time, TensorRT is asked for what; stand-ins as in fake_tensorrt.py."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import smsr_runtime
from tests.runtime import fake_tensorrt
from tests.runtime.fake_tensorrt import World, forget_library
from tests.runtime.tensorrt_machine import PICTURE, install


def test_the_plugin_is_registered_before_a_finished_engine_is_read(
    world: World, pending: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new process, which builds nothing: the engine names the plugin, and TensorRT must know it by then."""
    smsr_runtime.load(pending)
    forget_library()
    install(world, monkeypatch, loaded=[])
    known = []
    read = fake_tensorrt.Runtime.deserialize_cuda_engine

    def checked(self: Any, data: bytes) -> Any:
        known.append(bool(world.loaded))
        return read(self, data)

    monkeypatch.setattr(fake_tensorrt.Runtime, "deserialize_cuda_engine", checked)
    assert smsr_runtime.load(pending).backend == "trt"
    assert known == [True] and len(world.builds) == 1


def test_one_thread_at_a_time_uses_an_engine(world: World, pending: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its buffers are one picture's: a second thread that came in while the first computes would overwrite them."""
    upscaler = smsr_runtime.load(pending)
    second, entered = threading.Event(), []
    results: dict[str, Any] = {}
    other = threading.Thread(target=lambda: results.update(other=upscaler(PICTURE[::-1])))
    execute = fake_tensorrt.ExecutionContext.execute_async_v3

    def slow(self: Any, stream: int) -> bool:
        entered.append(threading.current_thread())
        if len(entered) == 1:
            other.start()
            assert not second.wait(0.3), "another thread executes at the same time"
        else:
            second.set()
        return execute(self, stream)

    monkeypatch.setattr(fake_tensorrt.ExecutionContext, "execute_async_v3", slow)
    results["first"] = upscaler(PICTURE)
    other.join()
    assert len(entered) == 2 and np.array_equal(results["other"][::-1], results["first"])
