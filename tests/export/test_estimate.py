"""smsr-export --estimate: the sample, shares and MACs by hand, the timed crop, the advice, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from smsr.complexity import ModuleMacs, Work
from smsr.network import Network
from smsr_export.estimate import material, speed, work
from smsr_export.estimate.material import Sample
from smsr_export.estimate.report import Estimate
from smsr_export.estimate.speed import Speed
from smsr_export.estimate.work import Measured
from smsr_export.parity.pictures import own_pictures
from smsr_export.writing import ExportRequest, export
from smsr_runtime.bundle import read_bundle
from tests.export.test_cli import assert_refused, tree
from tests.export.test_cli import export as run
from tests.runtime.video import pattern, rgb_frames, write_clip


def say_nothing(text: str) -> None:
    raise AssertionError(text)


@pytest.fixture(scope="module")
def known(small_network: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small network, its first module active everywhere and its second nowhere: 16 features, 3 layers."""
    state = {name: value.clone() for name, value in small_network.state_dict().items()}
    for module, active in enumerate((1.0, -1.0)):
        state[f"body.{module}.spa_mask.5.weight"].zero_()
        state[f"body.{module}.spa_mask.5.bias"].copy_(torch.tensor([0.0, active]))
    path = tmp_path_factory.mktemp("known") / "known.pt"
    torch.save(state, path)
    return path


def write_picture(path: Path, size: tuple[int, int] = (24, 20), seed: int = 0) -> Path:
    assert cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8))
    return path


def estimated(*arguments: object, cwd: Path) -> dict[str, object]:
    done = run(*arguments, "--json", cwd=cwd)
    assert done.returncode == 0, done.stderr
    document: dict[str, object] = json.loads(done.stdout)
    return document


def test_the_macs_of_a_known_share_are_those_by_hand(known: Path, tmp_path: Path) -> None:
    picture = write_picture(tmp_path / "a.png")
    before = tree(tmp_path)
    result = estimated(known, "--estimate", picture, cwd=tmp_path)
    assert result["active"] == [1.0, 0.0]
    branches = 2 * (9 * 16 * 4 + (9 * 4 * 4 + 9 * 4 * 2) / 4)
    fixed = (9 * 3 * 16 + 9 * 16 * 16) + branches + (2 * 16 * 16 + 9 * 16 * 16) + 9 * 16 * 12  # head, collect, tail
    active = 3 * (9 * 16 * 16 + 16 * 16)
    inactive = 9 * (16 * 0 + 0 * 9 + 9 * 1) + (0 + 9 + 1) * 16  # dense channels of the second module: 0, 9, 1
    macs = {"dense_per_pixel": fixed + 2 * active, "remaining_per_pixel": fixed + active + inactive}
    assert (fixed, active, inactive) == (8540, 7680, 241)
    assert result["macs"] == {**macs, "share": 16461 / 23900}
    assert result["samples"] == [{"name": "a.png", "size": [24, 20], "active": [1.0, 0.0]}]
    times = result["speed"]
    assert isinstance(times, dict) and times["path"] == "function body" and times["size"] == [24, 20]
    assert len(times["sparse"]) == len(times["dense"]) == speed.ROUNDS
    assert result["use_dense"] == (times["ratio"] < 1.1)
    assert tree(tmp_path) == before  # nothing is written


def test_a_margin_equal_to_theta_is_inactive(known: Path, tmp_path: Path) -> None:
    """The second module's logits are equal at every pixel; theta is 0."""
    state = torch.load(known, weights_only=True)
    state["body.1.spa_mask.5.bias"].zero_()
    torch.save(state, tmp_path / "equal.pt")
    write_picture(tmp_path / "a.png")
    assert estimated("equal.pt", "--estimate", "a.png", cwd=tmp_path)["active"] == [1.0, 0.0]


