"""Commands killed, or out of disk, at a few of their write steps, and other faults; `make faults`: all."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from smsr_runtime.bundle import read_bundle
from tests.conftest import missing
from tests.helpers import REPOSITORY, heed_signals, run_python
from tests.runtime.helpers import RUNTIME
from tests.training.helpers import TINY, write_pictures

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the library that injects faults is for Linux")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc")
    if compiler is None:
        missing("a C compiler (cc) is missing")
    path = tmp_path_factory.mktemp("inject") / "inject.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", path, Path(__file__).parent / "inject.c", "-ldl"], check=True)
    return path


@pytest.mark.parametrize(
    ("scenario", "faults", "every"),
    [
        ("run over", ("kill", "kill without renameat2", "ENOSPC"), 1),
        ("run folder", ("kill", "EROFS"), 2),
        ("export over", ("kill", "ENOSPC"), 16),
        ("train", ("kill",), 60),
    ],
)
def test_nothing_is_lost_at_any_step(
    library: Path, tmp_path: Path, scenario: str, faults: tuple[str, ...], every: int
) -> None:
    done = run_python(
        "-m", "tests.faults.driver", scenario, "--every", every, "--faults", *faults, cwd=tmp_path,
        environment={"LD_PRELOAD": str(library), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    rows = [line.split("|") for line in done.stdout.splitlines() if line.startswith("|")]
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert [row[2].strip() for row in rows] == list(faults)
    assert all(int(row[3]) >= 7 and int(row[4]) > 0 and int(row[7]) == 0 for row in rows), done.stdout


@pytest.mark.parametrize("limit", ["disk", "file"])
def test_nothing_is_lost_where_room_is_short(limit: str, tmp_path: Path) -> None:
    mounts = ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", str(tmp_path)]
    if limit == "disk" and (not shutil.which("unshare") or subprocess.run(mounts, check=False).returncode):
        pytest.skip("this system allows no mount in a namespace: no real disk was filled (RLIMIT_FSIZE was tried)")
    command = ["-m", "tests.faults.full_disk", "run folder", "export file over", "--growth", 6, "--limits", limit]
    done = run_python(*command, cwd=tmp_path, environment={"OMP_NUM_THREADS": "1"})
    rows = [line.split("|") for line in done.stdout.splitlines() if line.startswith("|")]
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert [row[1].strip() for row in rows] == ["run folder", "export file over"]
    assert all("2 exit 0" in row[5] and "exit 1" in row[5] and int(row[7]) == 0 for row in rows), done.stdout


def test_damaged_videos_of_every_kind_end(tmp_path: Path) -> None:
    done = run_python("-m", "tests.faults.damaged_videos", "--count", 20, cwd=tmp_path)
    rows = [line.split("|") for line in done.stdout.splitlines() if line.startswith("|")]
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert len(rows) == 10 and sum(int(row[2]) for row in rows) == 20


def test_of_three_exports_at_once_one_wins_and_two_say_so(small_bundle_source: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "smsr_export.cli",
        str(small_bundle_source),
        "-o",
        "x.smsr",
        "--accept-parity-failure",
    ]
    paths = os.pathsep.join(str(REPOSITORY / part) for part in ("", "export", "runtime"))
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    exports = [
        subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
        for _ in range(3)
    ]
    ends = [(process.communicate()[1].decode(), process.returncode) for process in exports]
    lost = [error for error, code in ends if code]
    assert len(lost) == 2 and all("taken while this ran" in error or "--force" in error for error in lost), ends
    read_bundle(tmp_path / "x.smsr")
    assert os.listdir(tmp_path) == ["x.smsr"]


@pytest.fixture(scope="module")
def small_bundle_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch

    from smsr.network import NetworkConfig
    from tests.helpers import random_network

    path = tmp_path_factory.mktemp("source") / "small.pt"
    torch.save(random_network(NetworkConfig(2, 16, 1, 2), 3).state_dict(), path)
    return path


def test_a_worker_that_is_killed_is_one_line_and_the_checkpoint_stays(tmp_path: Path) -> None:
    """The worker kills itself, as the kernel does where memory is short."""
    pictures = write_pictures(tmp_path / "pictures", 3)
    code = (
        "import os, signal, sys; from smsr.training import batches, cli\n"
        "before = batches._leave_signals_to_the_parent\n"
        "def dying(worker):\n"
        "    before(worker); os.kill(os.getpid(), signal.SIGKILL)\n"
        "batches._leave_signals_to_the_parent = dying\n"
        "sys.exit(cli.main(sys.argv[1:]))\n"
    )
    recipe = [pictures, *TINY, "--steps", "4", "-o", "run"]
    assert run_python("-m", "smsr.training", *recipe, "--time-limit", "0.00001", cwd=tmp_path).returncode == 0
    before = (tmp_path / "run" / "last.pt").read_bytes()
    done = run_python("-c", code, *recipe, "--resume", "--workers", "1", cwd=tmp_path)
    assert done.returncode == 1 and "error: " in done.stderr and "worker" in done.stderr, done.stderr
    assert "internal error" not in done.stderr and "Traceback" not in done.stderr
    assert (tmp_path / "run" / "last.pt").read_bytes() == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_stopped_folder_job_leaves_whole_pictures_alone(tmp_path: Path, number: signal.Signals) -> None:
    from PIL import Image

    from tests.runtime.helpers import tiny_model, write_bundle

    write_bundle(tmp_path / "tiny.smsr", tiny_model())
    (tmp_path / "in").mkdir()
    for index in range(200):
        Image.effect_noise((300, 300), 50).convert("RGB").save(tmp_path / "in" / f"{index}.png")
    command = [sys.executable, str(RUNTIME / "run.py"), "tiny.smsr", "in", "-o", "out"]
    with subprocess.Popen(command, cwd=tmp_path, preexec_fn=heed_signals, stderr=subprocess.PIPE) as process:
        while process.poll() is None and len(list(tmp_path.glob("out/[!.]*.png"))) < 3:
            time.sleep(0.02)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    made = list((tmp_path / "out").iterdir())
    assert process.returncode == 128 + number, errors
    assert 3 <= len(made) < 200 and all(file.suffix == ".png" and file.name[0] != "." for file in made)
    for file in made:
        with Image.open(file) as picture:
            picture.load()
            assert picture.size == (600, 600)
