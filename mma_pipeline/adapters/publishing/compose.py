"""Builds the alert that we publish about a version from the archive.

Facts come from the notice, positions and areas from the products' statistics, links from the archived products. A version
without products still gives an alert, with less in it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from mma_pipeline.adapters.archive import ProductRecord, VersionRecord
from mma_pipeline.notices.derived import (
    ChirpMassSummary,
    CoincidenceSummary,
    CoverageSummary,
    DerivedAlert,
    DerivedKind,
    EventSummary,
    ForecastSummary,
    Localisation,
    Observability,
    ProductLink,
    SiteWindow,
    VersionRef,
)
from mma_pipeline.notices.icecube_summary import NeutrinoSearch
from mma_pipeline.notices.key import ICECUBE_LABEL

#: Name of the product that the Treasure Map (GWTM) reads as the flat map.
FLAT_MAP = "flat_skymap"
#: Name of the product with the ranked host galaxies.
GALAXIES = "galaxies"
#: Name of the plot that a message may show.
PLOT = "picture"
#: Name of the product that compares a neutrino notice with a map.
COINCIDENCE = "coincidence"
#: Name of the product that says from where the map can be observed.
OBSERVABILITY = "observability"
#: Name of the product that says what telescopes have covered.
COVERAGE = "coverage_ledger"
#: Assets whose files are made anew each day, or with each pointing: a link with a digest would soon name other bytes, so that
#: none goes out.
CHANGING = frozenset({OBSERVABILITY, COVERAGE})
#: Observatories named in a message.
SITES = 5
#: Name of the product with the brightness of a kilonova, and the hours after the merger of its summary.
FORECAST, FORECAST_HOURS = "forecast", 24
#: Our field name to the name of the statistic.
_FIGURES = {
    "ra": "peak_ra_deg",
    "dec": "peak_dec_deg",
    "area_50": "area_50_deg2",
    "area_90": "area_90_deg2",
}
#: Mean and standard deviation of the distance as the map's producer states them (DISTMEAN, DISTSTD), and as the map's
#: layers give them. The producer's come from the samples that the layers are fitted to.
_STATED = ("header_distance_mean_mpc", "header_distance_std_mpc")
_FROM_LAYERS = ("distance_mean_mpc", "distance_std_mpc")


def compose(
    record: VersionRecord,
    products: Iterable[ProductRecord],
    url: Callable[[str], str | None],
    versions: Iterable[VersionRecord] = (),
) -> tuple[DerivedAlert, dict[str, ProductRecord]]:
    """The alert of a version and its products by name.

    Args:
        record: the version as archived.
        products: files written for it.
        url: public address of a storage key; a product without one is left out, because its link would lead nowhere.
        versions: the event's versions, from which a neutrino notice takes what it does not say itself.
    """
    by_name = {product.name: product for product in products}
    version = record.version
    alert = DerivedAlert(
        DerivedKind.VERSION,
        version.event_id,
        version=version_ref(record),
        event=event_summary(_facts(record, by_name, versions)),
        localisation=_localisation(by_name.values()),
        external=_external(record.facts) if version.is_external else None,
        forecast=_forecast(by_name),
        neutrinos=_neutrinos(record, by_name) if version.label == ICECUBE_LABEL else None,
        products=tuple(
            ProductLink(p.name, address, p.sha256, p.size, p.content_type)
            for p in sorted(by_name.values(), key=lambda p: p.name)
            if p.asset not in CHANGING and (address := url(p.store_key)) is not None
        ),
        observability=_observability(by_name),
        coverage=_coverage(by_name),
    )
    return alert, by_name


def version_ref(record: VersionRecord) -> VersionRef:
    """How a message names a version."""
    version = record.version
    return VersionRef(version.partition_key, version.label, version.created, str(record.stem))


def is_bare(record: VersionRecord, products: Mapping[str, ProductRecord]) -> bool:
    """Whether the products with a version's values are missing: its map's statistics, or a neutrino notice's comparison."""
    if record.version.label == ICECUBE_LABEL:
        return COINCIDENCE not in products
    if not record.has_map:
        return False
    place = _localisation(products.values())
    return FLAT_MAP not in products or place is None or place.ra is None or place.area_90 is None


def plot_url(products: Mapping[str, ProductRecord], url: Callable[[str], str | None]) -> str | None:
    """Address of the plot to show; None if there is none that a chat server could fetch."""
    return url(products[PLOT].store_key) if PLOT in products else None


def _facts(
    record: VersionRecord, products: Mapping[str, ProductRecord], versions: Iterable[VersionRecord]
) -> Mapping[str, Any]:
    """Facts of the source: the version's own; for a neutrino notice those of the version that it was compared with."""
    if record.version.label != ICECUBE_LABEL:
        return record.facts
    compared = products[COINCIDENCE].statistics.get("map_version") if COINCIDENCE in products else None
    return next((v.facts for v in versions if v.partition_key == compared), {})


