"""In which order, and by how many threads at a time, TensorRT is asked for what; stand-ins as in fake_tensorrt.py."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import smsr_runtime
from smsr_runtime.tensorrt.backend import TrtBackend
from smsr_runtime.tensorrt.execution import Execution
from tests.runtime import fake_pycuda, fake_tensorrt
from tests.runtime.fake_tensorrt import World, forget_library
from tests.runtime.helpers import nearest
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


def pixels(upscaler: smsr_runtime.Upscaler) -> Any:
    return upscaler(PICTURE)


def planes(upscaler: smsr_runtime.Upscaler) -> Any:
    """By the network's own output."""
    upscaled, _ = upscaler.upscale_float(PICTURE.transpose(2, 0, 1)[None].astype(np.float32))
    return upscaled[0].transpose(1, 2, 0)


def closed(upscaler: smsr_runtime.Upscaler) -> None:
    assert isinstance(upscaler.opened, TrtBackend)
    upscaler.opened.close()


EXECUTES, WAITS = (fake_tensorrt.ExecutionContext, "execute_async_v3"), (fake_pycuda.Event, "synchronize")


@pytest.mark.parametrize(("first", "held"), [(pixels, EXECUTES), (pixels, WAITS), (planes, EXECUTES)])
@pytest.mark.parametrize(("second", "enters"), [(pixels, EXECUTES), (closed, (Execution, "close"))])
def test_one_thread_at_a_time_uses_an_engine(
    first: Callable[[smsr_runtime.Upscaler], Any], held: tuple[type, str],
    second: Callable[[smsr_runtime.Upscaler], Any], enters: tuple[type, str],
    world: World, pending: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Its buffers are one picture's: a second thread that came in while the first is held would write to them."""
    upscaler = smsr_runtime.load(pending)
    entered = threading.Event()
    results: dict[str, Any] = {}
    other = threading.Thread(target=lambda: results.update(second=second(upscaler)))
    entering = getattr(*enters)

    def entry(*arguments: Any) -> Any:
        if threading.current_thread() is other:
            entered.set()
        return entering(*arguments)

    monkeypatch.setattr(*enters, entry)
    holding = getattr(*held)

    def hold(*arguments: Any) -> Any:
        if other.ident is None:
            other.start()
            assert not entered.wait(0.3), "another thread uses the engine at the same time"
        return holding(*arguments)

    monkeypatch.setattr(*held, hold)
    results["first"] = first(upscaler)
    other.join()
    assert entered.is_set() and np.array_equal(results["first"], nearest(PICTURE))
    assert second is closed or np.array_equal(results["second"], nearest(PICTURE))
