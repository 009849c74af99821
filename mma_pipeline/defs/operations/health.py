"""The pipeline's health: one set of values for the UI's asset, `mma doctor`, `mma alive` and Prometheus.

Everything here is read from Dagster's instance and the archive, so that any process may ask, also one without access to
the streams. The sensor, which has access, checks brokers and store once a minute (`watch.py`).
"""

import hashlib
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import dagster as dg

from mma_pipeline.adapters.archive import Archive, outbox, reading
from mma_pipeline.adapters.archive.overview import newest_events
from mma_pipeline.adapters.archive.publications import State
from mma_pipeline.adapters.archive.recent import StreamStatistics, stream_statistics
from mma_pipeline.adapters.archive.surveys import SurveyArchive
from mma_pipeline.adapters.errors import ConfigurationError
from mma_pipeline.defs.alerts.stream_assets import READ_LATELY
from mma_pipeline.defs.alerts.streams import READ_BY, STREAMS
from mma_pipeline.defs.alerts.unfinished import last_good_ticks
from mma_pipeline.defs.operations.finders import Situation, find
from mma_pipeline.defs.operations.notifying import NO_EVENT, follow
from mma_pipeline.defs.operations.problems import Kind, Problem
from mma_pipeline.defs.operations.watch import SENSOR, BrokerState, Lasting, StreamState, from_json, last_watched, watch
from mma_pipeline.defs.product_asset import OWNERS
from mma_pipeline.defs.resources import ArchiveResource, KafkaResource, PublicationResource, SettingsResource
from mma_pipeline.defs.ticks import every
from mma_pipeline.notices.gcn.streams import CORE_STREAMS
from mma_pipeline.notices.words import counted, seconds
from mma_pipeline.settings import Settings

_log = logging.getLogger(__name__)

#: Seconds without a heartbeat after which a daemon counts as dead: Dagster sends one every 30 s.
DAEMON_S = 180.0
#: Seconds without a completed tick after which a stream counts as unread; a tick waits up to 45 s.
TICK_S = 180.0
#: The asset that stands for the topic of each stream.
STREAM_ASSETS = {
    "gcn-gwalert": "gwalert_stream",
    "hop-gwalert": "gwalert_stream",
    "gcn-icecube": "icecube_stream",
    "gcn-notices": "notice_streams",
    **{stream.name: f"{stream.name}_stream" for stream in CORE_STREAMS},
}
#: Seconds without GCN's heartbeat after which it counts as silent; it comes every second and is checked every minute.
HEARTBEAT_S = 300.0
#: Seconds without an answer to a credential that are reported: outages of brokers are shorter.
CREDENTIAL_S = 86_400.0
#: Messages that a stream may be behind: ten ticks of the sensor.
LAG = 500
#: Messages that the readers of a survey's stream may be behind: a minute or two of their work.
SURVEY_LAG = 100_000
#: Seconds between two reports if nothing changes.
REPORT_S = 300.0


@dataclass(frozen=True, slots=True)
class StreamHealth:
    """One stream."""

    name: str
    message_age_s: float | None
    """Seconds since a message was last received; None if there was none."""
    tick_age_s: float | None
    """Seconds since the last successful tick of its sensor began; None if there was none, or if it is not connected."""
    messages: int
    quarantined: int
    """Unsolved ones."""
    lag: int | None = None
    """Messages that waited at the broker when it was last checked; None if unknown."""
    credential_age_s: float | None = None
    """Seconds since the credential was first used here; None if there is none."""
    credential_idle_s: float | None = None
    """Seconds since the credential last worked; None if there is none, or if it never did."""
    rate: float | None = None
    """Messages per second lately; None but for a survey's stream."""
    resident: bool = False
    """Whether processes of its own read it (`mma survey read`), and no sensor."""
    unconnected: str | None = None
    """Why it is not read, with the variables to set; None if it is connected, or if the health sensor never ran."""

    @property
    def reader(self) -> str:
        """Where to look when it is not read."""
        return "the log of mma survey read" if self.resident else "its sensor's ticks"


