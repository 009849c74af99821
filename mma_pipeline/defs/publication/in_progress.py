"""What there is to publish, without what a run in progress is about to publish: the sensor requests no second run for it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

import dagster as dg

from mma_pipeline.adapters.archive.publications import Publication
from mma_pipeline.adapters.publishing.service import Offer, Publications
from mma_pipeline.defs.alerts.unfinished import failing
from mma_pipeline.defs.jobs import LANE_TAG, MOST_S, OWN_LANES, PUBLISH_VERSION, Lane, alert_products
from mma_pipeline.defs.publication.readiness import readiness
from mma_pipeline.settings import Settings

#: How long a version that is complete, or what was written to the outbox, is left to a run in progress: as long as an alert's
#: may take. One that is not over then waits in a long queue.
OWN_RUN = timedelta(seconds=MOST_S[Lane.LIVE])
_UNFINISHED = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
#: Jobs whose runs publish, and the tags by which those of them that do are known.
_PUBLISHING: Mapping[str, Mapping[str, Sequence[str]]] = {
    alert_products.name: {LANE_TAG: sorted(OWN_LANES)},
    PUBLISH_VERSION: {},
}


def offers_now(instance: dg.DagsterInstance, published: Publications, settings: Settings, now: datetime) -> list[Offer]:
    """Versions to decide on, without those whose own run is in progress: it decides at its end."""
    doubtful = failing(instance, now)

    def found() -> dict[str, Offer]:
        offers = published.undecided(
            lambda record, products: readiness(record, products, instance, now, settings, doubtful)
        )
        return {offer.record.partition_key: offer for offer in offers}

    first = found()
    busy = publishing(instance, {key for key, offer in first.items() if offer.changed > now - OWN_RUN})
    if not first.keys() - busy:
        return []
    # A run that was in progress when the versions were read, and ended before the runs were, has decided.
    return [offer for key, offer in found().items() if key in first.keys() - busy]


def due_now(instance: dg.DagsterInstance, published: Publications, now: datetime) -> list[Publication]:
    """What is due in the outbox, without what a run in progress has just written and is about to send."""
    due = published.due()
    new = {
        item.id: item.partition_key
        for item in due
        if item.attempts == 0 and item.partition_key is not None and item.created > now - OWN_RUN
    }
    if not new:
        return due
    busy = publishing(instance, set(new.values()))
    known = {item.id for item in due if new.get(item.id) not in busy}
    # As above: what was sent meanwhile is no longer due.
    return [item for item in published.due() if item.id in known]


def publishing(instance: dg.DagsterInstance, keys: Collection[str]) -> set[str]:
    """Of some versions those with a run in progress that publishes them."""
    if not keys:
        return set()
    versions = {"dagster/partition": sorted(keys)}
    return {
        run.tags["dagster/partition"]
        for job, tags in _PUBLISHING.items()
        for run in instance.get_runs(dg.RunsFilter(job_name=job, statuses=_UNFINISHED, tags={**versions, **tags}))
    }
