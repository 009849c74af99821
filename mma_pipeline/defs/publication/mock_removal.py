"""Removes old mock events from the Treasure Map (GWTM): a schedule, and a job that removes through the outbox.

`adapters.publishing.mocks` decides what is removed. A failed removal is repeated and reported like every other
publication.
"""

# No postponed annotations here: Dagster reads the real types of an op function's parameters.
from datetime import UTC, datetime

import dagster as dg

from mma_pipeline.adapters.archive.publications import Draft, State
from mma_pipeline.adapters.errors import AdapterError
from mma_pipeline.adapters.publishing.config import GWTM
from mma_pipeline.adapters.publishing.gwtm import GwtmDestination
from mma_pipeline.adapters.publishing.mocks import ask, due
from mma_pipeline.adapters.publishing.service import Publications
from mma_pipeline.defs.jobs import LANE_TAG, Lane
from mma_pipeline.defs.resources import ArchiveResource, PublicationResource, StoreResource
from mma_pipeline.settings import PublicationSettings


def _due(published: Publications, wanted: PublicationSettings) -> dict[str, list[Draft]]:
    """Removals to request, by destination; none if removal is switched off."""
    if published.dry_run or not wanted.gwtm_remove_mocks:
        return {}
    now, engine = datetime.now(UTC), published.archive.engine
    found = {config.name: due(engine, config.name, now, wanted.gwtm_mock_hours) for config in published.of_kind(GWTM)}
    return {name: drafts for name, drafts in found.items() if drafts}


@dg.op(description="Removes mock events and our galaxy lists of them from the Treasure Map (GWTM).")
def remove_mocks(
    context: dg.OpExecutionContext, archive: ArchiveResource, store: StoreResource, publication: PublicationResource
) -> None:
    """Request due removals and send them; raises dg.Failure if a site refuses."""
    published, wrong = publication.open(archive.open(), store.open()), []
    for name, drafts in _due(published, publication.settings()).items():
        try:
            treasure_map = published.destinations[name]
            if isinstance(treasure_map, GwtmDestination) and not treasure_map.client.may_post():
                wrong.append(f"{name}: only an administrator's token may remove mocks; ours is not one")
                continue
            ask(published.archive.engine, drafts)
            tried = published.publisher.run(name)
        except AdapterError as error:
            wrong.append(f"{name}: {error}")
            continue
        done = sum(item.state is State.DONE for item in tried)
        context.log.info(f"{name}: {len(drafts)} mock events to be removed, {done} of {len(tried)} publications done")
    if wrong:
        raise dg.Failure("; ".join(wrong), allow_retries=False)


@dg.job(
    tags={LANE_TAG: Lane.MOCK.value, "dagster/priority": "-10"},
    executor_def=dg.in_process_executor,
    description="Removes mock events from the Treasure Map (GWTM) MMA_GWTM_MOCK_HOURS hours after their last row; real events are kept.",
)
def gwtm_mock_removal() -> None:
    """The job of `remove_mocks`."""
    remove_mocks()


@dg.schedule(
    job=gwtm_mock_removal,
    cron_schedule="41 */6 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Checks four times a day for mock events that are due for removal from the Treasure Map (GWTM).",
)
def gwtm_mock_schedule(
    context: dg.ScheduleEvaluationContext,
    archive: ArchiveResource,
    store: StoreResource,
    publication: PublicationResource,
) -> dg.RunRequest | dg.SkipReason:
    """Request a run only if there is something to remove."""
    try:
        found = _due(publication.open(archive.open(), store.open()), publication.settings())
    except AdapterError as error:
        return dg.SkipReason(str(error))
    if not found:
        return dg.SkipReason("no mock event is due for removal")
    return dg.RunRequest(run_key=f"mocks:{context.scheduled_execution_time.isoformat()}")
