"""What goes wrong around a run of smsr-train is one line that names it, and never costs the last good checkpoint."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import pytest
import torch
from safetensors.torch import save_file

from smsr.training.cli import main
from tests.helpers import files_no_larger_than
from tests.training.helpers import TINY, equal, picture, read, write_pictures


def fails(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    """Exit code and the one line on stderr of a command that fails."""
    capsys.readouterr()
    code = main([str(argument) for argument in arguments])
    line = capsys.readouterr().err
    assert code in (1, 2) and line.count("\n") == 1 and line.startswith("smsr-train: "), line
    return code, line


def test_unreadable_cut_and_small_pictures_are_left_out_and_named(
    tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pictures / "text.png").write_text("no picture")
    (pictures / "cut.png").write_bytes((pictures / "p0.png").read_bytes()[:-900])
    cv2.imwrite(str(pictures / "small.png"), picture(14, 60, 0))
    (pictures / "deeper").mkdir()
    cv2.imwrite(str(pictures / "deeper" / "unseen.png"), picture(40, 40, 0))
    assert main([str(pictures), *TINY, "--steps", "1", "-o", str(tmp_path / "run")]) == 0
    output, errors = capsys.readouterr()
    assert "5 images to train on, 1 held out" in output
    lines = errors.splitlines()
    assert [next(name for name in ("text", "cut", "small") if f"{name}.png" in line) for line in lines] == [
        "cut", "small", "text",
    ]  # fmt: skip
    assert "60x14" in lines[1] and (tmp_path / "run" / "skipped.txt").read_text().count("\n") == 3


def test_the_patch_shrinks_to_the_pictures_and_says_so(
    tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [*TINY, "--patch", "96", "--steps", "1", "-o", tmp_path / "run"]
    assert main([str(pictures), *map(str, options)]) == 0
    assert "shrunk from 96 to 20 (x2: 40 in high resolution)" in capsys.readouterr().out


@pytest.mark.parametrize("data", ["empty", "nowhere", "text.zip"])
def test_no_pictures_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], data: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.zip").write_text("no archive")
    code, line = fails(capsys, tmp_path / data, *TINY, "-o", tmp_path / "run")
    assert code == 1 and data in line


def test_only_unusable_pictures_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_pictures(tmp_path / "small", 2, (12, 12))
    code, line = fails(capsys, folder, *TINY, "-o", tmp_path / "run")
    assert code == 1 and "p0.png" in line and "12x12" in line


@pytest.mark.parametrize("fault", ["missing", "size"])
def test_low_resolution_files_that_do_not_match_are_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], fault: str
) -> None:
    home = write_pictures(tmp_path / "set" / "HR", 3)
    low = tmp_path / "set" / "LR_bicubic" / "X2"
    low.mkdir(parents=True)
    for index in range(3):
        cv2.imwrite(str(low / f"p{index}x2.png"), picture(20, 26, index))
    assert main([str(home), *TINY, "--steps", "1", "-o", str(tmp_path / "good")]) == 0
    if fault == "missing":
        (low / "p1x2.png").unlink()
    else:
        cv2.imwrite(str(low / "p1x2.png"), picture(20, 27, 1))
    code, line = fails(capsys, home, *TINY, "-o", tmp_path / "run")
    assert code == 1 and "p1x2.png" in line and ("27x20" in line) == (fault == "size")
    assert main([str(home), *TINY, "--steps", "1", "-o", str(tmp_path / "made"), "--low-images", "made"]) == 0


def test_a_run_is_not_begun_over_nor_resumed_as_another(
    tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    recipe = [pictures, *TINY, "--steps", "2", "-o", run]
    assert main([str(option) for option in recipe]) == 0
    assert fails(capsys, *recipe)[0] == 2
    code, line = fails(capsys, *recipe, "--resume", "--scale", "3", "--seed", "7")
    assert code == 1 and "scale: 2 there, 3 here" in line and "seed: 0 there, 7 here" in line
    cv2.imwrite(str(pictures / "new.png"), picture(40, 40, 9))
    code, line = fails(capsys, *recipe, "--resume")
    assert code == 1 and "training images" in line


@pytest.mark.parametrize("content", [b"", b"nonsense", None], ids=["empty", "nonsense", "weights alone"])
def test_a_broken_checkpoint_is_not_resumed(
    tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str], content: bytes | None
) -> None:
    run = tmp_path / "run"
    recipe = [pictures, *TINY, "--steps", "2", "-o", run]
    assert main([str(option) for option in recipe]) == 0
    if content is None:
        shutil.copy(run / "best.pt", run / "last.pt")
    else:
        (run / "last.pt").write_bytes(content)
    code, line = fails(capsys, *recipe, "--resume")
    assert code == 1 and "last.pt" in line


def test_a_warm_start_of_another_size_is_one_line(
    tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(pictures), *TINY, "--steps", "1", "-o", str(tmp_path / "one")]) == 0
    start = tmp_path / "one" / "best.pt"
    code, line = fails(
        capsys, pictures, *TINY, "--modules", "2", "--init-from", start, "-o", tmp_path / "two"
    )  # fmt: skip
    assert code == 1 and "16 features, 2 modules and 2 layers, got 16, 1 and 2" in line
    assert fails(capsys, pictures, *TINY, "--init-from", pictures / "p0.png", "-o", tmp_path / "three")[0] == 1


def test_wrong_raw_data_is_one_line(tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mapped, damaged, other = (tmp_path / f"{name}.safetensors" for name in ("mapped", "damaged", "other"))
    assert main(["pack", str(pictures), "-o", str(mapped), "--raw", "2"]) == 0
    damaged.write_bytes(mapped.read_bytes()[:-9])
    save_file({"low": torch.zeros(4, 3, dtype=torch.uint8)}, other)
    run = ["-o", tmp_path / "run"]
    assert "expected pictures for x3, got x2" in fails(capsys, mapped, *TINY, "--scale", "3", *run)[1]
    assert "or folders and ZIP files, got 2 mixed" in fails(capsys, mapped, pictures, *TINY, *run)[1]
    for file in (damaged, other):
        assert "expected raw training data, got another or a damaged file" in fails(capsys, file, *TINY, *run)[1]
    assert "got nothing there" in fails(capsys, tmp_path / "none.safetensors", *TINY, *run)[1]
    assert "at least one usable picture" in fails(capsys, mapped, *TINY, "--min-patch", "21", *run)[1]
    assert fails(capsys, "pack", pictures, "-o", tmp_path / "x.zip", "--raw", "2")[0] == 2
    assert fails(capsys, "pack", pictures, "-o", tmp_path / "x.safetensors", "--raw", "2", "--limit-mib", "1")[0] == 2
    assert {file.name for file in tmp_path.glob("*.safetensors")} == {mapped.name, damaged.name, other.name}


def test_a_tail_is_fitted_after_a_warm_start_from_another_scale_alone(
    tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(pictures), *TINY, "-o", str(tmp_path / "one")]) == 0
    two = [pictures, *TINY, "--fit-tail", "8", "-o", tmp_path / "two"]
    assert "got no warm start" in fails(capsys, *two)[1]
    assert "got one of x2" in fails(capsys, *two, "--init-from", tmp_path / "one" / "best.pt", "--resume")[1]


def test_a_full_disk_leaves_the_last_good_checkpoint(
    tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    recipe = [str(pictures), *TINY, "--steps", "6", "-o", str(run)]
    assert main([*recipe, "--time-limit", "0.00001"]) == 0
    before = (run / "last.pt").read_bytes()
    with files_no_larger_than(len(before) // 2):
        code, line = fails(capsys, *recipe, "--resume")
    assert code == 1 and "last.pt: expected to write the result" in line and "what was there before is kept" in line
    assert (run / "last.pt").read_bytes() == before and not list(run.glob("*.part*"))
    assert main([*recipe, "--resume"]) == 0
    assert read(run / "last.pt")["step"] == 6


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_checkpoint(
    tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    recipe = [pictures, *TINY, "--steps", "8", "--validate-every", "2", "-o", run]
    rates = [2e-4] * 4 + [float("nan")] * 4
    monkeypatch.setattr("smsr.training.schedules.learning_rate", lambda recipe, step: rates[step])
    code, line = fails(capsys, *recipe)
    # the fifth update spoils the weights, the sixth loss shows it
    assert code == 1 and "step 6: expected a finite loss, got nan" in line and "last.pt of step 4 is good" in line
    saved = read(run / "last.pt")
    assert saved["step"] == 4 and all(value.isfinite().all() for value in saved["network"].values())
    assert equal(saved["state_dict"].keys(), read(run / "best.pt")["state_dict"].keys())


def test_weights_that_are_not_finite_are_not_saved_although_the_loss_was(
    tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    rates = [2e-4, 2e-4, float("nan"), 2e-4]
    monkeypatch.setattr("smsr.training.schedules.learning_rate", lambda recipe, step: rates[step])
    options = ["--steps", "4", "--validate-every", "9", "--save-every", "1", "-o", run]
    code, line = fails(capsys, pictures, *TINY, *options)
    assert code == 1 and "step 3: expected finite weights" in line and "last.pt of step 2 is good" in line
    saved = read(run / "last.pt")
    assert saved["step"] == 2 and all(value.isfinite().all() for value in saved["network"].values())


def test_no_checkpoint_is_promised_where_none_was_saved(
    tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smsr.training.schedules.learning_rate", lambda recipe, step: float("nan"))
    options = ["--steps", "4", "--validate-every", "9", "-o", tmp_path / "run", "--resume"]
    code, line = fails(capsys, pictures, *TINY, *options)
    assert code == 1 and "step 2: expected a finite loss" in line and line.endswith("none saved\n")


def test_a_disk_too_full_for_the_metrics_costs_them_alone(
    tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    recipe = [str(pictures), *TINY, "--steps", "6", "--validate-every", "2", "-o", str(run)]
    run.mkdir()
    (run / "metrics.jsonl").mkdir()  # can be read, forgotten and appended to as little as on a full disk
    assert main(recipe) == 0
    output, errors = capsys.readouterr()
    assert errors.count("metrics are no longer kept") == 1 and "Traceback" not in errors
    assert output.count("dB with hard masks") == 3
    assert read(run / "last.pt")["step"] == 6


def test_a_picture_given_twice_is_not_both_trained_on_and_held_out(
    tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([str(pictures), "pictures", *TINY, "--steps", "1", "-o", str(tmp_path / "run")]) == 0
    assert "10 images to train on, 1 held out" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--steps", "0"], "--steps"),
        (["--learning-rate", "inf"], "--learning-rate"),
        (["--scale", "5"], "--scale"),
        (["--features", "24"], "--features"),
        (["--ema", "1"], "--ema"),
        (["--device", "abacus"], "--device"),
        (["--export-weights", "weights.pt"], "weights.pt"),
    ],
    ids=str,
)
def test_wrong_options_are_one_line_before_any_work(
    tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str], options: list[str], named: str
) -> None:
    code, line = fails(capsys, pictures, *TINY, *options, "-o", tmp_path / "run")
    assert code == 2 and named in line and not (tmp_path / "run" / "last.pt").exists()


def test_processes_must_share_a_batch_evenly(
    tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from smsr.training.distributed import World
    from smsr_runtime.errors import UsageError

    with pytest.raises(UsageError, match="multiple of the 3 processes"):
        World(size=3).samples(4)
    assert [World(rank, 2).samples(4) for rank in (0, 1)] == [range(2), range(2, 4)]
