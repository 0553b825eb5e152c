"""A copy of the repository in which mistakes are made, and its tests run."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tools.mutation.entries import MutantError, Project

LIMIT_SECONDS = 900
"""Of one build or test; of many tests at once for each, since a machine may be busy."""
NOT_THE_INSTALLED = """\
import sys

sys.meta_path[:] = [finder for finder in sys.meta_path if not type(finder).__name__.startswith("ScikitBuild")]
"""
"""sitecustomize.py of the copy: an editable installation's finder would import the packages from the repository."""
PYTEST = ("-q", "-n", "0", "-x", "-p", "no:cacheprovider")
SERVER = Path(__file__).with_name("pytest_server.py")


class Copy:
    """The repository's files that git does not ignore, and the built native library, in a folder of their own."""

    def __init__(self, project: Project, root: Path) -> None:
        self.root, self._project = root, project
        self._server: subprocess.Popen[str] | None = None
        for name in _files(project.root):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(project.root / name, root / name)
        (root / "build" / "site").mkdir(parents=True)
        (root / "build" / "site" / "sitecustomize.py").write_text(NOT_THE_INSTALLED)
        self._check_imports()

    def __enter__(self) -> Copy:
        return self

    def __exit__(self, *_: object) -> None:
        self._end_server()

    def pytest(self, *words: str) -> tuple[int, str]:
        """Exit code and output of pytest in the copy. Raises MutantError past the limit."""
        server = self._running_server()
        assert server.stdin is not None and server.stdout is not None
        log = self.root / "build" / "pytest.log"
        log.unlink(missing_ok=True)
        print(json.dumps([[*PYTEST, *words], str(log)]), file=server.stdin, flush=True)
        limit = LIMIT_SECONDS * max(1, sum("::" in word for word in words))
        if not select.select([server.stdout], [], [], limit)[0]:
            self._end_server()
            raise MutantError(f"{' '.join(words)}: still running after {limit} s")
        status = server.stdout.readline()
        if not status:
            self._end_server()
            raise MutantError(f"{' '.join(words)}: expected pytest to start, got an end of its process")
        return int(status), log.read_text(encoding="utf-8", errors="replace")

    def run(self, command: str | Sequence[str]) -> tuple[int, str]:
        """Exit code and output of a command, or of a shell's line, in the copy. Raises MutantError past the limit."""
        shell = isinstance(command, str)
        try:
            done = subprocess.run(
                command, shell=shell, cwd=self.root, env=self._environment(), text=True, errors="replace", check=False,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=LIMIT_SECONDS,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise MutantError(f"{command}: still running after {LIMIT_SECONDS} s") from error
        return done.returncode, done.stdout

    def _running_server(self) -> subprocess.Popen[str]:
        if self._server is None:
            self._server = subprocess.Popen(
                [sys.executable, str(SERVER), *self._project.preloaded], cwd=self.root, env=self._environment(),
                text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
            )  # fmt: skip
        return self._server

    def _end_server(self) -> None:
        """The next test starts another."""
        if self._server is not None:
            os.killpg(self._server.pid, signal.SIGKILL)  # a test that still runs too
            self._server.communicate()
            self._server = None

    def _environment(self) -> Mapping[str, str]:
        paths = [self.root / "build" / "site", *(self.root / folder for folder in self._project.packages.values())]
        return {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
            "PYTHONDONTWRITEBYTECODE": "1",  # a changed source of the same size and second would not be compiled again
            "SMSR_SHARED": os.environ.get("SMSR_SHARED") or str(self._project.root.parent / "shared"),
        }

    def _check_imports(self) -> None:
        """Raises MutantError where a package would be imported from anywhere else."""
        names = self._project.packages
        code = f"import {', '.join(names)}; print({', '.join(f'{name}.__file__' for name in names)}, sep='\\n')"
        status, output = self.run([sys.executable, "-c", code])
        outside = [line for line in output.splitlines() if not Path(line).is_relative_to(self.root)]
        if status or outside:
            raise MutantError(f"expected packages imported from {self.root}, got {output.strip()}")


def _files(root: Path) -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=root, capture_output=True, text=True, check=True,
    ).stdout.split("\0")  # fmt: skip
    built = [str(file.relative_to(root)) for file in root.glob("runtime/smsr_runtime/native/*.so")]
    return [name for name in [*listed, *built] if name and (root / name).is_file()]
