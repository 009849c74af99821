"""Renders an event's state as HTML and as Markdown. All text from alerts is escaped.

The HTML is one file. Links to plots and products are relative, so that it works in a folder, a bucket and on a web server.
Aladin Lite is loaded from a pinned address with its digest. Without a network, or if the digest differs, the page shows the
plots of the same maps. Its own script keeps times since the event current, and loads the page again when a newer one is there.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from posixpath import dirname, relpath
from typing import Any
from urllib.parse import quote, urlsplit

import jinja2

from mma_pipeline.defs.candidates.vetting import reasons
from mma_pipeline.defs.events.page.galaxies import galaxy_lists
from mma_pipeline.defs.events.page.headline import headline
from mma_pipeline.defs.events.page.nights import nights
from mma_pipeline.defs.events.page.sentences import changes, host, joint_rate, places_exclude, verdict
from mma_pipeline.defs.events.page.state import EventState
from mma_pipeline.notices.key import is_gravitational_wave
from mma_pipeline.notices.neutrino_words import neutrino_words
from mma_pipeline.notices.source_words import source_words
from mma_pipeline.notices.times import datetime_of_mjd
from mma_pipeline.notices.words import (
    amount,
    area,
    chance,
    distance,
    false_alarm,
    figure,
    label,
    sexagesimal,
    share,
    typeset,
)
from mma_pipeline.products.regions import of_map, smaller_than_own
from mma_pipeline.science.kilonova.latest import Latest
from mma_pipeline.science.observing.visibility import DEFAULT_INSTRUMENTS

ALADIN = "https://cdn.jsdelivr.net/npm/aladin-lite@3.8.2/dist/aladin.js"
ALADIN_INTEGRITY = "sha384-/ymkiSIIZYSHUE2kIcPf4PWW4meM/MIvDZbgCurNjz4k6/Fe21cxLQ9cEn0DlBsZ"
#: Rows of the tables of galaxies.
GALAXIES = 20
#: From this probability on that the source lies behind the catalog, a list of galaxies is given with a warning.
BEYOND = 0.1
#: Names of instruments in orbit, by the names of their files.
_INSTRUMENTS = {one.file: one.name.replace("-", " ") for one in DEFAULT_INSTRUMENTS}


@dataclass(frozen=True)
class Attachments:
    """Content for a page beside its state: parts of files that the state names, light curves, where messages came from."""

    galaxies: Sequence[Mapping[str, Any]] = ()
    """Best galaxies of the newest own list, as in `galaxies.json`."""
    lines: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """Outlines by credible level (percent): lines of [RA, Dec] in degrees."""
    partners: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """Outlines of 90 % of coincident events, by event."""
    covered: Mapping[str, Sequence[int]] = field(default_factory=dict)
    """What telescopes have covered: order to NESTED HEALPix cells, as in a MOC in JSON."""
    brightness: Mapping[str, Latest] = field(default_factory=dict)
    """How bright candidates were last, by name."""
    sites: Sequence[Mapping[str, Any]] = ()
    """All observatories of the newest map's windows, as in `observability.json`."""
    messages: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Topic, place (partition and offset) and SHA-256 of the message of each version, by partition key."""
    combined_galaxies: Sequence[Mapping[str, Any]] = ()
    """Best galaxies of the combined map by LIGO/Virgo/KAGRA that holds now."""


def page_html(state: EventState, key: str, attached: Attachments, made: datetime | None = None) -> bytes:
    """The page of an event, to be stored at `key`; equal arguments give the same bytes. `made` is the time now, UTC."""
    return _render("event.html.j2", state, key, attached, made).encode()


def page_markdown(state: EventState, key: str, attached: Attachments, made: datetime | None = None) -> str:
    """The same for the UI, shorter, as Markdown."""
    return re.sub(r"\n{3,}", "\n\n", _render("event.md.j2", state, key, attached, made)).strip() + "\n"


def _render(template: str, state: EventState, key: str, attached: Attachments, made: datetime | None) -> str:
    environment = _environment()
    scripts = {name: environment.get_template(f"{name}.js.j2").render(address=ALADIN) for name in ("aladin", "live")}
    first, newest = headline(state), state.localisation
    lists = galaxy_lists(state, first.regions, attached.galaxies[:GALAXIES], attached.combined_galaxies[:GALAXIES])
    smaller = smaller_than_own(first.regions)
    listed = {found.of for found in lists}
    windows = {} if newest is None else newest["statistics"].get("observability", {})
    return environment.get_template(template).render(
        state=state,
        first=first,
        newest=newest,
        nights=nights(windows, first.time, made, attached.sites),
        attached=attached,
        lists=lists,
        unlisted=smaller if smaller and of_map(first.regions[0]) not in listed else "",
        of_own=next((of_map(region) for region in first.regions if not region.combined), ""),
        smaller=smaller,
        gravitational_wave=is_gravitational_wave(state.event_id),
        beyond=BEYOND,
        regions=_regions(state, attached),
        link=lambda target: quote(relpath(target, dirname(key))),
        made="" if made is None else made.astimezone(UTC).isoformat(timespec="seconds"),
        scripts=scripts,
        digests=" ".join(f"'sha256-{_digest(script)}'" for script in scripts.values()),
        aladin=ALADIN,
        integrity=ALADIN_INTEGRITY,
    )


def compile_templates() -> None:
    """Compile the templates of pages, which are kept for the process."""
    for name in _environment().list_templates(extensions=["j2"]):
        _environment().get_template(name)


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


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
        "figure": figure,
        "amount": amount,
        "area": area,
        "source": source_words,
        "percent": share,
        "chance": chance,
        "typeset": typeset,
        "when": lambda text: f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M:%S}",
        "minute": lambda text: "" if text is None else f"{datetime.fromisoformat(text):%m-%d %H:%M}",
        "moment": lambda mjd: datetime_of_mjd(mjd).isoformat(timespec="seconds"),
        "power": lambda value: "" if value is None else typeset(f"{value:.1e}"),
        "years": false_alarm,
        "distance": lambda values: "" if values[0] is None else distance(*values),
        "place": lambda place: sexagesimal(*place),
        "web": web_address,
        "words": label,
        "cell": markdown_cell,
        "rows": rows,
        "instrument": lambda file: _INSTRUMENTS.get(file, file),
        "reasons": reasons,
        "changes": changes,
        "neutrinos": lambda version: neutrino_words(version["facts"], version["statistics"]),
        "host": host,
        "rate": joint_rate,
        "verdict": verdict,
    }
    environment.tests["apart"] = places_exclude
    return environment


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
    tracks = [t for v in state.versions if v["neutrino"] for t in _tracks(v)]
    return {
        "ra": statistics["peak_ra_deg"],
        "dec": statistics["peak_dec_deg"],
        "fov": round(view, 1),
        "lines": dict(attached.lines),
        "partners": dict(attached.partners),
        "covered": dict(attached.covered),
        "circles": tracks,
        "candidates": [[c["ra"], c["dec"], c["candidate"]] for c in state.candidates],
    }


def _tracks(version: Mapping[str, Any]) -> list[list[float]]:
    """Neutrinos with a place and an error: RA, Dec and radius in degrees."""
    found = version["statistics"].get("neutrino_coincidence", {}).get("tracks") or ()
    places = [[t.get("ra_deg"), t.get("dec_deg"), t.get("radius_deg")] for t in found]
    return [place for place in places if None not in place]
