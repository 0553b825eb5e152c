"""A short run over the stored corpus and changed copies of it; `make fuzz-python` runs longer, guided by coverage."""

from __future__ import annotations

import io
import pickle
import sys
from pathlib import Path

import pytest
import torch

from smsr.checkpoint import load_network, pickles
from smsr_runtime.errors import CheckpointError
from tests.fuzz import guard
from tests.fuzz.targets import TARGETS, pickled
from tests.helpers import run_python

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is measured by Linux's /proc")


@pytest.mark.parametrize(
    "part", [("checkpoint", "pickled"), ("manifest", "model", "golden"), ("picture", "png", "exif")]
)
def test_changed_files_are_read_or_refused(part: tuple[str, ...], tmp_path: Path) -> None:
    assert set(part) <= set(TARGETS)
    done = run_python("-m", "tests.fuzz", *part, "--mutations", "60", cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == list(part)
    assert all(" 60 files" in line for line in done.stdout.splitlines())


def test_operators_give_a_result_or_refuse(native_library: Path, tmp_path: Path) -> None:
    """In a process of its own, which a wrong one would end."""
    done = run_python("-m", "tests.fuzz.operators", "--cases", 100, "--library", native_library, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    counts = [int(word) for word in done.stdout.split() if word.isdigit()]
    assert counts[0] == 100 == sum(counts[1:]) and min(counts) > 30, done.stdout


def test_the_guard_sees_what_must_not_happen(tmp_path: Path) -> None:
    """In a process of its own: a hook of the interpreter stays for ever."""
    code = f"""
import os, subprocess, time
from pathlib import Path
from tests.fuzz import guard
guard.install()
guard.SECONDS = 1
folder = Path({str(tmp_path)!r})
def sleep():
    end = time.process_time() + 5
    while time.process_time() < end: pass
def grow(): return len(bytearray(os.urandom(1)) * (300 << 20))
acts = [lambda: open('/etc/passwd').close(), lambda: exec('1'), lambda: subprocess.run(['true']), sleep, grow,
        lambda: open('/elsewhere', 'w'), lambda: open(folder / 'inside', 'w').close()]
for act in acts:
    try:
        with guard.guarded(folder, 10):
            act()
        print('clean')
    except guard.ViolationError as error:
        print(str(error)[:60])
    except OSError:
        print('failed')
"""
    done = run_python("-c", code, cwd=tmp_path)
    lines = done.stdout.splitlines()
    assert "open" in lines[0] and "exec" in lines[1] and "Popen" in lines[2], done.stderr
    assert "more than 1 s" in lines[3] and "MiB" in lines[4] and lines[6] == "clean"


@pytest.mark.parametrize(
    "name", ["builtins bytearray", "__builtin__ bytearray", "torch FloatTensor", "torch FloatStorage", "torch Tensor"]
)
def test_a_pickle_that_asks_for_memory_gets_none(name: str, tmp_path: Path) -> None:
    module, function = name.split()
    data = f"\x80\x02c{module}\n{function}\n".encode("latin-1") + b"J\xff\xff\xff\x7f\x85R."
    with pytest.raises(CheckpointError, match=rf"would run code \({module}.{function}\)"):
        pickled(data, tmp_path)
    (tmp_path / "bare.pt").write_bytes(data)
    with pytest.raises(CheckpointError):
        load_network(tmp_path / "bare.pt")
    memoised = data.replace(b"\nJ", b"\nq\x050h\x05J")  # put away, dropped, and taken out again
    with pytest.raises(CheckpointError, match="would run code"):
        pickled(memoised, tmp_path)


def test_what_pytorch_writes_calls_nothing_else() -> None:
    content = {"a": torch.zeros(2), "b": [torch.nn.Parameter(torch.zeros(1)), torch.Size([1])], "c": {"d": b"e"}}
    for protocol in (2, 3):
        file = io.BytesIO()
        torch.save(content, file, pickle_protocol=protocol, _use_new_zipfile_serialization=False)
        pickles.check_all(file.getvalue())
    with pytest.raises(pickle.UnpicklingError, match=r"builtins\.print"):
        pickles.check(io.BytesIO(b"\x80\x02cbuiltins\nprint\n)R."))


def test_the_guard_allows_no_more_than_it_says() -> None:
    assert guard.SECONDS == 10 and guard.MEMORY_BASE == 96 << 20 and guard.MEMORY_FACTOR == 16
