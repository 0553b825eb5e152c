"""docker/: the locked packages are those of constraints.txt, every file that a build copies reaches it, and nothing is
installed but by hash. The images themselves are built by docker/check.sh.
"""

from __future__ import annotations

import importlib.metadata
import re
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.helpers import REPOSITORY

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest, coverage and mypy need it there

DOCKER = REPOSITORY / "docker"
LOCKS = sorted((DOCKER / "locks").glob("*.txt"))
DOCKERFILES = sorted(DOCKER.glob("*.Dockerfile"))
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
OURS = {"smsr", "smsr-runtime", "torch"}
"""What is installed by itself: the wheels made here, and torch from its own index."""


def locked(path: Path) -> dict[Requirement, list[str]]:
    """Each pin of a lock file with the SHA-256 sums of its files."""
    lines = re.sub(r"(?m)^#.*\n", "", path.read_text()).replace("\\\n", " ").splitlines()
    parts = [re.split(r"\s+--hash=sha256:", line.strip()) for line in lines if line.strip()]
    return {Requirement(pin): hashes for pin, *hashes in parts}


def versions(pins: list[Requirement], python: str) -> dict[str, str]:
    """Name to specifier of the pins that are for this Python on Linux."""
    environment = {"python_version": python, "python_full_version": f"{python}.4", "sys_platform": "linux"}
    chosen = [pin for pin in pins if pin.marker is None or pin.marker.evaluate(environment)]
    names = [canonicalize_name(pin.name) for pin in chosen]
    assert len(names) == len(set(names)), names
    return {name: str(pin.specifier) for name, pin in zip(names, chosen)}


def project(path: str, *extras: str) -> list[Requirement]:
    table = tomllib.loads((REPOSITORY / path).read_text())["project"]
    lines = table["dependencies"] + [line for extra in extras for line in table["optional-dependencies"][extra]]
    return [Requirement(line) for line in lines]


def copied(dockerfile: Path) -> set[str]:
    """What a Dockerfile takes from the repository."""
    lines = [line.split()[1:-1] for line in dockerfile.read_text().splitlines() if line.startswith("COPY ")]
    return {source for sources in lines if not sources[0].startswith("--from") for source in sources}


@pytest.mark.parametrize("lock", [*LOCKS, *sorted((DOCKER / "locks/py38").glob("*.txt"))], ids=lambda path: path.stem)
def test_every_locked_package_has_its_files_hashes(lock: Path) -> None:
    pins = locked(lock)
    assert pins
    for pin, hashes in pins.items():
        assert str(pin.specifier).startswith("=="), pin
        assert hashes and all(re.fullmatch("[0-9a-f]{64}", sum_) for sum_ in hashes), pin


@pytest.mark.parametrize("python", PYTHONS)
def test_locks_hold_the_versions_of_the_constraints(python: str) -> None:
    lines = (REPOSITORY / "constraints.txt").read_text().splitlines()
    expected = versions([Requirement(line) for line in lines if line and not line.startswith("#")], python)
    for lock in LOCKS:
        for name, version in versions(list(locked(lock)), python).items():
            assert version.split("+")[0] == expected[name], f"{lock.name}, Python {python}: {name}; docker/lock.sh"


@pytest.mark.parametrize(
    ("lock", "pythons", "requirements"),
    [
        ("runtime", PYTHONS, project("runtime/pyproject.toml", "ort", "video")),
        ("exporter", PYTHONS, project("pyproject.toml", "export")),
        ("exporter", PYTHONS, project("runtime/pyproject.toml", "ort", "video")),
        ("jetson", PYTHONS, project("runtime/pyproject.toml", "video")),
        ("py38/jetson", ["3.8"], project("runtime/pyproject.toml", "video")),
        ("exporter", PYTHONS, [Requirement(line) for line in importlib.metadata.requires("torch") or []]),
    ],
)
def test_locks_hold_what_the_packages_need(lock: str, pythons: list[str], requirements: list[Requirement]) -> None:
    pins = list(locked(DOCKER / f"locks/{lock}.txt"))
    for python in pythons:
        have = versions(pins, python)
        for need in requirements:
            extra_or_other_system = need.marker and not need.marker.evaluate({"extra": "", "sys_platform": "linux"})
            if need.name in OURS or extra_or_other_system:
                continue
            version = have[canonicalize_name(need.name)].removeprefix("==")
            assert need.specifier.contains(version), f"{lock}: {need}, got {version}"


def test_lock_of_torch_has_the_dependencies_of_torch() -> None:
    (torch,) = tomllib.loads((DOCKER / "uv.toml").read_text())["dependency-metadata"]
    (pin,) = locked(DOCKER / "locks/torch.txt")
    assert f"=={torch['version']}+cpu" == str(pin.specifier)
    needs = importlib.metadata.requires("torch") or []
    # PyPI's torch needs CUDA's packages on Linux, too.
    assert torch["requires-dist"] == [need for need in needs if not re.search("extra|platform_system", need)]


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.stem)
def test_copied_files_reach_the_build(dockerfile: Path) -> None:
    rules = [line for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    sources = copied(dockerfile)
    assert "plugins" in sources
    for source in sources:
        assert (REPOSITORY / source).exists(), source
        assert any(source == rule[1:] or source.startswith(f"{rule[1:]}/") for rule in rules), source


@pytest.mark.parametrize("name", ["cpu", "trt"])
def test_files_that_a_wheel_needs_are_copied(name: str) -> None:
    table = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    sources = copied(DOCKER / f"{name}.Dockerfile")
    needed = [table["project"]["readme"], *table["project"]["license-files"]]
    needed += [package.split("/")[0] for package in table["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]]
    links = [(REPOSITORY / "runtime" / file).resolve() for file in table["project"]["license-files"]]
    assert {*needed, *(str(link.relative_to(REPOSITORY)) for link in links)} <= sources


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.stem)
def test_packages_are_installed_by_hash_or_from_here(dockerfile: Path) -> None:
    text = dockerfile.read_text().replace("\\\n", " ")
    installs = re.findall(r"(?:pip install|\$\{install\}) [^&]*", text)
    assert len(installs) >= 4
    for install in installs:
        assert fnmatch(install, "*--require-hashes *--requirement locks/*.txt*") or "--no-deps --no-index" in install
