"""Results take their names in one step: nothing that appears meanwhile is replaced, nothing old is lost."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from smsr_runtime import files, folders, renames
from smsr_runtime.bundle import is_replaceable
from smsr_runtime.errors import OutputError
from tests.helpers import REPOSITORY


def bundle(path: Path, text: str) -> Path:
    path.mkdir(parents=True)
    (path / "manifest.json").write_text(json.dumps({"format": "smsr-bundle", "name": text}))
    return path


def name_of(path: Path) -> str:
    return str(json.loads((path / "manifest.json").read_text())["name"])


@pytest.fixture(params=["renameat2", "without"])
def how(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With Linux's renameat2, and as on systems without."""
    if request.param == "without":
        monkeypatch.setattr(renames, "_function", lambda: None)
    return str(request.param)


def write(path: Path, text: str, *, force: bool, meanwhile: Callable[[], object] = lambda: None) -> None:
    with folders.replacing_folder(path, is_replaceable if force else folders.nothing) as work:
        (work / "manifest.json").write_text(json.dumps({"format": "smsr-bundle", "name": text}))
        meanwhile()


def test_a_folder_is_new_or_replaces_an_old_one(tmp_path: Path, how: str) -> None:
    path = tmp_path / "x.smsr"
    write(path, "one", force=False)
    assert name_of(path) == "one"
    write(path, "two", force=True)
    assert name_of(path) == "two" and os.listdir(tmp_path) == ["x.smsr"]


@pytest.mark.parametrize("force", [False, True])
def test_what_appears_while_the_work_runs_is_kept(tmp_path: Path, how: str, force: bool) -> None:
    path = tmp_path / "x.smsr"

    def appear() -> None:
        path.mkdir()
        (path / "thesis.txt").write_text("ten years")

    with pytest.raises(OutputError, match="taken while this ran"):
        write(path, "new", force=force, meanwhile=appear)
    assert (path / "thesis.txt").read_text() == "ten years" and os.listdir(tmp_path) == ["x.smsr"]


def test_a_foreign_folder_that_takes_a_bundle_s_name_between_the_last_look_and_the_swap_comes_back(
    tmp_path: Path, how: str
) -> None:
    path = bundle(tmp_path / "x.smsr", "old")
    looks = []

    def replaceable(candidate: Path) -> bool:
        looks.append(candidate)
        if len(looks) == 1:
            path.rename(tmp_path / "elsewhere")
            path.mkdir()
            (path / "thesis.txt").write_text("ten years")
            return True
        return is_replaceable(candidate)

    with pytest.raises(OutputError, match="taken"), folders.replacing_folder(path, replaceable) as work:
        (work / "manifest.json").write_text('{"format": "smsr-bundle"}')
        looks.clear()
    assert (path / "thesis.txt").read_text() == "ten years"
    assert sorted(os.listdir(tmp_path)) == ["elsewhere", "x.smsr"]


def test_force_replaces_bundles_alone_not_every_folder_with_a_manifest(tmp_path: Path) -> None:
    foreign = tmp_path / "extension"
    foreign.mkdir()
    for text in ('{"manifest_version": 3}', '{"format": "extension"}', '["format"]'):
        (foreign / "manifest.json").write_text(text)
        assert not is_replaceable(foreign)
    assert is_replaceable(bundle(tmp_path / "x.smsr", "old"))
    (tmp_path / "link.smsr").symlink_to(tmp_path / "x.smsr")
    assert not is_replaceable(tmp_path / "link.smsr")


def test_a_file_that_appears_while_the_work_runs_is_kept(tmp_path: Path, how: str) -> None:
    path = tmp_path / "out.png"
    with (
        pytest.raises(OutputError, match="taken while this ran"),
        files.replacing(path, replace=False) as part,
    ):
        part.write_bytes(b"new")
        path.write_bytes(b"old")
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["out.png"]
    files.write_bytes(path, b"new", replace=True)
    assert path.read_bytes() == b"new"
    files.write_bytes(tmp_path / "other.png", b"free", replace=False)
    assert (tmp_path / "other.png").read_bytes() == b"free"


def test_of_three_folders_written_at_once_one_wins_and_two_say_so(tmp_path: Path, how: str) -> None:
    path, together = tmp_path / "x.smsr", threading.Barrier(3)
    lost: list[str] = []

    def attempt(text: str) -> None:
        try:
            write(path, text, force=False, meanwhile=together.wait)
        except OutputError:
            lost.append(text)

    threads = [threading.Thread(target=attempt, args=(text,)) for text in ("one", "two", "three")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lost) == 2 and {name_of(path), *lost} == {"one", "two", "three"}
    assert os.listdir(tmp_path) == ["x.smsr"]


def killed(tmp_path: Path, code: str) -> None:
    """Runs code that kills itself."""
    begin = "import os, signal; from pathlib import Path; from smsr_runtime import files, folders, renames\n"
    done = subprocess.run(
        [sys.executable, "-c", begin + code], cwd=tmp_path, env={"PYTHONPATH": str(REPOSITORY / "runtime")}, check=False
    )
    assert done.returncode == -9


def test_a_killed_process_s_leftovers_are_removed_but_not_those_of_a_running_one(tmp_path: Path) -> None:
    path = tmp_path / "x.smsr"
    killed(tmp_path, "held = folders.replacing_folder(Path('x.smsr')); held.__enter__(); os.kill(os.getpid(), 9)")
    assert len(os.listdir(tmp_path)) == 1
    seen: list[list[str]] = []

    def look() -> None:
        folders.tidy(path)
        seen.append(os.listdir(tmp_path))

    write(path, "new", force=False, meanwhile=look)
    assert len(seen[0]) == 1, "the killed one's is gone, the running one's is there"
    assert os.listdir(tmp_path) == ["x.smsr"]


def test_a_bundle_moved_aside_by_a_killed_process_comes_back(tmp_path: Path) -> None:
    path = bundle(tmp_path / "x.smsr", "old")
    killed(
        tmp_path,
        "renames._function = lambda: None\n"
        "folders.rename_new = lambda source, target: os.kill(os.getpid(), 9) if not target.exists() else "
        "renames.rename_new(source, target)\n"
        "with folders.replacing_folder(Path('x.smsr'), lambda path: True) as work:\n"
        "    (work / 'manifest.json').write_text('{\"format\": \"smsr-bundle\"}')\n",
    )
    assert not path.exists()
    folders.tidy(path, is_replaceable)
    assert name_of(path) == "old" and os.listdir(tmp_path) == ["x.smsr"]


def test_a_killed_process_s_temporary_file_is_removed_by_the_next(tmp_path: Path) -> None:
    killed(tmp_path, "held = files.replacing(Path('out.png')); held.__enter__(); os.kill(os.getpid(), 9)")
    (left,) = os.listdir(tmp_path)
    assert left.startswith(".out.smsr-") and left.endswith(".part.png")
    with files.replacing(tmp_path / "a.png") as running:
        running.write_bytes(b"a")
        files._tidied.clear()
        files.write_bytes(tmp_path / "b.png", b"b")
        assert running.exists()
    assert sorted(os.listdir(tmp_path)) == ["a.png", "b.png"]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_rename_never_replaces(tmp_path: Path, how: str, kind: str) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    for path in (source, target):
        inside = path if kind == "file" else path / "x"
        inside.parent.mkdir(exist_ok=True)
        inside.write_text(path.name)
    with pytest.raises(FileExistsError) as refused:
        renames.rename_new(source, target)
    kept = target if kind == "file" else target / "x"
    assert refused.value.errno == errno.EEXIST and source.exists() and kept.read_text() == "target"
