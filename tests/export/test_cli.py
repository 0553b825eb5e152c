"""smsr-export end to end, as a user starts it: what is wrong gets one line and an exit code, and leaves nothing."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from smsr_export.cli import main
from tests.helpers import run_python
from tests.smsr.test_checkpoint import Harm

Done = subprocess.CompletedProcess[str]


def export(*arguments: object, cwd: Path, limit_file_size: int | None = None, alone: bool = False) -> Done:
    """smsr-export in `cwd`; alone, or with a limit: in a process of its own, which takes seconds to start.

    The function body alone: what is tested here does not depend on the library.
    """
    environment = {"SMSR_ORT_LIBRARY": "none"}
    if alone or limit_file_size is not None:
        return run_python(
            "-m", "smsr_export.cli", *arguments, cwd=cwd, environment=environment, limit_file_size=limit_file_size
        )
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("default")
        patch.chdir(cwd)
        patch.setenv("SMSR_ORT_LIBRARY", environment["SMSR_ORT_LIBRARY"])
        output, errors = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            try:
                code = main([str(argument) for argument in arguments])
            except SystemExit as leaving:  # --help, --version
                code = int(leaving.code or 0)
    return Done(list(map(str, arguments)), code, output.getvalue(), errors.getvalue())


def tree(folder: Path) -> dict[str, bytes | None]:
    """Every path below the folder, hidden ones too, with its bytes."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")
    }


def assert_refused(done: Done, code: int, *words: str) -> None:
    """One line on stderr with these words, nothing on stdout, this exit code."""
    lines = done.stderr.splitlines()
    assert done.returncode == code and len(lines) == 1 and not done.stdout, done
    assert lines[0].startswith("smsr-export: error: ") and "unexpected" not in lines[0]
    assert "expected " in lines[0] and ", got " in lines[0] and "; " in lines[0], lines[0]
    assert all(word in lines[0] for word in words), lines[0]


@pytest.fixture
def checkpoint(small_checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(small_checkpoint, tmp_path / "net.pt"))


def changed(checkpoint: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    state = torch.load(checkpoint, weights_only=True)
    change(state)
    torch.save(state, checkpoint)


BAD_CHECKPOINTS: dict[str, tuple[Callable[[Path], object], tuple[str, ...]]] = {
    "missing": (Path.unlink, ("net.pt", "No such file")),
    "not a checkpoint": (lambda path: path.write_bytes(bytes(range(256))), ("net.pt", "something else")),
    "web page": (lambda path: path.write_text("<!DOCTYPE html><html></html>"), ("a web page", "download")),
    "cut": (lambda path: path.write_bytes(path.read_bytes()[:9000]), ("damaged or cut",)),
    "another network": (lambda path: torch.save(torch.nn.Linear(2, 2).state_dict(), path), ("head.0.weight",)),
    "NaN": (lambda path: changed(path, lambda state: state["tail.0.bias"].fill_(torch.nan)), ("NaN", "tail.0.bias")),
    "one missing": (lambda path: changed(path, lambda state: state.pop("collect.2.bias")), ("collect.2.bias",)),
    "code": (lambda path: torch.save(Harm(path.parent / "ran"), path), ("would run code", "nothing was run")),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD_CHECKPOINTS)
def test_a_bad_checkpoint_is_refused_and_leaves_nothing(kind: str, checkpoint: Path, tmp_path: Path) -> None:
    make, words = BAD_CHECKPOINTS[kind]
    make(checkpoint)
    before = tree(tmp_path)
    assert_refused(export("net.pt", cwd=tmp_path, alone=kind == "code"), 1, *words)
    assert tree(tmp_path) == before


def test_a_folder_and_a_bundle_are_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "some.smsr").mkdir()
    assert_refused(export("some.smsr", "-o", "x.smsr", cwd=tmp_path), 1, "a folder")
    (tmp_path / "some.smsr" / "manifest.json").write_text("{}")
    assert_refused(export("some.smsr", "-o", "x.smsr", cwd=tmp_path), 2, "a bundle")


