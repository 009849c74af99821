"""Pairs of an event with events of other messengers: what they are worth together, with the combined map of the best.

`coincidences`: every version is compared with all archived events of other messengers within the published search windows
(docs/coincidences.md): difference in time, 4π∫p₁p₂dΩ (Ashton et al. 2018, ApJ 860 6), joint false-alarm rates as RAVEN
publishes them (LIGO-T1900297), probability of chance. Files: `coincidences.json` with all pairs, and for the pair with
the lowest joint rate a plot and the product of both maps with its 50 and 90 % regions as MOC; where the pair is claimed, a
picture of that map, too. LVK's own external coincidence stands beside ours. A retraction of either event withdraws the pair.

`coincidence_alert`: keeps the pairs in the archive, so that the other event's product follows, and writes claimed ones to
the outbox as derived alerts, or withdraws them.
"""

# No postponed annotations here: Dagster reads the real types of an asset function's parameters.
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from mma_pipeline.adapters.archive import Archive, VersionRecord
from mma_pipeline.adapters.archive.coincidences import PairRecord, PairState, pairs_of, record_pairs
from mma_pipeline.adapters.errors import ConfigurationError
from mma_pipeline.adapters.publishing.coincidences import enqueue_pair
from mma_pipeline.adapters.publishing.config import DestinationConfig
from mma_pipeline.defs.candidates.scoring import skymap_of
from mma_pipeline.defs.jobs import keys_of, tag_event
from mma_pipeline.defs.partitions import alert_versions
from mma_pipeline.defs.product_asset import BATCH, OWNERS, RETRY
from mma_pipeline.defs.resources import ArchiveResource, PublicationResource, SettingsResource, StoreResource
from mma_pipeline.notices.words import area, distance, false_alarm
from mma_pipeline.products.coincidences import (
    CODE,
    ComparedPair,
    Pair,
    beside_lvk,
    compared,
    pairs_with,
    side_of,
    with_version,
)
from mma_pipeline.products.declaration import (
    NEEDS_ALERT,
    CheckSpec,
    FileSpec,
    Product,
    ProductFiles,
    is_share,
    own_file,
)
from mma_pipeline.products.inputs import ProductInput
from mma_pipeline.science.coincidence.searches import SearchRules
from mma_pipeline.settings import Settings

if TYPE_CHECKING:
    from mma_pipeline.science.skymaps.model import SkyMap

#: Credible levels, percent, of the regions of the combined map.
LEVELS = (50, 90)
_ABOUT, _ABOUT_ALERT = (part.strip() for part in (__doc__ or "").split("\n\n")[1:])


def why_not(settings: Settings) -> str | None:
    """What is wrong with the table of searches; None if it can be used."""
    try:
        _ = settings.coincidences.rules
    except ConfigurationError as error:
        return str(error)
    return None


def _pairs(source: ProductInput, rules: SearchRules) -> list[Pair]:
    """Pairs of the event as this version states it."""
    side = side_of(source.archive.versions(source.record.version.event_id))
    return [] if side is None else pairs_with(source.archive, with_version(side, source.record), rules)


def _inputs(source: ProductInput) -> Sequence[str]:
    rules = source.settings.coincidences.rules
    external = json.dumps(source.facts.get("external"), sort_keys=True)
    pairs = [pair.identity(rules) for pair in _pairs(source, rules)]
    return [CODE, source.record.version.event_id, external, *pairs]


def _make(source: ProductInput) -> ProductFiles:
    rules = source.settings.coincidences.rules

    def map_of(record: VersionRecord) -> "SkyMap | None":
        if record.partition_key == source.record.partition_key:
            return source.skymap_as_sent
        return skymap_of(source.archive, record)

    found = [compared(source.archive, pair, rules, map_of) for pair in _pairs(source, rules)]
    ranked = sorted(found, key=_rank)
    best = ranked[0] if ranked else None
    statistics: dict[str, Any] = {
        "event": source.record.version.event_id,
        "pairs_found": len(ranked),
        "pairs_claimed": sum(p.record.state is PairState.CLAIMED for p in ranked),
        "best_event": None if best is None else best.record.partner_of(source.record.version.event_id),
        **({} if best is None else _best(best.record)),
        "lvk": beside_lvk(source.facts.get("external"), ranked),
        "pairs": [_plain(p.record) for p in ranked],
    }
    files = {"coincidences": json.dumps(statistics, sort_keys=True, indent=1, allow_nan=False).encode()}
    if best is not None and best.gw_map is not None and best.other_map is not None:
        files |= _of_the_best(best)
    return ProductFiles(files, statistics)


