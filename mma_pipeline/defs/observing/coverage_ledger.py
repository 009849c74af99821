"""What telescopes have covered of the map, and what is left: from the pointings that are archived of the event.

Probability and area by time, band, depth and instrument (JSON and ECSV), what completed pointings cover and what they
leave of the 90 % region as MOC, a picture with the fields and the curve over time. With a map that has distances, also
weighted by the share of the distance posterior within reach. Made with every version, and made again for an event's newest
map when its pointings change (`pointings_sensor`). Planned pointings are counted apart, cancelled ones not at all.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mma_pipeline.adapters.archive.pointings import PointingArchive
from mma_pipeline.notices.pointings import Pointing, Status
from mma_pipeline.notices.words import area, share
from mma_pipeline.products.declaration import (
    CheckSpec,
    FileSpec,
    Product,
    ProductFiles,
    is_share,
    of_the_map,
    own_file,
)
from mma_pipeline.products.inputs import ProductInput

if TYPE_CHECKING:
    from mma_pipeline.science.coverage.ledger import Ledger, Visits
    from mma_pipeline.science.skymaps.model import SkyMap

#: Credible level, percent, of the region of which something is left.
LEVEL = 90


def pointings_digest(pointings: Sequence[Pointing]) -> str:
    """SHA-256 over what the ledger uses of pointings, whatever order they come in."""
    rows = sorted(
        json.dumps(
            [
                p.source, p.source_id, p.instrument, p.status.value, None if p.time is None else p.time.isoformat(), p.ra,
                p.dec, p.pos_angle, p.band, p.depth, p.depth_unit, None if p.footprint is None else p.footprint.sha256,
            ]
        )
        for p in pointings
        if p.status is not Status.CANCELLED
    )  # fmt: skip
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()


def visits_of(pointings: Sequence[Pointing], event: datetime | None) -> Visits:
    """Pointings as arrays: those that are not cancelled and have a footprint."""
    import numpy as np

    from mma_pipeline.science.coverage.cells import Places
    from mma_pipeline.science.coverage.ledger import Visits

    used = [p for p in pointings if p.status is not Status.CANCELLED and p.footprint is not None]
    footprints = {p.footprint: None for p in used if p.footprint is not None}
    number = {footprint: i for i, footprint in enumerate(footprints)}
    places = Places(
        tuple(footprints),
        np.array([number[p.footprint] for p in used if p.footprint is not None], dtype=np.int64),
        *(np.array([getattr(p, name) for p in used], dtype=float) for name in ("ra", "dec", "pos_angle")),
    )
    hours = [None if p.time is None or event is None else (p.time - event).total_seconds() / 3600 for p in used]
    return Visits(
        places,
        np.array([p.status is Status.COMPLETED for p in used], dtype=bool),
        np.array(hours, dtype=float),
        np.array([p.limiting_magnitude for p in used], dtype=float),
        [p.band or "" for p in used],
        [p.instrument for p in used],
    )


def ledger_of(
    skymap: SkyMap, pointings: Sequence[Pointing], facts: Mapping[str, Any], absolute_magnitude: float
) -> tuple[Ledger, Visits, dict[str, Any]]:
    """The ledger of a version's map, the pointings as arrays, and its figures with what was left out.

    `absolute_magnitude` is that of the source whose reach weights the coverage.
    """
    from mma_pipeline.science.coverage.ledger import ledger

    time = facts.get("time")
    visits = visits_of(pointings, None if time is None else datetime.fromisoformat(str(time)))
    found = ledger(skymap, visits, absolute_magnitude=absolute_magnitude, level=LEVEL / 100)
    cancelled = sum(p.status is Status.CANCELLED for p in pointings)
    figures = {
        **found.figures,
        "pointings_cancelled": cancelled,
        "pointings_without_footprint": len(pointings) - cancelled - len(visits.places),
    }
    return found, visits, figures


def _pointings(source: ProductInput) -> list[Pointing]:
    return PointingArchive(source.archive).pointings(source.record.version.event_id)


def _inputs(source: ProductInput) -> Sequence[str]:
    return [
        *of_the_map(source),
        source.record.version.event_id,
        str(source.facts.get("time")),
        f"{source.settings.coverage.absolute_magnitude:g}",
        pointings_digest(_pointings(source)),
    ]


def _make(source: ProductInput) -> ProductFiles:
    from mma_pipeline.science.coverage.tables import ledger_json, ledger_markdown, ledger_table
    from mma_pipeline.science.regions.coverage import moc_fits
    from mma_pipeline.science.tables import ecsv, votable

    pointings = _pointings(source)
    found, visits, figures = ledger_of(
        source.skymap, pointings, source.facts, source.settings.coverage.absolute_magnitude
    )
    about = {"event": source.record.version.event_id, "event_time": source.facts.get("time")}
    table = ledger_table(found, about)
    files = {
        "coverage_ledger": ledger_json(found, {**about, "pointings_sha256": pointings_digest(pointings)}),
        "coverage_ledger_table": ecsv(table),
        "coverage_ledger_votable": votable(table),
    }
    if len(visits.places):
        files["coverage_map"] = _plot(source, found, visits)
        for name, region in (("covered_moc", found.covered), ("left_moc", found.left)):
            if len(region.ipix):
                files[name] = moc_fits(region)
        figures["coverage"] = ledger_markdown(found)
    return ProductFiles(files, figures)


def _plot(source: ProductInput, found: Ledger, visits: Visits) -> bytes:
    from mma_pipeline.science.coverage.cells import Places
    from mma_pipeline.science.plots.coverage import coverage_plot

    def some(done: bool) -> Places:
        chosen = visits.completed == done
        p = visits.places
        return Places(p.footprints, p.footprint[chosen], p.ra[chosen], p.dec[chosen], p.angle[chosen])

    f = found.figures
    note = [f"covered {share(f['probability_covered'])} on {area(f['area_covered_deg2'])} deg²"]
    if f["probability_reached"] is not None:
        note.append(f"within reach of M = {f['absolute_magnitude']:g}: {share(f['probability_reached'])}")
    note.append(f"left of the {LEVEL} % region: {share(f[f'probability_left_in_{LEVEL}'])}")
    if f["probability_planned"]:
        note.append(f"planned ones add {share(f['probability_planned'])}")
    title = f"{source.record.version.event_id}: {f['visits_completed']} pointings"
    return coverage_plot(source.skymap, found, some(True), some(False), title=title, note="    ".join(note))


def _optional(name: str, filename: str, kind: str, *, plot: bool = False) -> FileSpec:
    return FileSpec(name, own_file(name, filename, kind).key, kind, plot, optional=True)


coverage_ledger = Product(
    name="coverage_ledger",
    about=__doc__ or "",
    code_version="5",
    priority=-10,
    group="observing",
    kinds=frozenset({"moc", "json"}),
    deps=("skymap",),
    files=(
        own_file("coverage_ledger", "coverage-ledger.json", "application/json"),
        own_file("coverage_ledger_table", "coverage-ledger.ecsv", "text/plain"),
        own_file("coverage_ledger_votable", "coverage-ledger.vot", "application/x-votable+xml"),
        _optional("covered_moc", "covered.moc.fits", "application/fits"),
        _optional("left_moc", "left.moc.fits", "application/fits"),
        _optional("coverage_map", "coverage.png", "image/png", plot=True),
    ),
    inputs=_inputs,
    make=_make,
    checks=(
        CheckSpec(
            "coverage_is_a_share",
            "What is covered, reached and left of the region are probabilities.",
            lambda statistics: all(
                is_share(statistics[name])
                for name in ("probability_covered", "probability_reached", f"probability_left_in_{LEVEL}")
            ),
            shows=("probability_covered", f"probability_left_in_{LEVEL}"),
        ),
        CheckSpec(
            "footprints_are_known",
            "Every pointing has a footprint; those without one count nowhere.",
            lambda statistics: statistics["pointings_without_footprint"] == 0,
            shows=("pointings_without_footprint",),
        ),
    ),
)