@dataclass(frozen=True, slots=True)
class Health:
    """The pipeline's state at one moment."""

    at: datetime
    daemons: dict[str, float]
    """Seconds since the last heartbeat, by daemon."""
    streams: tuple[StreamHealth, ...]
    unfinished: int
    """Versions that lack products after the time allowed."""
    queued: int
    """Queued runs."""
    running: int
    failed_day: Mapping[str, int]
    """Failed runs of the last 24 hours by job, including those whose retry succeeded (at most 500 are read)."""
    publications_failed: int
    heartbeat_age_s: float | None = None
    """Seconds since GCN's last heartbeat; None if GCN is not read."""

    found: tuple[Problem, ...] = ()
    """Problems that the finders found."""
    lasting: Mapping[str, Lasting] = field(default_factory=dict)
    """Problems that the health sensor remembers, by key."""

    @property
    def problems(self) -> list[Problem]:
        """Everything that needs a person's attention, with its beginning if known; empty if all is well."""
        return [self._dated(problem) for problem in (*_of_statistics(self), *self.found)]

    def _dated(self, problem: Problem) -> Problem:
        known = self.lasting.get(problem.key)
        if problem.since is not None or known is None:
            return problem
        return replace(problem, since=datetime.fromtimestamp(known.since, UTC))


def _of_statistics(found: Health) -> Iterator[Problem]:
    """Problems that are values beyond their limits."""
    if not found.daemons:
        yield Problem(Kind.NO_DAEMON, "no Dagster daemon has ever run here: start dagster-daemon")
    for name, age in found.daemons.items():
        if age > DAEMON_S:
            text = f"daemon {name} was last alive {seconds(age)} ago: restart dagster-daemon"
            yield Problem(Kind.DAEMON_SILENT, text, name)
    for stream in found.streams:
        yield from _of_stream(stream)
    age_s = found.heartbeat_age_s
    if age_s is not None and age_s > HEARTBEAT_S:
        yield Problem(
            Kind.GCN_SILENT, f"GCN's last heartbeat is {seconds(age_s)} old: GCN or the connection to it is down"
        )
    if found.publications_failed:
        text = f"{counted(found.publications_failed, 'publication')} failed for good: see mma publication"
        yield Problem(Kind.PUBLICATIONS_FAILED, text)


def _of_stream(stream: StreamHealth) -> Iterator[Problem]:
    if (read_by := READ_BY.get(stream.name)) is not None and read_by.name != stream.name:
        return  # said once, of the entry whose sensor reads them all
    if stream.tick_age_s is not None and stream.tick_age_s > TICK_S:
        text = f"stream {stream.name} was last read {seconds(stream.tick_age_s)} ago: see {stream.reader}"
        yield Problem(Kind.STREAM_UNREAD, text, stream.name)
    if stream.credential_age_s is not None and stream.credential_idle_s is None:
        yield Problem(Kind.CREDENTIAL, f"the credential of {stream.name} has never worked: check it", stream.name)
    elif stream.credential_idle_s is not None and stream.credential_idle_s > CREDENTIAL_S:
        text = (
            f"the credential of {stream.name} last worked {seconds(stream.credential_idle_s)} ago: "
            "check it; GCN permanently disables credentials unused for 30 days"
        )
        yield Problem(Kind.CREDENTIAL, text, stream.name)
    if stream.lag is not None and stream.lag > (SURVEY_LAG if stream.resident else LAG):
        text = f"stream {stream.name} is {counted(stream.lag, 'message')} behind: see {stream.reader}"
        yield Problem(Kind.STREAM_BEHIND, text, stream.name)


