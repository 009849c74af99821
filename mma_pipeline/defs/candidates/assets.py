"""Assets of one night of one candidate: light curve, kilonova probability, ranking of the event's candidates, derived alert.

Partitioned by event, candidate and night (integer MJD). Each materialisation names the messages that its measurements came
from.
"""

# No postponed annotations here: Dagster reads the real types of an asset function's parameters.
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from mma_pipeline.adapters.errors import NotFoundError
from mma_pipeline.adapters.publishing.compose import version_ref
from mma_pipeline.adapters.publishing.decision import enqueue_candidate
from mma_pipeline.adapters.store import Store
from mma_pipeline.adapters.store.paths import (
    LIGHT_CURVE,
    SCORE,
    VETTING,
    latest_light_curve_key,
    night_key,
    ranking_key,
)
from mma_pipeline.defs.candidates.scoring import CandidateSource, ScoredNight
from mma_pipeline.defs.candidates.sensors import candidate_nights
from mma_pipeline.defs.candidates.vetting import reasons
from mma_pipeline.defs.events.assets import PAGE_ASSET, page_metadata
from mma_pipeline.defs.events.page.write import write_event_page
from mma_pipeline.defs.jobs import tag_event
from mma_pipeline.defs.metadata import address, in_table, plot
from mma_pipeline.defs.product_asset import OWNERS, RETRY
from mma_pipeline.defs.resources import ArchiveResource, PublicationResource, SettingsResource, StoreResource
from mma_pipeline.defs.skymaps.newest_skymap import newest_skymap
from mma_pipeline.notices.candidate_summary import AssumedDistance, contradiction, host_of, verdicts_of
from mma_pipeline.notices.derived import CandidateScore, DerivedAlert, DerivedKind

GROUP = "candidate"
CODE_VERSION = "4"
#: Greatest number of measurements that the ranking shows of an excluded candidate.
_SHOWN = 3

photometry_stream_asset = dg.AssetSpec(
    "photometry_stream",
    group_name=GROUP,
    kinds={"kafka"},
    owners=OWNERS,
    description="Topics of photometry (Hopskotch): every message is archived as received before it is used.",
)


