"""One run at a time trains in a folder; a run that was killed holds it no longer."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from smsr.training import checkpoints
from smsr.training.cli import main
from smsr_runtime import locks
from tests.training.helpers import TINY, write_pictures

HOLD = (
    "import sys, os, time; from pathlib import Path; from smsr_runtime import locks\n"
    "with locks.exclusive(Path(sys.argv[1]), ValueError):\n"
    "    child = os.fork()\n"  # as a worker, which outlives its parent
    "    print(child, flush=True) if child else None\n"
    "    time.sleep(60)\n"
)


def test_a_second_run_says_who_trains_in_the_folder_and_a_kill_frees_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    recipe = [str(write_pictures(tmp_path / "pictures", 3)), *TINY, "--steps", "1", "-o", str(run)]
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, run / checkpoints.LOCK], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        worker = int(holder.stdout.readline())
        try:
            assert main(recipe) == 2
            line = capsys.readouterr().err
            assert f"process {holder.pid} on {socket.gethostname()}" in line and line.count("\n") == 1
            assert [file.name for file in run.iterdir()] == [".lock"]
            holder.kill()
            holder.wait()
            assert main(recipe) == 0, "the worker, which still runs, holds nothing"
        finally:
            holder.kill()
            os.kill(worker, signal.SIGKILL)
    assert main([*recipe, "--resume"]) == 0


def test_a_lock_is_given_back(tmp_path: Path) -> None:
    for _ in range(2):
        with locks.exclusive(tmp_path / "lock", ValueError) as locked:
            assert locked
            with (
                pytest.raises(ValueError, match=f"process {os.getpid()} on"),
                locks.exclusive(tmp_path / "lock", ValueError),
            ):
                pass
