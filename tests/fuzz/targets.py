"""The readers of files from elsewhere, each a function of the file's bytes that ends in success or an error of smsr."""

from __future__ import annotations

import io
import json
import shutil
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

import smsr_runtime
from smsr.checkpoint import load_network
from smsr_runtime.bundle import file_fact, read_bundle
from smsr_runtime.errors import InternalError, MemoryLimitError, SmsrError
from smsr_runtime.media.image import decode_bytes
from smsr_runtime.ort.native import Library
from smsr_runtime.selftest import self_test
from tests.runtime.helpers import tiny_model, write_bundle

MOST_PIXELS = 1 << 18
Target = Callable[[bytes, Path], None]


def make_bundle(folder: Path) -> None:
    """What the targets of bundles change a file of."""
    write_bundle(folder / "tiny.smsr", tiny_model())


def checkpoint(data: bytes, folder: Path) -> None:
    """Any file."""
    (folder / "net.pt").write_bytes(data)
    load_network(folder / "net.pt", say=lambda _: None)


def pickled(data: bytes, folder: Path) -> None:
    """The pickle in a PyTorch file, with right checksums, which a changed byte would spoil at once."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("net/data.pkl", data)
        archive.writestr("net/byteorder", "little")
        for number in range(12):
            archive.writestr(f"net/data/{number}", bytes(4 * 64))
        archive.writestr("net/version", "3\n")
    checkpoint(file.getvalue(), folder)


def manifest(data: bytes, folder: Path) -> None:
    bundle = folder / "tiny.smsr"
    (bundle / "manifest.json").write_bytes(data)
    read_bundle(bundle)


def model(data: bytes, folder: Path) -> None:
    """An ONNX model, which the manifest names as it is."""
    bundle = folder / "tiny.smsr"
    _put(bundle, "model.onnx", data)
    upscaler = smsr_runtime.load(bundle, threads=1, library=Library.NONE)
    result = upscaler(np.zeros((6, 8, 3), np.uint8))
    assert result.shape == (12, 16, 3) and result.dtype == np.uint8


def golden(data: bytes, folder: Path) -> None:
    """The self-test's expected output."""
    bundle = folder / "tiny.smsr"
    _put(bundle, "golden/output.npy", data)
    upscaler = smsr_runtime.load(bundle, threads=1, library=Library.NONE)
    self_test(upscaler.bundle, upscaler.opened)


def picture(data: bytes, folder: Path) -> None:
    """Any picture; larger ones are refused by their header, as smsr-run does by the memory there is."""
    del folder
    decode_bytes(data, "picture", _check_size)


def png(data: bytes, folder: Path) -> None:
    """A PNG's chunks, with right checksums and lengths."""
    picture(data[:8] + b"".join(_chunks(data)), folder)


def exif(data: bytes, folder: Path) -> None:
    """A block of EXIF data, in a PNG of one pixel."""
    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"eXIf", data), (b"IDAT", zlib.compress(bytes(4))), (b"IEND", b""))
    picture(b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, content) for kind, content in parts), folder)


TARGETS: dict[str, Target] = {
    "checkpoint": checkpoint, "pickled": pickled, "manifest": manifest, "model": model, "golden": golden,
    "picture": picture, "png": png, "exif": exif,
}  # fmt: skip


def attempt(target: Target, data: bytes, folder: Path) -> bool:
    """Whether the file was read; False where it was refused. Any other exception is a finding."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the libraries that decode; a user sees them as notes, or not
        try:
            target(data, folder)
        except SmsrError as error:
            assert not isinstance(error, InternalError), error
            assert len(str(error)) < 5000 and "\n" not in str(error) and "\x1b" not in str(error), error
            return False
    return True


def restore(folder: Path, original: Path) -> None:
    """Puts the bundle back as it was."""
    shutil.rmtree(folder / "tiny.smsr", ignore_errors=True)
    shutil.copytree(original / "tiny.smsr", folder / "tiny.smsr")


def _put(bundle: Path, name: str, data: bytes) -> None:
    (bundle / name).write_bytes(data)
    facts = json.loads((bundle / "manifest.json").read_text())
    facts["files"][name] = file_fact(data)
    (bundle / "manifest.json").write_text(json.dumps(facts))


def _check_size(where: str, height: int, width: int) -> None:
    if height * width > MOST_PIXELS:
        raise MemoryLimitError(where, f"at most {MOST_PIXELS} pixels", f"{width}x{height}", "none")


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _chunks(data: bytes) -> list[bytes]:
    """The chunks that the bytes behind the signature say, each with the checksum that it should have."""
    chunks, at = [], 8
    while at + 8 <= len(data):
        size = min(int.from_bytes(data[at : at + 4], "big"), len(data) - at - 8)
        chunks.append(_chunk(data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
        at += 12 + size
    return chunks