def _rank(found: ComparedPair) -> tuple[bool, float, str]:
    """Claimed pairs first, then by joint rate."""
    far = found.record.figures["far_hz"]
    return (found.record.state is not PairState.CLAIMED, float("inf") if far is None else far, found.record.other_event)


def _best(record: PairRecord) -> dict[str, Any]:
    names = ("difference_s", "overlap", "far_hz", "p_chance", "p_chance_all", "area_90_combined_deg2")
    return {"best_state": record.state.value, **{f"best_{name}": record.figures[name] for name in names}}


def _of_the_best(best: ComparedPair) -> dict[str, bytes]:
    from mma_pipeline.science.coincidence.plot import draw_pair
    from mma_pipeline.science.regions.coverage import credible_coverage, moc_fits
    from mma_pipeline.science.skymaps.fits import gzip_bytes
    from mma_pipeline.science.skymaps.model import encode_skymap

    record = best.record
    assert best.gw_map is not None
    assert best.other_map is not None
    rate = record.figures["far_hz"]
    title = f"{record.gw_event} with {record.other_event}: {record.figures['difference_s']:+.2f} s, {record.state}"
    title += (
        ""
        if rate is None or record.state in {PairState.EXCLUDED, PairState.WITHDRAWN}
        else f", joint rate {false_alarm(rate)}"
    )
    files = {
        "coincidence_plot": draw_pair(
            best.gw_map, best.other_map, best.combined, (record.gw_event, record.other_event), title
        )
    }
    if best.combined is not None:
        files["coincidence_skymap"] = gzip_bytes(encode_skymap(best.combined))
        for level in LEVELS:
            files[f"coincidence_moc_{level}"] = moc_fits(credible_coverage(best.combined, level / 100))
        if record.state is PairState.CLAIMED:
            files["coincidence_picture"] = _picture(best.combined, record)
    return files


def _picture(combined: "SkyMap", record: PairRecord) -> bytes:
    """The combined map as the maps of versions are drawn."""
    from mma_pipeline.science.plots.skymap import sky_plot
    from mma_pipeline.science.regions.contours import credible_regions, regions_geojson

    regions = credible_regions(combined, [level / 100 for level in LEVELS])
    features = json.loads(regions_geojson(regions))["features"]
    lines = {int(one["properties"]["credible_level"]): one["geometry"]["coordinates"] for one in features}
    found = record.figures
    words = [f"{level} %: {area(found[f'area_{level}_combined_deg2'])} deg²" for level in LEVELS]
    if found["distance_mean_combined_mpc"] is not None:
        words.append(
            f"distance {distance(found['distance_mean_combined_mpc'], found['distance_std_combined_mpc'])} Mpc"
        )
    words.append("holds only if both are one source")
    return sky_plot(
        combined, lines, title=f"{record.gw_event} with {record.other_event}, combined", note="    ".join(words)
    )


def _plain(record: PairRecord) -> dict[str, Any]:
    """A pair as JSON values, from which `_record` makes it again."""
    head = {
        "gw_event": record.gw_event,
        "other_event": record.other_event,
        "role": record.role,
        "gw_time": record.gw_time.isoformat(),
        "state": record.state.value,
        "gw_version": record.gw_partition,
        "other_version": record.other_partition,
        "identity": record.identity,
    }
    return {**head, **record.figures}


def _record(values: Mapping[str, Any]) -> PairRecord:
    head = ("gw_event", "other_event", "role", "gw_time", "state", "gw_version", "other_version", "identity")
    return PairRecord(
        values["gw_event"],
        values["other_event"],
        values["role"],
        datetime.fromisoformat(values["gw_time"]),
        PairState(values["state"]),
        values["gw_version"],
        values["other_version"],
        values["identity"],
        {name: value for name, value in values.items() if name not in head},
    )


def _in_range(statistics: Mapping[str, Any]) -> bool | None:
    pairs = statistics["pairs"]
    if not pairs:
        return None
    return all(
        is_share(p["p_chance"]) and is_share(p["p_chance_all"]) and not (p["overlap"] or 0.0) < 0 and not (p["far_hz"] or 0.0) < 0
        for p in pairs
    )  # fmt: skip


def _smaller(statistics: Mapping[str, Any]) -> bool | None:
    claimed = [p for p in statistics["pairs"] if p["state"] == PairState.CLAIMED and p["area_90_combined_deg2"]]
    if not claimed:
        return None
    return all(p["area_90_combined_deg2"] <= min(p["area_90_gw_deg2"], p["area_90_other_deg2"]) for p in claimed)


