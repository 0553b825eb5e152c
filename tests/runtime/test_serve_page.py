"""The page of smsr-run --serve in headless Chromium, by playwright; skipped by name where one of them is missing.

SMSR_CHROMIUM names the browser's program; else `chromium` of the PATH.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.runtime.helpers import Run
from tests.runtime.serving import Page, serving

api: Any = pytest.importorskip("playwright.sync_api", reason="playwright is missing (pip install playwright)")
CHROMIUM = os.environ.get("SMSR_CHROMIUM") or shutil.which("chromium")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is missing (apt install chromium, or SMSR_CHROMIUM)"),
    pytest.mark.slow,
]
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
DROP = """([content, name]) => {
    const bytes = Uint8Array.from(atob(content), (one) => one.charCodeAt(0));
    const carried = new DataTransfer();
    carried.items.add(new File([bytes], name));
    const options = { dataTransfer: carried, bubbles: true, cancelable: true };
    document.getElementById("drop").dispatchEvent(new DragEvent("drop", options));
}"""
PIXELS = """async (id) => {
    const image = document.getElementById(id);
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
    const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", data));
    return [canvas.height, canvas.width, Array.from(hash, (one) => one.toString(16).padStart(2, "0")).join("")];
}"""
"""What the browser shows of an <img>: height, width, and the hash of its RGBA bytes."""
LIMIT = 200_000


@pytest.fixture(scope="module")
def server(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    options = ("--max-upload", LIMIT, "--max-megapixels", "0.05")
    with serving(bundle, tmp_path_factory.mktemp("page"), *options, environment={"SMSR_ORT_LIBRARY": "none"}) as made:
        yield made


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield started
        started.close()


class View:
    """The page in a window of its own; `said`: the console's lines and errors, `asked`: addresses that it asked for."""

    def __init__(self, browser: Any, port: int, **options: Any) -> None:
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page = browser.new_context(accept_downloads=True, **options).new_page()
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(f"http://127.0.0.1:{port}/")
        api.expect(self.page.locator("#about")).to_contain_text("tiny, x2")

    def drop(self, file: Path) -> None:
        self.page.evaluate(DROP, [base64.b64encode(file.read_bytes()).decode(), file.name])

    def dropped(self, file: Path) -> None:
        self.drop(file)
        self.done()

    def done(self) -> None:
        api.expect(self.page.locator("#status")).to_have_text("", timeout=60_000)
        api.expect(self.page.locator("#shown")).to_be_visible()

    def pixels(self, name: str) -> list[Any]:
        facts: list[Any] = self.page.evaluate(PIXELS, name)
        return facts

    def split_at(self, place: str) -> np.ndarray:
        """What is seen of the pair of pictures with the slider there."""
        self.page.locator("#split").fill(place)
        return np.asarray(Image.open(io.BytesIO(self.page.locator("#pair").screenshot())).convert("RGB"))

    def width(self) -> tuple[int, int]:
        """Of the content, and of the window."""
        content, window = self.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        return content, window


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(5).integers(0, 201, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "my photo.v2.png")
    return tmp_path / "my photo.v2.png"


def pixels(path: Path) -> list[Any]:
    """As View.pixels has them, of a file."""
    rgba = np.asarray(Image.open(path).convert("RGBA"))
    return [*rgba.shape[:2], hashlib.sha256(rgba.tobytes()).hexdigest()]


def test_a_dropped_picture_is_shown_as_the_command_makes_it(
    server: Page, browser: Any, run: Run, photo: Path, tmp_path: Path
) -> None:
    done = run(photo, "-o", tmp_path / "large.png", "--show-masks", "--json")
    (record,) = json.loads(done.stdout)["files"]
    view = View(browser, server.port)
    view.dropped(photo)
    assert view.pixels("after") == pixels(tmp_path / "large.png")
    assert view.pixels("masks") == pixels(tmp_path / "large.masks.png")
    assert view.pixels("before") == pixels(photo)
    shares = view.page.locator("#shares span").all_text_contents()[1::2]
    assert shares == [f"{100 * share:.1f}".removesuffix(".0") + " %" for share in record["active"]]
    facts = view.page.locator("#facts").inner_text()
    assert "60 × 40 → 120 × 80 pixels" in facts and "computed in" in facts and "waited" in facts
    with view.page.expect_download() as download:
        view.page.locator("#download").click()
    assert download.value.suggested_filename == "my photo.v2-x2.png"
    assert Path(download.value.path()).read_bytes() == (tmp_path / "large.png").read_bytes()
    assert not view.said
    assert {address.split("/")[2] for address in view.asked if not address.startswith("blob:")} == {
        f"127.0.0.1:{server.port}"
    }


