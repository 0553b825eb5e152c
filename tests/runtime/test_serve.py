"""smsr-run --serve over HTTP: results are those of the command, limits hold, nothing is left behind."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.helpers import UNMEASURED, run_python
from tests.runtime.helpers import MAIN, Run, assert_one_line_error, plain_python
from tests.runtime.serving import Page, serving

PICTURE = np.random.default_rng(3).integers(0, 201, (14, 18, 3), dtype=np.uint8)
LIMIT = 100_000
"""Bytes of an upload, and pixels of a picture below."""


def ppm(height: int, width: int) -> bytes:
    """A picture of noise, which is slow to compress."""
    pixels = np.random.default_rng(0).bytes(3 * height * width)
    return f"P6 {width} {height} 255\n".encode() + pixels


@pytest.fixture(scope="module")
def page(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    options = ("--max-upload", LIMIT, "--max-megapixels", 0.001, "--max-waiting", 0)
    with serving(bundle, tmp_path_factory.mktemp("serve"), *options, environment={"SMSR_ORT_LIBRARY": "none"}) as made:
        yield made


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    Image.fromarray(PICTURE).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.mark.parametrize("theta", [0.0, 60.5])
def test_result_and_masks_are_the_files_that_the_command_writes(
    page: Page, run: Run, photo: Path, theta: float
) -> None:
    done = run(photo, "-o", photo.parent / "large.png", "--show-masks", "--json", "--theta", theta)
    code, parts = page.upscale(photo.read_bytes(), f"?theta={theta}")
    assert code == 200 and set(parts) == {"record", "result", "masks"}
    assert parts["result"] == (photo.parent / "large.png").read_bytes()
    assert parts["masks"] == (photo.parent / "large.masks.png").read_bytes()
    record, (expected,) = json.loads(parts["record"]), json.loads(done.stdout)["files"]
    for fact in ("input_size", "output_size", "active", "notes", "strips"):
        assert record[fact] == expected[fact]
    assert record["seconds"] > 0 and record["waited"] >= 0


def test_theta_is_the_command_s_own_where_none_is_asked_for(bundle: Path, photo: Path, tmp_path: Path) -> None:
    (tmp_path / "serve").mkdir()
    with serving(bundle, tmp_path / "serve", "--theta", "60.5") as page:
        facts = json.loads(page.ask("GET", "/about")[2])
        assert facts["theta"] == 60.5 and facts["scale"] == 2 and facts["limits"]["upload"] == 32 * 2**20
        _, parts = page.upscale(photo.read_bytes())
        _, same = page.upscale(photo.read_bytes(), "?theta=60.5")
        _, other = page.upscale(photo.read_bytes(), "?theta=0")
    active = [json.loads(one["record"])["active"] for one in (parts, same, other)]
    assert active[0] == active[1] != active[2]


BAD: dict[str, tuple[Any, str, dict[str, str], int, str]] = {
    "no picture": (b"# a text", "", {}, 415, "no picture that can be recognised"),
    "an empty body": (b"", "", {}, 415, "an empty file"),
    "half a picture": (ppm(10, 10)[:200], "", {}, 415, "the picture: expected "),
    "too many bytes": (b"x" * (LIMIT + 1), "", {}, 413, f"at most {LIMIT} bytes, got {LIMIT + 1}; "),
    "too many pixels": (ppm(26, 40), "", {}, 413, "at most 1000 pixels, got 40x26 = 1040; "),
    "theta is a word": (ppm(2, 2), "?theta=high", {}, 400, "theta: expected a finite number, got 'high'"),
    "theta is not finite": (ppm(2, 2), "?theta=nan", {}, 400, "theta: expected a finite number, got nan"),
    "a name that leads here": (ppm(2, 2), "", {"Host": "evil.example"}, 403, "got evil.example; "),
    "another site's page": (ppm(2, 2), "", {"Origin": "http://evil.example"}, 403, "got http://evil.example; "),
    "a sandboxed page": (ppm(2, 2), "", {"Origin": "null"}, 403, "got null; "),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_requests_are_answered_in_one_line(page: Page, name: str) -> None:
    body, query, headers, code, words = BAD[name]
    got, parts = page.upscale(body, query, headers=headers)
    assert got == code and words in parts["error"].decode() and b"\n" not in parts["error"]


def test_a_body_without_a_length_is_counted_while_it_comes(page: Page) -> None:
    pieces = iter([b"x" * LIMIT, b"x"])
    headers = {"Transfer-Encoding": "chunked"}
    code, parts = page.upscale(pieces, headers=headers, chunked=True)
    assert code == 413 and b"got more; " in parts["error"]


def test_the_page_is_refused_under_a_foreign_name_and_shows_nothing_of_other_sites(page: Page) -> None:
    assert page.ask("GET", "/", headers={"Host": f"evil.example:{page.port}"})[0] == 403
    code, headers, content = page.ask("GET", "/", headers={"Host": f"localhost:{page.port}"})
    assert code == 200 and b"Drop a picture" in content
    assert "default-src 'none'" in headers["Content-Security-Policy"] and headers["X-Content-Type-Options"] == "nosniff"
    for path in ("/", "/page.css", "/page.js", "/icon.svg"):
        text = page.ask("GET", path)[2].decode().replace("http://www.w3.org/2000/svg", "")
        assert "://" not in text, "it must need no network"
    for method, path, code in (("GET", "/upscale", 405), ("GET", "/../run.py", 404), ("POST", "/", 405)):
        assert page.ask(method, path)[0] == code


def test_more_requests_than_may_wait_are_refused_and_the_first_is_served(page: Page) -> None:
    """The first holds its place with half of its upload."""
    data = ppm(20, 30)
    with socket.create_connection(("127.0.0.1", page.port), 60) as slow:
        head = f"POST /upscale HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\nContent-Length: {len(data)}\r\n\r\n"
        slow.sendall(head.encode() + data[:100])
        until(lambda: page.upscale(data)[0] == 503)
        code, parts = page.upscale(data)
        assert code == 503 and b"queue: expected at most 0 requests waiting, got one more" in parts["error"]
        assert page.ask("POST", "/upscale", data)[1]["Retry-After"]
        slow.sendall(data[100:])
        assert slow.recv(12) == b"HTTP/1.1 200"
    until(lambda: page.upscale(data)[0] == 200)


def until(true: Any, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture(scope="module")
def hasty(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    options = ("--time-limit", "1", "--max-waiting", "0")
    with serving(bundle, tmp_path_factory.mktemp("hasty"), *options, environment={"SMSR_ORT_LIBRARY": "none"}) as made:
        yield made


def test_a_picture_that_takes_too_long_is_given_up_and_the_next_is_welcome(hasty: Page) -> None:
    (worker,) = hasty.workers()
    Image.new("RGB", (3000, 2500), (9, 9, 9)).save(stream := io.BytesIO(), "PNG")  # small on its way, seconds of work
    code, parts = hasty.upscale(stream.getvalue())
    assert code == 503 and b"expected a result within 1 s, got none yet; " in parts["error"]
    assert not Path(f"/proc/{worker}").exists()
    until(lambda: hasty.upscale(ppm(10, 10))[0] == 200)
    assert hasty.workers() != [worker]


def test_an_upload_that_stalls_is_given_up(hasty: Page) -> None:
    with socket.create_connection(("127.0.0.1", hasty.port), 60) as slow:
        head = f"POST /upscale HTTP/1.1\r\nHost: 127.0.0.1:{hasty.port}\r\nContent-Length: 9\r\n\r\n"
        slow.sendall(head.encode() + b"P6")
        assert slow.recv(12) == b"HTTP/1.1 408"
    until(lambda: hasty.upscale(ppm(10, 10))[0] == 200)


def test_after_its_worker_was_killed_it_starts_another(hasty: Page) -> None:
    until(lambda: hasty.upscale(ppm(10, 10))[0] == 200)
    (worker,) = hasty.workers()
    os.kill(worker, signal.SIGKILL)
    until(lambda: not alive(worker))
    code, parts = hasty.upscale(ppm(10, 10))
    assert code == 200, parts
    assert hasty.workers() != [worker]


def alive(pid: int) -> bool:
    """Neither gone nor a zombie without threads, which its parent can wait for."""
    try:
        others = len(os.listdir(f"/proc/{pid}/task")) > 1
        return others or Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_ends_cleanly_while_a_picture_is_computed(bundle: Path, tmp_path: Path, number: int) -> None:
    with serving(bundle, tmp_path) as page:
        data = ppm(2500, 3000)
        with socket.create_connection(("127.0.0.1", page.port), 60) as client:
            head = f"POST /upscale HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\nContent-Length: {len(data)}\r\n\r\n"
            client.sendall(head.encode() + data)
            assert [name[:11] for name in os.listdir(page.folder)] == ["smsr-serve-"]
            (worker,) = page.workers()
            assert page.end(number) == 0
    assert os.listdir(page.folder) == [] and not Path(f"/proc/{worker}").exists()
    assert page.lines.read_text() == "smsr-run: Ctrl-C ends it\n"


def test_after_a_kill_its_worker_removes_the_folder(bundle: Path, tmp_path: Path) -> None:
    with serving(bundle, tmp_path) as page:
        (worker,) = page.workers()
        assert page.end(signal.SIGKILL) == -signal.SIGKILL
        until(lambda: not os.listdir(page.folder) and not Path(f"/proc/{worker}").exists())


AUDIT = """
import os, sys
log = os.open(os.environ["AUDIT_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
def hook(event, arguments):
    opens = event == "open" and not isinstance(arguments[0], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
    if opens or event in ("os.mkdir", "os.rename", "os.link"):
        os.write(log, f"{event} {arguments[0]}\\n".encode())
sys.addaudithook(hook)
"""


def test_files_are_made_in_its_own_folder_alone(bundle: Path, tmp_path: Path) -> None:
    """Python's audit events of both processes; the log itself is opened before they are heard."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(AUDIT)
    path = os.pathsep.join([str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")])
    (tmp_path / "serve").mkdir()
    environment = {**UNMEASURED, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "AUDIT_LOG": str(tmp_path / "log")}
    with serving(bundle, tmp_path / "serve", environment=environment) as page:
        assert page.upscale(ppm(40, 30), headers={"X-Name": "../../evil.png"})[0] == 200
        assert page.end() == 0
    made = (tmp_path / "log").read_text().splitlines()
    assert [line for line in made if line.startswith(f"os.mkdir {page.folder}/smsr-serve-")], "the hook must hear it"
    assert not [line for line in made if str(page.folder) not in line and line != "open /dev/null"]


def test_a_port_that_is_taken_is_one_line(run: Run, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = run("--serve", "--port", port)
    assert_one_line_error(done, 2, f"127.0.0.1:{port}: expected a free port, got one in use", "--port")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--serve", "--port", "70000"], "--port: expected 0 to 65535, got 70000"),
        (["--serve", "--port", "0", "--host", "192.0.2.1"], "192.0.2.1:0: expected an address to listen on"),
        (["--serve", "--host", "no such name"], "--host: expected an address of this machine, got no such name"),
        (["--serve", "--max-upload", "many"], "--max-upload: expected a size such as 2G or 512M, got 'many'"),
        (["--serve", "--max-megapixels", "0"], "--max-megapixels: expected a number above 0, got 0"),
        (["--serve", "--time-limit", "inf"], "--time-limit: expected a number above 0, got inf"),
        (["--serve", "--max-waiting", "-1"], "--max-waiting: expected 0 or more, got -1"),
        (["photo.png", "--serve"], "INPUT: expected nothing that --serve has no use for"),
        (["--serve", "-o", "out"], "-o: expected nothing that --serve has no use for"),
        (["--serve", "--show-masks"], "--show-masks: expected nothing that --serve has no use for"),
        (["photo.png", "-o", "out.png", "--port", "80"], "--port: expected --serve with it, got none"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage_is_one_line(run: Run, words: list[str], text: str) -> None:
    assert_one_line_error(run(*words), 2, text)


def test_a_bundle_that_cannot_be_opened_is_one_line(run: Run, own_bundle: Path) -> None:
    (own_bundle / "model.onnx").write_bytes(b"changed")
    done = run("--serve", "--port", "0", bundle=own_bundle)
    assert_one_line_error(done, 1, "model.onnx")


def test_addresses_that_others_reach_are_said_to_have_no_password(bundle: Path, tmp_path: Path) -> None:
    with serving(bundle, tmp_path, "--host", "0.0.0.0") as page:
        assert "warning: 0.0.0.0 is reached from other machines, and nobody is asked for a password" in (
            page.lines.read_text()
        )
        assert page.ask("GET", "/", headers={"Host": "some.name"})[0] == 200
        code, parts = page.upscale(ppm(2, 2), headers={"Host": "some.name", "Origin": "http://other.name"})
        assert code == 403 and b"Origin: " in parts["error"]


@pytest.mark.parametrize("package", ["starlette", "uvicorn"])
def test_a_missing_package_is_one_line_with_the_command_that_installs_it(
    bundle: Path, tmp_path: Path, package: str
) -> None:
    code = f"import sys; sys.modules[{package!r}] = None; {MAIN}"
    done = run_python("-c", code, bundle, "--serve", "--port", "0", cwd=tmp_path)
    assert_one_line_error(done, 1, f"the package {package}", "pip install 'smsr[serve]'")


def test_the_bare_folder_needs_none_of_them_for_pictures(bundle: Path, photo: Path, tmp_path: Path) -> None:
    blocked = "import sys; sys.modules.update(dict.fromkeys(['starlette', 'uvicorn', 'ray', 'pyarrow'])); "
    words = [str(bundle), str(photo), "-o", str(tmp_path / "large.png")]
    code = f"{blocked}sys.argv[1:] = {words!r}; {MAIN}"
    assert plain_python(code, extra={"SMSR_ORT_LIBRARY": "none"}).returncode == 0
    assert (tmp_path / "large.png").is_file()
