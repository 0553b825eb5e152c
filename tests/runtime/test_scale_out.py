"""smsr-run --ray: on a real, local Ray, with workers that die; from and into a bucket of a real S3 server's imitation.

Where Ray is not installed those are skipped by name: `make test-ray` installs it and runs them.
"""

from __future__ import annotations

import http.client
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.helpers import heed_signals, run_python
from tests.runtime.helpers import MAIN, RUNTIME, Done, Run, assert_one_line_error
from tests.runtime.serving import children
from tests.runtime.video import rgb_frames, write_clip

with_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="ray is missing: `make test-ray` installs and runs it"
)
SIZE = (500, 600)
PATIENCE = 600
"""Seconds: Ray takes a quarter of a minute to start where nothing else runs."""


def photos(folder: Path, count: int) -> Path:
    """Noise, which takes its time to be compressed."""
    folder.mkdir()
    for number in range(count):
        pixels = np.random.default_rng(number).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png", compress_level=0)
    return folder


def descendants(pid: int) -> Iterator[int]:
    for child in children(pid):
        yield child
        yield from descendants(child)


def workers(pid: int) -> list[int]:
    """Ray's actors that upscale, below the command's process."""
    names = {child: Path(f"/proc/{child}/cmdline") for child in descendants(pid)}
    return [child for child, name in names.items() if name.exists() and b"MapWorker" in name.read_bytes()]


POISON = """
import os, signal, sys
def hook(event, arguments):
    if event == "open" and str(arguments[0]).endswith("poison.png") and "RAY_JOB_ID" in os.environ:
        os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
"""
"""sitecustomize: a picture that no worker survives, as one that takes too much memory."""


def wait_for(ready: Any, seconds: float, command: subprocess.Popen[str]) -> None:
    end = time.monotonic() + seconds
    while not ready() and command.poll() is None:
        assert time.monotonic() < end
        time.sleep(0.02)


@with_ray
@pytest.mark.slow
def test_with_workers_killed_every_result_is_there_once_and_what_failed_is_named(
    bundle: Path, run: Run, tmp_path: Path
) -> None:
    folder, out = photos(tmp_path / "in", 12), tmp_path / "out"
    assert run(folder, "-o", tmp_path / "expected", "--quiet").returncode == 0
    whole = (folder / "0.png").read_bytes()
    (folder / "broken.png").write_bytes(whole[:5000])
    (folder / "poison.png").write_bytes(whole)
    (tmp_path / "sitecustomize.py").write_text(POISON)
    words = [sys.executable, str(RUNTIME / "run.py"), str(bundle), str(folder), "-o", str(out), "--ray", "--json"]
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path},
        preexec_fn=heed_signals,
    ) as command:  # fmt: skip
        wait_for(lambda: out.is_dir() and len(os.listdir(out)) >= 2, PATIENCE, command)
        hit = workers(command.pid)
        assert hit, command.communicate()
        os.kill(hit[0], signal.SIGKILL)
        printed, lines = command.communicate(timeout=PATIENCE)
    assert command.returncode == 1, lines
    assert files(out) == files(tmp_path / "expected"), "the ordinary run's bytes, and nothing else"
    records = {Path(record["input"]).name: record for record in json.loads(printed)["files"]}
    assert len(records) == 14 and json.loads(printed)["failed"] == 2
    assert "got a PNG that is cut short" in records["broken.png"]["error"]["message"]
    assert "expected a worker that finishes it" in records["poison.png"]["error"]["message"]
    ours = [line for line in lines.splitlines() if line.startswith("smsr-run: error: ")]
    assert len(ours) == 2 and lines.rstrip().splitlines()[-1].endswith("12 of 14 files done, 2 failed")


