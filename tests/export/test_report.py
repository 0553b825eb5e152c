"""report.html: numbers of the manifest, pictures of the verification, one file."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import smsr_runtime
from smsr.evaluation import paper
from smsr.network import Network
from smsr_export import cli
from smsr_export.parity.pictures import Picture
from smsr_export.parity.rows import ParityRow
from smsr_export.report import images, page, sections
from smsr_export.report.charts import HEIGHT, WIDTH, chart
from smsr_export.report.exhibits import LARGEST, Gallery, exhibit
from smsr_export.report.sections import PathTable
from smsr_export.writing import ExportRequest, export
from smsr_runtime.errors import BundleError
from smsr_runtime.media.masks import BUSY, QUIET
from smsr_runtime.selftest import self_test
from tests.export.onnx_tools import FEW_PIXELS


@pytest.fixture(scope="module")
def bundle(small_network: Network, small_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("report") / "small.smsr"
    export(small_network, ExportRequest(small_checkpoint, output, FEW_PIXELS))
    return output


def entries_of(bundle: Path) -> dict[str, Any]:
    return dict(json.loads((bundle / "manifest.json").read_text()))


def decoded(uri: str) -> Image.Image:
    kind, _, data = uri.partition(";base64,")
    image = Image.open(io.BytesIO(base64.b64decode(data)))
    assert kind == f"data:image/{str(image.format).lower()}"
    return image


def row(name: str, width: int, height: int, shares: list[float], psnr: float | None = 30.0) -> ParityRow:
    return ParityRow(
        name, "native", width, height, 2 * width * height, 0, 1e-4, 1e-5, sum(shares) / 2, shares, psnr, psnr
    )


def test_numbers_on_the_page_are_the_manifest_s(bundle: Path) -> None:
    text, entries = (bundle / "report.html").read_text(), entries_of(bundle)
    assert entries["checkpoint"]["sha256"] in text and entries["interface_hash"] in text
    assert all(entries["files"][name]["sha256"] in text for name in ("model.onnx", "golden/input.png"))
    assert all(f"<td>{version}</td>" in text for version in entries["versions"].values())
    for one in entries["parity"]["rows"]:
        assert one["path"] in text and one["picture"] in text and f"of {one['mask_pixels']:,}" in text


def test_what_was_not_measured_says_what_measures_it(bundle: Path) -> None:
    text = (bundle / "report.html").read_text()
    assert (
        "Theta’s curve: not measured.</strong> Measures it: <code>smsr-export small.pt --verify PICTURES --dial" in text
    )
    assert "Time: not measured.</strong> Measures it: <code>smsr-bench small.smsr PICTURES" in text
    assert "<svg" not in text


def test_the_dial_s_curve_is_drawn_and_listed(bundle: Path) -> None:
    points = [
        {"theta": 0.0, "active_share": 0.5, "macs_share": 0.6, "psnr": 31.5},
        {"theta": 1.25, "active_share": 0.4, "macs_share": 0.5, "psnr": 31.25},
        {"theta": 4.0, "active_share": 0.3, "macs_share": 0.4, "psnr": 30.0},
    ]
    text = page.report({**entries_of(bundle), "dial": {"pictures": 3, "points": points}}, [])
    assert text.count("<svg") == 3 and "31.50 at 0, 31.25 at 1.25, 30.00 at 4" in text
    assert '<th scope="row">50</th><td>1.25</td><td>0.400</td>' in text  # half way from 0.3 to 0.5
    without = [{**point, "psnr": None} for point in points]
    assert page.report({**entries_of(bundle), "dial": {"pictures": 3, "points": without}}, []).count("<svg") == 2


def test_work_counts_every_pixel_alike(bundle: Path) -> None:
    """By hand: 300 pixels of shares 0.2, 0.4 and 100 of 0.6, 0.8."""
    tables = [PathTable("native", [row("a", 30, 10, [0.2, 0.4]), row("b", 10, 10, [0.6, 0.8])], None)]
    entries = {"macs": {"fixed_per_pixel": 1000, "active_per_pixel": [4000, 4000], "inactive_per_pixel": [400, 800]}}
    work = sections.work(entries, tables)
    assert [module.share for module in work.modules] == pytest.approx([0.3, 0.5, None])
    assert [module.remaining for module in work.modules] == pytest.approx([1.48, 2.4, 1.0])
    assert (work.dense, work.remaining, work.share) == pytest.approx((9.0, 4.88, 0.4))


def test_module_shares_are_those_of_the_margins(bundle: Path, small_network: Network) -> None:
    upscaler = smsr_runtime.load(bundle)
    for picture, one in zip(FEW_PIXELS, entries_of(bundle)["parity"]["rows"], strict=False):
        assert one["module_shares"] == upscaler.active_shares(upscaler.with_margins(picture.low)[1])


def test_the_paper_s_figure_stands_beside_its_own_pictures_alone() -> None:
    assert paper.published(2, ["woman", "baby", "bird", "butterfly", "head"]) == ("Set5", 38.00)
    assert paper.published(4, paper.PICTURES["Set14"]) == ("Set14", 28.55)
    assert paper.published(2, ["baby", "bird"]) is None and paper.published(5, paper.PICTURES["Set5"]) is None


def shown(share: float, side: int = 4) -> tuple[Picture, NDArray[np.float32], Sequence[NDArray[np.float32]]]:
    low = np.full((side, side, 3), 100, np.uint8)
    margin = np.full((1, 1, side, side), -1, np.float32)
    margin.reshape(-1)[: round(share * side**2)] = 1
    upscaled = np.full((1, 3, 2 * side, 2 * side), 300, np.float32)
    return Picture(f"{share}", low), upscaled, [margin]


def test_the_gallery_keeps_both_ends_and_the_middle() -> None:
    gallery = Gallery()
    for share in (0.25, 0.5, 1.0, 0.0, 0.75):
        gallery.see(*shown(share))
    assert [one.name for one in gallery.exhibits] == ["0.0", "0.5", "1.0"]
    assert gallery.exhibits[0].upscaled.max() == 255 and gallery.exhibits[0].bicubic.min() == 100


def test_a_large_picture_is_shown_from_its_middle() -> None:
    """Every pixel of the window is the whole picture's, in low resolution, in high and in the mask."""
    random = np.random.default_rng(0)
    low = random.integers(0, 256, (400, 500, 3), np.uint8)
    upscaled = random.uniform(0, 255, (1, 3, 800, 1000)).astype(np.float32)
    margin = random.normal(size=(1, 1, 400, 500)).astype(np.float32)
    one = exhibit("large", low, upscaled, [margin])
    assert one.low.shape == (360, 360, 3) and one.upscaled.shape == one.bicubic.shape == (LARGEST, LARGEST, 3)
    assert not one.whole and one.size == (400, 500) and one.shares == (float((margin > 0).mean()),)
    assert np.array_equal(one.low, low[20:380, 70:430])
    assert np.array_equal(one.masks[0], margin[0, 0, 20:380, 70:430] > 0)
    assert np.array_equal(one.upscaled[0, 0], np.rint(upscaled[0, :, 40, 140]).astype(np.uint8))


