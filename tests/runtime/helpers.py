"""A real, tiny bundle: a nearest-neighbour x2 "network" with margins, as docs/interfaces.md describes the model."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from smsr import contract
from smsr_runtime.bundle import FORMAT_VERSION
from tests.conftest import missing
from tests.helpers import UNMEASURED

REPO = Path(__file__).resolve().parents[2]
RUNTIME = REPO / "runtime"
SHARED = Path(os.environ.get("SMSR_SHARED") or REPO.parent / "shared")
MODULES = 2
NEAREST = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric"}
PACKAGES = dict.fromkeys(str(Path(str(package.__file__)).parents[1]) for package in (np, onnxruntime))
"""Where the runtime's packages lie."""
Done = subprocess.CompletedProcess
Run = Callable[..., "Done[str]"]


MAIN = f"import sys; sys.path.insert(0, {str(RUNTIME)!r}); from smsr_runtime.run.command import main; sys.exit(main())"
"""The command."""


def run_limited(limit: int, *arguments: object) -> Done[str]:
    """The command with a limit of so many bytes per file, which makes writes fail as a full disk does."""
    code = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit})); {MAIN}"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, env={**os.environ, **UNMEASURED}, capture_output=True, text=True, check=False)


def need(present: bool, what: str) -> None:
    """Skips by name what this machine lacks; under CI=true that fails instead."""
    if not present:
        missing(f"{what} is missing")


def loaded(path: Path) -> Image.Image:
    """A picture in memory, its file closed."""
    picture: Image.Image
    with Image.open(path) as picture:
        picture.load()
        return picture


def compile_library(library: Path, source: str) -> Path:
    """A shared library of C source, by the C compiler."""
    compiler = shutil.which("cc")
    need(compiler is not None, "a C compiler (cc)")
    library.with_suffix(".c").write_text(source)
    subprocess.run([str(compiler), "-shared", "-fPIC", "-o", library, library.with_suffix(".c")], check=True)
    return library


def tiny_model(scale: int = 2, resize: Mapping[str, Any] = NEAREST) -> onnx.ModelProto:
    """upscaled = image, resized by `resize`, 1 less where module 1 is active; margin_k = red - 100 k."""
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, "H", "W"])
    theta = helper.make_tensor_value_info("theta", TensorProto.FLOAT, [])
    outputs = [helper.make_tensor_value_info("upscaled", TensorProto.FLOAT, ["N", 3, "sH", "sW"])]
    outputs += [
        helper.make_tensor_value_info(f"margin_{k}", TensorProto.FLOAT, ["N", 1, "H", "W"])
        for k in range(1, MODULES + 1)
    ]
    constants = {
        "theta": np.float32(0),
        "scales": np.array([1, 1, scale, scale], np.float32),
        "zero": np.array([0], np.int64),
        "one": np.array([1], np.int64),
        **{f"offset_{k}": np.float32(100 * k) for k in range(1, MODULES + 1)},
    }
    nodes = [helper.make_node("Slice", ["image", "zero", "one", "one"], ["red"])]
    nodes += [helper.make_node("Sub", ["red", f"offset_{k}"], [f"margin_{k}"]) for k in range(1, MODULES + 1)]
    nodes += [
        helper.make_node("Greater", ["margin_1", "theta"], ["active"]),
        helper.make_node("Cast", ["active"], ["active_number"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["image", "active_number"], ["marked"]),
        helper.make_node(
            "Resize",
            ["marked", "", "scales"],
            ["upscaled"],
            **resize,
        ),
    ]
    weights = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "tiny", [image, theta], outputs, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def write_bundle(folder: Path, model: onnx.ModelProto, scale: int = 2) -> Path:
    """A bundle of `model` with hashes and golden files made by running it."""
    (folder / "golden").mkdir(parents=True)
    onnx.save(model, folder / "model.onnx")
    pixels = np.random.default_rng(7).integers(0, 256, (9, 13, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "golden" / "input.png")
    session = onnxruntime.InferenceSession(folder / "model.onnx", _quiet(), providers=["CPUExecutionProvider"])
    image = pixels.transpose(2, 0, 1)[None].astype(np.float32)
    np.save(folder / "golden" / "output.npy", session.run(["upscaled"], {"image": image})[0])
    write_manifest(folder, scale)
    return folder


def _quiet() -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return options


def write_manifest(folder: Path, scale: int = 2, **changes: Any) -> None:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "manifest.json")
    facts = {
        path.relative_to(folder).as_posix(): {
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "bytes": path.stat().st_size,
        }
        for path in files
    }
    manifest = {
        "format": "smsr-bundle",
        "format_version": FORMAT_VERSION,
        "name": "tiny",
        "target": "onnx",
        "precision": "fp32",
        "scale": scale,
        "features": 16,
        "layers": 4,
        "modules": MODULES,
        "value_range": [0, 255],
        "interface_hash": contract.interface_hash(),
        "dense_channels": [[0, 0, 0, 0]] * MODULES,
        "golden": {"input": "golden/input.png", "output": "golden/output.npy", "max_abs": 0.001},
        "files": facts,
        **changes,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))


def plain_python(code: str, runtime: Path = RUNTIME, **options: Any) -> Done[str]:
    """Runs `code` where nothing of ours is installed: numpy and the rest by path, no .pth file, no editable hook."""
    environment = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": os.pathsep.join([str(runtime), *PACKAGES]),
    }
    command = [sys.executable, "-S", "-c", code]
    return subprocess.run(
        command, env={**environment, **options.pop("extra", {})}, capture_output=True, text=True, check=False, **options
    )


def assert_one_line_error(done: Done[str], code: int, *words: str) -> None:
    """Exit code, exactly one line on stderr that has the four parts and the words, no traceback."""
    lines = done.stderr.strip().splitlines()
    assert done.returncode == code, done.stderr
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("smsr-run: error: ")
    for word in (": expected ", ", got ", "; ", *words):
        assert word in lines[0]


def opened(path: Path) -> Any:
    """The picture as Pillow reads it, its file closed."""
    return Image.open(io.BytesIO(path.read_bytes()))


def nearest(array: np.ndarray, scale: int = 2) -> np.ndarray:
    """What the tiny network gives, where red is at most 100."""
    return array.repeat(scale, axis=0).repeat(scale, axis=1)


def chunk(name: bytes, content: bytes) -> bytes:
    """A PNG's chunk with its length and checksum."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(
    kind: int,
    depth: int,
    size: tuple[int, int],
    rows: bytes,
    *extra: tuple[bytes, bytes],
    idat: bytes | None = None,
    interlaced: bool = False,
) -> bytes:
    """A PNG written chunk by chunk, for kinds that no library writes; size as (width, height); idat: packed pixels."""
    header = struct.pack(">IIBBBBB", *size, depth, kind, 0, 0, int(interlaced))
    pixels = zlib.compress(rows) if idat is None else idat
    chunks = [(b"IHDR", header), *extra, (b"IDAT", pixels), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*one) for one in chunks)