def health(
    instance: dg.DagsterInstance,
    archive: Archive,
    now: datetime,
    watched: BrokerState | None = None,
    *,
    destinations: Sequence[str],
    settings: Settings,
) -> Health:
    """Read all values; raises TransientError if the archive does not answer.

    Args:
        instance: heartbeats, runs, cursors.
        archive: messages, versions, publications.
        now: time of the check, UTC.
        watched: the brokers as just checked; by default as the sensor saw them last.
        destinations: names of the configured destinations.
        settings: what products a version should have, how long it may take, and which survey is read.
    """
    beats = instance.get_daemon_heartbeats()
    waiting = dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED])
    active = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]
    watched = watched or last_watched(instance)
    look = Situation(instance, archive, now, watched, destinations, settings)
    return Health(
        at=now,
        daemons={name: max(0.0, now.timestamp() - beat.timestamp) for name, beat in sorted(beats.items())},
        streams=tuple(_streams(instance, archive, now, watched, settings)),
        unfinished=len(look.overdue),
        queued=instance.get_runs_count(waiting),
        running=instance.get_runs_count(dg.RunsFilter(statuses=active)),
        failed_day=dict(Counter(record.dagster_run.job_name for record in look.failed_runs)),
        publications_failed=_failed_publications(archive),
        heartbeat_age_s=_age(now, None if watched is None else watched.heartbeat),
        found=find(look),
        lasting={} if watched is None else watched.lasting,
    )


def _age(now: datetime, stamp: float | None) -> float | None:
    return None if stamp is None else max(0.0, now.timestamp() - stamp)


def _streams(
    instance: dg.DagsterInstance, archive: Archive, now: datetime, watched: BrokerState | None, settings: Settings
) -> Iterator[StreamHealth]:
    looked = last_good_ticks(instance)
    known = stream_statistics(archive)
    surveys = survey_health(archive, now, known, settings)
    yield from surveys
    seen_of = {} if watched is None else watched.streams
    without = {} if watched is None else watched.unconnected
    names = {stream.name for stream in STREAMS} | set(known) | set(without) | (set(seen_of) & set(READ_BY))
    for name in sorted(names - {stream.name for stream in surveys}):
        stamp = looked[name].began if name in looked else None
        row = known.get(name)
        seen = seen_of.get(name, StreamState())
        why = without.get(name) or (without.get(READ_BY[name].name) if name in READ_BY else None)
        yield StreamHealth(
            name=name,
            message_age_s=None if row is None else (now - row.newest).total_seconds(),
            # The sensor of a stream that is not connected ticks, and reads nothing.
            tick_age_s=None if why else _age(now, stamp),
            messages=0 if row is None else row.messages,
            quarantined=0 if row is None else row.quarantined,
            lag=seen.lag,
            credential_age_s=_age(now, seen.since),
            credential_idle_s=_age(now, seen.worked),
            unconnected=why,
        )


def survey_health(
    archive: Archive, now: datetime, known: Mapping[str, StreamStatistics], settings: Settings
) -> list[StreamHealth]:
    """The survey's stream that this installation reads; empty where none is configured, or no reader ever began."""
    wanted = settings.survey_stream
    counts = SurveyArchive(archive).partitions(wanted.name) if wanted.topics else []
    if not counts:
        return []
    row = known.get(wanted.name)
    lags = [one.lag for one in counts if one.lag is not None]
    rates = {one.member: one.rate for one in counts if one.rate is not None}
    return [
        StreamHealth(
            name=wanted.name,
            message_age_s=None if row is None else (now - row.newest).total_seconds(),
            # One partition that nobody reads is as bad as all of them.
            tick_age_s=max((now - one.alive).total_seconds() for one in counts),
            messages=sum(one.seen for one in counts),
            quarantined=0 if row is None else row.quarantined,
            lag=sum(lags) if lags else None,
            rate=sum(rates.values()) if rates else None,
            resident=True,
        )
    ]


def _failed_publications(archive: Archive) -> int:
    with reading(archive.engine) as connection:
        return outbox.count(connection, State.FAILED)