def test_theta_s_slider_upscales_again(server: Page, browser: Any, run: Run, photo: Path, tmp_path: Path) -> None:
    assert run(photo, "-o", tmp_path / "dial.png", "--theta", "6").returncode == 0
    view = View(browser, server.port)
    view.dropped(photo)
    assert "theta 0" in view.page.locator("#facts").inner_text()
    view.page.locator("#theta").fill("6")
    api.expect(view.page.locator("#facts")).to_contain_text("at theta 6", timeout=60_000)
    assert view.page.locator("#theta-value").inner_text() == "6"
    assert view.pixels("after") == pixels(tmp_path / "dial.png")
    assert not view.said


def test_the_slider_divides_before_and_after(server: Page, browser: Any, photo: Path) -> None:
    view = View(browser, server.port)
    view.dropped(photo)
    after, before, half = (view.split_at(place) for place in ("0", "100", "50"))
    width = half.shape[1]
    below = half.shape[0] // 2  # under the words
    assert (half[below:, : width // 2 - 6] == before[below:, : width // 2 - 6]).all()
    assert (half[below:, width // 2 + 6 :] == after[below:, width // 2 + 6 :]).all()
    assert (before[below:, 6:-6] != after[below:, 6:-6]).any()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(360, 740), (1280, 800)], ids=["phone", "desk"])
def test_it_fits_a_phone_and_both_colour_schemes(
    server: Page, browser: Any, photo: Path, scheme: str, size: tuple[int, int]
) -> None:
    view = View(browser, server.port, viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
    assert view.width() == (size[0], size[0])
    view.dropped(photo)
    assert view.width() == (size[0], size[0])
    view.page.locator("#zoom").click()
    assert view.width() == (size[0], size[0])
    ground, ink = (
        view.page.evaluate(f"getComputedStyle(document.body).{name}") for name in ("backgroundColor", "color")
    )
    dark, light = sorted((brightness(ground), brightness(ink)))
    assert light - dark > 180 and (brightness(ground) == light) == (scheme == "light")
    assert not view.said


def brightness(colour: str) -> float:
    return float(np.mean([int(part) for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]))


def test_what_cannot_be_upscaled_is_one_line(server: Page, browser: Any, photo: Path, tmp_path: Path) -> None:
    view = View(browser, server.port)
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "heavy.png").write_bytes(bytes(LIMIT + 1))
    Image.new("RGB", (300, 200)).save(tmp_path / "large.png")
    status = view.page.locator("#status")
    for name, words in (
        ("text.png", "the picture: expected a whole picture, got no picture that can be recognised"),
        ("heavy.png", f"upload: expected a file of at most {LIMIT} bytes, got {LIMIT + 1}"),
        ("large.png", "the picture: expected at most 50000 pixels, got 300x200 = 60000"),
    ):
        view.drop(tmp_path / name)
        api.expect(status).to_contain_text(words, timeout=60_000)
        assert status.get_attribute("class") == "wrong" and not view.page.locator("#shown").is_visible()
    view.dropped(photo)


def test_a_file_that_the_browser_cannot_show_is_upscaled(
    server: Page, browser: Any, run: Run, photo: Path, tmp_path: Path
) -> None:
    Image.open(photo).save(tmp_path / "photo.tif")
    assert run(tmp_path / "photo.tif", "-o", tmp_path / "large.png").returncode == 0
    view = View(browser, server.port)
    view.dropped(tmp_path / "photo.tif")
    assert view.pixels("after") == pixels(tmp_path / "large.png")
    assert not view.page.locator("#before").is_visible() and not view.page.locator("#split").is_visible()
    assert "this browser cannot show the file" in view.page.locator("#facts").inner_text()


def test_it_works_by_keyboard_and_by_choosing_a_file(server: Page, browser: Any, photo: Path) -> None:
    view = View(browser, server.port)
    view.page.keyboard.press("Tab")
    with view.page.expect_file_chooser() as chooser:
        view.page.keyboard.press("Space")
    chooser.value.set_files(str(photo))
    view.done()
    assert view.pixels("before") == pixels(photo)


def test_when_the_server_is_gone_the_page_says_so(bundle: Path, browser: Any, photo: Path, tmp_path: Path) -> None:
    (tmp_path / "serve").mkdir()
    with serving(bundle, tmp_path / "serve") as own:
        view = View(browser, own.port)
        assert own.end() == 0
    view.drop(photo)
    api.expect(view.page.locator("#status")).to_contain_text("is smsr-run still running?")