def test_a_folder_that_cannot_be_written_to_is_named(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    before = tree(tmp_path)
    assert_refused(export("net.pt", "-o", "file/x.smsr", cwd=tmp_path), 1, "a folder to write to", "file")
    assert_refused(export("net.pt", "-o", "none/x.smsr", cwd=tmp_path), 1, "a folder to write to", "none")
    assert tree(tmp_path) == before


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system with 64 KiB, where this machine lets us mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no right to mount a small file system here; the file size limit stands for it")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_one_line_and_leaves_nothing(checkpoint: Path, full_disk: Path, tmp_path: Path) -> None:
    done = export("net.pt", "-o", full_disk / "x.smsr", cwd=tmp_path)
    assert_refused(done, 1, "no space left", "nothing was left behind")
    assert tree(full_disk) == {}


def test_a_write_that_fails_half_way_is_one_line_and_leaves_nothing(checkpoint: Path, tmp_path: Path) -> None:
    """The system ends every write beyond 40 KB: half of model.onnx."""
    before = tree(tmp_path)
    assert_refused(export("net.pt", cwd=tmp_path, limit_file_size=40_000), 1, "too large", "nothing was left behind")
    assert tree(tmp_path) == before


def test_a_failed_replacement_leaves_the_old_bundle(checkpoint: Path, tmp_path: Path) -> None:
    assert export("net.pt", cwd=tmp_path).returncode == 0
    before = tree(tmp_path)
    assert_refused(export("net.pt", "--force", cwd=tmp_path, limit_file_size=40_000), 1, "too large")
    assert tree(tmp_path) == before


def test_an_existing_bundle_is_replaced_with_force_only(checkpoint: Path, tmp_path: Path) -> None:
    assert export("net.pt", cwd=tmp_path).returncode == 0
    before = tree(tmp_path)
    assert_refused(export("net.pt", cwd=tmp_path), 2, "net.smsr", "--force")
    assert tree(tmp_path) == before
    (tmp_path / "net.smsr" / "left over").write_text("of the old bundle")
    changed(checkpoint, lambda state: state["tail.0.bias"].add_(1.0))
    assert export("net.pt", "--force", cwd=tmp_path).returncode == 0
    after = tree(tmp_path)
    assert set(after) == set(before) and after["net.smsr/model.onnx"] != before["net.smsr/model.onnx"]


@pytest.mark.parametrize("kind", ["file", "folder", "empty folder"])
def test_force_replaces_bundles_only(kind: str, checkpoint: Path, tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("mine") if kind == "file" else target.mkdir()
    if kind == "folder":
        (target / "letter.txt").write_text("mine")
    before = tree(tmp_path)
    assert_refused(export("net.pt", "-o", "precious", "--force", cwd=tmp_path), 2, "bundles only")
    assert tree(tmp_path) == before


def ill_conditioned(state: dict[str, torch.Tensor]) -> None:
    """Outputs of some 1e5 instead of 255: float32 itself then differs by more than 1e-3 between any two programs."""
    state["tail.0.weight"].mul_(3000.0)


def test_failed_parity_leaves_no_bundle(checkpoint: Path, tmp_path: Path) -> None:
    changed(checkpoint, ill_conditioned)
    before = tree(tmp_path)
    done = export("net.pt", cwd=tmp_path)
    assert_refused(done, 1, "to equal PyTorch", "outputs differ by", "--accept-parity-failure")
    assert tree(tmp_path) == before


def test_failed_parity_ships_when_accepted_and_says_so(checkpoint: Path, tmp_path: Path) -> None:
    changed(checkpoint, ill_conditioned)
    done = export("net.pt", "--accept-parity-failure", cwd=tmp_path)
    assert done.returncode == 0 and "PARITY FAILED, accepted" in done.stderr
    manifest = (tmp_path / "net.smsr" / "manifest.json").read_text()
    assert '"passed": false' in manifest and '"accepted_failure": true' in manifest


def picture(path: Path, height: int = 40, width: int = 50) -> None:
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def cut_picture(path: Path) -> None:
    picture(path)
    path.write_bytes(path.read_bytes()[:900])


BAD_PICTURES: dict[str, tuple[str, Callable[[Path], object], tuple[str, ...]]] = {
    "missing": ("p.png", lambda path: None, ("p.png", "No such file")),
    "empty folder": ("pictures", Path.mkdir, ("pictures", "expected pictures, got none")),
    "no picture": ("p.png", lambda path: path.write_text("hello"), ("p.png",)),
    "empty file": ("p.png", Path.touch, ("p.png",)),
    "cut PNG": ("p.png", cut_picture, ("p.png", "broken")),
    "cut JPEG": ("p.jpg", cut_picture, ("p.jpg", "broken")),
    "too small": ("p.png", lambda path: picture(path, 1, 9), ("p.png", "at least 2x2", "9x1")),
}


@pytest.mark.parametrize("kind", BAD_PICTURES)
def test_a_picture_to_verify_with_that_cannot_be_is_named(kind: str, checkpoint: Path, tmp_path: Path) -> None:
    name, make, words = BAD_PICTURES[kind]
    make(tmp_path / name)
    before = tree(tmp_path)
    assert_refused(export("net.pt", "--verify", name, cwd=tmp_path), 1, *words)
    assert tree(tmp_path) == before


def test_a_published_low_resolution_picture_of_the_wrong_size_is_named(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "HR").mkdir()
    (tmp_path / "LR_bicubic" / "X2").mkdir(parents=True)
    picture(tmp_path / "HR" / "p.png")
    picture(tmp_path / "LR_bicubic" / "X2" / "px2.png", 30, 30)
    assert_refused(export("net.pt", "--verify", "HR", cwd=tmp_path), 1, "px2.png", "25x20", "30x30")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every folder")
def test_a_folder_of_pictures_that_cannot_be_read_is_named(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0)
    assert_refused(export("net.pt", "--verify", "locked", cwd=tmp_path), 1, "locked", "a readable folder")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--precision", "int3"], 2),
        (["--no-such"], 2),
        ([], 2),
        (["--max-shape", "9x9"], 2),
        (["--target", "trt", "--precision", "bf16"], 2),
        (["--target", "trt", "--min-shape", "9"], 2),
        (["--target", "trt", "--opt-shape", "9x-9"], 2),
        (["--target", "trt", "--min-shape", "20x9", "--max-shape", "10x90"], 2),
        (["--target", "trt", "--workspace", "0"], 2),
    ],
    ids=str,
)
def test_what_cannot_be_asked_for_leaves_nothing(
    arguments: list[str], code: int, checkpoint: Path, tmp_path: Path
) -> None:
    before = tree(tmp_path)
    done = export(*(["net.pt", *arguments] if arguments else []), cwd=tmp_path)
    assert done.returncode == code and "Traceback" not in done.stderr and done.stderr
    assert tree(tmp_path) == before


