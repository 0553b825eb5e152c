"""Pictures in strips of rows: the whole picture's result, from memory or a file, within a limit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import numpy_helper

import smsr_runtime
from smsr.network import Network, NetworkConfig
from smsr_export.fold import fold
from smsr_export.freeze import freeze
from smsr_export.onnx_model import build_model
from smsr_export.parity.pictures import own_pictures
from smsr_export.writing import ExportRequest, export
from smsr_runtime import resources
from smsr_runtime.arrays import to_planes
from smsr_runtime.bundle import read_bundle
from smsr_runtime.doctor import bundle as doctor
from smsr_runtime.errors import MemoryLimitError, OutputError, SelfTestError, UsageError
from smsr_runtime.ort import features, strips
from smsr_runtime.ort.backend import OrtBackend
from smsr_runtime.ort.model_parts import ModelParts
from smsr_runtime.ort.native import Library
from smsr_runtime.ort.strip_memory import BODY_BYTES, NATIVE_BYTES, Cutter, PassBytes
from smsr_runtime.selftest import self_test
from smsr_runtime.strips import StripJob, Strips
from tests.helpers import random_network

Floats = NDArray[np.float32]
ODD = Strips(rows=12, ends=20, count=0, feature_bytes=0, in_file=False)
IN_FILE = Strips(rows=32, ends=8, count=0, feature_bytes=0, in_file=True)


@pytest.fixture(scope="module")
def picture(shared: Path) -> NDArray[np.uint8]:
    """(117, 93, 3): neither a multiple of a tile, nor even, with flat and busy parts."""
    read = cv2.imread(str(shared / "data" / "Set14" / "HR" / "comic.png"))
    assert read is not None
    return np.ascontiguousarray(read[40:157, 60:153, ::-1])


def computed(backend: OrtBackend, image: Floats, cut: Strips, theta: float) -> tuple[Floats, list[Floats]]:
    _, _, height, width = image.shape
    result = np.full((1, 3, 2 * height, 2 * width), np.nan, np.float32)
    steps = []

    def write(first: int, rows: Floats) -> None:
        assert np.isnan(result[:, :, first : first + rows.shape[2]]).all(), "each row once"
        result[:, :, first : first + rows.shape[2]] = rows

    def read(first: int, end: int) -> Floats:
        return np.ascontiguousarray(image[:, :, first:end])

    job = StripJob(height, width, theta, read, write, True, lambda *step: steps.append(step))
    margins = backend.run_strips(job, cut)
    assert [done for done, _ in steps] == list(range(1, steps[0][1] + 1))
    return result, margins


def same(some: Sequence[Floats], others: Sequence[Floats]) -> bool:
    return all(np.array_equal(one, other) for one, other in zip(some, others, strict=True))


@pytest.mark.parametrize("cut", [ODD, IN_FILE], ids=["memory", "file"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_natively_strips_have_the_bits_of_the_whole_picture(
    x2_bundle: Path, x2_bf16_bundle: Path, picture: NDArray[np.uint8], variant: str, precision: str, cut: Strips
) -> None:
    """Masks are bits of the margins; 4 dB off the trained theta other tiles are computed by Winograd."""
    backend = OrtBackend(read_bundle(x2_bundle if precision == "fp32" else x2_bf16_bundle), 2)
    image = to_planes(picture)
    for theta in (0.0, 3.0):
        expected, masks = backend.run(image, theta, margins=True)
        result, margins = computed(backend, image, cut, theta)
        assert np.array_equal(result, expected)
        assert same(margins, masks)


def test_the_doctor_says_that_larger_pictures_are_computed_in_strips(
    x2_bundle: Path, native_library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the native library a pixel takes 2400 bytes."""
    monkeypatch.setattr(doctor, "available_memory", lambda: 2400 * 3_100_000)
    fit = "3.1 megapixels fit the memory whole, larger pictures are computed in strips"
    assert f"about 2400 bytes per input pixel: {fit}" in doctor.examine(str(x2_bundle)).why


def test_the_function_body_gives_the_whole_picture_within_rounding(x2_bundle: Path, picture: NDArray[np.uint8]) -> None:
    backend = OrtBackend(read_bundle(x2_bundle), 2, Library.NONE)
    image = to_planes(picture[:61])
    expected, masks = backend.run(image, 0.0, margins=True)
    for cut in (ODD, IN_FILE):
        result, margins = computed(backend, image, cut, 0.0)
        assert np.abs(result - expected).max() < 1e-3
        flips = [int(((one > 0) != (other > 0)).sum()) for one, other in zip(margins, masks, strict=True)]
        assert max(flips) == 0


