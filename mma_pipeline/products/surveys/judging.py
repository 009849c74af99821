"""What a survey message is to the live events: outside of all regions, kept for some, dropped for a reason, or unusable.

Position, time and the facts of the detection come first, which the kept nights need of every alert. Where the alert lies
inside a region and these do not speak against it, the facts behind the light curve are next, and then the light curve. Not here: where the messages come from and what becomes durable (`reading`), who counts as live (`defs.surveys.live`).
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
from mma_pipeline.notices.surveys import FluxPoint, PacketFacts, SurveyAlert
from mma_pipeline.products.ingest import presentable
from mma_pipeline.science.sphere import index29
from mma_pipeline.science.surveys.regions import LiveRegion, RegionIndex
from mma_pipeline.science.surveys.vetting import Thresholds, vet

_log = logging.getLogger(__name__)
#: Why a message is no candidate of which nothing but place and time is known, such as a pair of Fink's.
NO_LIGHT_CURVE = "no_light_curve"


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
    heads: list[tuple[StreamMessage, Format, SurveyAlert]] = []
    unusable: dict[int, str] = {}
    for number, message in enumerate(messages):
        found = _detection(message, formats)
        if isinstance(found, str):
            unusable[number] = found
        else:
            heads.append((message, *found))
    places = [seen.head for *_, seen in heads]
    pixels = index29([head.ra for head in places], [head.dec for head in places])
    times = np.array([head.mjd for head in places], dtype=float)
    inside: dict[int, list[LiveRegion]] = {}
    for row, event in zip(*regions.matches(pixels, times), strict=True):
        inside.setdefault(int(row), []).append(regions.regions[int(event)])
    outcomes: dict[tuple[str, int, int], Outcome] = {}
    kept: list[Kept] = []
    rows: list[KeptAlert] = []
    aside = [(messages[number], reason) for number, reason in unusable.items()]
    for row, (message, kind, seen) in enumerate(heads):
        place = message.topic, message.partition
        events = inside.get(row, [])
        wanted, reasons = chosen(seen, events, limits)
        if events and (wanted or not _settled(seen)):
            known = _facts(message, kind, seen)
            if known is not None:
                seen = known
                wanted, reasons = chosen(seen, events, limits)
            alert = _whole(message, kind) if known is None or wanted else known
            if isinstance(alert, str):
                aside.append((message, alert))
                continue
            seen = alert
            wanted, reasons = chosen(seen, events, limits)
        rows.append(KeptAlert(seen.head, int(pixels[row]), _trigger(seen), seen.facts, *place, message.offset))
        if wanted and not kind.form.measured:
            # The survey's own alert of the same detection has the light curve; this one could only name it.
            wanted, reasons = [], [*reasons, *[NO_LIGHT_CURVE] * len(wanted)]
        if wanted:
            try:
                nights = tuple((event, math.floor(seen.head.mjd)) for event in wanted)
                kept.append(Kept(message, measurements(seen), nights))
            except NoticeError as error:
                aside.append((message, presentable(str(error))))
                continue
        outcomes[*place, message.offset] = Outcome(
            place, message.offset, inside=bool(events), kept=bool(wanted), dropped=tuple(reasons)
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


def _settled(seen: SurveyAlert) -> bool:
    """Whether the light curve's part of the packet adds no fact: Rubin's distance from a known object stands behind it."""
    return seen.facts.solar_system is None or seen.facts.solar_system.distance_arcsec is not None


def _detection(message: StreamMessage, formats: Formats) -> tuple[Format, SurveyAlert] | str:
    try:
        kind = formats.format_of(message.body, key=message.key)
        try:
            return kind, kind.detection(message.body)
        except NoticeError:
            # A detection of which only place and time can be read is one; whether more is wrong counts inside a region.
            return kind, SurveyAlert(kind.head(message.body), (), PacketFacts(), kind.name, kind.broker)
    except (NoticeError, TransientError) as error:
        return presentable(str(error))
    except Exception:  # noqa: BLE001 - one packet that nobody foresaw must not stop the stream behind it
        _log.exception("%s: the packet's reader failed unexpectedly", message.coordinates)
        return presentable(f"the packet's reader failed unexpectedly (see the log, {message.coordinates})")


def _facts(message: StreamMessage, kind: Format, seen: SurveyAlert) -> SurveyAlert | None:
    """The detection with all facts, read without the light curve; None where that cannot be: the whole packet says why."""
    try:
        return kind.facts(message.body, seen)
    except NoticeError:
        return None
    except Exception:  # noqa: BLE001 - as below
        _log.exception("%s: the packet's reader failed unexpectedly", message.coordinates)
        return None


def _whole(message: StreamMessage, kind: Format) -> SurveyAlert | str:
    try:
        return kind.alert(message.body)
    except NoticeError as error:
        return presentable(str(error))
    except Exception:  # noqa: BLE001 - as above
        _log.exception("%s: the packet's reader failed unexpectedly", message.coordinates)
        return presentable(f"the packet's reader failed unexpectedly (see the log, {message.coordinates})")


def _trigger(alert: SurveyAlert) -> FluxPoint | None:
    return next((point for point in alert.points if point.origin == "alert"), None)
