"""A smsr-run --serve of its own for a test, and what it answers."""

from __future__ import annotations

import contextlib
import email
import http.client
import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.helpers import heed_signals
from tests.runtime.helpers import RUNTIME, need


@dataclass(frozen=True)
class Page:
    """A running server. lines: file with its stderr; folder: where it may put temporary files."""

    process: subprocess.Popen[str]
    port: int
    lines: Path
    folder: Path

    def ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None, chunked: bool = False
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            connection.request(method, path, body, dict(headers or {}), encode_chunked=chunked)
            response = connection.getresponse()
            return response.status, response.headers, response.read()

    def upscale(self, body: Any, query: str = "", **options: Any) -> tuple[int, dict[str, bytes]]:
        """The code, and the parts of the answer by their names; of an error the part "error"."""
        code, headers, content = self.ask("POST", f"/upscale{query}", body, **options)
        if code != 200:
            return code, {"error": json.loads(content)["error"]["message"].encode()}
        whole = email.message_from_bytes(b"Content-Type: " + headers["Content-Type"].encode() + b"\r\n\r\n" + content)
        parts: Any = whole.get_payload()
        return code, {part.get_param("name", header="Content-Disposition"): _content(part) for part in parts}

    def workers(self) -> list[int]:
        """The processes that compute; Linux."""
        return [pid for pid in children(self.process.pid) if b"resource_tracker" not in _command(pid)]

    def end(self, number: int = signal.SIGINT) -> int:
        """The exit code after this signal."""
        self.process.send_signal(number)
        return self.process.wait(30)


def _content(part: Any) -> bytes:
    content: bytes = part.get_payload(decode=True)
    return content


def children(pid: int) -> list[int]:
    """Processes that any of its threads started; none where it is gone."""
    with contextlib.suppress(OSError):
        lists = [(task / "children").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
        return [int(word) for one in lists for word in one.split()]
    return []


def _command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


@contextlib.contextmanager
def serving(
    bundle: Path, folder: Path, *options: object, environment: Mapping[str, str] | None = None
) -> Iterator[Page]:
    """folder: an empty one, for its temporary files and its stderr."""
    for package in ("starlette", "uvicorn"):
        need(importlib.util.find_spec(package) is not None, f"{package} (pip install 'smsr[serve]')")
    temporary, lines = folder / "tmp", folder / "stderr"
    temporary.mkdir()
    command = [sys.executable, str(RUNTIME / "run.py"), str(bundle), "--serve", "--port", "0", *map(str, options)]
    with lines.open("w") as errors, subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=folder, preexec_fn=heed_signals,
        env={**os.environ, "TMPDIR": str(temporary), "OMP_NUM_THREADS": "1", **(environment or {})},
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            first = process.stdout.readline()
            assert first.startswith("http://"), lines.read_text()
            yield Page(process, int(first.split("/")[2].rsplit(":", 1)[1]), lines, temporary)
        finally:
            process.kill()
