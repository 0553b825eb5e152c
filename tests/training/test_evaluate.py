"""smsr-eval: the published numbers, the files it writes, and what it refuses."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from smsr.evaluation import paper
from smsr.evaluation.cli import main
from smsr.network import NetworkConfig
from smsr.training import weights
from tests.helpers import REPOSITORY, files_no_larger_than, random_network
from tests.training.helpers import picture, write_pictures

CONFIG = NetworkConfig(2, 16, 2, 2)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    file = tmp_path / "tiny.safetensors"
    weights.write(file, random_network(CONFIG))
    return file


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = write_pictures(tmp_path / "Set5" / "HR", 2, (33, 40)).parent
    cv2.imwrite(str(folder / "HR" / "gray.png"), picture(30, 30, 3)[..., 0])
    return folder


@pytest.mark.slow
def test_set5_x2_of_the_published_weights_is_37_99_db(
    shared: Path, x2_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(x2_checkpoint), "--data", str(shared / "data" / "Set5"), "-o", str(tmp_path)]) == 0
    assert "| **SMSR_X2.pt** | 987K   | 111.8G (223.8G) | 37.99/.9602 |" in capsys.readouterr().out
    (result,) = json.loads((tmp_path / "results.json").read_text())
    assert result["mean"]["psnr_y"] == pytest.approx(37.991, abs=0.002)
    assert result["mean"]["ssim_y"] == pytest.approx(0.9602, abs=1e-4)
    assert result["mean"]["active_share"] == pytest.approx(0.37, abs=0.005) and len(result["pictures"]) == 5


def test_tables_csv_and_json_hold_the_same(
    tmp_path: Path, model: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(model), "--data", str(pictures), str(pictures / "HR"), "-o", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert (tmp_path / "out" / "results.md").read_text() in printed and "gray has one channel" in printed
    first, second = json.loads((tmp_path / "out" / "results.json").read_text())
    assert first == second and first["dataset"] == "Set5" and first["scale"] == 2
    lines = list(csv.DictReader((tmp_path / "out" / "results.csv").read_text().splitlines()))
    assert [line["picture"] for line in lines] == ["gray", "p0", "p1", "mean"] * 2
    for line, row in zip(lines, [*first["pictures"], first["mean"]], strict=False):
        assert float(line["psnr_y"]) == pytest.approx(row["psnr_y"]) and f"{row['psnr_y']:.2f}"
        assert float(line["active_share"]) == pytest.approx(row["active_share"])
    mean = np.mean([row["psnr_y"] for row in first["pictures"]])
    assert first["mean"]["psnr_y"] == pytest.approx(mean, abs=1e-3) and f"{mean:.3f}" in printed


def test_a_bundle_scores_as_its_checkpoint(
    tmp_path: Path, model: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from smsr_export.cli import main as export

    monkeypatch.setenv("SMSR_ORT_LIBRARY", "none")  # how the runtime computes is not the question here
    bundle = tmp_path / "tiny.smsr"
    assert export([str(model), "-o", str(bundle)]) == 0
    assert main([str(model), str(bundle), "--data", str(pictures), "-o", str(tmp_path / "out")]) == 0
    ours, theirs = json.loads((tmp_path / "out" / "results.json").read_text())
    assert ours["parameters"] == theirs["parameters"] and ours["dense_channels"] == theirs["dense_channels"]
    assert ours["mean"]["psnr_y"] == pytest.approx(theirs["mean"]["psnr_y"], abs=0.01)
    assert ours["mean"]["active_share"] == pytest.approx(theirs["mean"]["active_share"], abs=0.01)


def test_theta_trades_work_for_quality(tmp_path: Path, model: Path, pictures: Path) -> None:
    shares = []
    for theta in ("-1000", "0", "1000"):
        assert main([str(model), "--data", str(pictures), "--theta", theta, "-o", str(tmp_path / theta)]) == 0
        (result,) = json.loads((tmp_path / theta / "results.json").read_text())
        shares.append(result["mean"]["active_share"])
    assert shares[0] == 1.0 > shares[1] > shares[2] == 0.0


def test_a_set_has_its_folders_name_from_within_too(
    model: Path, pictures: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in (pictures, pictures / "HR"):
        monkeypatch.chdir(folder)
        assert main([str(model), "--data", "."]) == 0
        assert "| Set5 (3) |" in capsys.readouterr().out


def test_results_are_replaced_whole_or_not_at_all(
    tmp_path: Path, model: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "results.md").write_text("old")
    with files_no_larger_than(64):
        assert main([str(model), "--data", str(pictures), "-o", str(tmp_path)]) == 1
    assert "results.md: expected to write the result" in capsys.readouterr().err
    assert (tmp_path / "results.md").read_text() == "old" and not list(tmp_path.glob("*.part*"))


def test_figures_are_drawn(tmp_path: Path, model: Path, pictures: Path) -> None:
    options = ["--data", str(pictures), "--figures", str(tmp_path / "f"), "--figure-pictures", "1"]
    assert main([str(model), *options]) == 0
    files = sorted((tmp_path / "f").rglob("*.png"))
    assert [file.name for file in files] == ["gray_x2_channels.png", "gray_x2_luminance.png", "gray_x2_masks.png"]
    for file in files:
        drawn = cv2.imread(str(file))
        assert drawn is not None and drawn.std() > 1


@pytest.mark.parametrize(
    ("options", "named", "code"),
    [
        (["--scale", "3"], "expected a network for x3, got one for x2", 1),
        (["--data", "nowhere"], "nowhere", 1),
        (["--data", "small"], "p0.png: expected at least 15x15 pixels for SSIM", 1),
        (["--threads", "-1"], "--threads: expected 1 or more, got -1", 2),
        (["--theta", "nan"], "--theta: expected a finite number, got nan", 2),
        (["--figures", "f", "--figure-pictures", "-3"], "--figure-pictures: expected 1 or more, got -3", 2),
        (["--figures", "f", "--figure-module", "9"], "--figure-module: expected 1..2, got 9", 2),
    ],
    ids=str,
)
def test_what_cannot_be_evaluated_is_one_line(
    tmp_path: Path,
    model: Path,
    pictures: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    named: str,
    code: int,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_pictures(tmp_path / "small", 1, (14, 40))
    assert main([str(model), "--data", str(pictures), *options]) == code
    line = capsys.readouterr().err
    assert line.startswith("smsr-eval: ") and line.count("\n") == 1 and named in line


def test_a_bundle_that_is_none_and_low_files_that_do_not_match_are_one_line(
    tmp_path: Path, model: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "no.smsr"), "--data", str(pictures)]) == 1
    low = pictures / "LR_bicubic" / "X2"
    low.mkdir(parents=True)
    assert main([str(model), "--data", str(pictures)]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and "no.smsr" in lines[0] and "LR_bicubic" in lines[1]


def test_the_papers_tables_are_whole() -> None:
    assert {scale: len(rows) for scale, rows in paper.TABLES.items()} == {2: 12, 3: 5, 4: 8}
    for rows in paper.TABLES.values():
        assert all(20 < quality[0] < 45 and 0.6 < quality[1] < 1 for row in rows for quality in row.quality if quality)


def test_a_reader_that_leaves_early_is_no_error(tmp_path: Path, model: Path, pictures: Path) -> None:
    words = [sys.executable, "-m", "smsr.evaluation.cli", model, "--data", pictures]
    with subprocess.Popen(
        list(map(str, words)), cwd=REPOSITORY, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        line = process.stderr.read()
    assert (process.returncode, line) == (0, "")