def _asset_of_a_night(
    kind: str,
    deps: Sequence[dg.AssetsDefinition | dg.AssetSpec | dg.AssetDep],
    description: str,
    *,
    optional: bool = False,
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """Common settings of the assets of a candidate's night; an `optional` one may produce nothing."""
    return dg.asset(
        group_name=GROUP,
        kinds={kind},
        owners=OWNERS,
        partitions_def=candidate_nights,
        deps=deps,
        retry_policy=RETRY,
        code_version=CODE_VERSION,
        description=description,
        output_required=not optional,
    )


def _lineage(source: CandidateSource) -> dict[str, Any]:
    """Where the measurements came from, for the UI."""
    ids = sorted({m.message_id for m in source.measurements})
    latest = source.archive.message(ids[-1])
    return {
        "messages": dg.MetadataValue.json(ids),
        "latest message": latest.coordinates,
        "measurements": len(source.measurements),
        "version": source.version.partition_key,
        "code version": CODE_VERSION,
    }


@_asset_of_a_night(
    "python",
    [photometry_stream_asset],
    "Host galaxy, stars, active nuclei, minor planets and earlier detections at the candidate's place: a verdict each, in words.",
    optional=True,
)
def candidate_vetting(
    context: dg.AssetExecutionContext, archive: ArchiveResource, store: StoreResource, settings: SettingsResource
) -> Iterator[dg.MaterializeResult[Any]]:
    """Compare the candidate with catalogs on disk and with what its packets say."""
    tag_event(context)
    source, target = CandidateSource(archive.open(), context.partition_key, settings.get()), store.open()
    if source.withdrawn:
        context.log.info(f"{context.partition_key}: {source.key.event_id} no longer has a map, so nothing is vetted")
        return
    found = source.vetting()
    data = json.dumps(found, sort_keys=True, indent=1).encode()
    stored = target.put(night_key(source.key, VETTING), data, content_type="application/json", metadata={})
    yield dg.MaterializeResult(
        metadata={
            **{verdict["check"]: verdict["words"] for verdict in found["verdicts"]},
            "factor": found["factor"],
            **({"host distance (Mpc)": found["host"]["distance_mpc"]} if "host" in found else {}),
            "file": dg.MetadataValue.url(address(source.settings, target, stored.key)),
            **_lineage(source),
        }
    )


@_asset_of_a_night(
    "python",
    [photometry_stream_asset, newest_skymap, candidate_vetting],
    "Probability of a kilonova: from the light curve alone, the sky factor, the prior and the posterior.",
    optional=True,
)
def kilonova_probability(
    context: dg.AssetExecutionContext, archive: ArchiveResource, store: StoreResource, settings: SettingsResource
) -> Iterator[dg.MaterializeResult[Any]]:
    """Score the candidate with all measurements up to this night."""
    tag_event(context)
    started = time.perf_counter()
    source, target = CandidateSource(archive.open(), context.partition_key, settings.get()), store.open()
    if source.withdrawn:
        # A run that was queued before the retraction: this is no error, but there is nothing left to score.
        context.log.info(f"{context.partition_key}: {source.key.event_id} no longer has a map, so nothing is scored")
        return
    result = source.assess(_vetting(source, target))
    if result is None:
        context.log.info(f"{context.partition_key}: nothing has been detected in griz after the merger yet")
        return
    source.photometry.record_score(source.key.partition_key, source.key.event_id, source.name, source.key.night, result)
    data = json.dumps(result, sort_keys=True, indent=1).encode()
    stored = target.put(night_key(source.key, SCORE), data, content_type="application/json", metadata={})
    if result["status"] == "excluded":
        context.log.warning(f"{source.name} is excluded: {len(result['excluded_by'])} detections before the merger")
    if result["unused_bands"]:
        context.log.info(f"{source.name}: unused bands {result['unused_bands']}")
    listed = ("history", "unused_bands", "excluded_by", "vetting")
    shown = {k: v for k, v in result.items() if v is not None and k not in listed}
    yield dg.MaterializeResult(
        metadata={
            **shown,
            **{k: dg.MetadataValue.json(result[k]) for k in listed if result.get(k)},
            "file": dg.MetadataValue.url(address(source.settings, target, stored.key)),
            **_lineage(source),
            "seconds": round(time.perf_counter() - started, 4),
        }
    )


def _vetting(source: CandidateSource, target: Store) -> Mapping[str, Any]:
    """What `candidate_vetting` wrote of this night; made here where it was not asked for."""
    try:
        found: dict[str, Any] = json.loads(target.get(night_key(source.key, VETTING)))
    except NotFoundError:
        return source.vetting()
    return found


@_asset_of_a_night(
    "matplotlib",
    [kilonova_probability],
    "Light curve by band with upper limits, the range expected of kilonovae, and the probability by night.",
)
def light_curve_plot(
    context: dg.AssetExecutionContext, archive: ArchiveResource, store: StoreResource, settings: SettingsResource
) -> dg.MaterializeResult[Any]:
    """Draw the measurements up to this night, with the archived probabilities."""
    tag_event(context)
    from mma_pipeline.science.kilonova.measured import light_curve
    from mma_pipeline.science.kilonova.plot import light_curve_png

    source, target = ScoredNight(archive.open(), context.partition_key, settings.get()), store.open()
    curve = light_curve([m.measurement for m in source.measurements])
    title = f"{source.name} · {source.key.event_id}"
    history = [] if source.score is None else source.score["history"]
    data = light_curve_png(curve, source.event, history, title=title, simulated=source.record.simulated)
    stored = target.put(night_key(source.key, LIGHT_CURVE), data, content_type="image/png", metadata={})
    target.put(latest_light_curve_key(source.key), data, content_type="image/png", metadata={})
    return dg.MaterializeResult(
        metadata={
            "light curve": plot(source.settings, target, stored.key),
            "size (bytes)": len(data),
            **_lineage(source),
        }
    )


@_asset_of_a_night(
    "python",
    [kilonova_probability],
    "All candidates of the event, the most probable first: as a table here, and as `candidates.json` in the store.",
)
def ranked_candidates(
    context: dg.AssetExecutionContext, archive: ArchiveResource, store: StoreResource, settings: SettingsResource
) -> dg.MaterializeResult[Any]:
    """Rank the latest scores of the event."""
    started = time.perf_counter()
    tag_event(context)
    source, target = CandidateSource(archive.open(), context.partition_key, settings.get()), store.open()
    ranked = source.photometry.latest_scores(source.key.event_id)
    slim = [{k: v for k, v in entry.items() if k != "history"} for entry in ranked]
    body = {"event_id": source.key.event_id, "candidates": slim}
    data = json.dumps(body, sort_keys=True, indent=1).encode()
    stored = target.put(ranking_key(source.key.event_id), data, content_type="application/json", metadata={})
    if not source.withdrawn:
        # Now, and not when `event_page_sensor` finds out: whoever waits for a candidate looks at the page.
        written = write_event_page(source.archive, target, source.key.event_id)
        shown = page_metadata(source.settings, target, written, time.perf_counter() - started)
        context.log_event(dg.AssetMaterialization(PAGE_ASSET, partition=source.version.partition_key, metadata=shown))
    return dg.MaterializeResult(
        metadata={
            "candidates": dg.MetadataValue.md(_table(ranked)),
            "number": len(ranked),
            "file": dg.MetadataValue.url(address(source.settings, target, stored.key)),
        }
    )


def _table(ranked: list[Mapping[str, Any]]) -> str:
    lines = [
        "| | candidate | P (light curve) | redshift | sky factor | prior | posterior | vetted | nights | | reasons |",
        "|-|-|-|-|-|-|-|-|-|-|-|",
    ]
    for place, r in enumerate(ranked, start=1):
        prior, after = (f"{r[k]:.3g}" if r.get(k) is not None else "none" for k in ("prior", "posterior"))
        redshift = "" if r.get("redshift") is None else f"{r['redshift']:.4g}"
        dimensions = f" ({r['sky_factor_dimensions']}-D)" if "sky_factor_dimensions" in r else ""
        note = "" if r["sufficient"] else "insufficient data"
        if r.get("status") == "excluded":
            note = "excluded: detected before the merger, MJD " + ", ".join(
                f"{p['mjd']:.2f} {p['band']} {p['magnitude']:.2f}" for p in r["excluded_by"][:_SHOWN]
            )
        vetted = "" if r.get("vetted_probability") is None else f"{r['vetted_probability']:.3g}"
        note += " simulated" if r.get("simulated") else ""
        lines.append(
            f"| {place} | {', '.join([r['candidate'], *r.get('aliases', ())])} | {r['p_phot']:.3f} | {redshift} | {r['sky_factor']:.3g}{dimensions} | "
            f"{prior} | {after} | {vetted} | {r['nights']} | {note.strip()} | {in_table('; '.join(reasons(r)))} |"
        )
    return "\n".join(lines)


@_asset_of_a_night(
    "kafka",
    [kilonova_probability],
    "The derived alert of the score, written to the outbox of publication. None while the data are insufficient.",
    optional=True,
)
def kilonova_alert(
    context: dg.AssetExecutionContext,
    archive: ArchiveResource,
    publication: PublicationResource,
    settings: SettingsResource,
) -> Iterator[dg.MaterializeResult[Any]]:
    """Write the archived score to the outbox of every destination whose rule accepts it."""
    tag_event(context)
    source = ScoredNight(archive.open(), context.partition_key, settings.get())
    if source.withdrawn:
        context.log.info(f"{context.partition_key}: {source.key.event_id} no longer has a map, so nothing is published")
        return
    result = source.score
    if result is None or result["status"] != "scored":
        status = "insufficient_data" if result is None else result["status"]
        context.log.info(f"{context.partition_key}: {status}, so nothing is published")
        return
    alert = derived_alert(source, result)
    ids = enqueue_candidate(source.archive, publication.destinations(), alert, datetime.now(UTC))
    yield dg.MaterializeResult(metadata={"messages queued": len(ids), "ids": dg.MetadataValue.json(ids)})


def derived_alert(source: ScoredNight, result: Mapping[str, Any]) -> DerivedAlert:
    """The message of a score: v1 consumers read the same numbers as kn_score and other_score."""
    latest = [m.measurement for m in source.measurements if m.measurement.detected][-1]
    vetting = result.get("vetting", {})
    return DerivedAlert(
        kind=DerivedKind.CANDIDATE,
        event_id=source.key.event_id,
        version=version_ref(source.version),
        candidate=CandidateScore(
            name=str(result["candidate"]),
            ra=float(result["ra"]),
            dec=float(result["dec"]),
            time_obs=float(result["time_obs_mjd"]),
            kilonova_probability=float(result["p_phot"]),
            other_probability=1.0 - float(result["p_phot"]),
            classifier=f"mma-kilonova {result['model']}",
            searched_probability=float(result["credible_level"]),
            magnitude=latest.magnitude,
            magnitude_error=latest.error,
            band=latest.band,
            aliases=source.record.aliases,
            p_phot=float(result["p_phot"]),
            p_afterglow=result.get("p_afterglow"),
            p_afterglow_supernova=result.get("p_afterglow_supernova"),
            posterior=result.get("posterior"),
            prior=result.get("prior"),
            sky_factor=result.get("sky_factor"),
            sky_factor_dimensions=result.get("sky_factor_dimensions"),
            no_prior=result.get("no_prior"),
            vetted_probability=result.get("vetted_probability"),
            vetting_factor=result.get("vetting_factor"),
            vetting=verdicts_of(vetting),
            credible_level=float(result["credible_level"]),
            redshift=result.get("redshift"),
            host=host_of(vetting),
            distance=_assumed(result),
            contradiction=contradiction(result),
        ),
    )


def _assumed(result: Mapping[str, Any]) -> AssumedDistance | None:
    mean, source = result.get("assumed_distance_mpc"), result.get("distance_source")
    return (
        None if mean is None or source is None else AssumedDistance(mean, source, result["assumed_distance_sigma_mpc"])
    )
