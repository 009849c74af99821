"""Finders of problems: one function per kind, from Dagster's instance and the archive alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property

import dagster as dg

from mma_pipeline.adapters.archive import Archive, VersionRecord, gaps
from mma_pipeline.adapters.archive.event_history import later_in_line
from mma_pipeline.adapters.archive.quarantine import Choice, QuarantinedMessage, quarantined
from mma_pipeline.adapters.archive.recent import RecentVersion, recent_versions
from mma_pipeline.adapters.archive.refusals import unsolved
from mma_pipeline.adapters.archive.surveys import SurveyArchive
from mma_pipeline.defs.alerts.unfinished import LOOK_BACK, lacking, patience, will_be_retried
from mma_pipeline.defs.jobs import EVENT_TAG, REPORTED
from mma_pipeline.defs.observing.pointings_memory import SENSOR as POINTINGS
from mma_pipeline.defs.observing.pointings_memory import Memory
from mma_pipeline.defs.operations.connections import is_deaf
from mma_pipeline.defs.operations.problems import Kind, Problem
from mma_pipeline.defs.operations.watch import BrokerState, cursors_of
from mma_pipeline.defs.publication.problems import bare_messages, blocked_publications, late_publications
from mma_pipeline.notices.key import event_of_key
from mma_pipeline.notices.model import Role, role_of
from mma_pipeline.notices.words import counted
from mma_pipeline.settings import Settings

#: How long a failed run counts as a problem.
FAILED_RUNS = timedelta(days=1)
#: How long lost messages count as a problem: nothing brings them back.
LOST = timedelta(days=1)
#: Failures in a row after which a source of pointings is a problem: half an hour by the default interval.
FAILED_LOOKS = 2
#: How long after its time a source of pointings may wait to be asked; one that waits longer is no longer configured.
STILL_ASKED = timedelta(hours=1)
#: Greatest number of failed runs considered.
RUNS = 500
#: Greatest number of jobs and partitions among them for which a later run is searched.
MOST_FAILED = 100
#: Greatest number of unsolved messages in quarantine considered, newest first.
MOST_QUARANTINED = 500
#: Seconds after which the health sensor's observation of the store is too old to use.
OLD_S = 600.0
#: Name for all mock and test events together.
MOCK_EVENTS = "mock events"
#: Tags that distinguish two runs of a job.
_PARTITION_TAGS = ("dagster/partition", "dagster/asset_partition_range_start")


@dataclass(frozen=True)
class Situation:
    """Everything that a finder may use."""

    instance: dg.DagsterInstance
    archive: Archive
    now: datetime
    watched: BrokerState | None
    """What the health sensor saw last; None if it never ran."""
    destinations: Sequence[str]
    """Names of the configured destinations; empty too if their configuration is wrong."""
    settings: Settings
    """What products a version should have, and how long it may take."""

    @cached_property
    def recent(self) -> Sequence[RecentVersion]:
        """Versions of the last three days."""
        return recent_versions(self.archive, self.now - LOOK_BACK, self.now)

    @cached_property
    def overdue(self) -> Sequence[RecentVersion]:
        """Those among them that lack products after the time allowed."""
        limit = self.now - patience(self.settings)
        return [found for found in self.recent if found.received < limit and lacking(found, self.settings)]

    @cached_property
    def failed_runs(self) -> Sequence[dg.RunRecord]:
        """Runs of the last day that failed, newest first."""
        wanted = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], updated_after=self.now - FAILED_RUNS)
        return self.instance.get_run_records(wanted, limit=RUNS)


Finder = Callable[[Situation], Iterable[Problem]]


def store_away(look: Situation) -> Iterator[Problem]:
    """The store as the health sensor saw it last."""
    seen = look.watched
    if seen is None or seen.store is None or seen.store_since is None or look.now.timestamp() - seen.at > OLD_S:
        return
    since = datetime.fromtimestamp(seen.store_since, UTC)
    text = f"the store cannot be used: {seen.store}; products wait until it can: see mma doctor"
    yield Problem(Kind.STORE_AWAY, text, since=since)


def queue_trouble(look: Situation) -> Iterator[Problem]:
    """The resident workers' queue, and who serves it, as the health sensor saw them last."""
    seen = look.watched
    if seen is None or look.now.timestamp() - seen.at > OLD_S:
        return
    if seen.queue is not None:
        yield Problem(Kind.QUEUE_AWAY, f"{seen.queue}; alerts are archived, and their products wait: see mma doctor")
    if seen.workers == 0:
        text = (
            "no resident worker answers: start mma worker, or see its log; alerts are archived, and their products wait"
        )
        yield Problem(Kind.NO_WORKER, text)