@pytest.mark.parametrize(("halo", "name"), [(4, "MODULE_HALO"), (0, "END_HALO")])
def test_without_the_rows_that_a_strip_depends_on_the_result_differs(
    x2_bundle: Path, picture: NDArray[np.uint8], native_library: Path, monkeypatch: pytest.MonkeyPatch, halo: int,
    name: str,
) -> None:  # fmt: skip
    backend = OrtBackend(read_bundle(x2_bundle), 2, native_library)
    monkeypatch.setattr(strips, name, halo)
    assert not np.array_equal(computed(backend, to_planes(picture), ODD, 0.0)[0], backend.run(to_planes(picture))[0])


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_every_scale_batch_type_and_gray_through_the_public_call(
    tmp_path: Path, scale: int, picture: NDArray[np.uint8], native_library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = random_network(NetworkConfig(scale, 16, 3, 2), seed=scale)
    torch.save(network.state_dict(), tmp_path / "a.pt")
    few = own_pictures(scale)[:1]
    export(network, ExportRequest(tmp_path / "a.pt", tmp_path / "a.smsr", few, accept_failure=True))
    upscaler = smsr_runtime.load(tmp_path / "a.smsr", threads=2, library=native_library)
    batch = np.stack([picture, picture[::-1]])
    deep = picture.astype(np.uint16) * 257
    images: tuple[NDArray[Any], ...] = (picture, batch, deep, picture[..., 0])
    whole = [upscaler.with_margins(image) for image in images]
    floats = upscaler.upscale_float(np.concatenate([to_planes(picture)] * 2), margins=True)
    assert upscaler.strips is None
    cut_into_strips(monkeypatch)
    for image, (result, margins) in zip(images, whole, strict=True):
        again, masks = upscaler.with_margins(image)
        assert upscaler.strips == ODD
        assert again.dtype == image.dtype and np.array_equal(again, result)
        assert same(masks, margins)
        assert upscaler.active_shares(masks) == upscaler.active_shares(margins)
    result, margins = upscaler.upscale_float(np.concatenate([to_planes(picture)] * 2), margins=True)
    assert np.array_equal(result, floats[0]) and same(margins, floats[1])
    assert np.array_equal(upscaler.upscale_float(to_planes(picture))[0], floats[0][:1])


def cut_into_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if memory were short: small pictures take less than the sessions of the parts."""
    monkeypatch.setattr("smsr_runtime.ort.backend.fits", lambda needed: False)
    monkeypatch.setattr(Cutter, "cut", lambda *_: ODD)


def test_where_memory_is_short_the_picture_is_cut(
    x2_bundle: Path, shared: Path, native_library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """361x250 pixels take 216 MB whole; 200 MB do for strips with the features, 139 MB, in a file."""
    upscaler = smsr_runtime.load(x2_bundle, threads=2, library=native_library)
    image = cv2.imread(str(shared / "data" / "Set14" / "HR" / "comic.png"))
    assert image is not None
    whole = upscaler(image)
    for free, in_file in ((320, False), (200, True)):
        monkeypatch.setattr("smsr_runtime.ort.backend.available_memory", lambda free=free: free << 20)
        monkeypatch.setattr(resources, "available_memory", lambda: 200 << 20)
        monkeypatch.setattr(upscaler.opened, "_held", 0)
        assert np.array_equal(upscaler(image), whole)
        assert upscaler.strips is not None and upscaler.strips.in_file == in_file
        assert upscaler.strips.feature_bytes == 6 * 4 * 64 * 361 * 250


@pytest.mark.parametrize("bytes_per_pass", [NATIVE_BYTES, BODY_BYTES])
@pytest.mark.parametrize("scale", [2, 4])
def test_the_least_memory_is_enough_and_a_megabyte_less_is_refused(bytes_per_pass: PassBytes, scale: int) -> None:
    cutter = Cutter(64, 5, scale, bytes_per_pass, native=bytes_per_pass is NATIVE_BYTES)
    least = cutter.least(3840)
    cut = cutter.cut(2160, 3840, least)
    assert cut.in_file and strips.TILE in {cut.rows, cut.ends}
    needed, less, result = resources.in_units(least), least - (1 << 20), 1 << 30
    for free, beside, words in ((less, 0, ""), (less + result, result, r", and 1\.0 GiB for the result")):
        got = resources.in_units(free)
        expected = (
            f"at least {needed} of memory free for strips of 3840 pixels{words}, got {got} for 3840x2160; raise --m"
        )
        with pytest.raises(MemoryLimitError, match=expected):
            cutter.cut(2160, 3840, free, beside)


@pytest.mark.parametrize("room", [320 << 20, 1 << 30, 2 << 30, 10 << 30])
@pytest.mark.parametrize("size", [(2160, 3840), (720, 1280), (37, 640), (5000, 300)])
def test_strips_are_whole_tiles_that_cover_the_picture(size: tuple[int, int], room: int) -> None:
    cut = Cutter(64, 5, 2, NATIVE_BYTES, native=True).cut(*size, room)
    assert all(rows > 0 and rows % strips.TILE == 0 for rows in (cut.rows, cut.ends))
    assert (cut.count - 1) * cut.rows < size[0] <= cut.count * cut.rows
    assert cut.in_file or cut.feature_bytes < room


def test_an_error_in_a_pass_leaves_no_file(
    x2_bundle: Path, picture: NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TMPDIR", raising=False)
    monkeypatch.setattr(features, "in_memory", lambda _: False)
    backend = OrtBackend(read_bundle(x2_bundle), 2)
    before = len(os.listdir("/proc/self/fd"))

    def fail(_first: int, _rows: Floats) -> None:
        assert [path.name for path in tmp_path.iterdir()] == []  # it has no name while it is used, either
        assert any(str(tmp_path) in os.readlink(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")[:-1])
        raise OutputError("out", "room", "none", "free some")

    image = to_planes(picture[:40])
    job = StripJob(40, 93, 0.0, lambda a, b: np.ascontiguousarray(image[:, :, a:b]), fail, folder=tmp_path)
    with pytest.raises(OutputError):
        backend.run_strips(job, IN_FILE)
    assert len(os.listdir("/proc/self/fd")) <= before


def test_a_disk_without_room_is_named_with_both_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TMPDIR", raising=False)
    monkeypatch.setattr(features, "in_memory", lambda _: False)
    names = ("a", "b")
    with pytest.raises(OutputError, match=rf"^{tmp_path}: expected \d+\.\d GiB of disk .* got .* GiB free; free some"):
        features.MapsInFile(names, (1 << 20, 1 << 14, 64), tmp_path)
    with pytest.raises(OutputError, match="no such file"):
        features.MapsInFile(names, (4, 4, 4), tmp_path / "none")


def test_a_folder_in_memory_is_no_place_for_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resources.in_memory(Path("/dev/shm"))
    assert not resources.in_memory(Path("/proc"))
    monkeypatch.setenv("TMPDIR", "/dev/shm")
    with pytest.raises(OutputError, match="/dev/shm, which lies in memory; let TMPDIR"):
        features.MapsInFile(("a",), (1, 1, 1), None)


@pytest.mark.parametrize(
    ("text", "size"),
    [("2G", 2 << 30), ("512M", 512 << 20), ("1.5g", 3 << 29), ("2GiB", 2 << 30), ("700 MB", 700 << 20), ("4096", 4096)],
)
def test_sizes_of_memory(text: str, size: int) -> None:
    assert resources.parse_memory(text) == size


@pytest.mark.parametrize("text", ["", "G", "-1G", "0", "2X", "two", "nan", "1e9"])
def test_other_texts_are_no_size(text: str) -> None:
    with pytest.raises(UsageError, match="--memory: expected a size such as 2G"):
        resources.parse_memory(text)


def test_a_limit_counts_what_the_process_holds() -> None:
    held = resources.resident_memory()
    with resources.limited(held + (64 << 20)):
        free = resources.available_memory()
        assert free is not None and 32 << 20 < free <= 64 << 20
        with resources.limited(None):
            assert resources.available_memory() == pytest.approx(free, abs=16 << 20)
    with resources.limited(1 << 20):
        assert resources.available_memory() == 0


def test_the_self_test_computes_the_picture_in_strips_too(x2_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = read_bundle(x2_bundle)
    result = self_test(bundle, OrtBackend(bundle, 2))
    assert result.strips_max_abs is not None and result.strips_max_abs <= result.allowed
    monkeypatch.setattr(strips, "MODULE_HALO", 0)
    with pytest.raises(SelfTestError, match=r"self-test \(.*, in strips\)"):
        self_test(bundle, OrtBackend(bundle, 2))


def test_a_part_is_a_checked_model_with_the_same_constants(small_network: Network) -> None:
    model = build_model(fold(freeze(small_network)))
    parts = ModelParts(model.SerializeToString())
    for tensor in model.graph.initializer:
        assert np.array_equal(parts.constant(tensor.name), numpy_helper.to_array(tensor))
    part = onnx.load_from_string(parts.part({"image": 4}, ["head.2"]))
    assert [node.op_type for node in part.graph.node] == ["Sub", "Transpose", "ConvolutionRelu", "Convolution"]
    assert [value.name for value in part.graph.input] == ["image"]
    assert part.opset_import == model.opset_import and part.functions == model.functions
    with pytest.raises(KeyError, match="image"):
        parts.part({}, ["head.2"])


@pytest.mark.parametrize("data", [b"\x3a\x7f", b"\x0b", b"\xff\xff"])
def test_bytes_that_are_no_model_are_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match="message"):
        ModelParts(data)


@pytest.mark.slow
def test_the_command_keeps_to_its_limit(x2_bundle: Path, shared: Path, tmp_path: Path, native_library: Path) -> None:
    """800x1000 pixels take 1.8 GiB whole. The largest resident set, file-backed pages counted."""
    face = cv2.imread(str(shared / "data" / "Set14" / "HR" / "face.png"))
    assert face is not None
    cv2.imwrite(str(tmp_path / "in.png"), np.tile(face, (3, 4, 1))[:800, :1000])
    peak = "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    code = f"import sys; from smsr_runtime.run.command import main; code = main(); {peak}; sys.exit(code)"
    command = [sys.executable, "-c", code, x2_bundle, tmp_path / "in.png", "-o", tmp_path / "out.png"]
    command += ["--memory", "600M", "--threads", "2", "--json"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    document, _, largest = done.stdout.rpartition("}\n")
    assert int(largest) < 600 << 10
    record = json.loads(document + "}")["files"][0]
    assert record["strips"]["features"] == "file" and record["strips"]["feature_bytes"] == 800 * 1000 * 6 * 256
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.png", "out.png"]