def _neutrinos(record: VersionRecord, products: Mapping[str, ProductRecord]) -> NeutrinoSearch:
    facts, statistics = record.facts, products[COINCIDENCE].statistics if COINCIDENCE in products else {}
    units = {"ra_deg": "ra", "dec_deg": "dec", "radius_deg": "radius", "time_offset_s": "time_offset"}
    tracks = [{units.get(name, name): value for name, value in track.items()} for track in statistics.get("tracks", ())]
    return NeutrinoSearch.from_json(
        {
            "observatory": ICECUBE_LABEL,
            "reference": facts["reference"],
            "count": facts["neutrinos"],
            "pval_generic": facts.get("pval_generic"),
            "pval_bayesian": facts.get("pval_bayesian"),
            "map_version": statistics.get("map_version"),
            "tracks": tracks,
        }
    )


def event_summary(facts: Mapping[str, Any]) -> EventSummary | None:
    """What a version's summary says of the event; None for a notice that says nothing of it."""
    if "time" not in facts:
        return None
    return EventSummary(
        time=None if facts["time"] is None else datetime.fromisoformat(facts["time"]),
        far=facts.get("far_hz"),
        significant=facts.get("significant"),
        instruments=tuple(facts.get("instruments") or ()),
        group=facts.get("group"),
        pipeline=facts.get("pipeline"),
        search=facts.get("search"),
        classification=dict(facts.get("classification") or {}),
        properties=dict(facts.get("properties") or {}),
        duration=facts.get("duration_s"),
        central_frequency=facts.get("central_frequency_hz"),
        chirp_mass=_chirp_mass(facts.get("chirp_mass")),
    )


def _chirp_mass(histogram: Mapping[str, Any] | None) -> ChirpMassSummary | None:
    if not histogram:
        return None
    return ChirpMassSummary(tuple(histogram["bin_edges_msun"]), tuple(histogram["probabilities"]))


def _observability(products: Mapping[str, ProductRecord]) -> Observability | None:
    if OBSERVABILITY not in products:
        return None
    found = products[OBSERVABILITY].statistics
    return Observability(
        begins=datetime.fromisoformat(found["begins"]),
        probability=found["probability_any_site"],
        sites=tuple(
            SiteWindow(
                site=site["site"],
                probability=site["probability"],
                begins=datetime.fromisoformat(site["begins"]),
                ends=datetime.fromisoformat(site["ends"]),
                best=datetime.fromisoformat(site["best"]),
                best_probability=site["best_probability"],
                moon_separation=site["moon_separation_deg"],
                moon_illumination=site["moon_illumination"],
            )
            for site in found["sites"][:SITES]
        ),
    )


def _coverage(products: Mapping[str, ProductRecord]) -> CoverageSummary | None:
    """What is covered; None where no pointing is known."""
    found = products[COVERAGE].statistics if COVERAGE in products else {}
    if not found.get("visits_completed") and not found.get("visits_planned"):
        return None
    return CoverageSummary(
        completed=found["visits_completed"],
        planned=found["visits_planned"],
        probability=found["probability_covered"],
        area=found["area_covered_deg2"],
        left_90=found["probability_left_in_90"],
        left_area_90=found["area_left_in_90_deg2"],
        reached=found["probability_reached"],
        absolute_magnitude=found["absolute_magnitude"],
    )


def _localisation(products: Iterable[ProductRecord]) -> Localisation | None:
    statistics: dict[str, float] = {}
    for product in products:
        numbers = {k: v for k, v in product.statistics.items() if isinstance(v, int | float) and math.isfinite(v)}
        statistics |= {k: float(v) for k, v in numbers.items()}
    found = {field: statistics.get(name) for field, name in _FIGURES.items()}
    layers = [statistics.get(name) for name in _FROM_LAYERS]
    # Take both from one source: the mean of one and the deviation of the other belong to no distribution.
    stated = [statistics.get(name) for name in _STATED] if _STATED[0] in statistics else layers
    found |= dict(zip(("distance_mean", "distance_std"), stated, strict=True))
    found |= dict(zip(("distance_mean_layers", "distance_std_layers"), layers, strict=True))
    return None if all(value is None for value in found.values()) else Localisation(**found)


def _forecast(products: Mapping[str, ProductRecord]) -> ForecastSummary | None:
    if FORECAST not in products:
        return None
    found = products[FORECAST].statistics
    summary = ForecastSummary(bool(found["applies"]), str(found["words"]), found.get("p_kilonova"))
    if not summary.applies:
        return summary

    def at(figure: str, seen: float | None) -> dict[str, float]:
        (row,) = (r for r in found[figure] if r["hours"] == FORECAST_HOURS and r.get("seen") == seen)
        return {band: mag for band, mag in row.items() if band not in ("hours", "seen")}

    median, depth = at("median_mag", None), at("depth_mag", 0.9)
    return replace(summary, masses=found["masses"], hours=FORECAST_HOURS, median=median, depth_90=depth)


def _external(facts: Mapping[str, Any]) -> CoincidenceSummary | None:
    external = facts.get("external")
    if not external:
        return None
    return CoincidenceSummary(
        observatory=external["observatory"],
        gcn_notice_id=external["gcn_notice_id"],
        search=external.get("search"),
        ivorn=external.get("ivorn"),
        time_difference=external.get("time_difference_s"),
        time_coincidence_far=external.get("time_coincidence_far_hz"),
        time_sky_position_coincidence_far=external.get("time_sky_position_coincidence_far_hz"),
    )