def no_stream(look: Situation) -> Iterator[Problem]:
    """No stream at all is configured, as the health sensor saw it last: nothing will ever come."""
    seen = look.watched
    if seen is not None and look.now.timestamp() - seen.at <= OLD_S and is_deaf(seen.unconnected):
        yield Problem(
            Kind.NO_STREAM,
            "no stream is connected, so that no alert can come: set KAFKA_CLIENT_ID and KAFKA_CLIENT_SECRET (GCN client "
            "credentials), or HOP_USERNAME and HOP_PASSWORD; see mma doctor",
        )


def unfinished_versions(look: Situation) -> Iterator[Problem]:
    """Versions that lack products: a problem for each real event, one for all mock and test events."""
    grouped: dict[str, list[RecentVersion]] = {}
    for found in look.overdue:
        grouped.setdefault(who(found.record.version.event_id), []).append(found)
    for name, together in grouped.items():
        names = ", ".join(sorted({name for one in together for name in lacking(one, look.settings)})[:8])
        text = (
            f"{counted(len(together), 'version')} of {name} still lack {names} after the time allowed: see mma status"
        )
        since = min(one.received for one in together) + patience(look.settings)
        yield Problem(Kind.VERSIONS_UNFINISHED, text, name, _real(name), since)


def messages_in_quarantine(look: Situation) -> Iterator[Problem]:
    """Unsolved messages not known to be mock: one problem for each with a known event, else for each stream and cause."""
    unknown: dict[str, list[QuarantinedMessage]] = {}
    for found in quarantined(look.archive, Choice(rehearsals=False, surveys=False), limit=MOST_QUARANTINED):
        if found.event_id is None:
            cause = "".join(c for c in found.reason if not c.isdigit())
            unknown.setdefault(f"{found.stream}:{hashlib.sha256(cause.encode()).hexdigest()[:8]}", []).append(found)
            continue
        text = f"an alert of {found.event_id} cannot be used: {found.reason}; message {found.id}, see mma quarantine"
        yield Problem(Kind.QUARANTINE, text, str(found.id), found.event_id, found.received)
    for subject, together in unknown.items():
        first = together[-1]
        text = (
            f"{counted(len(together), 'message')} of {first.stream} cannot be used, and their event is unknown: {first.reason}; "
            f"message {first.id}, see mma quarantine"
        )
        yield Problem(Kind.QUARANTINE, text, subject, since=first.received)


def packets_in_quarantine(look: Situation) -> Iterator[Problem]:
    """Packets of surveys that could not be used: one problem for each stream and cause, however many they are."""
    for found in unsolved(look.archive):
        digest = hashlib.sha256(found.cause.encode()).hexdigest()[:8]
        text = (
            f"{counted(found.packets, 'packet')} of {found.stream} cannot be used: {found.reason}; "
            f"message {found.message_id}, see mma quarantine"
        )
        yield Problem(Kind.QUARANTINE, text, f"{found.stream}:{digest}", since=found.first)


def lost_packets(look: Situation) -> Iterator[Problem]:
    """Messages of surveys that the broker dropped before they were read, for a day after that was noticed."""
    for one in SurveyArchive(look.archive).partitions():
        if one.lost_at is None or look.now - one.lost_at > LOST:
            continue
        place = f"{one.topic}/{one.partition}"
        text = (
            f"messages of {one.stream} were lost, {one.lost} of {place} by now: the broker dropped them before they were read; "
            "start more readers, see mma survey stats"
        )
        yield Problem(Kind.MESSAGES_LOST, text, f"{one.stream}:{place}", since=one.lost_at)


def lost_messages(look: Situation) -> Iterator[Problem]:
    """Alerts, notices and photometry that the broker dropped before they were read, for a day after that was noticed."""
    for one in gaps.lost_messages(look.archive, look.now - LOST):
        place = f"{one.topic}/{one.partition}"
        if one.lost is None:
            how_many = f"an unknown number from offset {one.first} of {place}"
            why = "the topic was created again"
        else:
            how_many = f"{one.lost:,} from offset {one.first} to {one.resumed - 1} of {place}"
            why = "the broker dropped them"
        text = f"messages of {one.stream} were lost, {how_many}: {why} before they were read; {_rescue(one.stream)}"
        yield Problem(Kind.MESSAGES_LOST, text, f"{one.stream}:{place}", since=one.noticed)


def _rescue(stream: str) -> str:
    """Where lost messages of a stream may still be had."""
    if stream.endswith("gwalert"):
        return "fetch what is missing with mma backfill --from-gracedb"
    return "ask the sender, and read what you get with mma replay"


