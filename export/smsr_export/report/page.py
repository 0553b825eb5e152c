"""The pages: templates with numbers and pictures put in. Whatever comes from a name is escaped by Jinja."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from smsr_export.report import images, sections
from smsr_export.report.exhibits import Exhibit
from smsr_export.report.sections import NONE, Entries

TEMPLATES = Path(__file__).parent / "templates"
_SCRIPT = "page.js"
_MOST_LAYERS = 12
"""Modules whose masks are shown one by one."""


@dataclass(frozen=True)
class Layer:
    """What can be laid over a picture; name: of its button; uri: the picture."""

    name: str
    uri: str


@dataclass(frozen=True)
class Comparison:
    """An exhibit as a template takes it: data URIs of WebP and PNG."""

    exhibit: Exhibit
    before: str
    after: str
    layers: list[Layer]


def report(entries: Entries, exhibits: Sequence[Exhibit]) -> str:
    """The HTML of a bundle's report. entries: of its manifest, all but the report's own hash."""
    tables = sections.parity(entries)
    return render(
        "report.html",
        entries=entries,
        comparisons=[comparison(one) for one in exhibits],
        tables=tables,
        worst=sections.worst(tables),
        psnr=sections.psnr(tables[0]),
        own_sample=sections.is_own_sample(tables),
        published=sections.published(entries, tables),
        limits=sections.limits(entries),
        work=sections.work(entries, tables),
        dial=sections.dial(entries),
        charts=sections.dial_charts(sections.dial(entries)),
        commands=sections.commands(entries),
    )


def comparison(exhibit: Exhibit) -> Comparison:
    """Its pictures, encoded."""
    named = zip(exhibit.masks[:_MOST_LAYERS], exhibit.shares, strict=False)
    layers = [Layer("all modules", images.heat_layer(exhibit.masks))]
    layers += [Layer(f"{k} · {_percent(share)}", images.mask_layer(mask)) for k, (mask, share) in enumerate(named, 1)]
    return Comparison(exhibit, images.webp(exhibit.bicubic), images.webp(exhibit.upscaled), layers)


def render(template: str, *, folders: Sequence[Path] = (), **values: Any) -> str:
    """A page by one of the templates here or in `folders`. The page can load nothing and run no script but its own."""
    loader = jinja2.FileSystemLoader([*folders, TEMPLATES])
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(decibel=_decibel, percent=_percent, difference=_difference)
    script = (TEMPLATES / _SCRIPT).read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template(template).render(**values, script=Markup(script), script_hash=digest)


def _decibel(value: float | None, digits: int = 2) -> str:
    return NONE if value is None else f"{value:.{digits}f}"


def _percent(value: float | None) -> str:
    return NONE if value is None else f"{100 * value:.0f}\u202f%"


def _difference(value: float) -> str:
    """Of 255, such as 3.7e-4."""
    if not math.isfinite(value):
        return "not finite"
    digits, exponent = f"{value:.1e}".split("e")
    return f"{digits}e{int(exponent)}" if value else "0"
