"""What each step of a run takes from its schedules, what is kept as best, what the average and the stops do."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from smsr import complexity, losses
from smsr.checkpoint import load_network
from smsr.network_config import NetworkConfig
from smsr.training import checkpoints, loop, state
from smsr.training.cli import main
from smsr.training.config import Recipe
from smsr.training.stopping import GO_ON, TIME_LIMIT, Stopper
from smsr.training.validation import Validation
from smsr_runtime.errors import CheckpointError
from tests.helpers import REPOSITORY
from tests.training.helpers import TINY, equal, read, write_pictures


def test_every_step_gets_the_learning_rate_tau_and_lambda_of_its_epoch(
    tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five steps stand for the epochs 1, 201, 401, 601 and 801 of the paper's 1000 (section 4.1)."""
    rates, annealings = [], []
    adam_step, forward = torch.optim.Adam.step, losses.Objective.forward

    def step(self: torch.optim.Adam, *arguments: Any) -> Any:
        rates.append([group["lr"] for group in self.param_groups])
        return adam_step(self, *arguments)

    def record(
        self: losses.Objective, low: Any, high: Any, annealing: losses.Annealing, *rest: Any, **more: Any
    ) -> Any:
        annealings.append((annealing.tau.item(), annealing.sparsity_weight.item()))
        return forward(self, low, high, annealing, *rest, **more)

    monkeypatch.setattr(torch.optim.Adam, "step", step)
    monkeypatch.setattr(losses.Objective, "forward", record)
    assert main([str(pictures), *TINY, "--steps", "5", "-o", str(tmp_path / "run")]) == 0
    assert rates == [[2e-4], [1e-4], [0.5e-4], [0.25e-4], [0.125e-4]]  # halved every 200 epochs
    assert np.array(annealings)[:, 0] == pytest.approx([1.0, 0.6, 0.4, 0.4, 0.4])  # max(1 - (epoch - 1) / 500, 0.4)
    assert np.array(annealings)[:, 1] == pytest.approx([0.0, 0.1, 0.1, 0.1, 0.1])  # from 0 to 0.1 in 50 epochs


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """PSNR that the next validations measure; the first one is taken off."""
    values: list[float] = []
    work = complexity.work(NetworkConfig(2, 16, 1, 2), [[1, 1]], [0.5])
    monkeypatch.setattr(loop, "validate", lambda *_: Validation(values.pop(0), work))
    return values