def test_layers_are_transparent_where_no_module_worked() -> None:
    masks = np.array([[[0, 1, 1, 1]], [[0, 0, 1, 1]], [[0, 0, 0, 1]]], bool)
    heat = np.asarray(decoded(images.heat_layer(masks)).convert("RGBA"))[0]
    assert heat[0, 3] == 0 and tuple(heat[1, :3]) == QUIET and tuple(heat[3, :3]) == BUSY
    assert 0 < heat[1, 3] < heat[2, 3] < heat[3, 3]
    one = np.asarray(decoded(images.mask_layer(masks[1])).convert("RGBA"))[0]
    assert one[:2, 3].tolist() == [0, 0] and one[2, 3] == one[3, 3] > 0
    many = np.asarray(decoded(images.heat_layer(np.ones((600, 1, 1), bool))).convert("RGBA"))
    assert tuple(many[0, 0, :3]) == BUSY


def test_a_chart_lies_between_its_ends() -> None:
    line = chart("t", "theta", [0, 1, 4], [10, 20, 15], "{:.1f}")
    (first, second, third) = line.points
    assert first.x < second.x < third.x < WIDTH and second.x - first.x == pytest.approx(
        (third.x - first.x) / 4, abs=0.1
    )
    assert 0 < second.y < third.y < first.y < HEIGHT and (first.y + second.y) / 2 == third.y
    assert [point.value for point in line.points] == ["10.0", "20.0", "15.0"]
    assert len({point.y for point in chart("flat", "x", [0, 1], [5, 5], "{}").points}) == 1


