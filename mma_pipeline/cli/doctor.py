"""`mma doctor`: reports what works, what does not, and what to do about it."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

import typer
from rich.table import Table
from rich.text import Text

from mma_pipeline.cli.app import Exit, JsonOption, console, open_archive, open_store, print_json
from mma_pipeline.notices.words import counted
from mma_pipeline.settings import current

if TYPE_CHECKING:
    from mma_pipeline.defs.operations.health import StreamHealth

#: Clock difference from the broker that is reported, seconds.
CLOCK_TOLERANCE_S = 5.0


class Verdict(StrEnum):
    """Result of a check."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report."""

    what: str
    verdict: Verdict
    detail: str
    advice: str = ""


def doctor(as_json: JsonOption = False) -> None:
    """Check brokers, store, queue, database, credentials, heartbeat, clock and publication; exit code 1 if something does not work."""
    findings = [finding for check in CHECKS for finding in _guarded(check)]
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        table = Table(show_lines=False)
        for column in ("what", "", "found", "what to do"):
            table.add_column(column)
        colour = {Verdict.OK: "green", Verdict.WARNING: "yellow", Verdict.FAILED: "red"}
        for finding in findings:
            mark = f"[{colour[finding.verdict]}]{finding.verdict}[/]"
            table.add_row(finding.what, mark, Text(finding.detail), Text(finding.advice))
        console.print(table)
    if any(finding.verdict is Verdict.FAILED for finding in findings):
        raise typer.Exit(Exit.FAILED)


def _guarded(check: Callable[[], list[Finding]]) -> list[Finding]:
    from mma_pipeline.adapters.errors import AdapterError

    name = check.__name__.strip("_").replace("_", " ")
    try:
        return check()
    except AdapterError as error:
        return [Finding(name, Verdict.FAILED, str(error), "see the message")]


def _dagster_home() -> list[Finding]:
    home = current().home
    if not (home / "dagster.yaml").is_file():
        return [
            Finding("dagster home", Verdict.WARNING, f"{home} has no dagster.yaml", "set DAGSTER_HOME to dagster_home")
        ]
    free = shutil.disk_usage(home).free / 1e9
    verdict = Verdict.OK if free > 2 else Verdict.WARNING
    return [Finding("dagster home", verdict, f"{home}, {free:.0f} GB free", "" if free > 2 else "make room")]


def _database() -> list[Finding]:
    from mma_pipeline.adapters.errors import NotFoundError

    try:
        archive = open_archive()
    except NotFoundError as error:
        return [Finding("archive database", Verdict.WARNING, str(error), "start the pipeline: make dev")]
    counts = ", ".join(f"{count} {name}" for name, count in archive.counts().items())
    where = archive.engine.url.render_as_string(hide_password=True)
    return [Finding("archive database", Verdict.OK, f"{where}: {counts}")]


def _pipeline() -> list[Finding]:
    import dagster as dg

    from mma_pipeline.adapters.errors import NotFoundError
    from mma_pipeline.defs.operations.health import health
    from mma_pipeline.defs.operations.problems import Kind
    from mma_pipeline.defs.resources import destination_names

    try:
        archive = open_archive()
    except NotFoundError:
        return []  # the check of the database reports it
    with dg.DagsterInstance.get() as instance:
        settings = current()
        found = health(
            instance, archive, datetime.now(UTC), destinations=destination_names(settings), settings=settings
        )
    quarantined = sum(stream.quarantined for stream in found.streams)
    by_job = ", ".join(f"{job} {number}" for job, number in sorted(found.failed_day.items()))
    detail = (
        f"{counted(found.running, 'run')} under way, {found.queued} waiting, {sum(found.failed_day.values())} failed in 24 h"
        f"{f' ({by_job})' if by_job else ''}; "
        f"{counted(quarantined, 'message')} in quarantine"
    )
    findings = [
        Finding(f"watch {stream.name}", Verdict.OK, ", ".join(words))
        for stream in found.streams
        if (words := _watched(stream))
    ]
    # Of a new installation, which is a warning here: the check of the brokers says it of each stream.
    new = {Kind.NO_DAEMON, Kind.NO_STREAM}
    problems = [problem for problem in found.problems if problem.kind not in new]
    if not found.daemons:
        advice = "start dagster-daemon, or dagster dev"
        findings.append(Finding("pipeline", Verdict.WARNING, "no daemon has run here yet", advice))
    elif not problems:
        findings.append(Finding("pipeline", Verdict.OK, detail))
    for problem in problems:
        findings.append(Finding(f"pipeline: {problem.kind}", Verdict.FAILED, problem.dated(), "see the message"))
    return findings


