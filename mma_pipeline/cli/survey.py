"""`mma survey`: alerts of surveys against the regions of live events."""

from __future__ import annotations

import logging
import os
import signal
import socket
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from mma_pipeline.cli.app import Exit, JsonOption, clear_errors, console, fail, open_archive, open_store, print_json
from mma_pipeline.notices.words import counted

if TYPE_CHECKING:
    from collections.abc import Callable

    from mma_pipeline.adapters.archive import Archive
    from mma_pipeline.adapters.archive.surveys import PartitionCounts
    from mma_pipeline.adapters.kafka.message import StreamMessage
    from mma_pipeline.products.surveys.files import Source
    from mma_pipeline.products.surveys.unrecorded import Packets
    from mma_pipeline.science.surveys.regions import RegionIndex

survey = typer.Typer(
    help="Alerts of surveys (ZTF, Rubin, brokers) against the regions of live events.", no_args_is_help=True
)

#: Messages that a replay takes at a time.
_BATCH = 200
#: Seconds for asking the broker for packets.
_FETCH_S = 10.0
#: Kinds of files without packets that are named.
_KINDS = 8


@survey.command()
def read(
    until_idle: Annotated[
        float | None, typer.Option(help="Stop after so many seconds without a message; by default never.", min=1)
    ] = None,
    nice: Annotated[
        int,
        typer.Option(
            help="Lower the priority by this: products of alerts made on the same machine come first.", min=0, max=19
        ),
    ] = 10,
) -> None:
    """Read the configured topics as a member of their consumer group, until asked to end (SIGTERM).

    Start as many as the topic has partitions at most; each takes its share of them.
    """
    from mma_pipeline.adapters.archive.surveys import SurveyArchive
    from mma_pipeline.adapters.errors import TransientError
    from mma_pipeline.adapters.kafka.group import GroupReader
    from mma_pipeline.adapters.surveys.nights import RecentNights
    from mma_pipeline.adapters.surveys.packets import Formats
    from mma_pipeline.adapters.surveys.stream import survey_stream
    from mma_pipeline.products.surveys.reading import SurveyReader
    from mma_pipeline.settings import current

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    os.nice(nice)  # before any thread begins: each has the priority of the one that starts it
    settings = current()
    wanted = settings.survey_stream
    with clear_errors():
        config = survey_stream(
            settings.survey_broker, settings.hop_broker, settings.gcn_broker, wanted.name, wanted.topics
        )
        if config is None:
            raise fail(
                "nothing to read: set MMA_SURVEY_TOPICS, and MMA_SURVEY_BROKER or a credential of Hopskotch or GCN",
                Exit.USAGE,
            )
        archive = open_archive(create=True)
        surveys = SurveyArchive(archive, settings.kilonova.nearness)
        reader = SurveyReader(
            GroupReader(config, partial(surveys.offsets, config.name)),
            surveys,
            RecentNights(open_store()),
            _regions(archive),
            formats=Formats(settings.survey_schemas),
            limits=settings.surveys.thresholds,
            member=f"{socket.gethostname()}:{os.getpid()}",
        )
        ended = _asked_to_end()
        try:
            _until(reader, ended, until_idle)
        except TransientError as error:
            raise fail(f"{error}: ending, so that whoever started this starts it anew") from error
        finally:
            reader.close()


def _regions(archive: Archive) -> Callable[[], RegionIndex]:
    """What gives the live events' regions of the moment."""
    from mma_pipeline.notices.times import mjd_of_datetime
    from mma_pipeline.products.survey_regions import LiveRegions
    from mma_pipeline.settings import current

    wanted = current().surveys
    live = LiveRegions(archive, days=wanted.days, level=wanted.level, mocks=wanted.mocks)
    return lambda: live.index(mjd_of_datetime(datetime.now(UTC)))


def _asked_to_end() -> list[int]:
    """A list that is no longer empty once the process was asked to end."""
    asked: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: asked.append(number))
    return asked


def _until(reader: Any, ended: list[int], idle_s: float | None) -> None:
    last = datetime.now(UTC)
    while not ended:
        step = reader.step()
        if step.messages:
            last = datetime.now(UTC)
        elif idle_s is not None and (datetime.now(UTC) - last).total_seconds() > idle_s:
            break