def test_names_are_escaped(bundle: Path) -> None:
    """Without a browser; tests/export/test_report_page.py has one."""
    entries, hostile = entries_of(bundle), """<img src=x onerror="alert(1)"> '{{ 7*7 }}"""
    entries["name"] = entries["checkpoint"]["file"] = entries["parity"]["rows"][0]["picture"] = hostile
    text = page.report(entries, [])
    assert "<img" not in text and text.count("&lt;img src=x onerror=&#34;alert(1)&#34;&gt;") >= 4
    assert "&#39;{{ 7*7 }}" in text


def test_a_failed_parity_is_said_first(bundle: Path) -> None:
    entries = entries_of(bundle)
    entries["parity"].update(passed=False, failures=["native: 9 mask flips"], accepted_failure=True)
    text = page.report(entries, [])
    assert "failed</span>" in text and "Parity failed:</strong> native: 9 mask flips" in text
    assert "passed</span>" not in text


def test_the_headline_is_the_worst_path_s(bundle: Path) -> None:
    """And what is not finite, null in the manifest, is said so."""
    entries = entries_of(bundle)
    entries["parity"]["rows"] = [
        dataclasses.asdict(dataclasses.replace(row("a", 10, 10, [0.5, 0.5]), path=path, flips=flips, max_abs=largest))
        for path, flips, largest in (("native", 0, 0.25), ("body", 3, 0.125))
    ]
    assert "3 flips of 200 mask pixels; largest difference 2.5e-1 of 255" in page.report(entries, [])
    entries["parity"]["rows"][1]["max_abs"] = None
    assert "largest difference not finite" in page.report(entries, [])


def test_without_a_report_the_bundle_is_the_same_and_works(
    small_checkpoint: Path, bundle: Path, tmp_path: Path
) -> None:
    """As bundles of older releases are."""
    output = tmp_path / "plain.smsr"
    assert cli.main([str(small_checkpoint), "-o", str(output), "--no-report"]) == 0
    assert sorted(path.name for path in output.iterdir()) == ["golden", "manifest.json", "model.onnx"]
    assert (output / "model.onnx").read_bytes() == (bundle / "model.onnx").read_bytes()
    upscaler = smsr_runtime.load(output)
    assert self_test(upscaler.bundle, upscaler.opened).max_abs < 1e-3


@pytest.mark.parametrize(
    "words", [["-o", "x.onnx"], ["--inline"], ["--target", "triton"], ["--estimate", "photos"]], ids=" ".join
)
def test_no_report_where_there_would_be_none_is_refused(
    words: list[str], small_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert cli.main([str(small_checkpoint), *words, "--no-report"]) == 2
    assert "--no-report: expected" in capsys.readouterr().err and list(tmp_path.iterdir()) == []


def test_a_changed_report_is_noticed_as_every_file_is(bundle: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.smsr"
    copy.mkdir()
    for file in (path for path in bundle.rglob("*") if path.is_file()):
        target = copy / file.relative_to(bundle)
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(file.read_bytes())
    smsr_runtime.load(copy)
    (copy / "report.html").write_bytes((bundle / "report.html").read_bytes().replace(b"smsr", b"SMSR", 1))
    with pytest.raises(BundleError, match=r"report\.html"):
        smsr_runtime.load(copy)