def pipeline_health_asset(portal: str | None) -> dg.AssetSpec:
    """The asset whose page is the place to begin; it has its links before anything ran.

    Args:
        portal: address of the portal for people; None without one.
    """
    links = "" if portal is None else "".join(f"- [{words}]({at})\n" for words, at in _places(portal).items())
    return dg.AssetSpec(
        "pipeline_health",
        freshness_policy=READ_LATELY,
        group_name="watch",
        kinds={"dagster"},
        owners=OWNERS,
        description=(
            f"The place to begin.\n\n{links}\n"
            "The pipeline's health: age of heartbeats, of each stream's last tick and last message, messages in quarantine, "
            "versions that lack products, queued and failed runs, messages that wait at the brokers, GCN's heartbeat, age of "
            "the credentials. `pipeline_health_sensor` reports it every five minutes."
        ),
        metadata={} if portal is None else {name: dg.MetadataValue.url(at) for name, at in _places(portal).items()},
    )


def _places(portal: str) -> dict[str, str]:
    """Pages of the portal by what they are called; the newest event is looked up there when somebody follows the link."""
    portal = portal.rstrip("/")
    pages = {"portal": "/", "newest event": "/newest", "health": "/health", "quarantine": "/quarantine"}
    return {name: f"{portal}{path}" for name, path in pages.items()}


def portal_links(archive: Archive, portal: str | None) -> dict[str, dg.MetadataValue[Any]]:
    """Links to the portal, to the newest real event (any, where there is none) and to its health page; none without a portal."""
    if portal is None:
        return {}
    portal = portal.rstrip("/")
    links: dict[str, dg.MetadataValue[Any]] = {"portal": dg.MetadataValue.url(f"{portal}/")}
    for event_id in newest_events(archive, limit=1, real=True) or newest_events(archive, limit=1):
        links["newest event"] = dg.MetadataValue.md(f"[{event_id}]({portal}/events/{event_id})")
    return {**links, "health": dg.MetadataValue.url(f"{portal}/health")}


@dg.asset_check(asset="pipeline_health", name="nothing_wrong", description="Nothing needs a person's attention.")
def nothing_wrong(
    context: dg.AssetCheckExecutionContext,
    archive: ArchiveResource,
    publication: PublicationResource,
    settings: SettingsResource,
) -> dg.AssetCheckResult:
    """Check now, by hand; the sensor reports the same check by itself."""
    found = health(
        context.instance,
        archive.open(),
        datetime.now(UTC),
        destinations=publication.names(),
        settings=settings.get(),
    )
    return dg.AssetCheckResult(passed=not found.problems, metadata={"problems": _listed(found)})


@dg.sensor(
    name=SENSOR,
    minimum_interval_seconds=every(60),
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Checks brokers and store every minute, notifies people when a problem begins and when it is over, and "
    "reports the pipeline's health every five minutes, without a run.",
)
def pipeline_health_sensor(
    context: dg.SensorEvaluationContext,
    archive: ArchiveResource,
    kafka: KafkaResource,
    publication: PublicationResource,
    settings: SettingsResource,
) -> dg.SensorResult:
    """Check and notify; report values and check every five minutes, and at once when the problems change."""
    now = datetime.now(UTC)
    before = from_json(context.cursor)
    watched = watch(context.instance, kafka.settings(), before, now)
    opened = archive.open()
    found = health(context.instance, opened, now, watched, destinations=publication.names(), settings=settings.get())
    problems = found.problems
    keys = sorted(problem.key for problem in problems)
    trouble = hashlib.sha256("\n".join(keys).encode()).hexdigest()[:8]
    watched = replace(watched, lasting=follow(watched.lasting, problems, now, partial(_notify, publication, opened)))
    if before is not None and before.trouble == trouble and now.timestamp() - before.reported < REPORT_S:
        return dg.SensorResult(cursor=replace(watched, trouble=trouble, reported=before.reported).to_json())
    for problem in problems:
        context.log.error(str(problem))
    check = dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey("pipeline_health"),
        check_name="nothing_wrong",
        passed=not problems,
        metadata={"problems": dg.MetadataValue.text(_listed(found))},
        severity=dg.AssetCheckSeverity.ERROR,
    )
    report = dg.AssetMaterialization(
        asset_key="pipeline_health", metadata={**portal_links(opened, settings.get().portal.url), **statistics(found)}
    )
    cursor = replace(watched, trouble=trouble, reported=now.timestamp()).to_json()
    return dg.SensorResult(asset_events=[report, check, *stream_reports(found, watched)], cursor=cursor)