def _watched(stream: StreamHealth) -> list[str]:
    """What the health sensor last saw of a stream."""
    words = []
    if stream.lag is not None:
        words.append(f"{counted(stream.lag, 'message waits', 'messages wait')} at the broker")
    if stream.resident and stream.tick_age_s is not None:
        words.append(f"its readers last gave a sign of life {stream.tick_age_s:.0f} s ago")
    if stream.credential_age_s is not None:
        words.append(f"credential first used {stream.credential_age_s / 86400:.1f} days ago")
    if stream.credential_idle_s is not None:
        words.append(f"last worked {stream.credential_idle_s:.0f} s ago")
    return words


def _store() -> list[Finding]:

    store = open_store()
    key = f"mma/doctor/{os.getpid()}.txt"
    started = time.perf_counter()
    store.put(key, b"written by mma doctor\n", content_type="text/plain")
    there = store.exists(key)
    if there:
        store.delete(key)
    spent = time.perf_counter() - started
    if not there:
        return [Finding("store", Verdict.WARNING, f"{store.url()}: writing is switched off", "see WRITE_TO_STORAGE")]
    return [Finding("store", Verdict.OK, f"{store.url()}: wrote, read and removed an object in {spent * 1000:.0f} ms")]


def _queue() -> list[Finding]:
    """Silent where runs are no tasks of resident workers."""
    import dagster as dg
    from dagster_celery.launcher import CeleryRunLauncher

    from mma_pipeline.adapters import task_queue

    with dg.DagsterInstance.get() as instance:
        launcher = instance.run_launcher
        if not isinstance(launcher, CeleryRunLauncher) or not getattr(launcher, "needs_workers", True):
            return []
        state = task_queue.look(launcher.celery, launcher.default_queue)
        where = launcher.celery.connection_for_read().as_uri()
        rough = task_queue.is_experimental(launcher.broker)
    findings = [Finding("queue", Verdict.OK, f"{where} answers; {counted(state.waiting, 'task waits', 'tasks wait')}")]
    if rough:
        told = f"{where} answers, but Celery calls this kind of queue experimental"
        findings = [Finding("queue", Verdict.WARNING, told, "set MMA_CELERY_BROKER to redis://… or amqp://…")]
    if not state.workers:
        return [*findings, Finding("workers", Verdict.FAILED, "no resident worker answers", "start mma worker")]
    return [
        *findings,
        Finding("workers", Verdict.OK, f"{len(state.workers)} answer: {', '.join(sorted(state.workers))}"),
    ]


def _brokers() -> list[Finding]:
    from mma_pipeline.adapters.errors import MissingTopicError
    from mma_pipeline.adapters.kafka.reader import StreamReader
    from mma_pipeline.defs.alerts.streams import STREAMS, Broker, stream_config

    findings = []
    for stream in STREAMS:
        name = f"doctor-{stream.name}"
        hop = stream.broker is Broker.HOPSKOTCH
        if stream.core and not current().notice_streams:
            findings.append(Finding(f"stream {stream.name}", Verdict.OK, "every stream of notices is switched off", ""))
            continue
        config = stream_config(current(), stream, name)
        if config is None:
            findings.append(
                Finding(
                    f"stream {stream.name}",
                    Verdict.WARNING,
                    "no credentials",
                    "set HOP_USERNAME and HOP_PASSWORD (my.hop.scimma.org)"
                    if hop
                    else "set KAFKA_CLIENT_ID and KAFKA_CLIENT_SECRET (gcn.nasa.gov, Client Credentials)",
                )
            )
            continue
        reader = StreamReader(config)
        try:
            batch = reader.poll({}, max_messages=1, timeout_s=0.0)
            waiting = sum(reader.lag().values())
        except MissingTopicError:
            if stream.core:
                told = "the broker has the topic of no other observatory"
                findings.append(Finding(f"stream {stream.name}", Verdict.WARNING, told, "see docs/messengers.md"))
                continue
            own = bool(current().kafka.bootstrap) and not hop
            verdict = Verdict.WARNING if own else Verdict.FAILED
            advice = "create the topic if you want this stream" if own else "check the credential's permissions"
            findings.append(
                Finding(f"stream {stream.name}", verdict, f"the broker has no topic {stream.topic}", advice)
            )
            continue
        finally:
            reader.close()
        count = sum(len(partitions) for partitions in batch.offsets.values())
        what = stream.topic
        if stream.core:
            there = {config.names[topic] for topic in batch.offsets}
            lacking = sorted(set(config.names.values()) - there)
            what = ", ".join(sorted(there)) + (f" (not there: {', '.join(lacking)})" if lacking else "")
        detail = f"{what}: {counted(count, 'partition')}, {counted(waiting, 'message')} to read from the start"
        findings.append(Finding(f"stream {stream.name}", Verdict.OK, detail))
    return findings


def _survey() -> list[Finding]:
    """Silent where no survey is read, and where readers have begun: then the pipeline's own watch speaks of them."""
    from mma_pipeline.adapters.archive.surveys import SurveyArchive
    from mma_pipeline.adapters.errors import NotFoundError

    wanted = current().survey_stream
    if not wanted.topics:
        return []
    try:
        begun = bool(SurveyArchive(open_archive()).partitions(wanted.name))
    except NotFoundError:
        return []  # said of the database already
    detail = f"no reader of {', '.join(wanted.topics)} has begun yet"
    advice = "start mma survey read; if it runs, its log names the trouble"
    return [] if begun else [Finding(f"stream {wanted.name}", Verdict.WARNING, detail, advice)]


