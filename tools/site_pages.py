"""The documents of the repository as pages of the site; tools/site_hooks.py gives them to mkdocs.

The repository's README is the site's first page, and the index in docs/README.md its navigation; documents outside of
docs/ that the index lists become pages too. Links are rewritten from the repository's paths to the site's; a link to a
source file, which the site does not hold, becomes its text. Why a command is not run by the tests (`norun: REASON`)
becomes its block's title.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from pathlib import Path

INDEX = "docs/README.md"
MOVED = {"README.md": "index.md", INDEX: "contents.md"}
"""Documents whose page in the site has another name than their path says."""
FENCE = re.compile(r"^( *```)(\w+) norun: ([^\n]+)$", re.M)
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s#]*)(#[^)\s]*)?\)")
CODE = re.compile(r"^ *```.*?^ *```$", re.M | re.S)


def navigation(index: str) -> list[dict[str, object]]:
    """The index's headings with the pages listed below each, as mkdocs takes them: [{title: path or list}, ...]."""
    sections: list[dict[str, object]] = [{"Home": "index.md"}]
    for part in re.split(r"^## ", index, flags=re.M)[1:]:
        title = part.partition("\n")[0]
        rows = re.findall(r"^\| \[([^\]]+)\]\(([^)\s]+)\) \|", part, re.M)
        if rows:
            sections.append({title: [{name: site_path(_in_repository(target, INDEX))} for name, target in rows]})
    return [*sections, {"All pages": MOVED[INDEX]}]


def listed(index: str) -> list[str]:
    """The README, the index and every document in the index's tables, as paths in the repository."""
    targets = re.findall(r"^\| \[[^\]]+\]\(([^)\s]+)\) \|", index, re.M)
    return [*MOVED, *(_in_repository(target, INDEX) for target in targets)]


def site_path(document: str) -> str:
    """Where the site has a file of the repository: that of docs/design.md is design.md; elsewhere its own path."""
    return MOVED.get(document) or document.removeprefix("docs/")


def repository_path(uri: str, root: Path) -> str:
    """The other way round; root: the repository."""
    names = {moved: document for document, moved in MOVED.items()}
    inside = f"docs/{uri}"
    return names.get(uri) or (inside if (root / inside).exists() else uri)


def for_the_site(markdown: str, document: str, root: Path, there: Callable[[str], bool]) -> str:
    """The text of `document`, a path below the repository's `root`, with the site's links; `there` knows its files.

    What neither has stays as it is, so that mkdocs complains of it.
    """
    page = posixpath.dirname(site_path(document))

    def link(match: re.Match[str]) -> str:
        image, text, target, anchor = match.groups(default="")
        if not target or "://" in target or target.startswith("mailto:"):
            return match[0]
        meant = _in_repository(target, document)
        uri = site_path(meant)
        if not there(uri):
            return match[0] if image or not (root / meant).exists() else text
        return f"{image}[{text}]({posixpath.relpath(uri, page or '.')}{anchor})"

    parts, end = [], 0
    for block in CODE.finditer(markdown):
        parts += [LINK.sub(link, markdown[end : block.start()]), FENCE.sub(r'\1{.\2 title="\3"}', block[0])]
        end = block.end()
    return "".join([*parts, LINK.sub(link, markdown[end:])])


def _in_repository(target: str, document: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(document), target))