def files(folder: Path) -> dict[str, bytes]:
    """All files below, hidden ones too."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@with_ray
@pytest.mark.slow
def test_a_run_that_is_stopped_goes_on_and_pictures_keep_their_folders(bundle: Path, run: Run, tmp_path: Path) -> None:
    folder, out = photos(tmp_path / "in", 8), tmp_path / "out"
    (folder / "deep").mkdir()
    (folder / "7.png").rename(folder / "deep" / "7.png")
    options = ("--recursive", "--show-masks", "--theta", "60.5", "--format", "webp", "--quality", "80")
    assert run(folder, "-o", tmp_path / "expected", *options).returncode == 0
    expected = files(tmp_path / "expected")
    words = [sys.executable, str(RUNTIME / "run.py"), str(bundle), str(folder), "-o", str(out), *options, "--ray"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, preexec_fn=heed_signals) as command:
        wait_for(lambda: out.is_dir() and any(out.glob("*.masks.png")), PATIENCE, command)
        command.send_signal(signal.SIGTERM)
        _, lines = command.communicate(timeout=PATIENCE)
    assert command.returncode == 128 + signal.SIGTERM, lines
    before = files(out)
    assert before.items() < expected.items(), "whole files, and no others"
    stamps = {name: (out / name).stat().st_mtime_ns for name in before}
    for name in [name for name in before if name.endswith(".webp")]:  # --resume refuses a half of a pair
        if name.replace(".webp", ".masks.png") not in before:
            (out / name).unlink()
            del stamps[name]
    done = run(folder, "-o", out, *options, "--ray", "--resume", timeout=PATIENCE)
    assert done.returncode == 0 and f"{len(stamps) // 2} were there already" in done.stderr, done.stderr
    assert files(out) == expected and len(expected) == 16
    assert {name: (out / name).stat().st_mtime_ns for name in stamps} == stamps


@with_ray
def test_an_address_where_nothing_answers_is_one_line(run: Run, tmp_path: Path) -> None:
    folder = photos(tmp_path / "in", 1)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"127.0.0.1:{closed.getsockname()[1]}"
    done = run(folder, "-o", tmp_path / "out", "--ray", address)
    assert_one_line_error(done, 1, f"--ray: expected a Ray cluster at {address}, got connection refused; ")
    assert not (tmp_path / "out").exists()


@with_ray
@pytest.mark.slow
def test_workers_that_cannot_open_the_bundle_are_one_line(run: Run, tmp_path: Path) -> None:
    folder = photos(tmp_path / "in", 2)
    environment = {**os.environ, "SMSR_ORT_LIBRARY": str(tmp_path / "no.so")}
    done = run(folder, "-o", tmp_path / "out", "--ray", env=environment, timeout=PATIENCE)
    lines = [line for line in done.stderr.splitlines() if line.startswith("smsr-run")]
    assert done.returncode == 1 and len(lines) == 1, done.stderr
    assert "no.so: expected a loadable native library, got no such file" in lines[0]


class Store:
    """A bucket `photos` with the pictures of a folder, on moto's S3 server."""

    def __init__(self, port: int, folder: Path) -> None:
        boto3: Any = importlib.import_module("boto3")
        self.port = port
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
        place = {"endpoint_url": f"http://127.0.0.1:{port}", **keys}
        self.objects, self._users = boto3.client("s3", **place), boto3.client("iam", **place)
        self._tell("/moto-api/reset")
        for bucket in ("photos", "large"):
            self.objects.create_bucket(Bucket=bucket)
        for file in folder.rglob("*.png"):
            self.objects.upload_file(str(file), "photos", f"day/{file.relative_to(folder)}")

    def uri(self, name: str) -> str:
        return f"s3://{name}?scheme=http&endpoint_override=127.0.0.1:{self.port}&region=us-east-1"

    def content(self, bucket: str) -> dict[str, bytes]:
        listed = self.objects.list_objects_v2(Bucket=bucket).get("Contents", [])
        return {item["Key"]: self.objects.get_object(Bucket=bucket, Key=item["Key"])["Body"].read() for item in listed}

    def _tell(self, path: str, body: bytes = b"") -> None:
        """The imitation's own commands."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        connection.request("POST", path, body)
        assert connection.getresponse().status == 200

    def reader(self) -> dict[str, str]:
        """The environment of a user who may read only; from now on rights are checked."""
        self._users.create_user(UserName="reader")
        statement = {"Effect": "Allow", "Action": ["s3:Get*", "s3:List*"], "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self._users.put_user_policy(UserName="reader", PolicyName="read", PolicyDocument=policy)
        key = self._users.create_access_key(UserName="reader")["AccessKey"]
        self._tell("/moto-api/reset-auth", b"0")
        return {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    pytest.importorskip("moto", reason="moto is missing: `make test-ray` installs it")
    server = importlib.import_module("moto.server").ThreadedMotoServer(port=0, verbose=False)
    server.start()
    try:
        folder = photos(tmp_path / "in", 3)
        (folder / "deep").mkdir()
        (folder / "2.png").rename(folder / "deep" / "2.png")
        yield Store(server.get_host_and_port()[1], folder)
    finally:
        server.stop()


KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true"}


@with_ray
@pytest.mark.slow
def test_pictures_of_a_bucket_go_into_a_bucket(run: Run, store: Store, tmp_path: Path) -> None:
    environment = {**os.environ, **KEYS}
    assert run(tmp_path / "in", "-o", tmp_path / "expected", "--recursive", "--quiet").returncode == 0
    words = (store.uri("photos/day"), "-o", store.uri("large/x2"), "--recursive", "--ray")
    done = run(*words, "--json", env=environment, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    assert store.content("large") == {f"x2/{name}": data for name, data in files(tmp_path / "expected").items()}
    records = json.loads(done.stdout)["files"]
    assert {record["input"] for record in records} == {
        f"s3://photos/day/{name}" for name in ("0.png", "1.png", "deep/2.png")
    }
    assert_one_line_error(
        run(*words, env=environment, timeout=PATIENCE), 2, "s3://large/x2/0.png and 2 more: expected no such file yet"
    )
    done = run(*words, "--resume", env=environment, timeout=PATIENCE)
    assert done.returncode == 0 and "3 were there already" in done.stderr
    inside = run(store.uri("photos/day"), "-o", store.uri("photos/day/x2"), "--ray", env=environment, timeout=PATIENCE)
    assert_one_line_error(inside, 2, "s3://photos/day/x2: expected an output outside of the input")


@with_ray
@pytest.mark.slow
def test_a_bucket_that_may_not_be_written_is_one_line(run: Run, store: Store) -> None:
    environment = {**os.environ, **KEYS, **store.reader()}
    done = run(store.uri("photos/day"), "-o", store.uri("large/x2"), "--ray", env=environment, timeout=PATIENCE)
    lines = [line for line in done.stderr.splitlines() if line.startswith("smsr-run")]
    assert done.returncode == 1 and len(lines) == 1, done.stderr
    assert "smsr-run: error: s3://large/x2/" in lines[0] and ": expected to write the result, got " in lines[0]
    assert "ACCESS_DENIED" in lines[0]


def test_without_ray_one_line_says_what_installs_it(bundle: Path, tmp_path: Path) -> None:
    folder = photos(tmp_path / "in", 1)
    code = f"import sys; sys.modules['ray'] = None; {MAIN}"
    done = run_python("-c", code, bundle, folder, "-o", tmp_path / "out", "--ray", cwd=tmp_path)
    assert_one_line_error(done, 1, "--ray: expected the package ray, got not installed; pip install 'smsr[ray]'")
    assert not (tmp_path / "out").exists()


def test_a_bucket_without_pyarrow_is_one_line(bundle: Path, tmp_path: Path) -> None:
    code = f"import sys; sys.modules['pyarrow'] = None; {MAIN}"
    done = run_python("-c", code, bundle, "s3://photos", "-o", tmp_path / "out", "--ray", cwd=tmp_path)
    assert_one_line_error(done, 1, "--ray: expected the package pyarrow, got not installed; pip install 'smsr[ray]'")


def test_videos_are_named_and_refused(run: Run, tmp_path: Path) -> None:
    folder = photos(tmp_path / "in", 1)
    write_clip(folder / "clip.mp4", rgb_frames(2))
    done: Done[str] = run(folder, "-o", tmp_path / "out", "--ray")
    assert_one_line_error(done, 2, f"--ray: expected pictures, no videos, got {folder / 'clip.mp4'}; ")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["in", "-o", "out", "--ray", "x2.smsr"], "--ray: expected HOST:6379 of a cluster"),
        (["in", "-o", "out", "--ray", "ray://127.0.0.1:10001"], "got 'ray://127.0.0.1:10001'; "),
        (["in", "-o", "-", "--ray"], "--ray: expected files to read and to write"),
        (["none", "-o", "out", "--ray"], "none: expected an existing file, folder or pattern"),
        (["in", "-o", "out", "--ray", "--target-fps", "3"], "--target-fps: expected nothing that --ray has no use for"),
        (["in", "-o", "in/out", "--ray"], "in/out: expected an output folder outside the input folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage_is_one_line(run: Run, tmp_path: Path, words: list[str], text: str) -> None:
    photos(tmp_path / "in", 1)
    assert_one_line_error(run(*words, cwd=tmp_path), 2, text)


def test_a_result_that_a_lost_worker_wrote_is_its_own_and_another_s_is_kept(tmp_path: Path) -> None:
    from smsr_runtime.errors import OutputError
    from smsr_runtime.run.scale_out.places import Folder, write_once

    place = Folder(Path("out"), tmp_path)
    write_once(place, Path("out/a.png"), b"ours", replace=False)
    write_once(place, Path("out/a.png"), b"ours", replace=False)
    with pytest.raises(OutputError, match="taken while this ran"):
        write_once(place, Path("out/a.png"), b"other", replace=False)
    assert (tmp_path / "out" / "a.png").read_bytes() == b"ours"
    write_once(place, Path("out/a.png"), b"other", replace=True)
    assert files(tmp_path) == {"out/a.png": b"other"}
