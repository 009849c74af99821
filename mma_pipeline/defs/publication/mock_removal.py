"""Mocks leave the GWTM site after a while: a schedule that asks, and a job that removes through the outbox.

What is removed and what never is: `adapters.publishing.mocks`. A removal that fails is repeated and told of as every
publication is.
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
    """Removals to be asked for, by destination; none where removing is switched off."""
    if published.dry_run or not wanted.gwtm_remove_mocks:
        return {}
    now, engine = datetime.now(UTC), published.archive.engine
    found = {config.name: due(engine, config.name, now, wanted.gwtm_mock_hours) for config in published.of_kind(GWTM)}
    return {name: drafts for name, drafts in found.items() if drafts}


@dg.op(description="Removes mock events from the GWTM site, with our galaxy lists of them.")
def remove_mocks(
    context: dg.OpExecutionContext, archive: ArchiveResource, store: StoreResource, publication: PublicationResource
) -> None:
    """Ask for what is due and send it; raises dg.Failure where a site refuses."""
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
    description="Mock events leave the GWTM site MMA_GWTM_MOCK_HOURS hours after their last row; real ones never.",
)
def gwtm_mock_removal() -> None:
    """The job of `remove_mocks`."""
    remove_mocks()


@dg.schedule(
    job=gwtm_mock_removal,
    cron_schedule="41 */6 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Looks four times a day for mock events whose time on the GWTM site is over.",
)
def gwtm_mock_schedule(
    context: dg.ScheduleEvaluationContext,
    archive: ArchiveResource,
    store: StoreResource,
    publication: PublicationResource,
) -> dg.RunRequest | dg.SkipReason:
    """Ask for a run only where there is something to remove."""
    try:
        found = _due(publication.open(archive.open(), store.open()), publication.settings())
    except AdapterError as error:
        return dg.SkipReason(str(error))
    if not found:
        return dg.SkipReason("no mock event is to be removed")
    return dg.RunRequest(run_key=f"mocks:{context.scheduled_execution_time.isoformat()}")