def _gcn_heartbeat() -> list[Finding]:
    from mma_pipeline.adapters.kafka.gcn import gcn_stream
    from mma_pipeline.adapters.kafka.reader import StreamReader

    config = gcn_stream(
        replace(current().gcn_broker, start="latest", group_id=None), "doctor-heartbeat", "gcn.heartbeat"
    )
    if config is None or current().kafka.bootstrap:
        return [Finding("GCN heartbeat", Verdict.WARNING, "not connected to GCN", "only GCN sends a heartbeat")]
    reader = StreamReader(config)
    try:
        batch = reader.poll({}, max_messages=1, timeout_s=10.0)
    finally:
        reader.close()
    if not batch.messages or batch.messages[0].broker_time is None:
        said = "; ".join(batch.problems) or "silence"
        return [Finding("GCN heartbeat", Verdict.FAILED, f"no heartbeat within 10 s ({said})", "check the credentials")]
    beat = batch.messages[0]
    late = (beat.received - (beat.broker_time or beat.received)).total_seconds()
    findings = [Finding("GCN heartbeat", Verdict.OK, f"received; {late:.1f} s from broker to here")]
    if abs(late) > CLOCK_TOLERANCE_S:
        findings.append(
            Finding("clock", Verdict.WARNING, f"differs from GCN's by {late:.0f} s", "synchronise it with NTP")
        )
    return findings


def _publication() -> list[Finding]:
    from mma_pipeline.adapters.errors import AdapterError
    from mma_pipeline.adapters.publishing import config
    from mma_pipeline.adapters.publishing.probe import probe

    found = config.load(current().access)
    if not found:
        advice = "nothing is published: see docs/publication.md"
        return [Finding("publication", Verdict.WARNING, "no destination is configured", advice)]
    if current().publication.dry_run:
        names = ", ".join(one.name for one in found)
        return [
            Finding(
                "publication", Verdict.WARNING, f"DRY_RUN is set: nothing goes to {names}", "unset DRY_RUN to publish"
            )
        ]
    findings = []
    for one in found:
        what = f"publication {one.name}"
        try:
            findings.append(Finding(what, Verdict.OK, probe(config.open_destination(one, current().access))))
        except AdapterError as error:
            findings.append(Finding(what, Verdict.FAILED, str(error), "see the message and docs/publication.md"))
    return findings


def _tom() -> list[Finding]:
    """Silent where no TOM is named whose requests are read."""
    from mma_pipeline.adapters.errors import AdapterError
    from mma_pipeline.adapters.pointings.tom import TomRequests

    what = "pointings of the TOM"
    try:
        named = current().pointings_tom
        if named is None:
            return []
        # Of an event that nobody has: whether address and token are right is all that is asked.
        TomRequests(*named).rows("S000101a")
    except AdapterError as error:
        return [Finding(what, Verdict.FAILED, str(error), "see docs/observing.md, Coverage")]
    return [Finding(what, Verdict.OK, "the TOM answers and takes our token")]


def _settings() -> list[Finding]:
    """Settings, catalogs, instruments and observatories that cannot be used; empty if all can."""
    from mma_pipeline.adapters.errors import AdapterError
    from mma_pipeline.defs.candidates.vetting import tables as vetting_tables
    from mma_pipeline.defs.observing.configuration import galaxy_catalog, wrong_instruments, wrong_ranking, wrong_sites
    from mma_pipeline.science.vetting.checks import Check

    settings = current()
    found = {f"settings {group}": problem for group, problem in settings.problems().items()}
    if "settings galaxies" not in found:
        try:
            galaxy_catalog(settings)
        except AdapterError as error:
            found["galaxy catalog"] = str(error)
        if wrong := wrong_ranking(settings):
            found["galaxy ranking"] = wrong
    if "settings vetting" not in found:
        found |= {f"catalog for the check {check}": problem for check, problem in vetting_tables(settings).problems.items()
                  if check != Check.HOST}  # fmt: skip
    if "settings observing" not in found and (wrong := wrong_instruments(settings)):
        found["instruments"] = wrong
    if "settings observing" not in found and (wrong := wrong_sites(settings)):
        found["observatories"] = wrong
    advice = "correct the variable; `mma settings` shows what is in force"
    return [Finding(what, Verdict.FAILED, detail, advice) for what, detail in found.items()]


CHECKS: tuple[Callable[[], list[Finding]], ...] = (
    _settings,
    _dagster_home,
    _database,
    _pipeline,
    _store,
    _queue,
    _brokers,
    _survey,
    _gcn_heartbeat,
    _publication,
    _tom,
)
