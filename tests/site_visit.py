"""A site's pages in Chromium, as wide as a phone: what they link, ask for and complain of, and whether they fit."""

from __future__ import annotations

import contextlib
import functools
import http.server
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.browser import PHONE

COLLECT = """() => ({
  links: [...document.querySelectorAll('a[href]')].map((a) => a.href),
  ids: [...document.querySelectorAll('[id]')].map((element) => element.id),
  broken: [...document.images].filter((image) => !image.naturalWidth).map((image) => image.src),
})"""
STEADY = """() => Promise.allSettled(document.getAnimations().map((animation) => animation.finished))
    .then(() => document.documentElement.scrollWidth)"""


@dataclass
class Visit:
    """links: absolute addresses; ids: what an anchor may name; broken: pictures that did not load.

    elsewhere: requests to other hosts; complaints: console errors and exceptions; width: of the content, pixels.
    """

    links: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    width: int = 0


class _Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
    """The usual 5 are fewer than a browser's connections: those that are dropped wait for seconds."""


class _Files(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections stay open

    def log_message(self, *_: Any) -> None:
        """Nothing: a test's output is for failures."""


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address at which `folder` is served on this machine alone."""
    handler = functools.partial(_Files, directory=str(folder))
    with _Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def visit(page: Any, address: str, home: str) -> Visit:
    """Opens `address`, of the site at `home`."""
    found = Visit()
    listeners = {
        "console": lambda message: found.complaints.append(message.text) if message.type == "error" else None,
        "pageerror": lambda error: found.complaints.append(str(error)),
        "request": lambda request: _note(found.elsewhere, request.url, home),
    }
    for event, listener in listeners.items():
        page.on(event, listener)
    page.set_default_timeout(60_000)
    page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    page.goto(address, wait_until="load")
    for name, values in page.evaluate(COLLECT).items():
        setattr(found, name, values)
    found.width = page.evaluate(STEADY)
    for event, listener in listeners.items():
        page.remove_listener(event, listener)
    return found


def _note(addresses: list[str], address: str, home: str) -> None:
    if not address.startswith((home, "data:", "blob:")):
        addresses.append(address)
