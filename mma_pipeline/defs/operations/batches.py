"""Takes a failed batch of versions apart, so that one whose product cannot be made does not hold up the others.

A backfill makes up to 50 versions in one run. A step makes its product for each of them and fails at the end if it could not
be made for some, and Dagster runs nothing behind a failed step: the others would lack what depends on that product. This
sensor requests the rest: a run for each stretch of versions without a failure, which makes what is missing and takes the
rest from the archive, and a run of its own for each version with one, which makes what can be made and fails by itself.
"""

# No postponed annotations here: Dagster reads the real types of the sensor's parameters.
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import groupby

import dagster as dg

from mma_pipeline.defs.jobs import Lane, alert_products, lane_tags
from mma_pipeline.defs.partitions import alert_versions
from mma_pipeline.defs.product_asset import FAILED_PARTITIONS
from mma_pipeline.defs.ticks import every

_START, _END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


@dg.run_failure_sensor(
    name="failed_batches_sensor",
    request_job=alert_products,
    minimum_interval_seconds=every(10),
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Requests the rest of a batch of versions in which a product of some could not be made.",
)
def failed_batches_sensor(context: dg.RunFailureSensorContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Request runs for the parts of a failed batch."""
    run = context.dagster_run
    first, last = run.tags.get(_START), run.tags.get(_END)
    failed = {key for event in context.get_step_failure_events() for key in _failed(event)}
    if first is None or last is None or first == last or not failed:
        yield dg.SkipReason("not a batch in which a product of some versions could not be made")
        return
    keys = context.instance.get_dynamic_partitions(str(alert_versions.name))
    if first not in keys or last not in keys:
        yield dg.SkipReason("the batch's versions were removed meanwhile")
        return
    for stretch in stretches(keys[keys.index(first) : keys.index(last) + 1], failed):
        yield dg.RunRequest(
            run_key=f"{run.run_id}/{stretch[0]}",
            tags={**lane_tags(Lane.BACKFILL), _START: stretch[0], _END: stretch[-1], "mma/rest_of": run.run_id},
            asset_selection=sorted(run.asset_selection) if run.asset_selection else None,
        )


def stretches(keys: Iterable[str], failed: Collection[str]) -> list[Sequence[str]]:
    """The keys in their order: neighbours without a failure together, each with one alone."""
    found: list[Sequence[str]] = []
    for bad, together in groupby(keys, lambda key: key in failed):
        stretch = list(together)
        found += [[key] for key in stretch] if bad else [stretch]
    return found


def _failed(event: dg.DagsterEvent) -> list[str]:
    """Partitions for which a step could not make its product."""
    said = event.step_failure_data.user_failure_data
    noted = None if said is None else said.metadata.get(FAILED_PARTITIONS)
    return [str(key) for key in noted.value] if isinstance(noted, dg.JsonMetadataValue) and noted.value else []
