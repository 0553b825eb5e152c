"""report.html in Chromium, at the width of a phone and of a desktop, light and dark, by keyboard, touch and mouse."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import smsr_runtime
from smsr.network import InferenceResult, Network
from smsr_export.parity.comparison import compare
from smsr_export.parity.pictures import Picture
from smsr_export.parity.report import Parity
from smsr_export.report.exhibits import Gallery
from smsr_export.report.page import report as page_of
from smsr_export.sample import sample_picture
from smsr_export.writing import ExportRequest, export
from smsr_runtime.arrays import to_planes
from tests.browser import DESKTOP, PHONE, background, check_layout, chromium, cut, opened

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

__all__ = ["chromium"]
HOSTILE = """<img src=x onerror=alert(1)><b>&amp;"'{{ 7*7 }}"""
"""As a file's name: no slash, so no end tag."""


def pictures() -> list[Picture]:
    """Four, one of them wider than the window that is shown, one with a long name."""
    sizes = {"first": (60, 80), "wide": (40, 500), "w" * 70: (64, 64), "last": (31, 47)}
    return [
        Picture(name, low, low.repeat(2, axis=0).repeat(2, axis=1))
        for name, low in ((name, sample_picture(*size)) for name, size in sizes.items())
    ]


@pytest.fixture(scope="module")
def report(small_network: Network, small_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("report") / "small.smsr"
    export(small_network, ExportRequest(small_checkpoint, output, pictures(), dial=True))
    return output / "report.html"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_it_fits_and_reads_well(chromium: Browser, report: Path, size: tuple[int, int], scheme: str) -> None:
    with opened(chromium, report, size, scheme) as page:
        check_layout(page)
        assert (background(page) > 0.8) if scheme == "light" else (background(page) < 0.05)
        assert page.locator(".compare").count() == 3 and page.locator("svg.chart").count() == 3
        assert all(stage["width"] <= size[0] for stage in boxes(page, ".stage"))


def boxes(page: Page, selector: str) -> list[Any]:
    return [one.bounding_box() for one in page.locator(selector).all()]


def test_the_divider_moves_by_keyboard(chromium: Browser, report: Path) -> None:
    """Reached by Tab alone; what is seen moves with it, and a screen reader is told."""
    with opened(chromium, report) as page:
        assert cut(page) == "50%"
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.type") == "range"
        for _ in range(10):
            page.keyboard.press("ArrowRight")
        assert cut(page) == "60%" and cut(page, 1) == "50%"
        told = page.evaluate("document.activeElement.getAttribute('aria-valuetext')")
        assert told == "60 % bicubic, 40 % smsr x2"
        page.keyboard.press("Home")
        assert cut(page) == "0%"
        page.keyboard.press("End")
        assert cut(page) == "100%"


def test_the_divider_follows_mouse_and_finger(chromium: Browser, report: Path) -> None:
    with opened(chromium, report) as page:
        box = boxes(page, ".stage")[0]
        middle = box["y"] + box["height"] / 2
        page.mouse.move(box["x"] + box["width"] / 2, middle)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] / 4, middle)
        page.mouse.up()
        page.mouse.move(box["x"], middle)  # let go: no longer followed
        assert cut(page) == "25%"
    with opened(chromium, report, PHONE) as page:
        page.locator(".stage").first.scroll_into_view_if_needed()
        box = boxes(page, ".stage")[0]
        page.touchscreen.tap(box["x"] + 0.75 * box["width"], box["y"] + box["height"] / 2)
        assert cut(page) == "75%"


def pixels(page: Page, selector: str) -> NDArray[np.uint8]:
    data = page.locator(selector).first.screenshot()
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def test_what_is_seen_is_before_left_of_the_divider_and_after_right_of_it(chromium: Browser, report: Path) -> None:
    with opened(chromium, report) as page:
        page.add_style_tag(content=".divider, .tag { visibility: hidden }")
        slider, seen = page.locator(".stage input").first, {}
        for place in (0, 50, 100):
            slider.fill(str(place))
            seen[place] = pixels(page, ".stage").astype(int)
        half = seen[50].shape[1] // 2
        assert np.array_equal(seen[50][:, : half - 2], seen[100][:, : half - 2])
        assert np.array_equal(seen[50][:, half + 2 :], seen[0][:, half + 2 :])
        assert np.abs(seen[0] - seen[100]).mean() > 1


def test_one_layer_is_shown_at_a_time(chromium: Browser, report: Path) -> None:
    with opened(chromium, report) as page:
        figure = page.locator(".compare").first
        plain = pixels(page, ".stage")
        shown = "[...document.querySelectorAll('.layer')].filter(one => !one.hidden).map(one => one.dataset.layer)"
        assert page.evaluate(shown) == []
        figure.get_by_text("all modules", exact=True).click()
        assert page.evaluate(shown) == ["1"]
        assert not np.array_equal(pixels(page, ".stage"), plain)
        page.keyboard.press("ArrowRight")
        assert page.evaluate(shown) == ["2"]
        figure.get_by_text("off", exact=True).click()
        assert page.evaluate(shown) == [] and np.array_equal(pixels(page, ".stage"), plain)


def test_names_never_become_html(
    chromium: Browser, small_network: Network, small_checkpoint: Path, tmp_path: Path
) -> None:
    """Of checkpoint, bundle and picture; a dialog, a console error or a request would fail `opened`."""
    checkpoint = tmp_path / f"{HOSTILE}.pt"
    checkpoint.write_bytes(small_checkpoint.read_bytes())
    named = [dataclasses.replace(pictures()[0], name=HOSTILE)]
    export(small_network, ExportRequest(checkpoint, tmp_path / f"{HOSTILE}.smsr", named))
    with opened(chromium, tmp_path / f"{HOSTILE}.smsr" / "report.html", PHONE) as page:
        check_layout(page)
        assert page.locator("h1").inner_text() == HOSTILE == page.locator("figcaption h3").inner_text()
        assert page.locator("b").count() == 0 and page.locator("img[onerror], img[src=x]").count() == 0
        assert page.title() == f"{HOSTILE}: smsr report"


def test_set5_fits_into_a_megabyte_and_a_half(
    chromium: Browser, native_library: Path, set5_x2: list[tuple[Picture, InferenceResult]], x2_network: Network,
    x2_bundle: Path, tmp_path: Path,
) -> None:  # fmt: skip
    """The authors' weights on real pictures, the paper's figure beside ours."""
    upscaler, gallery, rows = smsr_runtime.load(x2_bundle), Gallery(), []
    for picture, reference in set5_x2:
        gallery.see(picture, *upscaler.upscale_float(to_planes(picture.low), margins=True))
        rows.append(compare(x2_network, picture, reference, upscaler, "native"))
    entries = {**upscaler.bundle.manifest, "parity": {**Parity("fp32", rows).as_json(), "accepted_failure": False}}
    report = tmp_path / "report.html"
    report.write_text(page_of(entries, gallery.exhibits))
    assert report.stat().st_size < 1.5e6
    with opened(chromium, report, PHONE) as page:
        check_layout(page)
        text = page.locator("main").inner_text()
        assert "37.99 dB" in text and "paper: 38.00 dB (Set5 x2)" in text and "0 flips of 709,320" in text
        assert page.locator("figcaption h3").all_inner_texts() == ["baby", "woman", "butterfly"]
