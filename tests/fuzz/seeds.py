"""Writes the corpus that fuzzing begins with: python -m tests.fuzz.seeds.

Small files of each kind, and hostile ones.
"""

from __future__ import annotations

import io
import json
import pickle
import struct
import tempfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import onnx
import torch
from PIL import Image
from safetensors.torch import save

from smsr.network import NetworkConfig
from tests.fuzz.targets import make_bundle
from tests.helpers import random_network
from tests.runtime.helpers import chunk, png, tiny_model

CORPUS = Path(__file__).parent / "corpus"


def checkpoints() -> dict[str, bytes]:
    """A network of 16 features in both formats of PyTorch and in safetensors; few of its numbers, to be small."""
    state = random_network(NetworkConfig(2, 16, 1, 1), 3).state_dict()
    few = {name: value for name, value in state.items() if value.numel() < 200}
    legacy, file = io.BytesIO(), io.BytesIO()
    torch.save({"params": few}, legacy, _use_new_zipfile_serialization=False)
    torch.save({"state_dict": few}, file)
    return {"small.safetensors": save(few), "legacy.pt": legacy.getvalue(), "zip.pt": file.getvalue()}


def pickles() -> dict[str, bytes]:
    """The pickle of a file, and some that ask for memory or for code."""
    with zipfile.ZipFile(io.BytesIO(checkpoints()["zip.pt"])) as archive:
        plain = archive.read("archive/data.pkl")
    return {
        "plain.pkl": plain,
        "code.pkl": pickle.dumps(print),
        "bytearray.pkl": b"\x80\x02cbuiltins\nbytearray\nJ\xff\xff\xff\x7f\x85R.",
        "deep.pkl": b"\x80\x02" + b"]" * 2000 + b"a" * 1999 + b".",
    }


def manifests(bundle: Path) -> dict[str, bytes]:
    text = (bundle / "manifest.json").read_text()
    facts = json.loads(text)
    return {
        "tiny.json": text.encode(),
        "engine.json": json.dumps(
            {**facts, "engine": {"file": "model.engine", "gpu": "x", "profile": {"min": [1, 1]}}}
        ).encode(),
        "modules.json": json.dumps({**facts, "modules": 10**6}).encode(),
        "outside.json": text.replace("golden/input.png", "../secret").encode(),
        "infinite.json": text.replace("0.001", "1e999").encode(),
        "surrogate.json": json.dumps({**facts, "name": "\ud800"}).encode(),
        "nested.json": b"[" * 3000 + b"]" * 3000,
    }


def models() -> dict[str, bytes]:
    plain, external = tiny_model(), tiny_model()
    weight = next(one for one in external.graph.initializer if one.name == "scales")
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    entry = weight.external_data.add()
    entry.key, entry.value = "location", "../secret"
    return {"tiny.onnx": plain.SerializeToString(), "external.onnx": external.SerializeToString()}


def goldens(bundle: Path) -> dict[str, bytes]:
    small, objects = io.BytesIO(), io.BytesIO()
    np.save(small, np.zeros((1, 3, 2, 2), np.float32))
    np.save(objects, np.array([print], object), allow_pickle=True)
    huge = small.getvalue().replace(b"(1, 3, 2, 2)", b"(9999999999,)")
    return {
        "tiny.npy": (bundle / "golden/output.npy").read_bytes(),
        "objects.npy": objects.getvalue(),
        "huge.npy": huge,
    }


def pictures() -> dict[str, bytes]:
    """Each format that has code of ours, and those that Pillow and OpenCV decode."""
    random = np.random.default_rng(1)
    small = random.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    files = {
        "pgm.pgm": b"P5\n# text\n3 2\n255\nabcdef",
        "ppm.ppm": b"P6 2 1 65535 " + bytes(12),
        "plain.pnm": b"P2 2 2 9 1 2 3 4",
    }
    image = Image.fromarray(small)
    note = Image.Exif()
    note[274], note[271] = 6, "camera"
    for name, kind, options in (
        ("rgb.png", "PNG", {}), ("rgb.jpg", "JPEG", {"exif": note}), ("rgb.webp", "WEBP", {}), ("rgb.bmp", "BMP", {}),
        ("rgb.gif", "GIF", {}), ("raw.tif", "TIFF", {}), ("lzw.tif", "TIFF", {"compression": "tiff_lzw"}),
        ("deflate.tif", "TIFF", {"compression": "tiff_adobe_deflate", "exif": note}),
    ):  # fmt: skip
        file = io.BytesIO()
        image.save(file, kind, **options)
        files[name] = file.getvalue()
    deep = io.BytesIO()
    Image.fromarray(random.integers(0, 65536, (4, 4), dtype=np.uint16)).save(deep, "TIFF")
    return {**files, "deep.tif": deep.getvalue()}


def pngs() -> dict[str, bytes]:
    rows = b"".join(b"\x00" + bytes(range(12)) for _ in range(2))
    bomb = zlib.compress(bytes(1 << 22))
    texts = ((b"tEXt", b"Title\x00a"), (b"zTXt", b"Note\x00\x00" + zlib.compress(b"text")),
             (b"iTXt", b"Note\x00\x00\x00en\x00\x00text"), (b"pHYs", struct.pack(">IIB", 2**32 - 1, 1, 1)))  # fmt: skip
    return {
        "rgb.png": png(2, 8, (4, 2), rows, *texts),
        "palette.png": png(3, 8, (12, 2), rows, (b"PLTE", bytes(range(36))), (b"tRNS", b"\x00\x80")),
        "deep.png": png(2, 16, (2, 2), rows, (b"gAMA", struct.pack(">I", 45455))),
        "bits.png": png(0, 1, (8, 2), b"\x00\xaa\x00\x55", (b"tRNS", b"\x00\x01")),
        "profile.png": png(2, 8, (4, 2), rows, (b"iCCP", b"name\x00\x00" + bomb)),
        "bomb.png": png(2, 8, (4, 2), rows, idat=bomb),
        "animated.png": png(2, 8, (4, 2), rows, (b"acTL", struct.pack(">II", 2**31, 0))),
        "empty.png": b"\x89PNG\r\n\x1a\n" + chunk(b"IEND", b""),
    }


def exif_blocks() -> dict[str, bytes]:
    note = Image.Exif()
    note[274], note[282], note[271] = 3, 72.0, "camera"
    note.get_ifd(0x8769)[37500] = b"maker"
    plain = note.tobytes().removeprefix(b"Exif\x00\x00")
    loop = b"II*\x00\x08\x00\x00\x00\x01\x00\x69\x87\x04\x00\x01\x00\x00\x00\x08\x00\x00\x00\x08\x00\x00\x00"
    return {"plain.bin": plain, "loop.bin": loop, "empty.bin": b"MM\x00*\x00\x00\x00\x00"}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        make_bundle(Path(folder))
        bundle = Path(folder) / "tiny.smsr"
        kinds = {
            "checkpoint": checkpoints(), "pickled": pickles(), "manifest": manifests(bundle), "model": models(),
            "golden": goldens(bundle), "picture": pictures(), "png": pngs(), "exif": exif_blocks(),
        }  # fmt: skip
    for kind, files in kinds.items():
        (CORPUS / kind).mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            (CORPUS / kind / name).write_bytes(data)


if __name__ == "__main__":
    main()