def stream_reports(found: Health, watched: BrokerState) -> Iterator[dg.AssetMaterialization]:
    """One materialisation per connected stream with a recent tick: without it, the UI shows the asset as stale."""
    by_asset: dict[str, dict[str, float | int | str]] = {}
    for stream in found.streams:
        asset = STREAM_ASSETS.get(stream.name)
        if asset is None or stream.name not in watched.streams:
            continue
        if stream.tick_age_s is not None and stream.tick_age_s <= TICK_S:
            by_asset.setdefault(asset, {}).update(_stream_statistics(stream))
    for asset, shown in by_asset.items():
        # Always the same data version, so that this report does not mark products of the stream's messages as out of date.
        yield dg.AssetMaterialization(asset_key=asset, metadata=shown, tags={"dagster/data_version": "read"})


def _notify(
    publication: PublicationResource, archive: Archive, key: str, what: str, event: str | None, text: str
) -> bool:
    """Write a message to people into the outbox; returns whether a webhook accepts it."""
    try:
        published = publication.telling(archive)
        if not published.failure_webhooks:
            return False
    except ConfigurationError as error:
        _log.error("people cannot be notified: %s", error)
        return False
    published.notify_failure(key, what, event or NO_EVENT, text, None, kind="problem")
    return True


def _listed(found: Health) -> str:
    return "\n".join(problem.dated() for problem in found.problems) or "none"


def statistics(found: Health) -> dict[str, float | int | str]:
    """The values as the UI shows them; unknown ones are absent."""
    shown: dict[str, float | int | str | None] = {
        "versions lacking products": found.unfinished,
        "runs queued": found.queued,
        "runs in progress": found.running,
        "runs failed in 24 h": sum(found.failed_day.values()),
        "publications failed": found.publications_failed,
        "GCN: last heartbeat (s ago)": _rounded(found.heartbeat_age_s),
    }
    for job, number in sorted(found.failed_day.items()):
        shown[f"{job}: runs failed in 24 h"] = number
    for name, age in found.daemons.items():
        shown[f"{name}: last heartbeat (s ago)"] = _rounded(age)
    for stream in found.streams:
        shown |= _stream_statistics(stream)
    return {name: value for name, value in shown.items() if value is not None}


def _stream_statistics(stream: StreamHealth) -> dict[str, float | int | str]:
    """The values of one stream; unknown ones are absent."""
    shown = {
        f"{stream.name}: connection": stream.unconnected,
        f"{stream.name}: messages": stream.messages,
        f"{stream.name}: in quarantine": stream.quarantined,
        f"{stream.name}: waiting at the broker": stream.lag,
        f"{stream.name}: last message (s ago)": _rounded(stream.message_age_s),
        f"{stream.name}: last tick (s ago)": _rounded(stream.tick_age_s),
        f"{stream.name}: messages per second": None if stream.rate is None else round(stream.rate, 1),
        f"{stream.name}: credential first used (days ago)": _rounded(stream.credential_age_s, 86_400),
        f"{stream.name}: credential last worked (s ago)": _rounded(stream.credential_idle_s),
    }
    return {name: value for name, value in shown.items() if value is not None}


def _rounded(seconds: float | None, unit: float = 1) -> float | None:
    return None if seconds is None else round(seconds / unit, 0 if unit == 1 else 1)