coincidences = Product(
    name="coincidences",
    about=_ABOUT,
    code_version="3",
    group="event",
    kinds=frozenset({"numpy", "matplotlib", "png"}),
    deps=("raw_alert",),
    files=(
        own_file("coincidences", "coincidences.json", "application/json"),
        FileSpec("coincidence_plot", own_file("", "coincidences.png", "").key, "image/png", plot=True, optional=True),
        FileSpec(
            "coincidence_skymap", own_file("", "coincidence_moc.fits.gz", "").key, "application/gzip", optional=True
        ),
        *(
            FileSpec(
                f"coincidence_moc_{level}",
                own_file("", f"coincidence-{level}.moc.fits", "").key,
                "application/fits",
                optional=True,
            )
            for level in LEVELS
        ),
        FileSpec(
            "coincidence_picture", own_file("", "coincidence-map.png", "").key, "image/png", plot=True, optional=True
        ),
    ),
    inputs=_inputs,
    make=_make,
    need=NEEDS_ALERT,
    unconfigured=why_not,
    checks=(
        CheckSpec(
            "pairs_in_range",
            "Probabilities lie between 0 and 1, overlaps and rates are not negative.",
            _in_range,
            # No version's message states them, so the version is published; the pair is not.
            shows=("pairs_found", "best_p_chance"),
        ),
        CheckSpec(
            "combined_map_is_smaller",
            "The combined 90 % region of a claimed pair is smaller than that of either event.",
            _smaller,
            shows=("best_event", "best_area_90_combined_deg2"),
        ),
    ),
)


@dg.multi_asset(
    name="coincidence_alert",
    specs=[
        dg.AssetSpec(
            "coincidence_alert",
            description=_ABOUT_ALERT,
            deps=[coincidences.name],
            group_name="event",
            kinds={"kafka"},
            owners=OWNERS,
            skippable=True,
        )
    ],
    partitions_def=alert_versions,
    retry_policy=RETRY,
    backfill_policy=dg.BackfillPolicy.multi_run(BATCH),
)
def coincidence_alert(
    context: dg.AssetExecutionContext,
    archive: ArchiveResource,
    store: StoreResource,
    publication: PublicationResource,
    settings: SettingsResource,
) -> Iterator[dg.MaterializeResult[Any]]:
    """Keep the pairs of the versions that say how their events stand, and queue or withdraw their derived alerts."""
    opened, now = archive.open(), datetime.now(UTC)
    tag_event(context)
    pairs: dict[tuple[str, str], PairRecord] = {}
    for key in keys_of(context):
        for pair in keep_pairs(opened, key, now):
            pairs[pair.gw_event, pair.other_event] = pair
    if not pairs:
        context.log.info("no pair with an event of another messenger")
        return
    silent = publication.open(opened, store.open()).dry_run
    queued = [] if silent else announce(opened, pairs.values(), publication.destinations(), now, settings.get())
    lines = [f"- {p.gw_event} with {p.other_event}: {p.state}, {p.figures.get('far_hz')} Hz" for p in pairs.values()]
    yield dg.MaterializeResult(
        asset_key="coincidence_alert",
        metadata={"pairs": dg.MetadataValue.md("\n".join(lines)), "messages queued": dg.MetadataValue.json(queued)},
    )


def announce(
    archive: Archive,
    pairs: Iterable[PairRecord],
    destinations: Sequence[DestinationConfig],
    now: datetime,
    settings: Settings,
) -> list[str]:
    """Queue or withdraw the derived alerts of pairs; returns keys of new publications. Nothing if it is switched off."""
    if not settings.coincidences.alerts:
        return []
    url = settings.publication.public_address
    return [key for pair in pairs for key in enqueue_pair(archive, destinations, pair, now, url)]


def keep_pairs(archive: Archive, partition_key: str, now: datetime) -> list[PairRecord]:
    """Record the pairs of a version's product in the archive; none if it does not say how its event stands, or is wrong."""
    product = archive.product(partition_key, coincidences.files[0].name)
    if product is None or _in_range(product.statistics) is False:
        return []
    event_id = str(product.statistics["event"])
    side = side_of(archive.versions(event_id))
    if side is None or with_version(side, archive.version(partition_key)) != side:
        return []
    record_pairs(archive, event_id, [_record(values) for values in product.statistics["pairs"]], now)
    return pairs_of(archive, event_id)