def test_best_is_the_checkpoint_with_the_highest_psnr_over_resumes(
    tmp_path: Path, pictures: Path, measured: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    measured += [30.0, 29.0, 29.5, 31.0, 30.5]
    run = tmp_path / "run"
    words = [str(pictures), *TINY, "--steps", "5", "--validate-every", "1", "-o", str(run), "--resume"]
    best = []
    for stop in (1, 2, 3, 4, 5):
        monkeypatch.setattr(loop.Trainer, "_stop_code", lambda self, at=stop: 15 * (self.parts.state.step >= at))
        main(words)
        kept = read(run / "best.pt")
        best.append((kept["step"], kept["psnr"]))
        if kept["step"] == stop:  # the averaged weights, which last.pt has beside the raw ones
            last = read(run / "last.pt")
            assert equal(kept["state_dict"], last["state_dict"]) and not equal(kept["state_dict"], last["network"])
    assert best == [(1, 30.0), (1, 30.0), (1, 30.0), (4, 31.0), (4, 31.0)]
    assert read(run / "last.pt")["best_psnr"] == 31.0


def read_picture(path: Path) -> np.ndarray:
    """(H, W, 3) BGR."""
    pixels = cv2.imread(str(path))
    assert pixels is not None
    return np.asarray(pixels)


def psnr_by_definition(network: Any, high: np.ndarray, low: np.ndarray, border: int = 2) -> float:
    """Y of BT.601 on 8 bits, `border` pixels cut on each side; float64 throughout."""
    with torch.inference_mode():
        upscaled = network.infer(torch.from_numpy(low.transpose(2, 0, 1)[None].astype(np.float32))).upscaled
    pixels = np.rint(upscaled[0].permute(1, 2, 0).numpy().clip(0, 255))
    difference = ((pixels - high) @ np.array([65.738, 129.057, 25.064]) / 256)[border:-border, border:-border]
    return float(10 * np.log10(255**2 / np.mean(difference**2)))


def test_the_averaged_weights_are_validated_with_the_border_cut(tmp_path: Path) -> None:
    """One picture to train on, one held out, whose low-resolution side is given as a file."""
    home = write_pictures(tmp_path / "set" / "HR", 2)
    low = tmp_path / "set" / "LR_bicubic" / "X2"
    low.mkdir(parents=True)
    for index in range(2):
        high = read_picture(home / f"p{index}.png")
        cv2.imwrite(str(low / f"p{index}x2.png"), cv2.resize(high, (26, 20), interpolation=cv2.INTER_AREA))
    run = tmp_path / "run"
    words = [str(home), *TINY, "--steps", "4", "--learning-rate", "0.01", "--valid", str(home), "-o", str(run)]
    assert main(words) == 0
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    (stated,) = [line["valid/psnr"] for line in lines if line["step"] == 4 and "valid/psnr" in line]

    def mean(network: Any, border: int) -> float:
        pairs = [(read_picture(home / f"p{i}.png"), read_picture(low / f"p{i}x2.png")) for i in range(2)]
        return float(np.mean([psnr_by_definition(network, h[..., ::-1], s[..., ::-1], border) for h, s in pairs]))

    averaged, raw = (load_network(run / "last.pt", name, lambda _: None) for name in ("state_dict", "network"))
    assert stated == pytest.approx(mean(averaged, 2), abs=1e-4)
    assert min(abs(stated - other) for other in (mean(raw, 2), mean(averaged, 1), mean(averaged, 3))) > 1e-3


def test_the_average_forgets_its_start_quickly_and_moves_slowly_later() -> None:
    """Weights of 1, an average that starts at 0: the share that stays is 2/11 after step 1, 3/12 after step 2."""
    training = state.new(Recipe(features=16, modules=1, layers=1), torch.device("cpu"))
    with torch.no_grad():
        for parameter in training.network.parameters():
            parameter.fill_(1.0)
        for parameter in training.average.parameters():
            parameter.fill_(0.0)
    expected = {1: 9 / 11, 2: 1 - 2 / 11 * 3 / 12, 1_000_000: 1 - 2 / 11 * 3 / 12 * 0.999}
    for step, value in expected.items():
        training.step = step
        training.update_average(0.999)
        values = torch.cat([parameter.flatten() for parameter in training.average.parameters()])
        assert values.min().item() == pytest.approx(value, abs=1e-6) == values.max().item()


@pytest.fixture
def stopper() -> Iterator[Stopper]:
    with Stopper(0) as made:
        yield made


def test_the_first_ctrl_c_asks_and_the_second_interrupts(stopper: Stopper) -> None:
    assert stopper.code() == GO_ON
    signal.raise_signal(signal.SIGINT)
    assert stopper.code() == signal.SIGINT
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_ctrl_c_after_a_stop_was_asked_for_interrupts_and_sigterm_does_not(stopper: Stopper) -> None:
    signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGTERM)
    assert stopper.code() == signal.SIGTERM
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_the_time_limit_is_in_minutes_and_a_signal_goes_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("smsr.training.stopping.time.monotonic", lambda: now)
    before = signal.getsignal(signal.SIGTERM)
    with Stopper(2.0) as stopper:
        now = 1119.9
        assert stopper.code() == GO_ON
        now = 1120.0
        assert stopper.code() == TIME_LIMIT
        signal.raise_signal(signal.SIGTERM)
        assert stopper.code() == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_checkpoint_of_another_version_is_refused(tmp_path: Path) -> None:
    content = {"format": checkpoints.FORMAT, "version": 2, "optimizer": {}}
    torch.save(content, tmp_path / "last.pt")
    with pytest.raises(CheckpointError, match="expected version 1, got 2; use the release that wrote it"):
        checkpoints.read(tmp_path / "last.pt")
    torch.save({**content, "version": 1}, tmp_path / "last.pt")
    assert checkpoints.read(tmp_path / "last.pt")["version"] == 1


OF_ONE_PROCESS = """
import sys
import torch
import torch.distributed as dist
from smsr.training.distributed import World
rank = int(sys.argv[1])
dist.init_process_group("gloo", init_method=sys.argv[2], rank=rank, world_size=2)
world = World(rank, 2)
print(world.largest([0, 15][rank], torch.device("cpu")), world.largest([255, 2][rank], torch.device("cpu")))
print(world.mean(torch.tensor([[1.0, 8.0], [3.0, -4.0]][rank])).tolist(), world.from_leader(["first", "second"][rank]))
dist.destroy_process_group()
"""


def test_two_processes_stop_for_the_same_reason_and_have_one_mean(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OF_ONE_PROCESS]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "runtime")])}
    outputs = []
    with contextlib.ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    [*command, str(rank), (tmp_path / "meeting").as_uri()], env=environment, text=True,
                    stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                )
            )
            for rank in range(2)
        ]  # fmt: skip
        for process in processes:
            stack.callback(process.kill)
        outputs = [process.communicate(timeout=120) for process in processes]
    assert [output for output, _ in outputs] == ["15 255\n[2.0, 2.0] first\n"] * 2, outputs
