"""The draft of a GCN Circular about an event: facts from notices and products, nothing else; never sent by itself.

GCN's form takes subject and body from its address (nasa-gcn/gcn.nasa.gov, `app/routes/circulars/new.tsx`), so that a person
reads, changes and sends it there.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any
from urllib.parse import urlencode

import jinja2

from mma_pipeline.adapters.archive import Archive, ProductRecord, VersionRecord
from mma_pipeline.adapters.archive.coincidences import PairState, pairs_of
from mma_pipeline.adapters.archive.event_history import chronological, newest_map
from mma_pipeline.adapters.archive.photometry import PhotometryArchive
from mma_pipeline.adapters.archive.pointings import PointingArchive
from mma_pipeline.adapters.errors import NotFoundError
from mma_pipeline.notices.key import is_gravitational_wave
from mma_pipeline.notices.neutrino_words import neutrino_words
from mma_pipeline.notices.pointings import Status
from mma_pipeline.notices.source_words import class_words, property_words
from mma_pipeline.notices.words import area, distance, false_alarm, figure, in_ascii, share
from mma_pipeline.portal.summary import regions_of, summary_of
from mma_pipeline.portal.words import sexagesimal
from mma_pipeline.products.maps import unusable_of

#: GCN's form for a new Circular.
FORM = "https://gcn.nasa.gov/circulars/new"
#: Longest address that browsers and GCN's servers take, bytes; a longer draft is pasted by hand.
LONGEST_LINK = 7_500
_WIDTH = 72
_CANDIDATES = 10


@dataclass(frozen=True)
class Circular:
    """Subject and body, plain text."""

    subject: str
    body: str

    @property
    def link(self) -> str | None:
        """GCN's form filled with the draft; None if it is too long for an address."""
        address = f"{FORM}?{urlencode({'subject': self.subject, 'body': self.body})}"
        return address if len(address) <= LONGEST_LINK else None


def circular(archive: Archive, event_id: str) -> Circular:
    """Draft a Circular about a gravitational-wave event; raises NotFoundError if there is none of that id."""
    records = chronological(archive.versions(event_id))
    if not records or not is_gravitational_wave(event_id):
        raise NotFoundError(f"no gravitational-wave event {event_id} is archived")
    products = archive.products_of(record.partition_key for record in records)
    maps = {
        record.partition_key: dict(made.statistics)
        for record in records
        for made in products[record.partition_key]
        if made.name == "statistics"
    }
    claimed = [p for p in pairs_of(archive, event_id) if p.state is PairState.CLAIMED]
    summary = summary_of(records, maps, claimed)
    newest = newest_map(records, combined=True)
    made = {} if newest is None else {p.name: p.statistics for p in products[newest.partition_key]}
    visits = [p for p in PointingArchive(archive).pointings(event_id) if p.status is Status.COMPLETED]
    instruments = sorted({visit.instrument for visit in visits})
    scores = [s for s in PhotometryArchive(archive).latest_scores(event_id) if s.get("status") != "excluded"]
    ledger = made.get("coverage_ledger") or {}
    body = rendered(
        "circular.txt.j2",
        event=summary,
        version=newest or records[-1],
        # Those combined by us stand with their pairs.
        regions=[r for r in regions_of(records, maps, claimed) if r.created is not None],
        classes=class_words(summary.classification).replace(" %", "%"),
        properties=property_words(summary.properties).replace(" %", "%"),
        no_map=unusable_of(records),
        false_alarm=in_ascii(false_alarm(summary.far_hz)),
        external=[r.facts["external"] for r in records if r.facts.get("external")][-1:],
        neutrinos=_neutrinos(records, products),
        pairs=claimed,
        ledger=ledger if ledger.get("visits_completed") else {},
        instruments=instruments,
        candidates=scores[:_CANDIDATES],
        omitted=max(0, len(scores) - _CANDIDATES),
        link=next((url for r in reversed(records) if (url := (r.facts.get("urls") or {}).get("gracedb"))), None),
    )
    what = "retraction" if summary.retracted_by else "candidates" if scores else "observations" if visits else "summary"
    prefix = "TEST: " if summary.test else ""
    return Circular(f"{prefix}LIGO/Virgo/KAGRA {event_id}: {what} from automated products", body)


def _neutrinos(records: Sequence[VersionRecord], products: Mapping[str, Sequence[ProductRecord]]) -> list[str]:
    """What the newest notice of IceCube's search says, in sentences; empty without one."""
    notices = [r for r in records if r.version.alert_type is None]
    if not notices:
        return []
    statistics = {made.asset: made.statistics for made in products[notices[-1].partition_key]}
    created = f"{notices[-1].version.created:%Y-%m-%d %H:%M:%S}"
    return [
        f"IceCube sent a notice of its search for neutrinos, created {created} UTC.",
        *(in_ascii(line).replace(" %", "%") for line in neutrino_words(notices[-1].facts, statistics)),
    ]


def rendered(template: str, **values: Any) -> str:
    """The text of a draft by its template."""
    return _wrapped(_environment().get_template(template).render(values))


def _wrapped(text: str) -> str:
    """Paragraphs of at most 72 columns; rows of tables, which begin with two spaces, stay."""
    lines = []
    for line in text.strip().splitlines():
        lines += [line] if line.startswith("  ") or not line else textwrap.wrap(line, _WIDTH, break_long_words=False)
    return "\n".join(lines) + "\n"


def _digits(value: Any, digits: int = 1) -> str:
    """A number with so many decimals; a dash where it is not known."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        return "-"
    return f"{value:.{digits}f}"


def _percent(value: float) -> str:
    """A share in per cent, as mail has it: `98.9%`."""
    return share(value).replace(" %", "%")


@cache
def _environment() -> jinja2.Environment:
    # Plain text: nothing in it is markup. A page that shows it escapes it.
    environment = jinja2.Environment(  # noqa: S701
        loader=jinja2.PackageLoader("mma_pipeline.portal"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "digits": _digits,
        "sexagesimal": sexagesimal,
        "area": area,
        "rate": lambda far: in_ascii(false_alarm(far)),
        "figure": lambda value: in_ascii(figure(value)),
        "distance": distance,
        "percent": _percent,
        "moment": lambda iso: f"{datetime.fromisoformat(iso):%Y-%m-%d %H:%M:%S}",
    }
    return environment
