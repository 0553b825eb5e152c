"""The site: built strictly, in the index's order, and looked at in headless Chromium, page by page."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import browser
from tests.browser import PHONE, SCREEN, Visit
from tests.conftest import missing
from tests.helpers import REPOSITORY
from tools import site_pages


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if importlib.util.find_spec("material") is None:
        missing("no mkdocs-material: pip install '.[docs]'")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=REPOSITORY, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def dead_links(visits: dict[str, Visit], files: Path) -> list[str]:
    """Links to this machine's server without a file, or with an anchor that its page does not have."""
    dead = []
    for page, seen in visits.items():
        for link in seen.links:
            local = re.fullmatch(r"http://127\.0\.0\.1:\d+/([^?#]*)(?:\?[^#]*)?(?:#(.*))?", link)
            if local is None:
                continue
            target, anchor = local.groups()
            target = f"{target}index.html" if target == "" or target.endswith("/") else target
            known = target in visits and (not anchor or anchor in visits[target].ids)
            if not known and not (not anchor and (files / target).is_file()):
                dead.append(f"{page}: {link}")
    return dead


@pytest.mark.slow
def test_the_navigation_is_the_index_in_its_order(site: Path) -> None:
    index = (REPOSITORY / "docs" / "README.md").read_text(encoding="utf-8")
    listed = [site_pages.site_path(document) for document in site_pages.listed(index)[2:]]
    html = (site / "index.html").read_text(encoding="utf-8")
    sidebar = html[html.index("md-sidebar--primary") : html.index("md-sidebar--secondary")]
    first, *shown, last = re.findall(r'href="([^"]+\.html)"', sidebar)
    assert (first, last) == ("index.html", "contents.html")
    assert shown == [re.sub(r"README\.md$", "index.md", path).removesuffix(".md") + ".html" for path in listed]


@pytest.mark.slow
def test_every_page_in_chromium(site: Path) -> None:
    pages = sorted(page.relative_to(site).as_posix() for page in site.rglob("*.html"))
    with browser.chromium() as chromium, browser.served(site) as home:
        window = chromium.new_page()
        visits = {page: browser.visit(window, home + page, home) for page in pages}
        window.goto(home)
        window.fill(".md-search__input", "plugin not found")
        found = window.locator(".md-search-result__link").first
        found.wait_for(state="attached")
        assert "troubleshooting.html" in found.get_attribute("href")
    assert len(visits) > 30
    assert not dead_links(visits, site)
    for width in (PHONE, SCREEN):
        assert not {page: seen.widths[width] for page, seen in visits.items() if seen.widths[width] > width}
    for kind in ("broken", "complaints", "elsewhere"):
        assert not {page: getattr(seen, kind) for page, seen in visits.items() if getattr(seen, kind)}


def test_a_bad_page_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(
        "<meta name=viewport content='width=device-width'><link rel=icon href='data:,'><p id=here style='width:500px'>x"
        "<a href='gone.html'></a><a href='#nowhere'></a><a href='#here'></a><a href='kept.txt'></a>"
        "<img src='http://127.0.0.2:9/x.png'><script>null.x</script>"
    )
    (tmp_path / "kept.txt").touch()
    with browser.chromium() as chromium, browser.served(tmp_path) as home:
        seen = browser.visit(chromium.new_page(), home + "index.html", home)
    assert [link.rpartition("/")[2] for link in dead_links({"index.html": seen}, tmp_path)] == [
        "gone.html", "index.html#nowhere",
    ]  # fmt: skip
    assert seen.widths[PHONE] > PHONE and seen.widths[SCREEN] == SCREEN
    assert seen.elsewhere == seen.broken == ["http://127.0.0.2:9/x.png"]
    assert any("null" in complaint for complaint in seen.complaints)