def unread_pointings(look: Situation) -> Iterator[Problem]:
    """A source of pointings that failed several times in a row, while it is still asked."""
    if look.instance.schedule_storage is None:
        return  # an instance in memory, which has no sensors
    for text in cursors_of(look.instance, POINTINGS)[:1]:
        for name, looks in Memory.read(text).sources.items():
            if looks.failures < FAILED_LOOKS or looks.not_before is None or looks.since is None:
                continue
            if look.now - datetime.fromisoformat(looks.not_before) > STILL_ASKED:
                continue
            said = f"pointings cannot be read from {name}: {looks.error}; what is covered of live events may be out of date"
            yield Problem(Kind.POINTINGS_UNREAD, said, name, since=datetime.fromisoformat(looks.since))


def degraded_versions(look: Situation) -> Iterator[Problem]:
    """Real events' versions of the last three days with wrong parts in their alert, until a newer sound one follows."""
    bad = [found for found in look.recent if found.record.version.role is not Role.TEST and _degraded(found.record)]
    versions = look.archive.versions_of({found.record.version.event_id for found in bad})
    for found in bad:
        record, wrong = found.record, _degraded(found.record)
        event = record.version.event_id
        if not all(map(_degraded, later_in_line(versions[event], record))):
            continue
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        text = f"{record.stem} was made without the wrong parts of its alert: {wrong[0]}{more}; see mma show {event}"
        yield Problem(Kind.DEGRADED, text, record.partition_key, event, found.received)


def failed_runs(look: Situation) -> Iterator[Problem]:
    """Failed runs that no other run follows: a problem for each job and real event, one for a job's mock events."""
    latest: dict[tuple[str, str | None], dg.RunRecord] = {}
    for record in look.failed_runs:
        latest.setdefault((record.dagster_run.job_name, _partition(record.dagster_run.tags)), record)
    grouped: dict[tuple[str, str], list[dg.RunRecord]] = {}
    for (job, _), record in list(latest.items())[:MOST_FAILED]:
        if not REPORTED.items() <= record.dagster_run.tags.items() and _is_last_word(look, record):
            grouped.setdefault((job, who(event_of(record.dagster_run.tags))), []).append(record)
    for (job, name), together in grouped.items():
        runs = ", ".join(record.dagster_run.run_id[:8] for record in together[:3])
        text = f"{job} failed{f' for {name}' if name else ''}, and no other run follows: see {counted(len(together), 'run')} {runs}"
        ended = [record.end_time for record in together if record.end_time is not None]
        since = datetime.fromtimestamp(min(ended), UTC) if ended else None
        yield Problem(Kind.RUN_FAILED, text, f"{job}:{name}", _real(name), since)


def event_of(tags: Mapping[str, str]) -> str | None:
    """The event that a run belongs to, from its tags; None for a run without an event."""
    return tags.get(EVENT_TAG) or event_of_key(_partition(tags) or "")


def _partition(tags: Mapping[str, str]) -> str | None:
    """The partition of a run, the first of several; None for a run without a partition."""
    return next((tags[name] for name in _PARTITION_TAGS if name in tags), None)


def _is_last_word(look: Situation, record: dg.RunRecord) -> bool:
    """Whether no run follows, or will follow, a failed run of its job and partition."""
    run = record.dagster_run
    same = {name: run.tags[name] for name in _PARTITION_TAGS if name in run.tags}
    (newest,) = look.instance.get_run_records(dg.RunsFilter(job_name=run.job_name, tags=same), limit=1) or [record]
    return newest.dagster_run.run_id == run.run_id and not will_be_retried(record, look.now)


def who(event_id: str | None) -> str:
    """The id of a real event, one name for all other events, an empty text for None."""
    if event_id is None:
        return ""
    return event_id if role_of(event_id) is Role.OBSERVATION else MOCK_EVENTS


def _real(name: str) -> str | None:
    return name if name not in {"", MOCK_EVENTS} else None


def _degraded(record: VersionRecord) -> list[str]:
    """What is wrong in a version's alert, one line each; empty for a sound one."""
    return [str(line) for line in record.facts.get("degraded") or ()]


FINDERS: tuple[Finder, ...] = (
    store_away,
    queue_trouble,
    no_stream,
    unfinished_versions,
    messages_in_quarantine,
    packets_in_quarantine,
    lost_packets,
    lost_messages,
    unread_pointings,
    degraded_versions,
    failed_runs,
    blocked_publications,
    late_publications,
    bare_messages,
)


def find(look: Situation) -> tuple[Problem, ...]:
    """All problems that the finders see; raises TransientError if the archive does not answer."""
    return tuple(problem for finder in FINDERS for problem in finder(look))
