"""Folders with subfolders and videos, pictures through pipes, quality of lossy results."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.runtime.helpers import RUNTIME, Done, Run, assert_one_line_error, need, opened
from tests.runtime.video import rgb_frames, write_clip


def write(path: Path, level: int = 90) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (6, 4), (level, level, level)).save(path)
    return path


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Equal names in several folders, and in one; a video, a hidden folder, a link to the folder above."""
    root = tmp_path / "in"
    for name in ("a.png", "x/a.png", "x/a.jpg", "x/deep/er/b.webp", "y/a.png", ".hidden/c.png", "y/.d.png"):
        write(root / name)
    write_clip(root / "x" / "clip.MP4", rgb_frames(3))
    (root / "x" / "notes.txt").write_text("x")
    (root / "y" / "up").symlink_to(root)
    return root


def test_recursive_keeps_the_structure(run: Run, tree: Path, tmp_path: Path) -> None:
    done = run(tree, "-o", tmp_path / "out", "--recursive", "--json")
    assert done.returncode == 0
    assert names(tmp_path / "out") == {
        "a.png",
        "x/a.png.png",
        "x/a.jpg.png",
        "x/deep/er/b.png",
        "y/a.png",
        "x/clip.MP4",
    }
    document = json.loads(done.stdout)
    assert (len(document["files"]), document["skipped"], document["notes"]) == (6, 1, [])
    (record,) = (record for record in document["files"] if "frames" in record)
    assert (record["output"], record["frames"]) == (str(tmp_path / "out" / "x" / "clip.MP4"), 3)


def test_recursive_obeys_format_and_masks(run: Run, tree: Path, tmp_path: Path) -> None:
    assert run(tree, "-o", tmp_path / "out", "--recursive", "--format", "jpg", "--show-masks").returncode == 0
    assert {"y/a.jpg", "y/a.masks.png", "x/deep/er/b.jpg"} < names(tmp_path / "out")


def test_subfolders_that_are_not_entered_are_named(run: Run, tree: Path, tmp_path: Path) -> None:
    done = run(tree, "-o", tmp_path / "out")
    assert done.returncode == 0
    assert names(tmp_path / "out") == {"a.png"}
    assert f"note: {tree}: 2 subfolders are not entered: --recursive does" in done.stderr
    assert run(tree, "-o", tmp_path / "out", "--force", "--quiet").stderr == ""


def test_a_pattern_names_its_videos_too(run: Run, tree: Path, tmp_path: Path) -> None:
    done = run(tree / "x" / "*", "-o", tmp_path / "out")
    assert done.returncode == 0
    assert names(tmp_path / "out") == {"a.png.png", "a.jpg.png", "clip.MP4"}


def test_one_existing_result_below_refuses_the_tree(run: Run, tree: Path, tmp_path: Path) -> None:
    write(tmp_path / "out" / "y" / "a.png", 7)
    assert_one_line_error(run(tree, "-o", tmp_path / "out", "--recursive"), 2, "out/y/a.png", "--force")
    assert names(tmp_path / "out") == {"y/a.png"}


def test_recursive_needs_a_folder(run: Run, tree: Path, tmp_path: Path) -> None:
    for source in (tree / "a.png", tree / "*.png", "-"):
        assert_one_line_error(run(source, "-o", tmp_path / "out.png", "--recursive"), 2, "a folder with --recursive")


def test_an_unreadable_subfolder_is_an_error(bundle: Path, tree: Path, tmp_path: Path) -> None:
    """Not fewer results. root, who may read everything, first gives up its capabilities."""
    drop = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    need(not drop or shutil.which("setpriv") is not None, "setpriv (util-linux)")
    (tree / "x" / "deep").chmod(0)
    command = [*drop, sys.executable, RUNTIME / "run.py", bundle, tree, "-o", tmp_path / "out", "--recursive"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    (tree / "x" / "deep").chmod(0o700)
    assert_one_line_error(done, 2, "x/deep", "permission denied")
    assert not (tmp_path / "out").exists()


def piped(bundle: Path, data: bytes, *arguments: object) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, str(RUNTIME / "run.py"), str(bundle), *map(str, arguments)]
    return subprocess.run(command, input=data, capture_output=True, check=False, timeout=120)


def picture(kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.arange(72, dtype=np.uint8).reshape(4, 6, 3)).save(stream, kind)
    return stream.getvalue()


EXPECTED = np.arange(72, dtype=np.uint8).reshape(4, 6, 3).repeat(2, 0).repeat(2, 1)


@pytest.mark.parametrize(("options", "kind"), [([], "PNG"), (["--format", "tiff"], "TIFF"), (["--selftest"], "PNG")])
def test_a_picture_goes_from_stdin_to_stdout(bundle: Path, options: list[str], kind: str) -> None:
    """Nothing else is on stdout."""
    done = piped(bundle, picture("BMP"), "-", "-o", "-", *options)
    assert done.returncode == 0
    with Image.open(io.BytesIO(done.stdout)) as image:
        assert (image.format, np.asarray(image).tolist()) == (kind, EXPECTED.tolist())
    assert b"12x8" in done.stderr


