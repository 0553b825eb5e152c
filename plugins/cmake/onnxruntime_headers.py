"""Fetch the ONNX Runtime API headers the plugin is compiled with: `onnxruntime_headers.py DEST`.

Tries in order, and prints the folder on success:
1. what DEST already holds;
2. the headers of release tag RELEASE from GitHub;
3. on Debian and Ubuntu, the package libonnxruntime-dev of Debian trixie, which has the same release: downloaded
   with a private package list and unpacked, not installed, so root is not needed.
Every file is compared with the SHA-256 below, whatever its source. Needs the standard library only, Python 3.10+.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from http.client import HTTPException
from pathlib import Path

RELEASE = "v1.21.0"
SHA256 = {
    "onnxruntime_c_api.h": "7783e9664bdb0b1b36145b5c8587dd1bc9a399aa000edf2e3dd03003cafc6882",
    "onnxruntime_cxx_api.h": "b3b27d6a6fced0725e3f188379cca008b1d7a456997684756374d4b388f2cf05",
    "onnxruntime_cxx_inline.h": "7f448e994c732eacd9e49900365fefa8f1ac998a6d6eb78e5f4aab1b8d9d8900",
    "onnxruntime_float16.h": "6c4db3d1954b266c4febe413351af86cac922e3448538e7e452e51d646e56a4a",
}
GITHUB = "https://raw.githubusercontent.com/microsoft/onnxruntime/{}/include/onnxruntime/core/session/{}"
DEBIAN_SUITE, DEBIAN_PACKAGE = "trixie", "libonnxruntime-dev"
DEBIAN_MIRROR = "http://deb.debian.org/debian"
CONNECT_SECONDS = 5


class FetchError(Exception):
    """One source did not work; the text says why in one line."""


def is_right(name: str, data: bytes) -> bool:
    return hashlib.sha256(data).hexdigest() == SHA256[name]


def is_complete(folder: Path) -> bool:
    return all((folder / name).is_file() and is_right(name, (folder / name).read_bytes()) for name in SHA256)


def store(folder: Path, files: dict[str, bytes]) -> None:
    """Write each file whole or not at all; all of them must have the right hash."""
    for name, data in files.items():
        if not is_right(name, data):
            raise FetchError(f"{name}: expected sha256 {SHA256[name]}, got {hashlib.sha256(data).hexdigest()}")
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        with tempfile.NamedTemporaryFile(dir=folder, delete=False) as temporary:
            temporary.write(data)
        os.chmod(temporary.name, 0o644)
        os.replace(temporary.name, folder / name)


def from_github() -> dict[str, bytes]:
    files = {}
    for name in SHA256:
        url = GITHUB.format(RELEASE, name)
        try:
            with urllib.request.urlopen(url, timeout=CONNECT_SECONDS) as answer:
                files[name] = answer.read()
        except (OSError, HTTPException) as error:  # the second: an answer cut short
            raise FetchError(f"{url}: {getattr(error, 'reason', error)}") from error
    return files


def debian_mirror() -> str:
    """The system's own Debian mirror where it has one."""
    sources = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    text = "\n".join(path.read_text(errors="replace") for path in sources if path.is_file())
    line = re.search(r"^(?:deb\s(?:\[[^]]*\]\s*)?|URIs:\s*)(https?://\S+/debian)/?(?:\s|$)", text, re.MULTILINE)
    return line.group(1) if line else DEBIAN_MIRROR


def run(command: list[str], folder: Path) -> None:
    try:
        done = subprocess.run(command, check=False, cwd=folder, capture_output=True, text=True)
    except OSError as error:
        raise FetchError(f"{command[0]}: {error.strerror}") from error
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise FetchError(f"{command[0]} failed: {last}")


def apt(folder: Path, *words: str) -> None:
    options = {
        "Dir::State::Lists": folder / "lists",
        "Dir::Cache": folder / "cache",
        "Dir::Etc::SourceList": folder / "sources.list",
        "Dir::Etc::SourceParts": "/dev/null",
        "APT::Sandbox::User": "",
        "Acquire::Retries": "1",
        "Acquire::http::Timeout": "20",
    }
    settings = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
    run(["apt-get", *settings, *words], folder)


def from_debian() -> dict[str, bytes]:
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        raise FetchError("apt-get: not a Debian or Ubuntu system")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "lists" / "partial").mkdir(parents=True)
        (folder / "cache" / "archives" / "partial").mkdir(parents=True)
        # trusted: Ubuntu lacks Debian's keys; the hashes above check the files themselves.
        source = f"deb [trusted=yes] {debian_mirror()} {DEBIAN_SUITE} main\n"
        (folder / "sources.list").write_text(source)
        apt(folder, "update")
        apt(folder, "download", DEBIAN_PACKAGE)
        package = next(folder.glob("*.deb"), None)
        if package is None:
            raise FetchError(f"apt-get: {DEBIAN_PACKAGE} was not downloaded")
        run(["dpkg", "-x", package.name, "unpacked"], folder)
        paths = {name: next((folder / "unpacked").rglob(name), None) for name in SHA256}
        missing = [name for name, path in paths.items() if path is None]
        if missing:
            raise FetchError(f"{DEBIAN_PACKAGE} has no {', '.join(missing)}")
        return {name: path.read_bytes() for name, path in paths.items() if path is not None}


def fetch(folder: Path) -> None:
    """Fill `folder`; raises FetchError naming every source tried."""
    if is_complete(folder):
        return
    reasons = []
    for source in (from_github, from_debian):
        try:
            store(folder, source())
            return
        except FetchError as error:
            reasons.append(str(error))
    raise FetchError("; ".join(reasons))


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print("usage: onnxruntime_headers.py DEST", file=sys.stderr)
        return 2
    folder = Path(arguments[0]).resolve()
    try:
        fetch(folder)
    except FetchError as error:
        hint = "install them and pass -DONNXRUNTIME_INCLUDE_DIR=FOLDER"
        print(f"ONNX Runtime {RELEASE} headers not found: {error}; {hint}", file=sys.stderr)
        return 1
    print(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
