"""What a survey message is to the live events: outside of all regions, kept for some, dropped for a reason, or unusable.

Detection and facts come first; a packet's history is read only where it lies inside a region. Not here: where the
messages come from and what becomes durable (`reading`), who counts as live (`defs.surveys.live`).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mma_pipeline.adapters.archive.surveys import Kept, Outcome
from mma_pipeline.adapters.errors import TransientError
from mma_pipeline.adapters.kafka.message import StreamMessage
from mma_pipeline.adapters.surveys.kept_rows import KeptAlert
from mma_pipeline.adapters.surveys.packets import Format, Formats
from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.photometry.survey_points import measurements
from mma_pipeline.notices.surveys import FluxPoint, SurveyAlert
from mma_pipeline.products.ingest import presentable
from mma_pipeline.science.sphere import index29
from mma_pipeline.science.surveys.regions import LiveRegion, RegionIndex
from mma_pipeline.science.surveys.vetting import Thresholds, objection, vet

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Judged:
    """A batch of messages, judged."""

    outcomes: tuple[Outcome, ...]
    """Of every message, in order."""
    kept: tuple[Kept, ...]
    unusable: tuple[tuple[StreamMessage, str], ...]
    """Messages for the quarantine, each with the reason."""
    rows: tuple[KeptAlert, ...]
    """Every alert that could be read, for the kept nights."""


def judge(messages: Sequence[StreamMessage], formats: Formats, regions: RegionIndex, limits: Thresholds) -> Judged:
    """Judge messages; nothing is raised, whatever they hold."""
    briefs: list[tuple[StreamMessage, Format, SurveyAlert]] = []
    aside: list[tuple[StreamMessage, str]] = []
    for message in messages:
        found = _brief(message, formats)
        if isinstance(found, str):
            aside.append((message, found))
        else:
            briefs.append((message, *found))
    heads = [alert.head for *_, alert in briefs]
    pixels = index29(np.array([h.ra for h in heads], dtype=float), np.array([h.dec for h in heads], dtype=float))
    times = np.array([h.mjd for h in heads], dtype=float)
    inside: dict[int, list[LiveRegion]] = {}
    for row, event in zip(*regions.matches(pixels, times), strict=True):
        inside.setdefault(int(row), []).append(regions.regions[int(event)])
    outcomes: dict[tuple[str, int, int], Outcome] = {}
    kept: list[Kept] = []
    rows: list[KeptAlert] = []
    for row, (message, kind, brief) in enumerate(briefs):
        place, head = (message.topic, message.partition), brief.head
        point = _trigger(brief)
        kept_row = KeptAlert(
            head, int(pixels[row]), point, brief.facts, message.topic, message.partition, message.offset
        )
        events = inside.get(row, [])
        if not events:
            rows.append(kept_row)
            outcomes[*place, message.offset] = Outcome(place, message.offset)
            continue
        plain = objection(head.survey, brief.facts, limits)
        if plain is not None:
            # What stands in front decides already: most of what lies inside is a star, an asteroid or an artefact.
            rows.append(kept_row)
            outcomes[*place, message.offset] = Outcome(
                place, message.offset, inside=True, dropped=(plain.value,) * len(events)
            )
            continue
        alert = _whole(message, kind)
        if isinstance(alert, str):
            aside.append((message, alert))
            continue
        rows.append(kept_row._replace(facts=alert.facts))
        wanted, reasons = chosen(alert, events, limits)
        if wanted:
            try:
                kept.append(
                    Kept(message, measurements(alert), tuple((event, math.floor(head.mjd)) for event in wanted))
                )
            except NoticeError as error:
                aside.append((message, presentable(str(error))))
                continue
        outcomes[*place, message.offset] = Outcome(
            place, message.offset, inside=True, kept=bool(wanted), dropped=tuple(reasons)
        )
    for message, _ in aside:
        place = message.topic, message.partition
        outcomes[*place, message.offset] = Outcome(place, message.offset, quarantined=True)
    ordered = tuple(outcomes[m.topic, m.partition, m.offset] for m in messages)
    return Judged(ordered, tuple(kept), tuple(aside), tuple(rows))


def chosen(alert: SurveyAlert, events: Sequence[LiveRegion], limits: Thresholds) -> tuple[list[str], list[str]]:
    """Events of which an alert in their regions is a candidate, and for each of the others the reason why not."""
    wanted, reasons = [], []
    for region in events:
        reason = vet(alert.head.survey, alert.facts, alert.points, region.t0_mjd, limits)
        if reason is None:
            wanted.append(region.event_id)
        else:
            reasons.append(reason.value)
    return wanted, reasons


def _brief(message: StreamMessage, formats: Formats) -> tuple[Format, SurveyAlert] | str:
    try:
        kind = formats.format_of(message.body, key=message.key)
        brief = kind.brief(message.body)
    except (NoticeError, TransientError) as error:
        return presentable(str(error))
    except Exception:  # noqa: BLE001 - one packet that nobody foresaw must not stop the stream behind it
        _log.exception("%s: the packet's reader failed in an unforeseen way", message.coordinates)
        return presentable(f"the packet's reader failed in an unforeseen way (see the log, {message.coordinates})")
    return kind, brief


def _whole(message: StreamMessage, kind: Format) -> SurveyAlert | str:
    try:
        return kind.alert(message.body)
    except NoticeError as error:
        return presentable(str(error))
    except Exception:  # noqa: BLE001 - as above
        _log.exception("%s: the packet's reader failed in an unforeseen way", message.coordinates)
        return presentable(f"the packet's reader failed in an unforeseen way (see the log, {message.coordinates})")


def _trigger(alert: SurveyAlert) -> FluxPoint | None:
    return next((point for point in alert.points if point.origin == "alert"), None)
