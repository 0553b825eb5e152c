"""tools/release.py: what goes into a release, and what ends one; the wheels themselves take `make release`."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.conftest import missing
from tools import release


def need_git() -> None:
    if shutil.which("git") is None:
        missing("no git: what goes into a release was not checked (apt install git)")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with the runtime, kernels and their tests, and files beside them that git does not know."""
    need_git()
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


BACKENDS = {"runtime": "scikit_build_core.build", "whole": "hatchling.build"}
"""What makes each wheel: pip and `python -m build` call it."""


@pytest.mark.parametrize("distribution", ["runtime", "whole"])
def test_a_wheel_holds_the_files_that_git_tracks_in_its_packages(distribution: str, tmp_path: Path) -> None:
    need_git()
    if not (release.REPOSITORY / ".git").exists():
        missing("no git repository: the wheels' files were not compared with it")
    packages: Sequence[str]
    if distribution == "runtime":
        tree, packages, above = release.stage_runtime(tmp_path), release.RUNTIME, "runtime/"
    else:
        tree, packages, above = release.stage_whole(tmp_path), release.WHOLE, ""
    pytest.importorskip(BACKENDS[distribution])
    code = "import sys; from {} import build_wheel; build_wheel(sys.argv[1], {{'wheel.cmake': 'false'}})"
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    command = [sys.executable, "-c", code.format(BACKENDS[distribution]), str(wheels)]
    subprocess.run(command, cwd=tree, check=True, stdout=subprocess.DEVNULL)
    (wheel,) = wheels.iterdir()
    with zipfile.ZipFile(wheel) as opened:
        held = {name for name in opened.namelist() if ".dist-info/" not in name}
    tracked = set(release.text("git", "ls-files", *(above + package for package in packages)).splitlines())
    assert held == {re.sub("^(runtime|export|benchmarks)/", "", name) for name in tracked}
    assert release.complete(wheel, tree, packages) == wheel


def archive(path: Path, names: list[str]) -> Path:
    """A wheel or a source distribution of empty files."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path, "w") as wheel:
            for name in names:
                wheel.writestr(name, "")
    else:
        with tarfile.open(path, "w:gz") as tar:
            for name in names:
                tar.addfile(tarfile.TarInfo(f"smsr-1/{name}"))
    return path


@pytest.mark.parametrize(("made", "above"), [("smsr-1-py3-none-any.whl", ""), ("smsr-1.tar.gz", "export/")])
def test_an_archive_that_lacks_a_file_of_its_packages_ends_the_release(made: str, above: str, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for name in ("smsr/network.py", "export/smsr_export/templates/page.html", "export/beside.txt"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).touch()
    packages = ("smsr", "export/smsr_export")
    whole = archive(tmp_path / made, ["smsr/network.py", f"{above}smsr_export/templates/page.html", "PKG-INFO"])
    assert release.complete(whole, tree, packages) == whole
    with pytest.raises(SystemExit, match=f"got none of {above}smsr_export/templates/page.html"):
        release.complete(archive(tmp_path / made, ["smsr/network.py"]), tree, packages)


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
