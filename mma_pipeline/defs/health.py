"""How the pipeline does: one set of figures for the UI's asset, `mma doctor`, `mma alive` and Prometheus.

Everything here is read from Dagster's instance and the archive, so that any process may ask, also one that has no
access to the streams.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg
import sqlalchemy as sa

from mma_pipeline.adapters.archive import Archive, reading, schema
from mma_pipeline.adapters.archive.recent import recent_versions

from .product import OWNERS
from .resources import ArchiveResource
from .streams import STREAMS
from .unfinished import LOOK_BACK, lacking, last_looks, patience

#: Seconds without heartbeat after which a daemon counts as dead: Dagster beats every 30 s.
DAEMON_S = 180.0
#: Seconds without a completed tick after which a stream counts as unread; a tick waits up to 50 s.
TICK_S = 180.0
#: Runs looked at for failures.
RUNS = 500


@dataclass(frozen=True, slots=True)
class StreamHealth:
    """One stream."""

    name: str
    message_age_s: float | None
    """Seconds since a message was last received; None where there was none."""
    tick_age_s: float | None
    """Seconds since the last look at the broker began that ended well; None where there was none."""
    messages: int
    quarantined: int


@dataclass(frozen=True, slots=True)
class Health:
    """The figures of one moment."""

    at: datetime
    daemons: dict[str, float]
    """Seconds since the last heartbeat, by daemon."""
    streams: tuple[StreamHealth, ...]
    unfinished: int
    """Versions older than the patience for products that lack some."""
    queued: int
    """Runs that wait."""
    running: int
    failed_day: int
    """Runs of the last 24 hours that failed, retries that later succeeded included (at most 500 runs are looked at)."""
    publications_failed: int

    @property
    def problems(self) -> list[str]:
        """What a person must look at, one sentence each; empty where all is well."""
        found = []
        if not self.daemons:
            found.append("no Dagster daemon has ever run here: start dagster-daemon")
        for name, age in self.daemons.items():
            if age > DAEMON_S:
                found.append(f"daemon {name} was last alive {age:.0f} s ago: restart dagster-daemon")
        for stream in self.streams:
            if stream.tick_age_s is not None and stream.tick_age_s > TICK_S:
                found.append(
                    f"stream {stream.name} was last looked at {stream.tick_age_s:.0f} s ago: see its sensor's ticks"
                )
        if self.unfinished:
            found.append(f"{self.unfinished} versions lack products although they had their time: see mma status")
        if self.publications_failed:
            found.append(f"{self.publications_failed} publications failed for good: see mma publication")
        return found


def health(instance: dg.DagsterInstance, archive: Archive, now: datetime) -> Health:
    """Read all figures; raises TransientError where the archive does not answer."""
    beats = instance.get_daemon_heartbeats()
    since = now - timedelta(days=1)
    finished = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], updated_after=since)
    waiting = dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED])
    active = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]
    overdue = recent_versions(archive, now - LOOK_BACK, now - patience(os.environ))
    return Health(
        at=now,
        daemons={name: max(0.0, now.timestamp() - beat.timestamp) for name, beat in sorted(beats.items())},
        streams=tuple(_streams(instance, archive, now)),
        unfinished=sum(bool(lacking(found)) for found in overdue),
        queued=instance.get_runs_count(waiting),
        running=instance.get_runs_count(dg.RunsFilter(statuses=active)),
        failed_day=len(instance.get_run_records(finished, limit=RUNS)),
        publications_failed=_failed_publications(archive),
    )


def _streams(instance: dg.DagsterInstance, archive: Archive, now: datetime) -> Iterator[StreamHealth]:
    looked = last_looks(instance)
    table = schema.message
    bad = sa.func.count(table.c.quarantine_reason)
    query = sa.select(table.c.stream, sa.func.max(table.c.received), sa.func.count(), bad).group_by(table.c.stream)
    with reading(archive.engine) as connection:
        known = {row[0]: row for row in connection.execute(query)}
    for name in sorted({stream.name for stream in STREAMS} | set(known)):
        stamp = looked[name].began if name in looked else None
        row = known.get(name)
        yield StreamHealth(
            name=name,
            message_age_s=None if row is None else (now - row[1]).total_seconds(),
            tick_age_s=None if stamp is None else max(0.0, now.timestamp() - stamp),
            messages=0 if row is None else row[2],
            quarantined=0 if row is None else row[3],
        )


def _failed_publications(archive: Archive) -> int:
    from mma_pipeline.adapters.archive.outbox import publication
    from mma_pipeline.adapters.publishing.model import State

    query = sa.select(sa.func.count()).select_from(publication).where(publication.c.state == State.FAILED)
    with reading(archive.engine) as connection:
        return int(connection.execute(query).scalar_one())


pipeline_health_asset = dg.AssetSpec(
    "pipeline_health",
    group_name="watch",
    kinds={"dagster"},
    owners=OWNERS,
    description=(
        "How the pipeline does: age of heartbeats, of each stream's last look and last message, messages in quarantine, "
        "versions that lack products, runs that wait or failed. Reported every five minutes by `pipeline_health_sensor`."
    ),
)


@dg.asset_check(asset="pipeline_health", name="nothing_wrong", description="Nothing that a person must look at.")
def nothing_wrong(context: dg.AssetCheckExecutionContext, archive: ArchiveResource) -> dg.AssetCheckResult:
    """Look now, by hand; the sensor reports the same check by itself."""
    found = health(context.instance, archive.open(), datetime.now(UTC))
    return dg.AssetCheckResult(passed=not found.problems, metadata={"problems": "\n".join(found.problems) or "none"})


@dg.sensor(
    name="pipeline_health_sensor",
    minimum_interval_seconds=300,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Reports the health of the pipeline every five minutes, without starting a run.",
)
def pipeline_health_sensor(context: dg.SensorEvaluationContext, archive: ArchiveResource) -> dg.SensorResult:
    """Report the figures and the check."""
    found = health(context.instance, archive.open(), datetime.now(UTC))
    for problem in found.problems:
        context.log.error(problem)
    metadata: dict[str, float | int | str] = {
        "versions lacking products": found.unfinished,
        "runs waiting": found.queued,
        "runs under way": found.running,
        "runs failed in 24 h": found.failed_day,
        "publications failed": found.publications_failed,
    }
    for stream in found.streams:
        metadata[f"{stream.name}: messages"] = stream.messages
        metadata[f"{stream.name}: in quarantine"] = stream.quarantined
        if stream.message_age_s is not None:
            metadata[f"{stream.name}: last message (s ago)"] = round(stream.message_age_s)
        if stream.tick_age_s is not None:
            metadata[f"{stream.name}: last look (s ago)"] = round(stream.tick_age_s)
    check = dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey("pipeline_health"),
        check_name="nothing_wrong",
        passed=not found.problems,
        metadata={"problems": dg.MetadataValue.text("\n".join(found.problems) or "none")},
        severity=dg.AssetCheckSeverity.ERROR,
    )
    return dg.SensorResult(
        asset_events=[dg.AssetMaterialization(asset_key="pipeline_health", metadata=metadata), check]
    )
