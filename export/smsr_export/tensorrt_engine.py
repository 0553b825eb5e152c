"""Finishes a bundle whose engine is pending, on the device; needs neither torch nor onnx there.

The work is the runtime's (`smsr_runtime.tensorrt`): a bare copy of runtime/ can do it too, by --rebuild.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from smsr_runtime.errors import ExportError, UsageError

PRECISIONS = ("fp16", "fp32")
"""What a bundle for TensorRT may have, the default first: the plugin library has kernels for these."""


@dataclass(frozen=True)
class EngineRequest:
    """Sizes as HEIGHTxWIDTH, None: ours; workspace: MiB, None: all there is; force: build although there is one."""

    min_shape: str | None = None
    opt_shape: str | None = None
    max_shape: str | None = None
    workspace: int | None = None
    force: bool = False


def check_request(request: EngineRequest) -> dict[str, list[int]] | None:
    """The named sizes as the manifest keeps them. Raises the runtime's UsageError for what cannot be."""
    from smsr_runtime.sizes import Wanted
    from smsr_runtime.tensorrt.finish import parse_workspace

    parse_workspace(request.workspace)
    return Wanted.parse(request.min_shape, request.opt_shape, request.max_shape).as_json()


def finish(path: Path, request: EngineRequest, say: Callable[[str], None]) -> None:
    """Builds the engine of the bundle `path` on this machine. Raises UsageError, or whatever the runtime does."""
    from smsr_runtime.bundle import ENGINE, read_bundle
    from smsr_runtime.sizes import Wanted
    from smsr_runtime.tensorrt.backend import finish_bundle
    from smsr_runtime.tensorrt.finish import EngineOptions, check_has_model, parse_workspace

    wanted = Wanted.parse(request.min_shape, request.opt_shape, request.max_shape)
    bundle = read_bundle(path, unchecked=[ENGINE] if request.force else [])
    check_has_model(bundle)
    if not bundle.engine_pending and not request.force:
        raise UsageError(path, "a bundle whose engine is pending", "one with an engine", "--force builds it again")
    finish_bundle(bundle, EngineOptions(True, wanted, parse_workspace(request.workspace), say))


def finish_exported(path: Path, request: EngineRequest, say: Callable[[str], None]) -> None:
    """As `finish`, for a bundle just written: where this machine cannot, the error says that the bundle is kept."""
    from smsr_runtime.errors import SmsrError
    from smsr_runtime.tensorrt.backend import open_machine

    kept = (
        f"the bundle is kept, its engine pending: on the device run smsr-export {path} --target trt, "
        f"or run.py {path} --rebuild"
    )
    can_build = False
    try:
        open_machine()
        can_build = True
        finish(path, request, say)
    except SmsrError as error:
        todo = f"{error.todo}; {kept}" if can_build else kept
        raise ExportError(f"{path}, {error.where}", error.expected, error.got, todo) from error
