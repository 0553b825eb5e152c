"""Videos over HTTP, from a real server on loopback."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import pytest

from tests.runtime.helpers import Run, assert_one_line_error
from tests.runtime.tcp_sender import numbered, read_number
from tests.runtime.video import decoded

FRAMES = 20


def clip(path: Path) -> bytes:
    """Numbered frames, ten per second, in Matroska: it can be read from the front alone."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "10", "bf": "0"})
        stream.height, stream.width = numbered(0).shape[:2]
        stream.pix_fmt = "yuv420p"
        for number in range(FRAMES):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(numbered(number), format="rgb24")))
        container.mux(stream.encode(None))
    return path.read_bytes()


class Server(ThreadingHTTPServer):
    """/clip.mkv; /cut.mkv states the whole size, and ends after two thirds."""

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = content

    def address(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{name}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        content = self.server.content
        if self.path not in {"/clip.mkv", "/cut.mkv"}:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content if self.path == "/clip.mkv" else content[: len(content) * 2 // 3])

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(clip(tmp_path / "source.mkv"))
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def test_a_video_over_http_is_upscaled(run: Run, server: Server, tmp_path: Path) -> None:
    out = tmp_path / "out.mkv"
    done = run(server.address("clip.mkv"), "-o", out)
    assert done.returncode == 0, done.stderr
    numbers = [read_number(frame) for frame in decoded(out, "rgb24")]
    assert numbers and numbers == sorted(set(numbers)) and set(numbers) <= set(range(FRAMES))  # late ones are dropped


def test_what_a_server_does_not_have_is_one_line(run: Run, server: Server, tmp_path: Path) -> None:
    done = run(server.address("none.mkv"), "-o", tmp_path / "out.mkv")
    assert_one_line_error(done, 1, server.address("none.mkv"), "404")
    assert not (tmp_path / "out.mkv").exists()


def test_a_download_that_breaks_off_is_an_error_and_what_came_plays(run: Run, server: Server, tmp_path: Path) -> None:
    out = tmp_path / "out.mkv"
    done = run(server.address("cut.mkv"), "-o", out)
    assert_one_line_error(done, 1, server.address("cut.mkv"))
    kept = [path for path in tmp_path.iterdir() if path.name.startswith("out")]
    assert kept and decoded(kept[0])
