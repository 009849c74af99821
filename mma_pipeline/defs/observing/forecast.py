"""How bright a kilonova of the event would be, by band and hour, and how deep one must go to see it.

Quantiles of the apparent magnitude of 1,500 simulated kilonovae of both semi-analytic families at the distances of the
whole map, from half an hour to 14 days. Where the notice gives a chirp mass and classes, the masses of the ejecta follow
from it. HasRemnant is stated beside the forecast, which holds if matter is ejected. With a gamma-ray burst, the afterglow
of a jet seen on axis. Where no forecast can be made, `forecast.json` says why. docs/forecast.md has sources and limits.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mma_pipeline.products.declaration import (
    CheckSpec,
    FileSpec,
    Product,
    ProductFiles,
    is_share,
    needs_map_for,
    of_the_map,
    own_file,
)
from mma_pipeline.products.inputs import ProductInput

if TYPE_CHECKING:
    from mma_pipeline.science.forecast.outlook import Outlook

NO_DISTANCE = "No forecast: the map has no distance, as those of burst searches, so no apparent magnitude follows."
#: Searches for coincidences whose partner is no gamma-ray burst; all others (GRB, SubGRB, SubGRBTargeted, MDC) are of one.
_OTHER_SEARCHES = frozenset({"hen", "supernova"})
_OTHER_OBSERVATORIES = frozenset({"icecube", "snews"})


def _optional(name: str, filename: str, content_type: str, *, plot: bool = False) -> FileSpec:
    return FileSpec(name, own_file(name, filename, content_type).key, content_type, plot, optional=True)


def _notice(source: ProductInput) -> dict[str, Any]:
    """What the notice says that the forecast depends on, as JSON values."""
    event = source.notice.event
    chirp = None if event is None else event.chirp_mass
    external = source.facts.get("external")
    return {
        "classification": dict(source.facts.get("classification") or {}),
        "properties": dict(source.facts.get("properties") or {}),
        "chirp": None if chirp is None else [list(chirp.bin_edges), list(chirp.probabilities)],
        "burst": external is not None
        and str(external.get("search")).lower() not in _OTHER_SEARCHES
        and str(external.get("observatory")).lower() not in _OTHER_OBSERVATORIES,
    }


def _inputs(source: ProductInput) -> Sequence[str]:
    return [*of_the_map(source), source.record.version.event_id, json.dumps(_notice(source), sort_keys=True)]


def _make(source: ProductInput) -> ProductFiles:
    from mma_pipeline.science.forecast.distance import distance_quantiles
    from mma_pipeline.science.forecast.forecast import even_shares, forecast
    from mma_pipeline.science.forecast.outlook import ChirpMasses, outlook
    from mma_pipeline.science.forecast.plot import forecast_png
    from mma_pipeline.science.forecast.tables import document, sources, table
    from mma_pipeline.science.tables import ecsv, votable

    said = _notice(source)
    expected = outlook(said["classification"], said["properties"])
    distance = distance_quantiles(source.skymap, even_shares()) if expected.applies else None
    if distance is None:
        return _absent(NO_DISTANCE if expected.applies else expected.words, expected)
    chirp = None if said["chirp"] is None else ChirpMasses(*(tuple(values) for values in said["chirp"]))
    found = forecast(distance, chirp=chirp, classes=expected.classes, burst=said["burst"])
    body = document(found, expected)
    made = table(found, words=expected.words, sources=" ".join(sources(found)))
    files = {
        "forecast": json.dumps(body, sort_keys=True, indent=1, allow_nan=False).encode(),
        "forecast_table": ecsv(made),
        "forecast_votable": votable(made),
        "forecast_plot": forecast_png(
            found, title=f"Kilonova forecast for {source.record.version.event_id}", words=expected.words
        ),
    }
    return ProductFiles(files, _statistics(body, found))


def _absent(words: str, expected: Outlook) -> ProductFiles:
    statistics = {"applies": False, "words": words, "has_remnant": expected.has_remnant, "p_kilonova": None}
    return ProductFiles({"forecast": json.dumps(statistics, sort_keys=True, indent=1).encode()}, statistics)


def _statistics(body: Mapping[str, Any], found: Any) -> dict[str, Any]:
    from mma_pipeline.science.forecast.tables import medians

    low, high = body["distance_mpc"]["05"], body["distance_mpc"]["95"]
    statistics = {
        **{name: body[name] for name in ("applies", "words", "has_remnant", "p_kilonova", "models")},
        "masses": body["masses"]["from"],
        "share_with_ejecta": body["masses"].get("share_with_ejecta"),
        "distance_05_mpc": low,
        "distance_95_mpc": high,
        "median_mag": medians(found.kilonova),
        "depth_mag": body["depths"],
    }
    if found.afterglow is not None:
        statistics["afterglow_median_mag"] = medians(found.afterglow)
    return statistics


def _deeper_shows_more(statistics: Mapping[str, Any]) -> bool | None:
    if not statistics["applies"]:
        return None
    by_hour: dict[float, list[Mapping[str, float]]] = {}
    for entry in statistics["depth_mag"]:
        by_hour.setdefault(entry["hours"], []).append(entry)
    bands = [name for name in statistics["depth_mag"][0] if name not in ("hours", "seen")]
    return all(half[band] <= most[band] for half, most in by_hour.values() for band in bands)


kilonova_forecast = Product(
    name="kilonova_forecast",
    about=__doc__ or "",
    code_version="3",
    priority=-10,
    group="observing",
    kinds=frozenset({"numpy", "matplotlib"}),
    deps=("skymap",),
    need=needs_map_for("kilonova_forecast"),
    files=(
        own_file("forecast", "forecast.json", "application/json"),
        _optional("forecast_table", "forecast.ecsv", "text/plain"),
        _optional("forecast_votable", "forecast.vot", "application/x-votable+xml"),
        _optional("forecast_plot", "forecast.png", "image/png", plot=True),
    ),
    inputs=_inputs,
    make=_make,
    checks=(
        CheckSpec(
            "deeper_shows_more",
            "The depth that shows 90 % of the models is no less than the one that shows 50 %.",
            _deeper_shows_more,
        ),
        CheckSpec(
            "kilonova_is_a_share",
            "The probability of a kilonova is a probability.",
            lambda statistics: is_share(statistics["p_kilonova"]),
            shows=("p_kilonova",),
        ),
    ),
)
