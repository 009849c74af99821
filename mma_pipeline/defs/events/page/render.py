"""Renders an event's state as HTML and as Markdown. All text from alerts is escaped.

The HTML is one file. Links to plots and products are relative, so that it works in a folder, a bucket and on a web server.
Aladin Lite is loaded from a pinned address with its digest. Without a network, or if the digest differs, the page shows the
plot of the same map.
"""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import cache
from posixpath import dirname, relpath
from typing import Any
from urllib.parse import quote, urlsplit

import jinja2

from mma_pipeline.defs.candidates.vetting import reasons
from mma_pipeline.defs.events.page.state import EventState
from mma_pipeline.notices.source_words import source_words
from mma_pipeline.notices.text import plain_number

ALADIN = "https://cdn.jsdelivr.net/npm/aladin-lite@3.8.2/dist/aladin.js"
ALADIN_INTEGRITY = "sha384-/ymkiSIIZYSHUE2kIcPf4PWW4meM/MIvDZbgCurNjz4k6/Fe21cxLQ9cEn0DlBsZ"
#: Rows of the tables of galaxies.
GALAXIES = 20
_POWER = re.compile(r"(-?\d+(?:\.\d+)?)e([+-]\d+)")
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_UNITS = {"deg2": "deg²", "mpc": "Mpc", "mpc3": "Mpc³", "hz": "Hz"}


@dataclass(frozen=True)
class Attachments:
    """Content read from the store for a page: parts of files that the state names with their digests."""

    galaxies: Sequence[Mapping[str, Any]] = ()
    """Best galaxies of the newest list, as in `galaxies.json`."""
    lines: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """Outlines by credible level (percent): lines of [RA, Dec] in degrees."""


def page_html(state: EventState, key: str, attached: Attachments) -> bytes:
    """The page of an event, to be stored at `key`; the same state gives the same bytes."""
    return _render("event.html.j2", state, key, attached).encode()


def page_markdown(state: EventState, key: str, attached: Attachments) -> str:
    """The same for the UI, as Markdown."""
    return re.sub(r"\n{3,}", "\n\n", _render("event.md.j2", state, key, attached)).strip() + "\n"


def _render(template: str, state: EventState, key: str, attached: Attachments) -> str:
    environment = _environment()
    script = environment.get_template("aladin.js.j2").render(address=ALADIN)
    return environment.get_template(template).render(
        state=state,
        newest=state.localisation,
        galaxies=attached.galaxies[:GALAXIES],
        regions=_regions(state, attached),
        link=lambda target: quote(relpath(target, dirname(key))),
        script=script,
        script_digest="sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        aladin=ALADIN,
        integrity=ALADIN_INTEGRITY,
    )


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mma_pipeline.defs.events.page"),
        # Escape for Markdown too: the UI interprets entities and raw HTML in it.
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "figure": lambda value: typeset(figure(value)) if isinstance(value, float) else figure(value),
        "source": source_words,
        "percent": percent,
        "when": lambda text: f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M:%S}",
        "minute": lambda text: "" if text is None else f"{datetime.fromisoformat(text):%m-%d %H:%M}",
        "years": lambda rate_hz: typeset(false_alarms(rate_hz)),
        "web": web_address,
        "words": words,
        "cell": markdown_cell,
        "rows": rows,
        "reasons": reasons,
    }
    return environment


def words(name: Any) -> str:
    """The name of a statistic for people: `area_90_deg2` is `area 90 deg²`."""
    return " ".join(_UNITS.get(part, part) for part in str(name).split("_"))


def figure(value: Any) -> str:
    """A value for people: four significant digits, an empty text for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return plain_number(value, 4) if abs(value) < 1e4 else f"{value:,.0f}"
    if isinstance(value, list | tuple):
        return ", ".join(figure(entry) for entry in value)
    return str(value)


def percent(share: float | None) -> str:
    """A share (0 to 1) in percent; 0.0% and 100.0% are only what is exactly that, an empty text is None."""
    if share is None:
        return ""
    if 0 < share < 0.0005:
        return "<0.1%"
    return ">99.9%" if 0.9995 <= share < 1 else f"{share:.1%}"


def typeset(text: str) -> str:
    """A number in e-notation as people write it: `3.17e+03` is `3,170`, and `1.004e-116` is `1.004 × 10⁻¹¹⁶`."""

    def written(match: re.Match[str]) -> str:
        power = int(match[2])
        if 0 <= power <= 6:
            return f"{float(match[0]):,.0f}"
        return f"{match[1]} × 10{str(power).translate(_RAISED)}"

    return _POWER.sub(written, text)


def false_alarms(rate_hz: float | None) -> str:
    """A false alarm rate (Hz) as one in so many years (of 365.25 days)."""
    if rate_hz is None or rate_hz <= 0:
        return ""
    years = 1 / rate_hz / (365.25 * 86400)
    if math.isinf(years):  # rates near the smallest float: their inverse is larger than the largest
        return f"1 in {1 / (Decimal(repr(rate_hz)) * Decimal(365.25 * 86400)):.3g} years"
    return f"1 in {years:.3g} years" if years >= 1 else f"1 in {years * 365.25:.3g} days"


def web_address(text: Any) -> str | None:
    """A web address; None for anything else, because `javascript:` would run in the page."""
    try:
        parts = urlsplit(str(text))
    except ValueError:
        return None
    return str(text) if parts.scheme in {"http", "https"} and parts.netloc else None


def markdown_cell(value: Any) -> str:
    """Text for a cell of a Markdown table: nothing in it is markup, not even a link."""
    plain = re.sub(r"\s+", " ", figure(value))
    return re.sub(r"([\\`*_\[\]()#|~!:])", r"\\\1", plain)


def rows(value: Any) -> list[Mapping[str, Any]]:
    """The rows of a value that is a list of objects or a Markdown table; empty for other values."""
    if isinstance(value, list) and value and all(isinstance(entry, dict) for entry in value):
        return value
    lines = value.splitlines() if isinstance(value, str) else []
    if len(lines) < 3 or not all(line.startswith("|") for line in lines):
        return []
    head, _, *body = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    return [dict(zip(head, cells, strict=False)) for cells in body]


def _regions(state: EventState, attached: Attachments) -> Mapping[str, Any] | None:
    """What Aladin Lite draws; None if there is no region."""
    newest = state.localisation
    if newest is None or not attached.lines:
        return None
    statistics = newest["statistics"]["skymap_statistics"]
    # A field of view that would hold a round region of this area, with some sky around it.
    view = min(180.0, 4.0 * (statistics["area_90_deg2"] / 3.14159) ** 0.5 + 1.0)
    return {
        "ra": statistics["peak_ra_deg"],
        "dec": statistics["peak_dec_deg"],
        "fov": round(view, 1),
        "lines": dict(attached.lines),
    }