def test_bf16_for_tensorrt_is_one_line(checkpoint: Path, tmp_path: Path) -> None:
    assert_refused(export("net.pt", "--target", "trt", "--precision", "bf16", cwd=tmp_path), 2, "bf16", "--target trt")


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_reduced_precision_is_in_the_manifest_and_says_what_was_verified(
    precision: str, checkpoint: Path, tmp_path: Path
) -> None:
    """By the function body alone, which computes in float32 whatever the precision."""
    done = export("net.pt", "--precision", precision, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"verified in float32 only: no native kernels for {precision}" in done.stdout
    manifest = json.loads((tmp_path / "net.smsr" / "manifest.json").read_text())
    assert manifest["precision"] == precision
    assert manifest["golden"]["max_abs"] == 0.001
    assert manifest["golden"].get("reduced_rmse") == {"fp16": 0.08, "bf16": 0.4}.get(precision)
    assert manifest["parity"]["passed"] and not manifest["parity"]["in_reduced_precision"]


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    done = export("none.pt", "--debug", cwd=tmp_path)
    assert done.returncode == 1 and "Traceback" in done.stderr and "CheckpointError" in done.stderr


def test_an_export_prints_its_parity_and_the_next_command(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "HR").mkdir()
    picture(tmp_path / "HR" / "one.png")
    picture(tmp_path / "HR" / "two.png", 31, 33)
    done = export("net.pt", "-o", "out.smsr", "--verify", "HR", cwd=tmp_path, alone=True)
    assert done.returncode == 0, done.stderr
    assert all(word in done.stdout for word in ("one", "two", "function body", "mask flips", "smsr-run out.smsr"))
    assert {path.name for path in tmp_path.iterdir()} == {"HR", "net.pt", "out.smsr"}
