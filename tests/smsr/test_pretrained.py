"""The weights that come with smsr are what their model card says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from smsr import checkpoint
from smsr.evaluation import measure
from smsr.evaluation.models import Opening, open_model
from smsr_runtime.bundle import sha256
from smsr_runtime.errors import CheckpointError

CARD = (checkpoint.PRETRAINED / "README.md").read_text()
ROWS = {
    cells[0]: cells for line in CARD.splitlines() if re.match(r"\| x\d ", line)
    for cells in [[cell.strip() for cell in line.strip("|").split("|")]]
}  # fmt: skip
"""By short name: name, steps, Set5 PSNR / SSIM, Set14 PSNR / SSIM, active share on Set5, MACs of dense, SHA-256."""


def test_card_and_files_name_the_same_weights() -> None:
    assert sorted(ROWS) == checkpoint.own_weights()
    for name, cells in ROWS.items():
        assert cells[-1].strip("`") == sha256(checkpoint.locate(name))[:16]


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(ROWS))
def test_set5_is_what_the_card_says(name: str, shared: Path) -> None:
    model = open_model(Path(name), Opening())
    assert f"x{model.config.scale}" == name
    result = measure.Result(model, "Set5", list(measure.evaluate(model, shared / "data" / "Set5")), [])
    psnr, ssim = (float(value) for value in ROWS[name][2].split("/"))
    assert result.psnr == pytest.approx(psnr, abs=0.006)
    assert result.ssim == pytest.approx(ssim, abs=0.0002)
    work = result.work
    assert work.active_share == pytest.approx(float(ROWS[name][4]), abs=0.006)
    assert 100 * work.remaining / work.dense == pytest.approx(float(ROWS[name][5].rstrip(" %")), abs=0.6)


def test_a_file_of_that_name_comes_first_and_an_unknown_name_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x2").write_bytes(b"")
    with pytest.raises(CheckpointError, match="x2: expected a checkpoint, got an empty file"):
        checkpoint.load_network("x2")
    with pytest.raises(CheckpointError, match="x9: expected a readable checkpoint file"):
        checkpoint.load_network("x9")
