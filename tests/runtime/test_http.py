"""Videos over HTTP and HTTPS, from a real server on loopback."""

from __future__ import annotations

import ssl
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
OWN_CERTIFICATE = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgyUB2B60R6zyi57zT
JMZ2EfoO3nrsz8/SlEWmMcVS9fGhRANCAASTllpQa6JwOnbG4NXHetqItc5k/C40
DrYA8IY4m8xdrC7cSsp4nwIv+BX77xup/uFtH1uFpD2YpCcdGTrLw5fp
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBlTCCATugAwIBAgIUT3OGFw3bwcuHzuixJ1I0cO/zQrUwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyNzE5MzIwNloYDzIxMjYxMTAz
MTkzMjA2WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAASTllpQa6JwOnbG4NXHetqItc5k/C40DrYA8IY4m8xdrC7cSsp4nwIv
+BX77xup/uFtH1uFpD2YpCcdGTrLw5fpo2kwZzAdBgNVHQ4EFgQU83jVIewsjAHI
sZyKDYsF4uJiJmwwHwYDVR0jBBgwFoAU83jVIewsjAHIsZyKDYsF4uJiJmwwDwYD
VR0TAQH/BAUwAwEB/zAUBgNVHREEDTALgglsb2NhbGhvc3QwCgYIKoZIzj0EAwID
SAAwRQIhALkcXslzswWAPy/bTqhBfHLLEFamIrX1hawQQLZL4k4tAiAcTV7x8fYD
6uTsEO6ytqTpsk95Yylczlvj1YQs8wrtiQ==
-----END CERTIFICATE-----
"""
"""Signed by itself, for localhost alone, until 2126, with its key: made for this test, of use for nothing else.

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key.pem -out cert.pem -days 36500
-subj /CN=localhost -addext subjectAltName=DNS:localhost
"""


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
        self.content, self.scheme = content, "http"

    def encrypt(self, certificate: Path) -> None:
        """certificate: a file with it and its key."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self.socket, self.scheme = context.wrap_socket(self.socket, server_side=True), "https"

    def address(self, name: str) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_address[1]}/{name}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing: a client that does not trust the server hangs up."""


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


def test_over_https_a_server_that_nobody_vouches_for_is_refused_until_it_is_named(
    run: Run, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, out = tmp_path / "own.pem", tmp_path / "out.mkv"
    certificate.write_text(OWN_CERTIFICATE)
    server.encrypt(certificate)
    address = server.address("clip.mkv").replace("127.0.0.1", "localhost")
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    expected = "expected a server whose certificate this machine trusts, got self"  # -signed or " signed certificate"
    assert_one_line_error(run(address, "-o", out), 1, address, expected, "SSL_CERT_FILE")
    assert not out.exists()
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    done = run(address, "-o", out)
    assert done.returncode == 0, done.stderr
    numbers = [read_number(frame) for frame in decoded(out, "rgb24")]
    assert numbers and set(numbers) <= set(range(FRAMES))
    assert_one_line_error(run(address.replace("clip", "none"), "-o", tmp_path / "none.mkv"), 1, "404")
    other = server.address("clip.mkv")  # for which the certificate is not
    assert_one_line_error(run(other, "-o", tmp_path / "none.mkv"), 1, "certificate this machine trusts", "127.0.0.1")
