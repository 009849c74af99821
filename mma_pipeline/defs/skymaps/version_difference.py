"""Changes since the previous version: regions, peak, distance, classification, significance, galaxies.

The previous version is found in the archive by creation time, independent of any run. Maps are those of the alerts. Both
galaxy lists are ranked with the current catalog, so that they differ only by the map. A first version says that there is no
previous one. When an earlier notice arrives late, its own run makes the difference of its successor again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mma_pipeline.adapters.archive import VersionRecord
from mma_pipeline.adapters.archive.event_history import map_before, version_before
from mma_pipeline.defs.observing.configuration import usable_ranking
from mma_pipeline.products.declaration import NEEDS_ALERT, CheckSpec, Product, ProductFiles, is_share, own_file
from mma_pipeline.products.inputs import ProductInput

if TYPE_CHECKING:
    from mma_pipeline.science.skymaps.model import SkyMap
    from mma_pipeline.settings import Settings

#: Greatest number of added or removed galaxies that are named.
NAMED = 20
#: Facts that are compared as they are.
_PLAIN = ("far_hz", "significant", "group", "search", "pipeline", "instruments", "time")


def earlier(source: ProductInput) -> tuple[VersionRecord | None, VersionRecord | None]:
    """The previous version, and the newest earlier version that has a map."""
    records = source.archive.versions(source.record.version.event_id)
    return version_before(records, source.record), map_before(records, source.record)


def compared_with(source: ProductInput) -> str:
    """What the difference depends on besides this version and the settings, as text."""
    before, mapped = earlier(source)
    return json.dumps([None if r is None else [r.partition_key, r.facts] for r in (before, mapped)], sort_keys=True)


def _inputs(source: ProductInput) -> Sequence[str]:
    ranking = None if source.skymap_sha256 is None else usable_ranking(source.settings)
    identity = "" if ranking is None else ranking[1].identity(ranking[0])
    return [source.record.partition_key, json.dumps(source.facts, sort_keys=True), compared_with(source), identity]


def _make(source: ProductInput) -> ProductFiles:
    before, mapped = earlier(source)
    statistics: dict[str, Any] = {"before": None if before is None else before.partition_key}
    if before is not None:
        statistics |= _facts(before.facts, source.facts)
        statistics |= {"map_before": None if mapped is None else mapped.partition_key}
        if mapped is not None and source.skymap_sha256 is not None:
            statistics |= _maps(source, mapped)
    statistics["summary"] = _summary(statistics, source.record)
    document = json.dumps(statistics, sort_keys=True, indent=1, allow_nan=False)
    return ProductFiles({"difference": document.encode()}, statistics)


def _facts(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    from mma_pipeline.science.skymaps.comparison import compare_shares

    if after["alert_type"] == "Retraction":
        return {"retracted": True}
    return {
        "changed": {n: [before.get(n), after.get(n)] for n in _PLAIN if before.get(n) != after.get(n)},
        **{
            name: compare_shares(before.get(name) or {}, after.get(name) or {})
            for name in ("classification", "properties")
        },
    }


def _maps(source: ProductInput, mapped: VersionRecord) -> dict[str, Any]:
    from mma_pipeline.science.skymaps.comparison import compare_maps

    if mapped.facts["skymap_sha256"] == source.skymap_sha256:
        return {"same_map": True}
    before = ProductInput(source.archive, source.store, mapped.partition_key, source.settings)
    old, new = before.skymap_as_sent, source.skymap_as_sent
    if old is None or new is None:
        raise ValueError("a version was archived with a map that its message does not have")
    found = compare_maps(old, new)
    (old_mean, old_std), (new_mean, new_std) = ((None, None) if d is None else d for d in found.distance)
    return {
        "same_map": False,
        "area_50_deg2_before": found.area_50[0],
        "area_50_deg2": found.area_50[1],
        "area_90_deg2_before": found.area_90[0],
        "area_90_deg2": found.area_90[1],
        "overlap_90_deg2": found.overlap_90,
        "overlap_90_share_of_before": found.overlap_90_earlier,
        "overlap_90_share": found.overlap_90_later,
        "probability_in_90_before": found.probability_in_earlier_90,
        "peak_shift_deg": found.peak_shift,
        "distance_mean_mpc_before": old_mean,
        "distance_std_mpc_before": old_std,
        "distance_mean_mpc": new_mean,
        "distance_std_mpc": new_std,
        "distance_shift_mpc": found.distance_shift,
        **_galaxies(old, new, source.settings),
    }


def _galaxies(old: SkyMap, new: SkyMap, settings: Settings) -> dict[str, Any]:
    from mma_pipeline.science.galaxies.ranking import rank_galaxies
    from mma_pipeline.science.skymaps.comparison import compare_galaxies

    ranking = usable_ranking(settings)
    if ranking is None:
        return {}
    catalog, wanted = ranking
    before, after = (rank_galaxies(skymap, catalog, wanted.choice) for skymap in (old, new))
    found = compare_galaxies(before, after, wanted.published)
    return {
        "galaxies_compared": wanted.published,
        "galaxies_stayed": found.stayed,
        "galaxies_score_kept": found.score_kept,
        **{f"galaxies_{what}": len(changes) for what, changes in (("came", found.came), ("went", found.went))},
        **{
            f"galaxies_{what}_best": [{"name": g.name, "rank": g.rank, "score": g.score} for g in changes[:NAMED]]
            for what, changes in (("came", found.came), ("went", found.went))
        },
    }


def _summary(statistics: Mapping[str, Any], record: VersionRecord) -> str:
    """One sentence for lists."""
    if statistics["before"] is None:
        return "first version: there is none before"
    if statistics.get("retracted"):
        return "the event is retracted"
    if statistics.get("same_map") is None:
        return "no map to compare" if record.facts.get("skymap_sha256") is None else "first map"
    if statistics["same_map"]:
        return "the map is the same"
    return (
        f"90 %: {statistics['area_90_deg2_before']:.1f} to {statistics['area_90_deg2']:.1f} deg², "
        f"{statistics['overlap_90_share']:.0%} of it inside the one before; peak moved {statistics['peak_shift_deg']:.2f}°"
    )


def _overlap_fits(statistics: Mapping[str, Any]) -> bool | None:
    if "overlap_90_share" not in statistics:
        return None
    shares = ("overlap_90_share", "overlap_90_share_of_before", "probability_in_90_before")
    return all(is_share(statistics[name]) for name in shares)


version_difference = Product(
    name="version_difference",
    about=__doc__ or "",
    code_version="3",
    group="event",
    kinds=frozenset({"numpy", "json"}),
    # Does not depend on the map: a retraction has a difference too.
    deps=("raw_alert",),
    need=NEEDS_ALERT,
    files=(own_file("difference", "difference.json", "application/json"),),
    inputs=_inputs,
    make=_make,
    checks=(CheckSpec("overlap_within_regions", "The overlap lies within both regions.", _overlap_fits),),
)
