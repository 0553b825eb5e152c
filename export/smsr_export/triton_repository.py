"""A model repository of NVIDIA Triton Inference Server: REPOSITORY/NAME with config.pbtxt, 1/model.onnx, our library.

The server reads the repository from another place than the one it is written to (a container's /models, usually), and
the library's path stands in config.pbtxt: `ServedModel.served_at`. A repository holds many models; NAME is written.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import onnx

from smsr_export.triton_config import CONFIG, MARK, config_text
from smsr_runtime.bundle import MODEL, Bundle, is_bundle
from smsr_runtime.errors import ExportError, UsageError
from smsr_runtime.folders import Replaceable, nothing, replacing_folder, tidy
from smsr_runtime.ort.native import find_library

SERVED_AT = PurePosixPath("/models")
"""Where Triton's own examples mount the repository in its container."""
LIBRARY = "libsmsr_ort.so"
_VERSION = "1"


@dataclass(frozen=True)
class ServedModel:
    """repository: the folder to write to; name: the model's in the server; served_at: the repository as the server sees
    it; force: replace a model of that name that smsr-export wrote."""

    repository: Path
    name: str
    served_at: PurePosixPath = SERVED_AT
    force: bool = False

    @property
    def folder(self) -> Path:
        return self.repository / self.name


def parse_served_at(text: str | None) -> PurePosixPath:
    """Raises UsageError for a path that is not absolute, or not of characters that a configuration can hold."""
    path = SERVED_AT if text is None else PurePosixPath(text)
    if not path.is_absolute():
        todo = "give the repository's path as the server sees it, as in a container: /models"
        raise UsageError("--served-at", "an absolute path", repr(text), todo)
    _check_unicode("--served-at", str(path))
    return path


def check_repository(model: ServedModel) -> None:
    """Raises UsageError or ExportError, before any work, where the model could not or must not be written."""
    repository, folder = model.repository, model.folder
    _check_unicode(folder, model.name)
    if (
        is_bundle(repository)
        or repository.suffix.lower() == ".onnx"
        or (repository.exists() and not repository.is_dir())
    ):
        got = "a bundle" if is_bundle(repository) else "a file's name"
        raise UsageError(repository, "a folder for the model repository", got, "name another -o")
    tidy(_written(model).absolute(), _replaceable(model))
    if folder.exists() and not model.force:
        raise UsageError(folder, "a name not taken", "an existing model", "give --force to replace it, or another -o")
    if folder.exists() and not _is_replaceable(folder):
        todo = "name another -o; --force replaces models that smsr-export wrote only"
        raise UsageError(folder, "a model to replace", "something else", todo)
    parent = _written(model).absolute().parent
    if not (parent.is_dir() and os.access(parent, os.W_OK)):
        todo = "make it, or name another -o"
        raise ExportError(parent, "a folder to write to", "no such folder or no permission", todo)


def write_model(bundle: Bundle, model: ServedModel, say: Callable[[str], None]) -> None:
    """Writes the bundle's model for ONNX Runtime as `model`; what the server lacks without a library goes to `say`.

    Raises UsageError for a bundle of TensorRT, and as `check_repository` and `find_library`.
    """
    check_bundle(bundle)
    check_repository(model)
    data = bundle.model_content()
    if isinstance(data, Path):
        todo = "take a bundle that smsr-export made"
        raise UsageError(data, "a model with its weights in it", "weights in other files", todo)
    library = find_library(bundle.interface_hash)
    target = _written(model)
    with replacing_folder(target, _replaceable(model) if model.force else nothing) as work:
        _fill(work if target == model.folder else work / model.name, model, data, library.path if library else None)
    if library is None:
        say("no native library in the repository: the server computes by the function bodies, several times slower")


def check_bundle(bundle: Bundle) -> None:
    """Raises UsageError for a bundle of TensorRT."""
    if bundle.has_tensorrt_model:
        todo = "give --target triton the checkpoint: the server then runs it on its CPU (docs/triton.md, TensorRT)"
        raise UsageError(bundle.path, "a bundle for ONNX Runtime", "one for TensorRT", todo)


def _check_unicode(where: object, text: str) -> None:
    """Raises UsageError for a file's name that is no Unicode, which strings of protobuf have to be."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UsageError(where, "a name in UTF-8", repr(text), "name the file or folder otherwise") from error


def _fill(folder: Path, model: ServedModel, data: bytes, library: Path | None) -> None:
    version = folder / _VERSION
    version.mkdir(parents=True)
    (version / MODEL).write_bytes(data)
    if library:
        shutil.copyfile(library, folder / LIBRARY)
    served = model.served_at / model.name / LIBRARY if library else None
    (folder / CONFIG).write_text(config_text(model.name, onnx.load_from_string(data), served), encoding="ascii")


def _written(model: ServedModel) -> Path:
    """What takes its name in one step: the model's folder or, where there is none yet, the repository around it."""
    return model.folder if model.repository.is_dir() else model.repository


def _replaceable(model: ServedModel) -> Replaceable:
    return _is_replaceable if _written(model) == model.folder else nothing


def _is_replaceable(folder: Path) -> bool:
    """Whether a folder, and no link to one, is a model that smsr-export wrote."""
    try:
        return not folder.is_symlink() and (folder / CONFIG).read_text(encoding="ascii").startswith(MARK)
    except (OSError, UnicodeError):
        return False