def test_one_side_may_be_a_file(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "in.png").write_bytes(picture())
    to_stdout = piped(bundle, b"", tmp_path / "in.png", "-o", "-")
    assert np.asarray(Image.open(io.BytesIO(to_stdout.stdout))).tolist() == EXPECTED.tolist()
    done = piped(bundle, picture(), "-", "-o", tmp_path / "out.png", "--show-masks", "--json")
    assert json.loads(done.stdout)["files"][0]["output"] == str(tmp_path / "out.png")
    assert names(tmp_path) == {"in.png", "out.png", "out.masks.png"}
    (tmp_path / "folder").mkdir()
    assert piped(bundle, picture(), "-", "-o", tmp_path / "folder").returncode == 0
    assert names(tmp_path / "folder") == {"stdin.png"}


def test_a_file_called_dash_has_a_path(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "-").write_bytes(picture())
    monkeypatch.chdir(tmp_path)
    assert piped(bundle, b"", "./-", "-o", "out.png").returncode == 0


@pytest.mark.parametrize(
    ("data", "arguments", "code", "words"),
    [
        (b"", ["-", "-o", "out.png"], 1, "stdin: expected a whole picture, got an empty file"),
        (b"no picture", ["-", "-o", "-"], 1, "stdin: expected a whole picture"),
        (b"", ["-", "-o", "-", "--json"], 2, "stdout for the result alone"),
        (b"", ["-", "-o", "-", "--show-masks"], 2, "--show-masks"),
        (b"", ["folder", "-o", "-"], 2, "one picture or video with -o -"),
        (b"", ["clip.mp4", "-o", "-", "--format", "png"], 2, "one of y4m raw for clip.mp4 on stdout"),
        (b"", ["-", "-o", "-", "--format", "y4m"], 2, "one of png"),
        (b"", ["clip.mp4", "-o", "out.mp4", "--format", "raw"], 2, "-o - with raw"),
        (b"", ["-", "-o", "out.mp4"], 2, ".mp4"),
    ],
)
def test_wrong_use_of_streams_is_one_line(
    bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    data: bytes,
    arguments: list[str],
    code: int,
    words: str,
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "clip.mp4").write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    done = piped(bundle, data, *arguments)
    text = Done(done.args, done.returncode, "", done.stderr.decode())
    if code == 2 or "--json" not in arguments:
        assert_one_line_error(text, code, words)
    assert names(tmp_path) == {"clip.mp4"}


@pytest.mark.parametrize("redirection", ["> /dev/full", ">&-", "| true"])
def test_a_stdout_that_takes_no_picture_is_one_line(bundle: Path, tmp_path: Path, redirection: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (300, 300, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "in.png")
    line = f"set -o pipefail; {sys.executable} {RUNTIME / 'run.py'} {bundle} {tmp_path / 'in.png'} -o - {redirection}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False, timeout=120)
    assert_one_line_error(done, 1, "standard output")


@pytest.mark.parametrize("quality", [1, 40, 95, 100])
def test_quality_of_jpeg_is_that_of_its_tables(run: Run, tmp_path: Path, quality: int) -> None:
    """Pillow's tables of that quality, in full colour resolution; 95 is the default."""
    Image.new("RGB", (16, 16)).save(tmp_path / "like.jpg", quality=quality)
    (tmp_path / "in.png").write_bytes(picture())
    assert run(tmp_path / "in.png", "-o", tmp_path / "out.jpg", "--quality", quality).returncode == 0
    tables = {name: opened(tmp_path / f"{name}.jpg").quantization for name in ("like", "out")}
    assert tables["out"] == tables["like"]
    assert opened(tmp_path / "out.jpg").layer[0][1:3] == (1, 1)
    if quality == 95:
        assert run(tmp_path / "in.png", "-o", tmp_path / "default.jpg").returncode == 0
        assert (tmp_path / "default.jpg").read_bytes() == (tmp_path / "out.jpg").read_bytes()


def test_quality_of_webp_changes_its_size(run: Run, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 100, (50, 50, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "in.png")
    for quality in (5, 95):
        run(tmp_path / "in.png", "-o", tmp_path / f"{quality}.webp", "--quality", quality)
    assert (tmp_path / "5.webp").stat().st_size < 0.5 * (tmp_path / "95.webp").stat().st_size


@pytest.mark.parametrize(
    ("quality", "output", "words"),
    [("0", "out.jpg", "1 to 100"), ("101", "out.jpg", "1 to 100"), ("90", "out.png", "got PNG"), ("x", "o.jpg", "x")],
)
def test_quality_that_means_nothing_is_refused(run: Run, tmp_path: Path, quality: str, output: str, words: str) -> None:
    (tmp_path / "in.png").write_bytes(picture())
    assert_one_line_error(run(tmp_path / "in.png", "-o", tmp_path / output, "--quality", quality), 2, words)
