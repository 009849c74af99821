"""The alert's own multi-order sky map, validated and gzipped, otherwise as sent.

The file that the Treasure Map (GWTM) reads as `{graceid}-{Type}{n}_moc.fits.gz`. Its columns are UNIQ, PROBDENSITY (sr⁻¹) and,
where the event has a distance, DISTMU, DISTSIGMA (Mpc), DISTNORM (Mpc⁻²). A version with the identical map costs a
copy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from mma_pipeline.products.declaration import CheckSpec, Product, ProductFiles, Severity, of_the_map, treasure_map_file
from mma_pipeline.products.inputs import ProductInput

#: DATE-OBS of a map and the event time of the notice may differ by this much: pipelines round to their own grid.
TIME_TOLERANCE_S = 10.0
#: A larger difference means another event's map, a smaller one a wrong clock or scale (GPS is 18 s ahead of UTC).
OTHER_EVENT_S = 60.0
#: Greatest deviation of a map's integral from one; beyond it, the map counts as incomplete or in a wrong unit.
WHOLE_TOLERANCE = 0.1


def _inputs(source: ProductInput) -> Sequence[str]:
    # The statistics compare the map with the notice, so they depend on the event time too.
    return [*of_the_map(source), str(source.facts.get("time")), source.record.version.event_id]


def _make(source: ProductInput) -> ProductFiles:
    from mma_pipeline.science.skymaps.fits import gunzip, gzip_bytes
    from mma_pipeline.science.skymaps.model import decode_skymap

    data = source.skymap_bytes
    if data is None:
        raise ValueError(f"{source.record.partition_key} was archived with a map that its message does not have")
    plain = gunzip(data)
    skymap = decode_skymap(plain)
    statistics = {
        "rows": len(skymap.uniq),
        "order_min": int(skymap.order.min()),
        "order_max": int(skymap.order.max()),
        "distance_layers": skymap.is_3d,
        "probability_sum": skymap.total,
        "left_out": list(skymap.notes) or None,
        "date_obs": skymap.meta.get("DATE-OBS"),
        "creator": skymap.meta.get("CREATOR"),
        "time_offset_s": _time_offset(skymap.meta, source.facts.get("time")),
        "event_id": source.record.version.event_id,
    }
    return ProductFiles({"skymap": gzip_bytes(plain)}, statistics)


def _time_offset(meta: Mapping[str, Any], event_time: str | None) -> float | None:
    """DATE-OBS minus the event time, s; None if either is missing or unreadable."""
    if event_time is None or not isinstance(meta.get("DATE-OBS"), str):
        return None
    try:
        observed = datetime.fromisoformat(meta["DATE-OBS"])
    except ValueError:
        return None
    observed = observed if observed.tzinfo else observed.replace(tzinfo=UTC)
    return (observed - datetime.fromisoformat(event_time)).total_seconds()


def _times_agree(statistics: Mapping[str, Any], *, tolerance_s: float) -> bool | None:
    offset = statistics["time_offset_s"]
    return None if offset is None else abs(offset) <= tolerance_s


skymap = Product(
    name="skymap",
    about=__doc__ or "",
    code_version="1",
    priority=30,
    kinds=frozenset({"fits", "gzip"}),
    deps=("raw_alert",),
    files=(treasure_map_file("skymap", "_moc.fits.gz", "application/gzip"),),
    inputs=_inputs,
    make=_make,
    checks=(
        CheckSpec(
            "probability_sums_to_one",
            "The map as sent integrates to one within 0.1 %. Products are made from the normalised map.",
            lambda statistics: abs(statistics["probability_sum"] - 1) < 1e-3,
            shows=("probability_sum",),
        ),
        CheckSpec(
            "map_is_whole",
            f"The map as sent integrates to one within {100 * WHOLE_TOLERANCE:.0f} %: it is neither incomplete nor scaled.",
            lambda statistics: abs(statistics["probability_sum"] - 1) <= WHOLE_TOLERANCE,
            shows=("probability_sum",),
            severity=Severity.ERROR,
        ),
        CheckSpec(
            "map_and_alert_agree",
            f"The map's DATE-OBS is within {TIME_TOLERANCE_S:.0f} s of the event time in the alert.",
            partial(_times_agree, tolerance_s=TIME_TOLERANCE_S),
            shows=("date_obs", "time_offset_s"),
        ),
        CheckSpec(
            "map_is_of_this_event",
            f"The map's DATE-OBS is within {OTHER_EVENT_S:.0f} s of the event time; otherwise it is another event's map.",
            partial(_times_agree, tolerance_s=OTHER_EVENT_S),
            shows=("date_obs", "time_offset_s"),
            severity=Severity.ERROR,
        ),
    ),
)
