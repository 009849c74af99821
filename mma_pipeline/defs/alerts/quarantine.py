"""Parses messages in quarantine again with the current code, after an upgrade or a repair.

A message that can be used now becomes versions as if it had just arrived: it counts as received at this moment, so that
`unfinished_versions_sensor` requests the runs and publication follows. Photometry is picked up by its own sensor. A
survey's packet goes the way of its reader, and `survey_sensor` asks for the night that it changed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from mma_pipeline.adapters.archive import Archive
from mma_pipeline.adapters.archive.photometry import PhotometryArchive
from mma_pipeline.adapters.archive.quarantine import QuarantinedMessage, accept, refuse_again
from mma_pipeline.adapters.archive.surveys import SurveyArchive
from mma_pipeline.adapters.kafka.message import StreamMessage
from mma_pipeline.adapters.photometry.messages import read_photometry_message
from mma_pipeline.adapters.photometry.stream import STREAM as PHOTOMETRY
from mma_pipeline.adapters.store import Store
from mma_pipeline.adapters.surveys.nights import RecentNights
from mma_pipeline.adapters.surveys.packets import Formats
from mma_pipeline.defs.alerts.streams import parser_of
from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.times import mjd_of_datetime
from mma_pipeline.products.ingest import Versions, presentable, read
from mma_pipeline.products.survey_regions import LiveRegions
from mma_pipeline.products.surveys.reading_again import read_again
from mma_pipeline.settings import Settings

#: Packets of surveys that are read again together.
PACKETS = 200


@dataclass(frozen=True, slots=True)
class RetryOutcome:
    """Outcome for one message."""

    message: QuarantinedMessage
    partitions: tuple[str, ...] = ()
    """Its versions; none for photometry and packets of surveys."""
    reason: str | None = None
    """Why it still cannot be used; None if it can."""


def retry_messages(
    archive: Archive,
    store: Callable[[], Store],
    chosen: Sequence[QuarantinedMessage],
    now: datetime,
    settings: Settings,
) -> list[RetryOutcome]:
    """Parse messages with the current parsers and record their versions, in order of creation.

    `store` is opened only where a survey's packet is among them.
    Raises TransientError if the archive does not answer, or the store where a survey's packet needs it; what was recorded
    before stays.
    """
    packets = [entry for entry in chosen if entry.of_survey]
    outcomes: list[RetryOutcome] = []
    for start in range(0, len(packets), PACKETS):
        outcomes += _packets(archive, store(), packets[start : start + PACKETS], now, settings)
    readable: list[tuple[QuarantinedMessage, Versions]] = []
    for entry in chosen:
        if entry.of_survey:
            continue
        message = archive.message(entry.id)
        if message.stream == PHOTOMETRY:
            outcomes.append(_photometry(archive, entry, message, now, settings))
            continue
        found = read(message, parser_of(message))
        if isinstance(found, str):
            outcomes.append(_refused(archive, entry, found))
        else:
            readable.append((entry, found))
    # Files are numbered in the order of recording.
    for entry, versions in sorted(readable, key=lambda one: (min(v.created for v, _ in one[1]), one[0].id)):
        recorded = accept(archive, entry.id, versions, now)
        outcomes.append(RetryOutcome(entry, tuple(record.partition_key for record in recorded.versions)))
    return sorted(outcomes, key=lambda outcome: outcome.message.id)


def _photometry(
    archive: Archive, entry: QuarantinedMessage, message: StreamMessage, now: datetime, settings: Settings
) -> RetryOutcome:
    try:
        notice = read_photometry_message(message.body, dict(message.headers))
        photometry = PhotometryArchive(archive, settings.kilonova.nearness)
        photometry.record(replace(message, received=now), notice)
    except NoticeError as error:
        return _refused(archive, entry, presentable(str(error)))
    return RetryOutcome(entry)


def _packets(
    archive: Archive, store: Store, entries: Sequence[QuarantinedMessage], now: datetime, settings: Settings
) -> list[RetryOutcome]:
    """Packets of surveys, against the events that are live or were when the packets came."""
    wanted, today = settings.surveys, mjd_of_datetime(now)
    live = LiveRegions(archive, days=wanted.days, level=wanted.level, mocks=wanted.mocks)
    since = min(mjd_of_datetime(entry.received) for entry in entries)
    messages = {entry.id: archive.message(entry.id) for entry in entries}
    reasons = read_again(
        messages,
        SurveyArchive(archive, settings.kilonova.nearness),
        RecentNights(store),
        live.index(min(since, today), today),
        formats=Formats(settings.survey_schemas),
        limits=wanted.thresholds,
        now=now,
    )
    return [
        RetryOutcome(entry) if (why := reasons.get(entry.id)) is None else _refused(archive, entry, why)
        for entry in entries
    ]


def _refused(archive: Archive, entry: QuarantinedMessage, reason: str) -> RetryOutcome:
    if reason != entry.reason:
        refuse_again(archive, entry.id, reason)
    return RetryOutcome(entry, reason=reason)
