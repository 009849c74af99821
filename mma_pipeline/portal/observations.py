"""The draft of a GCN Circular about observations with one instrument: its pointings, what they cover, its photometry of candidates.

Facts from the archive and from the coverage ledger, nothing else; never sent by itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from statistics import median
from typing import Any

from mma_pipeline.adapters.archive import Archive, VersionRecord
from mma_pipeline.adapters.archive.event_history import chronological, newest_map
from mma_pipeline.adapters.archive.photometry import PhotometryArchive
from mma_pipeline.adapters.archive.pointings import PointingArchive
from mma_pipeline.adapters.errors import NotFoundError
from mma_pipeline.adapters.store import Store
from mma_pipeline.notices.photometry.measurement import Measurement
from mma_pipeline.notices.pointings import Pointing, Status
from mma_pipeline.notices.times import datetime_of_mjd
from mma_pipeline.portal.circular import Circular, rendered
from mma_pipeline.portal.summary import EventSummary, summary_of

#: Measurements in a draft, the latest.
_POINTS = 40
_LEDGER = "coverage_ledger"
_UNITS = {"ab_mag": "mag (AB)", "vega_mag": "mag (Vega)", "flux_jy": "Jy", "flux_erg": "erg/cm^2/s"}


def instruments_of(archive: Archive, event_id: str) -> list[str]:
    """Instruments with completed pointings of an event or measurements of its candidates, by name."""
    found = {p.instrument for p in _completed(archive, event_id)}
    for measurement in _measured(archive, event_id):
        found |= {name for name in (measurement.instrument or measurement.telescope,) if name}
    return sorted(found)


def observations(archive: Archive, store: Store, event_id: str, instrument: str) -> Circular:
    """Draft a Circular about what one instrument observed; raises NotFoundError where nothing of it is archived."""
    records = chronological(archive.versions(event_id))
    visits = [p for p in _completed(archive, event_id) if p.instrument == instrument]
    points = [m for m in _measured(archive, event_id) if instrument in (m.instrument, m.telescope)]
    if not records or not (visits or points):
        raise NotFoundError(f"no observation of {event_id} with {instrument} is archived")
    event = summary_of(records, {})
    version, ledger = _ledger(archive, store, records)
    times = sorted(visit.time for visit in visits if visit.time is not None)
    body = rendered(
        "observations.txt.j2",
        event=event,
        instrument=instrument,
        visits=visits,
        first=_text(times[0]) if times else None,
        last=_text(times[-1]) if times else None,
        hours=_hours(event, times),
        depths=_depths(visits),
        version=version,
        row=_row(ledger, instrument, len(visits)),
        absolute_magnitude=ledger.get("figures", {}).get("absolute_magnitude"),
        points=[_point(m) for m in points[-_POINTS:]],
        omitted=max(0, len(points) - _POINTS),
    )
    prefix = "TEST: " if event.test else ""
    return Circular(f"{prefix}LIGO/Virgo/KAGRA {event_id}: {instrument} observations", body)


def _completed(archive: Archive, event_id: str) -> list[Pointing]:
    return [p for p in PointingArchive(archive).pointings(event_id) if p.status is Status.COMPLETED]


def _measured(archive: Archive, event_id: str) -> list[Measurement]:
    """Measurements of the candidates of an event that are not excluded, by time; simulated ones only for mock events."""
    photometry = PhotometryArchive(archive)
    scores = [s for s in photometry.latest_scores(event_id) if s.get("status") != "excluded"]
    names = [str(s["candidate"]) for s in scores if event_id.startswith(("M", "T")) or not s.get("simulated")]
    found = [one.measurement for some in photometry.measurements_of(names).values() for one in some]
    return sorted(found, key=lambda m: (m.mjd, m.candidate.name, m.band))


def _ledger(archive: Archive, store: Store, records: Sequence[VersionRecord]) -> tuple[str, Mapping[str, Any]]:
    """The version with the newest map and its ledger; an empty one where it is not made."""
    newest = newest_map(list(records), combined=True)
    if newest is None:
        return "", {}
    product = archive.product(newest.partition_key, _LEDGER)
    if product is None:
        return newest.partition_key, {}
    found: dict[str, Any] = json.loads(store.get(product.store_key))
    return newest.partition_key, found


def _row(ledger: Mapping[str, Any], instrument: str, visits: int) -> Mapping[str, Any] | None:
    """What the ledger says of an instrument; None where it does not count the pointings that are known now."""
    rows = ledger.get("rows", ())
    found = next((row for row in rows if (row["by"], row["value"]) == ("instrument", instrument)), None)
    return found if found is not None and found["visits"] == visits else None


def _hours(event: EventSummary, times: Sequence[datetime]) -> float | None:
    if not times or event.time is None:
        return None
    return (times[0] - event.time).total_seconds() / 3600


def _depths(visits: Sequence[Pointing]) -> list[dict[str, Any]]:
    """Limits by band and unit."""
    found: dict[tuple[str, str], list[float]] = {}
    for visit in visits:
        if visit.depth is not None and visit.depth_unit is not None:
            found.setdefault((visit.band or "-", visit.depth_unit), []).append(visit.depth)
    return [
        {
            "band": band,
            "unit": _UNITS.get(unit, unit),
            "number": len(values),
            "median": median(values),
            "least": min(values),
            "most": max(values),
        }
        for (band, unit), values in sorted(found.items())
    ]


def _point(m: Measurement) -> dict[str, Any]:
    return {
        "name": m.candidate.name,
        "ra": m.candidate.ra,
        "dec": m.candidate.dec,
        "time": _text(datetime_of_mjd(m.mjd)),
        "band": m.band,
        "magnitude": m.magnitude,
        "error": m.error,
        "upper_limit": m.upper_limit,
    }


def _text(when: datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M:%S}"
