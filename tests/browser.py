"""Our pages in a real Chromium: opened at a width and colour scheme, judged by what it lays out and loads."""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import missing

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PHONE, DESKTOP = (390, 844), (1280, 900)
_FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
_DECODED = "Promise.all([...document.images].map(image => image.decode().then(() => image.naturalWidth > 0)))"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Debian's browser, headless, driven by Playwright's Python package."""
    path = shutil.which("chromium")
    if path is None:
        missing("no Chromium: apt install chromium")
    if importlib.util.find_spec("playwright") is None:
        missing("no Playwright: pip install playwright")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_FLAGS)
        yield browser
        browser.close()


@contextlib.contextmanager
def opened(browser: Browser, file: Path, size: tuple[int, int] = DESKTOP, scheme: str = "light") -> Iterator[Page]:
    """The page of a file. Fails for errors in its console, dialogs, and requests of anything but itself.

    size: (width, height); scheme: "light" or "dark".
    """
    faults: list[str] = []
    width, height = size
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if scheme == "dark" else "light",
        has_touch=size == PHONE,
    )
    try:
        page = context.new_page()
        page.on("console", lambda message: faults.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: faults.append(f"script: {error}"))
        page.on("dialog", lambda dialog: faults.append(f"dialog: {dialog.message}"))
        page.on("request", lambda request: faults.append(f"request: {request.url[:99]}"))
        page.goto(file.absolute().as_uri())
        own = f"request: {file.absolute().as_uri()}"[: len("request: ") + 99]
        yield page
        assert [fault for fault in faults if fault != own and not fault.startswith("request: data:")] == []
    finally:
        context.close()


def check_layout(page: Page) -> None:
    """No scrolling sideways, every picture decoded, text readable on what lies behind it."""
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    decoded = page.evaluate(_DECODED)
    assert decoded and all(decoded)
    for selector in ("body", ".soft", ".eyebrow", "thead th"):
        assert contrast(page, selector) >= 4.5, selector


def contrast(page: Page, selector: str) -> float:
    """WCAG's ratio of an element's text colour to the page's background."""
    colours = page.evaluate(
        "selector => [document.querySelector(selector), document.body].map("
        "(one, place) => getComputedStyle(one)[place ? 'backgroundColor' : 'color'])",
        selector,
    )
    text, ground = (_luminance(colour) for colour in colours)
    return (max(text, ground) + 0.05) / (min(text, ground) + 0.05)


def background(page: Page) -> float:
    """Luminance, 0 (black) to 1."""
    return _luminance(page.evaluate("getComputedStyle(document.body).backgroundColor"))


def _luminance(colour: str) -> float:
    """Of "rgb(r, g, b)", by WCAG."""
    values = [int(value) / 255 for value in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in values]
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def cut(page: Page, number: int = 0) -> str:
    """Where the picture behind a slider begins to be seen, as CSS has it."""
    clip: str = page.evaluate(
        "number => getComputedStyle(document.querySelectorAll('.after')[number]).clipPath", number
    )
    return clip.removeprefix("inset(0px 0px 0px ").removesuffix(")")
