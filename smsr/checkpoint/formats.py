"""What a checkpoint file is, by its bytes and not by its name, and the plain data in it. No pickled code ever runs."""

from __future__ import annotations

import io
import os
import pickle
import re
import warnings
import zipfile
from pathlib import Path

import torch

from smsr.checkpoint import pickles
from smsr_runtime.errors import CheckpointError, reason
from smsr_runtime.files import open_regular
from smsr_runtime.resources import check_file

TODO = "give a checkpoint trained by smsr-train or one of SMSR's published ones"
_SAVE_AGAIN = "save it again with torch.save(network.state_dict(), PATH)"
_UNPACK = "unpack it, then name the checkpoint inside"
_HEAD = 4096
_LEGACY_TORCH = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80"
"""How torch.save began before PyTorch 1.6: a pickle of its magic number."""

_STRANGERS: tuple[tuple[bytes, str, str], ...] = (
    (rb"(\xef\xbb\xbf)?\s*<(!doctype|html|\?xml)", "a web page", "download the file itself, not its page"),
    (rb"version https://git-lfs\.github\.com/spec/", "a Git LFS pointer, a few lines that stand for the file",
     "fetch the file itself: `git lfs pull` in its repository"),
    (rb"\x89HDF\r\n", "an HDF5 file, as Keras writes", f"convert it in PyTorch, then {_SAVE_AGAIN}"),
    (rb"\x93NUMPY", "a NumPy array", f"load the arrays in PyTorch, then {_SAVE_AGAIN}"),
    (rb"\x1f\x8b|BZh|\xfd7zXZ|7z\xbc\xaf|Rar!|\x28\xb5\x2f\xfd", "a compressed archive", _UNPACK),
    (rb"GGUF", "a GGUF file", TODO),
    (rb"\x89PNG|\xff\xd8\xff|RIFF", "a picture or sound", TODO),
)  # fmt: skip
"""First bytes of what people hand over by mistake: pattern, its name, what to do."""


def load(path: Path) -> object:
    """The content of a PyTorch file (both of its formats) or a safetensors file, whatever its name says.

    Raises CheckpointError, which names what the file is instead.
    """
    data = _content(path)
    head, size = data[:_HEAD], len(data)
    for pattern, got, todo in _STRANGERS:
        if re.match(pattern, head, re.IGNORECASE):
            raise CheckpointError(path, "a checkpoint", got, todo)
    if head.startswith(b"PK"):
        _check_zip(path, data)
        return _load_torch(path, data)
    if _is_safetensors(head, size) or (path.suffix == ".safetensors" and not head.startswith(_LEGACY_TORCH)):
        return _load_safetensors(path, data)
    if path.suffix == ".onnx":
        todo = "name the checkpoint that it was exported from"
        raise CheckpointError(path, "a checkpoint", "an ONNX model, by its name", todo)
    return _load_torch(path, data, legacy=head.startswith(_LEGACY_TORCH))


def _content(path: Path) -> bytes:
    """Read once: what was checked is what is loaded, whatever happens to the file meanwhile."""
    if path.is_dir():
        raise CheckpointError(path, "a checkpoint file", "a folder", TODO)
    try:
        with open_regular(path) as file:
            check_file(os.fstat(file.fileno()).st_size, str(path))
            data = file.read()
    except (OSError, ValueError) as error:
        raise CheckpointError(path, "a readable checkpoint file", reason(error), TODO) from error
    if not data:
        raise CheckpointError(path, "a checkpoint", "an empty file", "download or save it again")
    return data


def _is_safetensors(head: bytes, size: int) -> bool:
    """Eight bytes of header length, then the header, a JSON object."""
    return head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= size - 8


def _check_zip(path: Path, data: bytes) -> None:
    """PyTorch stores its members uncompressed, with checksums, which torch.load itself does not look at."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            _check_kind(path, [member.filename for member in members])
            stored = all(member.compress_type == zipfile.ZIP_STORED for member in members)
            if not stored or sum(member.file_size for member in members) > len(data):
                got = "a ZIP file whose members are compressed or overlap"
                raise CheckpointError(path, "a PyTorch checkpoint", got, _UNPACK)
            # PyTorch can be set to write no checksums: then all are zero
            bad = archive.testzip() if any(member.CRC for member in members) else None
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, EOFError) as error:
        raise _damaged(path, reason(error)) from error
    if bad is not None:
        raise _damaged(path, f"the checksum of {bad} is wrong")


def _check_kind(path: Path, names: list[str]) -> None:
    if any(name.endswith(".npy") for name in names):
        todo = f"load the arrays in PyTorch, then {_SAVE_AGAIN}"
        raise CheckpointError(path, "a PyTorch checkpoint", "a NumPy archive (.npz)", todo)
    if any(re.search(r"(^|/)(constants\.pkl|code/)", name) for name in names):
        todo = "in PyTorch: torch.save(torch.jit.load(THIS).state_dict(), PATH), then name that file"
        raise CheckpointError(path, "a checkpoint of plain tensors", "a TorchScript archive", todo)
    if not any(name.endswith("data.pkl") for name in names):
        raise CheckpointError(path, "a PyTorch checkpoint", "a ZIP file with other content", _UNPACK)


def _load_safetensors(path: Path, data: bytes) -> object:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return load(data)
    except (SafetensorError, OSError, ValueError) as error:
        todo = "download or save it again"
        raise CheckpointError(path, "a safetensors file", f"a damaged one ({reason(error)[:200]})", todo) from error


def _load_torch(path: Path, data: bytes, legacy: bool = True) -> object:
    try:
        with warnings.catch_warnings(), io.BytesIO(data) as file:
            warnings.simplefilter("ignore")  # guesses about damaged bytes, beside the one line of our error
            _check_pickles(data)
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        name = re.search(r"GLOBAL `?([\w.]+)`?", str(error))
        if name is None:
            raise _damaged(path, _unpickler_says(error)) if legacy else _no_checkpoint(path) from error
        got = f"a pickle that would run code ({name[1]}); nothing was run"
        raise CheckpointError(path, "a checkpoint of plain tensors", got, _SAVE_AGAIN) from error
    except Exception as error:  # damaged bytes make torch's unpickler raise nearly anything
        raise _damaged(path, _unpickler_says(error)) if legacy else _no_checkpoint(path) from error


def _check_pickles(data: bytes) -> None:
    if not data.startswith(b"PK"):
        return pickles.check_all(data)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for member in archive.infolist():
            if member.filename.endswith("data.pkl"):
                pickles.check(io.BytesIO(_stored(data, member)))


def _stored(data: bytes, member: zipfile.ZipInfo) -> bytes:
    """An uncompressed member's bytes; zipfile itself refuses one that was written without a checksum."""
    name, extra = (int.from_bytes(data[member.header_offset + at :][:2], "little") for at in (26, 28))
    start = member.header_offset + 30 + name + extra
    return data[start : start + member.file_size]


def _damaged(path: Path, why: str) -> CheckpointError:
    got = f"a damaged or cut one ({why})"
    return CheckpointError(path, "a PyTorch checkpoint", got, "download or save it again")


def _no_checkpoint(path: Path) -> CheckpointError:
    return CheckpointError(path, "a PyTorch or safetensors checkpoint", "something else, by its first bytes", TODO)


def _unpickler_says(error: Exception) -> str:
    """The reason alone: torch wraps it in advice to load with `weights_only=False`, which we never pass on."""
    text = str(error).rpartition("WeightsUnpickler error:")[2].strip()
    line = (text or type(error).__name__).splitlines()[0][:200]
    return "its pickled part cannot be read" if re.search("weights.only", line, re.IGNORECASE) else line
