"""Whole runs of smsr-train: resume, several processes, stopping, what is written."""

from __future__ import annotations

import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from smsr import images
from smsr.checkpoint import load_network, read_state
from smsr.training import checkpoints
from smsr.training.cli import main
from smsr.training.loop import Trainer
from smsr.training.store import Loading, load
from smsr.training.validation import held_out
from tests.helpers import REPOSITORY, heed_signals
from tests.training.helpers import TINY, equal, read, train, write_pictures


@pytest.mark.parametrize("hard_share", ["0", "0.5"])
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(
    tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch, hard_share: str
) -> None:
    recipe = [str(pictures), *TINY, "--steps", "9", "--validate-every", "3", "--hard-share", hard_share]
    assert main([*recipe, "-o", str(tmp_path / "whole")]) == 0
    sliced = tmp_path / "sliced"
    for stop in (2, 5, 9):  # a signal in the middle, with generators in another state each time
        torch.manual_seed(stop)
        monkeypatch.setattr(Trainer, "_stop_code", functools.partialmethod(_stop_after, stop))
        assert main([*recipe, "-o", str(sliced), "--resume"]) in (0, 128 + signal.SIGTERM)
        assert read(sliced / "last.pt")["step"] == stop
    whole = read(tmp_path / "whole" / "last.pt")
    assert equal(whole, read(sliced / "last.pt"))
    assert equal(read(tmp_path / "whole" / "best.pt"), read(sliced / "best.pt"))
    steps = [json.loads(line)["step"] for line in (sliced / "metrics.jsonl").read_text().splitlines()]
    assert steps == sorted(steps) and steps.count(3) == 1


def _stop_after(trainer: Trainer, step: int) -> int:
    """In place of a method of Trainer: a signal after this step."""
    return signal.SIGTERM if trainer.parts.state.step >= step else 0


def test_two_processes_equal_one_within_rounding(tmp_path: Path, pictures: Path) -> None:
    """Real torchrun; half of each batch a process, the same noise for each sample."""
    recipe = [str(pictures), *TINY, "--steps", "6", "--validate-every", "3"]
    assert main([*recipe, "-o", str(tmp_path / "one")]) == 0
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "-m", "smsr.training", *recipe, "-o", str(tmp_path / "two")],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    one, two = read(tmp_path / "one" / "last.pt"), read(tmp_path / "two" / "last.pt")
    start = torch.cat([value.flatten() for value in _first_weights(one).values()])
    ends = [torch.cat([value.flatten() for value in end["network"].values()]) for end in (one, two)]
    moved, apart = (ends[0] - start).norm(), (ends[0] - ends[1]).norm()
    assert moved > 0 and apart / moved < 1e-3
    assert one["best_psnr"] == pytest.approx(two["best_psnr"], abs=1e-3)
    losses = [
        [json.loads(line).get("loss/total") for line in (tmp_path / run / "metrics.jsonl").read_text().splitlines()]
        for run in ("one", "two")
    ]
    assert sum(loss is not None for loss in losses[0]) == 3
    assert all(a == b or a == pytest.approx(b, rel=1e-3) for a, b in zip(*losses, strict=True))


