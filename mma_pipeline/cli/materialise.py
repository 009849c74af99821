"""Makes every product of a version in this process, for the command line and for tests."""

from __future__ import annotations

import dagster as dg

from mma_pipeline.adapters.archive import VersionRecord
from mma_pipeline.defs.alerts.sensors import quarantine_event
from mma_pipeline.defs.jobs import EVENT_TAG, Lane, lane_tags
from mma_pipeline.defs.partitions import alert_versions
from mma_pipeline.products.ingest import Quarantined


def materialise(instance: dg.DagsterInstance, record: VersionRecord) -> bool:
    """Run the job of all products for one version; returns whether it succeeded. The run is in the instance's history."""
    from mma_pipeline.definitions import defs

    instance.add_dynamic_partitions(alert_versions.name or "", [record.partition_key])
    job = defs.resolve_job_def("alert_products")
    result = job.execute_in_process(
        partition_key=record.partition_key,
        instance=instance,
        raise_on_error=False,
        # Only the progress display is printed; Dagster's event log is in the instance.
        run_config={"loggers": {"console": {"config": {"log_level": "ERROR"}}}},
        tags={**lane_tags(Lane.BACKFILL), EVENT_TAG: record.version.event_id},
    )
    return result.success


def report_quarantine(instance: dg.DagsterInstance, entry: Quarantined) -> None:
    """Report a quarantined message on the `quarantine` asset."""
    instance.report_runless_asset_event(quarantine_event(entry))
