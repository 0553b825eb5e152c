"""Finishes a bundle whose engine is pending, on the device; needs neither torch nor onnx there.

The work is the runtime's (`smsr_runtime.tensorrt`): a bare copy of runtime/ can do it too, by --rebuild.
"""

from __future__ import annotations

from pathlib import Path

from smsr_runtime.bundle import ENGINE, read_bundle
from smsr_runtime.errors import ExportError, SmsrError, UsageError
from smsr_runtime.tensorrt.finish import finish_bundle
from smsr_runtime.tensorrt.options import EngineOptions
from smsr_runtime.tensorrt.packages import open_machine
from smsr_runtime.tensorrt.publish import check_has_model

PRECISIONS = ("fp16", "fp32")
"""What a bundle for TensorRT may have, the default first: the plugin library has kernels for these."""


def finish(path: Path, options: EngineOptions) -> None:
    """Builds the engine of the bundle `path` on this machine, and again with `options.rebuild` where there is one.

    Raises UsageError where there is one already, and whatever `finish_bundle` and `open_machine` raise.
    """
    bundle = read_bundle(path, unchecked=[ENGINE] if options.rebuild else [])
    check_has_model(bundle)
    if not bundle.engine_pending and not options.rebuild:
        raise UsageError(path, "a bundle whose engine is pending", "one with an engine", "--force builds it again")
    finish_bundle(bundle, options, open_machine())


def finish_exported(path: Path, options: EngineOptions) -> None:
    """As `finish`, for a bundle just written. Raises ExportError, which says that the bundle is kept."""
    kept = (
        f"the bundle is kept, its engine pending: on the device run smsr-export {path} --target trt, "
        f"or run.py {path} --rebuild"
    )
    machine = None
    try:
        machine = open_machine()
        finish_bundle(read_bundle(path), options, machine)
    except SmsrError as error:
        todo = kept if machine is None else f"{error.todo}; {kept}"
        raise ExportError(f"{path}, {error.where}", error.expected, error.got, todo) from error