def test_a_bundle_gives_what_its_checkpoint_gives(
    small_network: Network, small_checkpoint: Path, tmp_path: Path
) -> None:
    bundle = tmp_path / "small.smsr"
    export(small_network, ExportRequest(small_checkpoint, bundle, own_pictures(2)))
    write_picture(tmp_path / "a.png")
    results = [estimated(made, "--estimate", "a.png", cwd=tmp_path) for made in (small_checkpoint, bundle)]
    with torch.inference_mode():
        pixels = material.read(tmp_path / "a.png", 1, say_nothing)[0].pixels
        margins = small_network.infer(torch.from_numpy(pixels.transpose(2, 0, 1)[None].astype(np.float32))).margins
    shares = [float((margin > 0).float().mean()) for margin in margins]
    assert min(shares) > 0 and max(shares) < 1
    for result in results:
        assert result["active"] == pytest.approx(shares, abs=0.005)
    assert results[0]["macs"] == results[1]["macs"]


def test_text_names_shares_macs_and_advice(known: Path, tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png")
    done = run(known, "--estimate", "a.png", cwd=tmp_path)
    assert done.returncode == 0 and "a.png 20x24" in done.stdout
    assert "active share 0.500; 16 of 24 thousand MACs per pixel: 31% saved against dense" in done.stdout
    assert done.stdout.splitlines()[-1].startswith(("sparse pays here: expect", "use dense"))


def measured(active: NDArray[np.bool_], name: str = "a") -> Measured:
    """active: (K, H, W)"""
    return Measured.of(Sample(name, np.zeros((*active.shape[1:], 3), np.uint8)), active)


def test_shares_are_of_all_pixels_and_not_means_of_pictures(
    small_network: Network, small_checkpoint: Path, tmp_path: Path
) -> None:
    export(small_network, ExportRequest(small_checkpoint, tmp_path / "b.smsr", own_pictures(2)))
    pictures = [measured(np.ones((2, 2, 2), bool)), measured(np.zeros((2, 4, 3), bool))]
    assert work.together(read_bundle(tmp_path / "b.smsr"), pictures).shares == (0.25, 0.25)


def test_the_sample_is_spread_evenly() -> None:
    assert material.evenly(range(10), 3) == [1, 5, 8]
    assert material.evenly("ab", 3) == ["a", "b"]
    assert material.evenly(range(100), 1) == [50]


def test_frames_are_spread_over_a_clip(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "c.mp4", rgb_frames(12, pix_fmt="yuv444p"))
    samples = material.read(clip, 3, say_nothing)
    assert [sample.name for sample in samples] == ["c.mp4 at 0.12 s", "c.mp4 at 0.28 s", "c.mp4 at 0.44 s"]
    for sample, number in zip(samples, (3, 7, 11), strict=True):  # 25 frames per second
        assert np.abs(sample.pixels.astype(int) - pattern(number)).mean() < 3


def test_key_frames_stand_for_a_long_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(material, "LONG_CLIP", 12)
    clip = write_clip(
        tmp_path / "c.mp4", rgb_frames(12), options={"crf": "1", "g": "5", "sc_threshold": "0", "bf": "0"}
    )
    samples = material.read(clip, 8, say_nothing)
    assert [sample.name for sample in samples] == ["c.mp4 at 0.00 s", "c.mp4 at 0.20 s", "c.mp4 at 0.40 s"]


def test_a_folder_gives_its_pictures_and_frames_of_its_clips(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png")
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "sub").mkdir()
    write_clip(tmp_path / "c.mp4", rgb_frames(8))
    names = [sample.name for sample in material.read(tmp_path, 4, say_nothing)]
    assert names == ["a.png", "c.mp4 at 0.12 s", "c.mp4 at 0.28 s"]


def test_gray_deep_and_transparent_pictures_become_rgb(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "g.png"), np.full((3, 5), 257 * 7, np.uint16))
    rgba = np.zeros((3, 4, 4), np.uint8)
    rgba[:, :2] = (10, 20, 30, 255)  # blue, green, red; the rest is transparent, and black under it
    cv2.imwrite(str(tmp_path / "t.png"), rgba)
    gray, transparent = material.read(tmp_path, 8, say_nothing)
    assert gray.pixels.shape == (3, 5, 3) and (gray.pixels == 7).all()
    assert (transparent.pixels == (30, 20, 10)).all()  # the visible colour, as smsr-run computes it


