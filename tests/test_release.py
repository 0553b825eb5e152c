"""tools/release.py: what goes into a release, and what ends one; the wheels themselves take `make release`."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tools import release


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with the runtime, kernels and their tests, and files beside them that git does not know."""
    folder = tmp_path / "repository"
    tracked = ["runtime/pyproject.toml", "runtime/smsr_runtime/a.txt", "plugins/kernels/k.txt", "plugins/tests/t.txt"]
    for name in [*tracked, "runtime/secret.pt", "runtime/smsr_runtime/__pycache__/a.pyc", "plugins/build/k.o"]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    for command in (["init", "-q"], ["add", *tracked]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    monkeypatch.setattr(release, "REPOSITORY", folder)
    return folder


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_only_tracked_files_are_staged(repository: Path, tmp_path: Path) -> None:
    staged = release.stage(tmp_path / "staged", ["runtime"])
    assert files(staged) == {"runtime/pyproject.toml", "runtime/smsr_runtime/a.txt"}
    assert (staged / "runtime/smsr_runtime/a.txt").read_text() == "runtime/smsr_runtime/a.txt"


def test_the_runtime_is_staged_with_the_kernels_and_without_their_tests(repository: Path, tmp_path: Path) -> None:
    staged = release.stage_runtime(tmp_path / "staged")
    assert files(staged) == {"pyproject.toml", "smsr_runtime/a.txt", "plugins/kernels/k.txt"}


@pytest.mark.parametrize(
    ("made", "named", "words"),
    [
        ("r-1-py3-none-linux_x86_64.whl", "r-1-py3-none-manylinux_2_35_x86_64.whl", "expected one for manylinux2014"),
        ("r-1-py3-none-linux_x86_64.whl", "r-1-py3-none-manylinux2014_x86_64.whl", ""),
    ],
)
def test_a_wheel_for_a_newer_system_is_refused(
    made: str, named: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """named: what auditwheel, which looks into the library, calls it."""
    wheels, output = tmp_path / "wheels", tmp_path / "dist"
    wheels.mkdir()
    output.mkdir()
    (wheels / made).write_bytes(b"wheel")

    def auditwheel(*command: object) -> None:
        assert [str(word) for word in command[1:4]] == ["-m", "auditwheel", "repair"]
        (wheels / "repaired").mkdir()
        (wheels / "repaired" / named).write_bytes(b"repaired")

    monkeypatch.setattr(release, "run", auditwheel)
    if words:
        with pytest.raises(SystemExit, match=words):
            release.proved(wheels / made, "x86_64", output)
        assert not list(output.iterdir())
    else:
        assert release.proved(wheels / made, "x86_64", output) == output / named
        assert (output / named).read_bytes() == b"repaired"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import sys; print('some trouble'); sys.exit(3)", "(?s)some trouble.*exit code 3"),
        ("print('smsr_runtime is built WITHOUT its native library')", "WITHOUT its native library"),
    ],
)
def test_a_build_that_fails_or_leaves_out_the_native_library_ends_the_release(code: str, words: str) -> None:
    release.run(sys.executable, "-c", "print('built')")
    with pytest.raises(SystemExit, match=words):
        release.run(sys.executable, "-c", code)


@pytest.mark.parametrize("name", ["../outside", "/tmp/outside"])
def test_an_archive_stays_in_its_folder(name: str, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "made.tar", "w") as tar:
        entry = tarfile.TarInfo(name)
        entry.size = 4
        tar.addfile(entry, io.BytesIO(b"evil"))
    (tmp_path / "in").mkdir()
    if name.startswith("/"):  # the leading slash goes
        release.unpack(tmp_path / "made.tar", tmp_path / "in")
        assert files(tmp_path / "in") == {"tmp/outside"}
    else:
        with pytest.raises(tarfile.OutsideDestinationError):
            release.unpack(tmp_path / "made.tar", tmp_path / "in")
    assert not (tmp_path / "outside").exists()
