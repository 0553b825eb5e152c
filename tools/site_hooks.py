"""Hooks of mkdocs (mkdocs.yml): the site's pages are the repository's documents, as site_pages.py changes them."""

from __future__ import annotations

import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tools import site_pages  # noqa: E402  mkdocs starts this file from a folder of its own


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    config.nav = site_pages.navigation(_index())
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Drops docs/README.md as a folder's page, and adds the listed documents from outside of docs/."""
    files.remove(files.src_uris["README.md"])
    for document in site_pages.listed(_index()):
        uri = site_pages.site_path(document)
        if uri not in files.src_uris:
            files.append(File.generated(config, uri, abs_src_path=str(ROOT / document)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    document = site_pages.repository_path(page.file.src_uri, ROOT)
    return site_pages.for_the_site(markdown, document, ROOT, lambda path: path in files.src_uris)


def _index() -> str:
    return (ROOT / site_pages.INDEX).read_text(encoding="utf-8")