@survey.command()
def replay(
    where: Annotated[
        Path,
        typer.Argument(
            help="A packet (.avro, .json), a Parquet file of decoded alerts as Fink keeps them, a tar file as ZTF keeps its nights, "
            "or a folder with any of these in it and below.",
            exists=True,
        ),
    ],
    topic: Annotated[str, typer.Option(help="Topic that the messages are taken to come from.")] = "replay",
    as_json: JsonOption = False,
) -> None:
    """Take packets of files through the filter, as the reader takes those of Kafka; the same files again change nothing.

    What is printed is what the packets are to the events that are live now, and why some cannot be used: then the exit code is 1.
    `mma survey stats` counts each once, as what it was when it first came.
    """
    from mma_pipeline.notices.errors import NoticeError
    from mma_pipeline.products.surveys.explaining import NO_EVENT
    from mma_pipeline.products.surveys.files import NoPacketsError, sources_of

    total = {"seen": 0, "inside": 0, "kept": 0, "quarantined": 0}
    causes: dict[str, tuple[int, str]] = {}
    damaged: list[str] = []
    with clear_errors():
        try:
            files = sources_of(where, topic)
        except NoPacketsError as error:
            raise fail(str(error), Exit.USAGE) from error
        live = _regions(open_archive(create=True))
        for source in files.sources:
            try:
                _replay(source, live, total, causes)
            except NoticeError as error:
                damaged.append(str(error))
    if not as_json:
        kinds = sorted({path.suffix or path.name for path in files.others})
        _say_left_out(files.others, "file of another kind", "files of other kinds", kinds)
        hidden = sorted({path.name for path in files.hidden})
        _say_left_out(files.hidden, "hidden file or folder", "hidden files and folders", hidden)
    if not total["seen"] and not damaged:
        raise fail(f"{where} holds no packets (.avro, .json, Parquet, tar)", Exit.NOTHING)
    ordered = sorted(causes.values(), key=lambda one: (-one[0], one[1]))
    if as_json:
        reasons = [{"packets": number, "reason": reason} for number, reason in ordered]
        print_json(
            {
                **total,
                "reasons": reasons,
                "left_out": len(files.others),
                "hidden": len(files.hidden),
                "damaged": damaged,
            }
        )
    else:
        console.print(", ".join(f"{number} {name}" for name, number in total.items()), highlight=False)
        for number, reason in ordered:
            console.print(f"{number} in quarantine: {reason}", highlight=False, markup=False, soft_wrap=True)
        if not total["inside"] and not live().regions:
            console.print(NO_EVENT, highlight=False)
    told = [f"{total['quarantined']} of {counted(total['seen'], 'packet')} cannot be used"] * bool(ordered) + damaged
    if told:
        raise fail("; ".join(told))


def _say_left_out(paths: Sequence[Path], one: str, several: str, names: Sequence[str]) -> None:
    if paths:
        said = f"{len(paths)} {one if len(paths) == 1 else several} left out ({', '.join(names[:_KINDS])})"
        console.print(said, highlight=False, markup=False, soft_wrap=True)


def _replay(
    source: Source, live: Callable[[], RegionIndex], total: dict[str, int], causes: dict[str, tuple[int, str]]
) -> None:
    """Take the packets of a source through the filter, and count them; `causes` has number and first reason of each cause."""
    from mma_pipeline.adapters.archive.surveys import Beat, SurveyArchive
    from mma_pipeline.adapters.surveys.nights import RecentNights
    from mma_pipeline.adapters.surveys.packets import Formats
    from mma_pipeline.notices.refusals import cause_of
    from mma_pipeline.products.surveys.judging import judge
    from mma_pipeline.settings import current

    settings = current()
    archive, nights = SurveyArchive(open_archive(), settings.kilonova.nearness), RecentNights(open_store())
    # Not the reader's stream: its partitions are not alive, and nobody waits for them.
    stream = f"{settings.survey_stream.name}-replay"
    messages, formats = source.messages(stream, Formats(settings.survey_schemas))
    for batch in _batches(messages):
        judged = judge(batch, formats, live(), settings.surveys.thresholds)
        refused = archive.record(
            stream, judged.kept, judged.unusable, judged.outcomes, Beat("replay", datetime.now(UTC))
        )
        nights.write(judged.rows)
        total["seen"] += len(judged.outcomes)
        total["inside"] += sum(outcome.inside for outcome in judged.outcomes)
        total["kept"] += len(judged.kept) - len(refused)
        for _, reason in [*judged.unusable, *refused]:
            total["quarantined"] += 1
            number, first = causes.get(cause_of(reason), (0, reason))
            causes[cause_of(reason)] = number + 1, first


