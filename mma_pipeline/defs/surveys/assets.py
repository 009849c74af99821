"""The candidates that surveys brought to an event in one night: one table, a ranking, and plots of the best.

Partitioned by event and night. The table's column `messages` names the Kafka messages behind each candidate, and
the archive's numbers of them.
"""

# No postponed annotations here: Dagster reads the real types of an asset function's parameters.
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from mma_pipeline.adapters.store import Store
from mma_pipeline.adapters.store.paths import BEST_PLOTS, NIGHT_TABLES, best_plot, event_night_key, ranking_key
from mma_pipeline.defs.metadata import address, in_table, plot
from mma_pipeline.defs.product_asset import OWNERS, RETRY
from mma_pipeline.defs.resources import ArchiveResource, SettingsResource, StoreResource
from mma_pipeline.defs.skymaps.skymap import skymap
from mma_pipeline.defs.surveys.scoring import EventNightSource, ScoredEventNight, as_parquet, as_table

GROUP = "survey"
CODE_VERSION = "4"
#: Candidates that the ranking of a materialisation shows.
SHOWN = 20

#: Every night of every event that surveys brought candidates to.
event_nights = dg.DynamicPartitionsDefinition(name="event_night")

survey_stream = dg.AssetSpec(
    "survey_stream",
    group_name=GROUP,
    kinds={"kafka"},
    owners=OWNERS,
    description=(
        "Alerts of surveys, read by `mma survey read` in a process of its own. Reported every five minutes: how many were "
        "seen, lay in the region of a live event, were kept or dropped and why; lag and rate of the readers."
    ),
)


@dg.asset(
    group_name=GROUP,
    kinds={"parquet"},
    owners=OWNERS,
    partitions_def=event_nights,
    # Which map a night uses is known only when it runs, as for candidates of photometry.
    deps=[survey_stream, dg.AssetDep(skymap.name, partition_mapping=dg.AllPartitionMapping())],
    retry_policy=RETRY,
    code_version=CODE_VERSION,
    output_required=False,
    description="All candidates that surveys brought to an event in a night: scored in one batch, ranked, the best drawn.",
)
def survey_candidates(
    context: dg.AssetExecutionContext, archive: ArchiveResource, store: StoreResource, settings: SettingsResource
) -> Iterator[dg.MaterializeResult[Any]]:
    """Score what changed, and write the night's table."""
    from mma_pipeline.science.tables import ecsv, votable

    started = time.perf_counter()
    source, target = EventNightSource(archive.open(), context.partition_key, settings.get()), store.open()
    version = source.version
    if version is None:
        context.log.info(f"{context.partition_key}: {source.key.event_id} has no map any more, nothing is scored")
        return
    found = source.score(version)
    seconds = time.perf_counter() - started
    about = {"event": source.key.event_id, "night": str(source.key.night), "version": version.partition_key}
    table = as_table(found.rows, about)
    files = {
        "table": target.put(
            event_night_key(source.key, NIGHT_TABLES[0]),
            as_parquet(found.rows, about),
            content_type="application/vnd.apache.parquet",
            metadata={},
        ),
        "table (ECSV)": target.put(
            event_night_key(source.key, NIGHT_TABLES[1]),
            ecsv(table),
            content_type="text/plain",
            metadata={},
        ),
        "table (VOTable)": target.put(
            event_night_key(source.key, NIGHT_TABLES[2]),
            votable(table),
            content_type="application/x-votable+xml",
            metadata={},
        ),
        "ranking of the event": _ranking(source, target),
    }
    drawn = _plots(source, found, target)
    yield dg.MaterializeResult(
        metadata={
            "candidates": len(found.rows),
            "scored in this run": found.changed,
            "best": dg.MetadataValue.md(_table(found.rows[:SHOWN])),
            **{
                name: dg.MetadataValue.url(address(source.settings, target, stored.key))
                for name, stored in files.items()
            },
            **drawn,
            "version": version.partition_key,
            "code version": CODE_VERSION,
            "seconds to score": round(seconds, 3),
            "seconds": round(time.perf_counter() - started, 3),
        }
    )


def _ranking(source: EventNightSource, target: Store) -> Any:
    """The event's `candidates.json`, which the event page and the candidates of photometry share."""
    ranked = source.photometry.latest_scores(source.key.event_id)
    slim = [{k: v for k, v in entry.items() if k != "history"} for entry in ranked]
    body = {"event_id": source.key.event_id, "candidates": slim}
    data = json.dumps(body, sort_keys=True, indent=1).encode()
    return target.put(ranking_key(source.key.event_id), data, content_type="application/json", metadata={})


def _plots(source: EventNightSource, found: ScoredEventNight, target: Store) -> dict[str, Any]:
    """Light curves of the best."""
    from mma_pipeline.defs.candidates.scoring import merger_mjd, skymap_of
    from mma_pipeline.science.kilonova.lightcurve import Event
    from mma_pipeline.science.kilonova.measured import light_curve
    from mma_pipeline.science.kilonova.plot import light_curve_png
    from mma_pipeline.science.skymaps.statistics import map_distance

    best = [row for row in found.rows if row["status"] != "excluded"][:BEST_PLOTS]
    version = source.version
    if not best or version is None:
        return {}
    distance, deviation = map_distance(skymap_of(source.archive, version)) or (None, None)
    drawn = {}
    for place, row in enumerate(best, start=1):
        name = row["candidate"]
        record = source.records[name]
        event = Event(merger_mjd(version), distance, deviation, record.candidate.ebv)
        curve = light_curve([m.measurement for m in source.until_night(name)])
        data = light_curve_png(
            curve,
            event,
            found.results[name]["history"],
            title=f"{name} · {source.key.event_id}",
            simulated=record.simulated,
        )
        stored = target.put(event_night_key(source.key, best_plot(place)), data, content_type="image/png", metadata={})
        drawn[f"{place}: {name}"] = plot(source.settings, target, stored.key)
    return drawn


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = [
        "| | candidate | status | P (light curve) | posterior | vetted | level | days | mag | reasons |",
        "|-|-|-|-|-|-|-|-|-|-|",
    ]
    for row in rows:
        after = "none" if row["posterior"] is None else f"{row['posterior']:.3g}"
        vetted = "" if row["vetted_probability"] is None else f"{row['vetted_probability']:.3g}"
        bright = "" if row["last_magnitude"] is None else f"{row['last_band']} {row['last_magnitude']:.2f}"
        lines.append(
            f"| {row['rank']} | {row['candidate']} | {row['status']} | {row['p_phot']:.3f} | {after} | {vetted} | "
            f"{row['credible_level']:.3f} | {row['days_since_merger']:.2f} | {bright} | {in_table(row['reasons'] or '')} |"
        )
    return "\n".join(lines)
