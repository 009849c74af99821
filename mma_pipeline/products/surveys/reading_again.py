"""Packets of surveys in quarantine, read again after an upgrade or a repair, the way that the reader takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from mma_pipeline.adapters.archive.surveys import SurveyArchive
from mma_pipeline.adapters.kafka.message import StreamMessage
from mma_pipeline.adapters.surveys.nights import RecentNights
from mma_pipeline.adapters.surveys.packets import Formats
from mma_pipeline.products.surveys.judging import judge
from mma_pipeline.science.surveys.regions import RegionIndex
from mma_pipeline.science.surveys.vetting import Thresholds


def read_again(
    messages: Mapping[int, StreamMessage],
    archive: SurveyArchive,
    nights: RecentNights,
    regions: RegionIndex,
    *,
    formats: Formats,
    limits: Thresholds,
    now: datetime,
) -> dict[int, str]:
    """Judge messages, by their numbers, make durable what they bring, and take them out of the quarantine.

    Returns why messages still cannot be used, by number. The partitions' counters stay: they say what became of a
    message when it came.
    """
    numbers = {_identity(one): number for number, one in messages.items()}
    judged = judge(list(messages.values()), formats, regions, limits)
    reasons = {numbers[_identity(one)]: reason for one, reason in judged.unusable}
    # Rows first: a message is out of the quarantine only when everything of it is durable.
    nights.write(judged.rows)
    read = {number: replace(one, received=now) for number, one in messages.items() if number not in reasons}
    kept = [replace(one, message=replace(one.message, received=now)) for one in judged.kept]
    return reasons | archive.accept(read, kept, now)


def _identity(one: StreamMessage) -> tuple[str, str, int, int, str]:
    return one.stream, one.topic, one.partition, one.offset, one.sha256