def test_a_damaged_clip_is_noted(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "c.mkv", rgb_frames(50))
    data = clip.read_bytes()
    clip.write_bytes(data[: len(data) // 2] + bytes(400) + data[len(data) // 2 + 400 :])
    notes: list[str] = []
    assert material.read(clip, 2, notes.append)
    assert len(notes) == 1 and "c.mkv" in notes[0] and "only what can be decoded" in notes[0]


def test_the_crop_is_where_the_share_is_nearest() -> None:
    half = np.zeros((1, 300, 512), bool)
    half[:, :, :256] = True
    full, none = measured(half, "half"), measured(np.zeros((1, 8, 8), bool), "none")
    assert speed.choose([full, none], 1.0)[1][1] == slice(0, 256)
    assert speed.choose([full], 0.0)[1][1] == slice(256, 512)
    one, (rows, columns) = speed.choose([none, full], 0.43)  # 146 of 256 columns inactive
    assert one.sample.name == "half" and columns == slice(146, 402) and rows == slice(0, 256)


def test_both_run_in_turns_and_the_first_runs_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "_PAUSE_SECONDS", 0)
    calls: list[str] = []
    sparse, dense = speed.in_turns(lambda: calls.append("sparse"), lambda: calls.append("dense"))
    assert calls == ["sparse", "dense"] * 6 and len(sparse) == len(dense) == 5


def estimate(sparse: list[float], dense: list[float], *, native: bool = True) -> Estimate:
    times = Speed("a", (8, 8), 0.5, "native avx2" if native else "function body", native, sparse, dense)
    return Estimate("x2", Path("a.png"), [], [ModuleMacs(2, 1)], Work((0.5,), 4.0, 3.0), times)


@pytest.mark.parametrize(
    ("sparse", "dense", "native", "advice"),
    [
        ([1, 1, 1], [2, 3, 4], True, "sparse pays here: expect 3.00 times as fast as the dense network"),
        ([1, 1, 4], [2, 3, 4], True, "expect 2.00 times as fast as the dense network, but not in every round"),
        ([1, 2, 4], [3, 2, 2], True, "use dense: on this material sparse is 1.00 times as fast"),
        ([1, 1, 1], [1.09, 1.09, 9], True, "use dense: on this material sparse is 1.09 times"),
        ([4, 4, 4], [1, 1, 1], False, "use dense, or build the native library"),
    ],
)
def test_the_advice_follows_the_median_of_the_rounds(
    sparse: list[float], dense: list[float], native: bool, advice: str
) -> None:
    assert advice in estimate(sparse, dense, native=native).advice
    assert estimate(sparse, dense, native=native).use_dense == advice.startswith("use dense")


def test_the_text_has_the_median_of_each_network_s_times() -> None:
    one = measured(np.ones((1, 8, 8), bool))
    times = Speed("a", (8, 8), 0.5, "native avx2", True, [0.010, 0.030, 0.020], [0.050, 0.040, 0.060])
    text = Estimate("x2", Path("a.png"), [one], [ModuleMacs(2, 1)], Work((0.5,), 4.0, 3.0), times).text()
    assert "native avx2 20 ms, dense in ONNX Runtime 50 ms; 3.00 times as fast (1.33 to 5.00 in 3 rounds)" in text


REFUSED: dict[str, tuple[list[str], int, str]] = {
    "missing": (["--estimate", "none.png"], 1, "none.png"),
    "no picture": (["--estimate", "net.pt"], 1, "net.pt"),
    "empty folder": (["--estimate", "empty"], 1, "empty"),
    "broken clip": (["--estimate", "broken.mp4"], 1, "broken.mp4"),
    "output": (["--estimate", "a.png", "-o", "x.smsr"], 2, "-o"),
    "force": (["--estimate", "a.png", "--force"], 2, "--force"),
    "target": (["--estimate", "a.png", "--target", "trt"], 2, "--target"),
    "samples": (["--estimate", "a.png", "--samples", "0"], 2, "--samples"),
    "too many samples": (["--estimate", "a.png", "--samples", "65"], 2, "--samples"),
    "samples alone": (["--samples", "3"], 2, "--samples"),
    "json alone": (["--json"], 2, "--json"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_one_line(case: str, known: Path, tmp_path: Path) -> None:
    (tmp_path / "net.pt").write_bytes(known.read_bytes())
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.mp4").write_bytes(bytes(100))
    write_picture(tmp_path / "a.png")
    before = tree(tmp_path)
    arguments, code, word = REFUSED[case]
    assert_refused(run("net.pt", *arguments, cwd=tmp_path), code, word)
    assert tree(tmp_path) == before