def _first_weights(saved: dict[str, object]) -> dict[str, torch.Tensor]:
    from smsr.training.config import Recipe
    from smsr.training.state import new

    recipe = Recipe(**saved["recipe"])  # type: ignore[arg-type]
    return dict(new(recipe, torch.device("cpu")).network.state_dict())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_tells_how_to_go_on(tmp_path: Path, pictures: Path, number: signal.Signals) -> None:
    run = tmp_path / "run"
    options = [str(pictures), *TINY, "--steps", "100000", "--workers", "1", "--validate-every", "5", "-o", str(run)]
    process = subprocess.Popen(
        [sys.executable, "-m", "smsr.training", *options], cwd=tmp_path, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
        preexec_fn=heed_signals,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not (run / "last.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number, errors
    assert "go on with --resume" in output and "Traceback" not in errors
    assert f"stopped at step {read(run / 'last.pt')['step']} of 100000" in output


def test_the_time_limit_stops_cleanly(tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = [str(pictures), *TINY, "--steps", "100000", "--time-limit", "0.01", "-o", str(tmp_path / "run")]
    assert main(options) == 0
    assert "time limit" in capsys.readouterr().out
    assert 0 < read(tmp_path / "run" / "last.pt")["step"] < 100000


def test_workers_and_memory_change_nothing(tmp_path: Path, pictures: Path) -> None:
    recipe = [str(pictures), *TINY, "--steps", "4"]
    ways = {"plain": [], "workers": ["--workers", "2"], "files": ["--cache", "none"], "device": ["--data-on-device"]}
    for name, way in ways.items():
        assert main([*recipe, *way, "-o", str(tmp_path / name)]) == 0
    assert all(equal(read(tmp_path / "plain" / "last.pt"), read(tmp_path / name / "last.pt")) for name in ways)


def test_more_workers_than_processors_need_no_warning(
    tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """smsr-train's two, on a machine with one; PyTorch warns in three lines, which pytest makes an error."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert main([str(pictures), *TINY, "--steps", "1", "--workers", "2", "-o", str(tmp_path / "run")]) == 0
    finally:
        os.sched_setaffinity(0, before)
    assert capsys.readouterr().err == ""


def test_weights_of_every_file_are_the_averaged_ones_and_load(tmp_path: Path, pictures: Path) -> None:
    run, exported, again = tmp_path / "run", tmp_path / "w.safetensors", tmp_path / "again.safetensors"
    assert main([str(pictures), *TINY, "--steps", "4", "-o", str(run), "--export-weights", str(exported)]) == 0
    assert main(["weights", str(run / "last.pt"), "-o", str(again)]) == 0
    assert exported.read_bytes() == again.read_bytes()
    saved = read(run / "last.pt")
    assert equal(read_state(exported), saved["state_dict"]) and not equal(saved["state_dict"], saved["network"])
    assert load_network(exported).config == load_network(run / "best.pt").config
    recipe = json.loads((run / "recipe.json").read_text())
    assert recipe == saved["recipe"] and recipe["steps"] == 4
    assert {".lock", "best.pt", "last.pt", "recipe.json", "metrics.jsonl", "tensorboard"} == {
        f.name for f in run.iterdir()
    }


@pytest.mark.parametrize("scale", ["3", "4"])
def test_other_scales_start_from_x2_without_its_tail(tmp_path: Path, pictures: Path, scale: str) -> None:
    tiny = [*TINY[:-2], "--patch", "8", "--log-every", "2"]
    assert main([str(pictures), *tiny, "--steps", "2", "-o", str(tmp_path / "x2")]) == 0
    start = tmp_path / "x2" / "best.pt"
    options = ["--scale", scale, "--steps", "1", "--learning-rate", "1e-12", "--init-from", str(start)]
    assert main([str(pictures), *tiny, *options, "-o", str(tmp_path / "other")]) == 0
    before, after = read_state(start), read(tmp_path / "other" / "last.pt")["network"]
    changed = {name for name in before if before[name].shape != after[name].shape}
    assert changed == {"tail.0.weight", "tail.0.bias"}
    assert all(torch.allclose(before[name], after[name], atol=1e-6) for name in before.keys() - changed)
    assert start.name in read(tmp_path / "other" / "last.pt")["recipe"]["init_from"]


def test_reduced_precision_trains(tmp_path: Path, pictures: Path) -> None:
    done = main(
        [str(pictures), *TINY, "--steps", "3", "--precision", "bf16", "--channels-last", "-o", str(tmp_path / "r")]
    )
    assert done == 0 and all(value.isfinite().all() for value in read(tmp_path / "r" / "last.pt")["network"].values())


def test_packed_pictures_train_as_the_folder_does(tmp_path: Path, pictures: Path) -> None:
    packed = tmp_path / "pictures.zip"
    assert main(["pack", str(pictures), "-o", str(packed), "--lossless-webp"]) == 0
    for name, data in (("folder", pictures), ("zip", packed)):
        assert main([str(data), *TINY, "--steps", "2", "-o", str(tmp_path / name)]) == 0
    assert equal(read(tmp_path / "folder" / "last.pt"), read(tmp_path / "zip" / "last.pt"))
    assert train("pack", pictures, "-o", packed, cwd=tmp_path).returncode == 2
    assert main(["pack", str(pictures), "-o", str(packed), "--force", "--limit-mib", "0.01"]) == 0
    assert packed.stat().st_size <= 0.01 * 2**20


def test_a_run_begun_on_a_folder_goes_on_with_its_raw_file(
    tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A picture too small for the patches is in both, and left out of both."""
    write_pictures(tmp_path / "small", 1, (14, 60))
    data = [str(pictures), str(tmp_path / "small"), str(pictures)]
    mapped = tmp_path / "x3.safetensors"
    assert (
        main(["pack", *data, "-o", str(mapped), "--raw", "3"]) == 0 and "13 pictures for x3" in capsys.readouterr().out
    )
    recipe = [*TINY, "--scale", "3", "--steps", "5"]
    assert main([*data, *recipe, "-o", str(tmp_path / "folder")]) == 0
    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "_stop_code", functools.partialmethod(_stop_after, 2))
        assert main([*data, *recipe, "-o", str(tmp_path / "raw")]) == 128 + signal.SIGTERM
    for way in (["--workers", "1"], ["--data-on-device"]):
        shutil.copytree(tmp_path / "raw", tmp_path / way[0])
        capsys.readouterr()
        assert main([str(mapped), *recipe, *way, "-o", str(tmp_path / way[0]), "--resume"]) == 0
        output, errors = capsys.readouterr()
        assert "mapped 13 images" in output and "small/p0.png: expected at least 24x24, got 60x12; left out" in errors
        assert equal(read(tmp_path / "folder" / "last.pt"), read(tmp_path / way[0] / "last.pt"))


def test_other_scales_start_with_a_fitted_tail(tmp_path: Path, pictures: Path) -> None:
    """Before its first step the network is better than one with a random tail after it."""
    tiny = [str(pictures), *TINY, "--patch", "8", "--learning-rate", "1e-12"]
    assert main([*tiny, "-o", str(tmp_path / "x2")]) == 0
    start = ["--init-from", str(tmp_path / "x2" / "best.pt"), "--scale", "4", "--steps", "1"]
    for patches in ("0", "40"):
        assert main([*tiny, *start, "--fit-tail", patches, "-o", str(tmp_path / patches)]) == 0
    random, fitted = (read(tmp_path / name / "last.pt") for name in ("0", "40"))
    assert fitted["best_psnr"] > random["best_psnr"] + 0.5
    assert equal(fitted["network"]["head.0.weight"], random["network"]["head.0.weight"])


@pytest.mark.slow
def test_a_run_begun_on_a_gpu_goes_on_on_a_cpu(
    tmp_path: Path, pictures: Path, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real run on an H200, of a release whose recipe had fewer fields; its warm start is not there."""
    run = tmp_path / "run"
    run.mkdir()
    shutil.copy(shared / "checkpoints" / "smsr_x2_gpu_run.pt", run / "last.pt")
    begun = checkpoints.read(run / "last.pt")
    store = load(images.find(pictures, 2), Loading(2, 16, threads=1))
    data = store.subset([index for index in range(6) if index not in held_out(6, -1)]).fingerprint
    small = {"batch": 1, "patch": 16, "min_patch": 16, "precision": "fp32"}  # all that is not the real run's
    with monkeypatch.context() as patched:
        patched.setattr(checkpoints, "read", lambda _: {**begun, "data": data, "recipe": begun["recipe"] | small})
        patched.setattr(Trainer, "_stop_code", functools.partialmethod(_stop_after, begun["step"] + 2))
        recipe = {**begun["recipe"], **small}
        del recipe["init_from"]
        way = ["--device", "cpu", "--threads", "1", "--workers", "0"]
        options = [f"--{name.replace('_', '-')}={value}" for name, value in recipe.items()]
        assert main([str(pictures), *options, *way, "-o", str(run), "--resume"]) == 128 + signal.SIGTERM
    after = read(run / "last.pt")
    assert after["step"] == 5114 and after["optimizer"]["state"][0]["step"] == 5114
    assert after["recipe"]["init_from"] == begun["recipe"]["init_from"] != ""
    moved = [(after["network"][name] - before).abs().max().item() for name, before in begun["network"].items()]
    assert 0 < max(moved) < 1e-3  # two steps at the end of a cosine


@pytest.mark.slow
def test_slices_of_the_script_go_on_where_the_last_one_stopped(tmp_path: Path) -> None:
    """tools/train_own_weights.sh with free pictures: x2 learns, in two slices, then thins out."""
    for folder in ("train/Kodak24", *(f"train_free/{name}" for name in ("CLIC25", "CID22", "gb82", "budgie"))):
        write_pictures(tmp_path / "photos" / folder, 2, (64, 70))
    runs = tmp_path / "runs"
    environment = {
        **os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHON": sys.executable, "OMP_NUM_THREADS": "1",
        "DATA": "free", "RUNS": str(runs), "PHOTOS": str(tmp_path / "photos"), "STEPS": "3",
    }  # fmt: skip
    said = []
    for minutes in ("0.00001", "1", "1"):
        done = subprocess.run(
            ["sh", str(REPOSITORY / "tools" / "train_own_weights.sh"), "2", minutes, *TINY[2:]],
            env=environment, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        said.append(done.stdout)
    assert "stopped at step 1 of 3 (time limit)" in said[0] and "the first of two phases is done" in said[1]
    assert "done: 3 steps" in said[2]
    learned, thin = (read(runs / name / "last.pt")["recipe"] for name in ("free_x2_learn", "free_x2"))
    assert learned["init_from"] == "" and thin["init_from"].startswith("free_x2_learned.pt ")
    assert (learned["reopen_masks"], thin["reopen_masks"]) == (0.0, 0.6)
