"""The site: built strictly, in the index's order, and looked at in headless Chromium, page by page."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.browser import PHONE, chromium
from tests.conftest import missing
from tests.helpers import REPOSITORY
from tests.site_visit import Visit, served, visit
from tools import site_pages

__all__ = ["chromium"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if importlib.util.find_spec("material") is None:
        missing("no mkdocs-material: pip install '.[docs]'")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
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


def test_links_lead_to_the_site_s_pages() -> None:
    text = (
        "[a](../README.md#parity) [b](../plugins/README.md) [c](benchmark/bench.md) [d](../tools/figures.py)\n"
        "![e](figures/no.png) [f](no.md) [g](https://example.org/x.md) [h](#here)\n"
        "```sh norun: needs a GPU\n[i](../README.md)\n```\n"
    )
    pages = {"index.md", "plugins/README.md", "benchmark/bench.md"}
    changed = site_pages.for_the_site(text, "docs/design.md", REPOSITORY, pages.__contains__)
    assert changed == (
        "[a](index.md#parity) [b](plugins/README.md) [c](benchmark/bench.md) d\n"
        "![e](figures/no.png) [f](no.md) [g](https://example.org/x.md) [h](#here)\n"
        '```{.sh title="needs a GPU"}\n[i](../README.md)\n```\n'
    )
    decision = "docs/adr/0004-winograd.md"
    assert (
        site_pages.for_the_site("[a](../../README.md)", decision, REPOSITORY, pages.__contains__) == "[a](../index.md)"
    )


@pytest.mark.slow
def test_the_navigation_is_the_index_in_its_order(site: Path) -> None:
    index = (REPOSITORY / "docs" / "README.md").read_text(encoding="utf-8")
    listed = [site_pages.site_path(document) for document in site_pages.listed(index)[2:]]
    html = (site / "index.html").read_text(encoding="utf-8")
    sidebar = html[html.index("md-sidebar--primary") : html.index("md-sidebar--secondary")]
    logo, first, *shown, last = re.findall(r'href="([^"]+\.html)"', sidebar)
    assert (logo, first, last) == ("index.html", "index.html", "contents.html")
    assert shown == [re.sub(r"README\.md$", "index.md", path).removesuffix(".md") + ".html" for path in listed]


@pytest.mark.slow
def test_the_search_knows_the_words_of_every_page(site: Path) -> None:
    known = json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))["docs"]
    pages = {entry["location"].partition("#")[0] or "index.html" for entry in known}
    assert pages == {page.relative_to(site).as_posix() for page in site.rglob("*.html")} - {"404.html"}
    found = {entry["location"].partition("#")[0] for entry in known if "libsmsr_trt" in entry["text"]}
    assert "troubleshooting.html" in found


@pytest.mark.slow
def test_every_page_in_chromium(chromium: Any, site: Path) -> None:
    pages = sorted(page.relative_to(site).as_posix() for page in site.rglob("*.html"))
    with served(site) as home, contextlib.closing(chromium.new_page()) as window:
        visits = {page: visit(window, home + page, home) for page in pages}
    assert len(visits) > 30
    assert not dead_links(visits, site)
    assert not {page: seen.width for page, seen in visits.items() if seen.width > PHONE[0]}
    for kind in ("broken", "complaints", "elsewhere"):
        assert not {page: getattr(seen, kind) for page, seen in visits.items() if getattr(seen, kind)}


def test_a_bad_page_is_noticed(chromium: Any, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(
        "<meta name=viewport content='width=device-width'><link rel=icon href='data:,'><p id=here style='width:500px'>x"
        "<a href='gone.html'></a><a href='#nowhere'></a><a href='#here'></a><a href='kept.txt'></a>"
        "<img src='http://127.0.0.2:9/x.png'><script>null.x</script>"
    )
    (tmp_path / "kept.txt").touch()
    with served(tmp_path) as home, contextlib.closing(chromium.new_page()) as window:
        seen = visit(window, home + "index.html", home)
    assert [link.rpartition("/")[2] for link in dead_links({"index.html": seen}, tmp_path)] == [
        "gone.html", "index.html#nowhere",
    ]  # fmt: skip
    assert seen.width > PHONE[0]
    assert seen.elsewhere == seen.broken == ["http://127.0.0.2:9/x.png"]
    assert any("null" in complaint for complaint in seen.complaints)