def _batches(messages: Iterator[StreamMessage]) -> Iterator[list[StreamMessage]]:
    from itertools import islice

    while batch := list(islice(messages, _BATCH)):
        yield batch


@survey.command()
def stats(as_json: JsonOption = False) -> None:
    """How far each partition was read, and what became of its alerts when they first came."""
    from mma_pipeline.adapters.archive.surveys import SurveyArchive

    with clear_errors():
        found = SurveyArchive(open_archive()).partitions()
    if not found:
        raise fail("no survey's alerts were read yet: see mma survey read", Exit.NOTHING)
    now = datetime.now(UTC)
    if as_json:
        print_json([_shown(one, now) for one in found])
        return
    table = Table()
    rows = [_shown(one, now) for one in found]
    for column in rows[0]:
        table.add_column(column)
    for row in rows:
        table.add_row(*(escape(_text(value)) for value in row.values()))
    console.print(table)


def _shown(one: PartitionCounts, now: datetime) -> dict[str, Any]:
    return {
        "stream": one.stream,
        "place": f"{one.topic}/{one.partition}",
        "next": one.next_offset,
        "seen": one.seen,
        "inside": one.inside,
        "kept": one.kept,
        "dropped": dict(one.dropped),
        "quarantined": one.quarantined,
        "lost": one.lost,
        "lag": one.lag,
        "per second": None if one.rate is None else round(one.rate, 1),
        "alive (s ago)": round((now - one.alive).total_seconds()),
    }


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {number}" for name, number in sorted(value.items()))
    return "" if value is None else str(value)


def _packets() -> Packets:
    """Where packets are had again: at the survey's broker. GCN's asks for no consumers of one question, so it is not asked."""
    from mma_pipeline.adapters.kafka.fetch import fetch_messages
    from mma_pipeline.adapters.surveys.packets import Formats
    from mma_pipeline.adapters.surveys.stream import survey_stream
    from mma_pipeline.products.surveys.unrecorded import Packets
    from mma_pipeline.settings import current

    settings = current()
    wanted = settings.survey_stream
    config = survey_stream(settings.survey_broker, settings.hop_broker, settings.gcn_broker, wanted.name, wanted.topics)
    asked = config is not None and not any(topic.startswith("gcn.") for topic in wanted.topics)
    return Packets(
        lambda places: fetch_messages(config, places, seconds=_FETCH_S) if asked and config is not None else {},
        Formats(settings.survey_schemas),
    )


@survey.command()
def explain(
    name: Annotated[
        str, typer.Argument(metavar="OBJECT", help="Any name of the object, with or without blanks, in any case.")
    ],
    as_json: JsonOption = False,
) -> None:
    """Why an object is, or is not, a candidate of the live events."""
    from dataclasses import asdict

    from mma_pipeline.adapters.surveys.nights import RecentNights
    from mma_pipeline.products.surveys.explaining import explain as explained
    from mma_pipeline.settings import current

    with clear_errors():
        archive = open_archive()
        limits = current().surveys.thresholds
        found = explained(name, archive, RecentNights(open_store()), _regions(archive)(), limits, _packets())
    if not found:
        raise fail(
            f"no object {name} is in the kept nights or was measured: `mma show EVENT` lists candidates", Exit.NOTHING
        )
    if as_json:
        print_json([asdict(one) for one in found])
        return
    table = Table()
    for column in ("event", "MJD", "alert", "", "why"):
        table.add_column(column)
    for one in found:
        when = "" if one.mjd is None else f"{one.mjd:.4f}"
        table.add_row(one.event_id or "", when, escape(one.alert_id or ""), escape(one.verdict), escape(one.why))
    console.print(table)
