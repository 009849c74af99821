"""Stores messages of the stream, each exactly once, applies retractions, and creates targets of candidates.

All changes of one message are one transaction, together with the position in the stream: after a crash the message is
either completely stored or read again. Copies are recognised by message id, so replays and repeats by producers change
nothing. Not here: requests to facilities (`withdrawal`), which must not keep a transaction open.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from mma_pipeline.adapters.kafka.message import StreamMessage
from mma_pipeline.notices.derived import DerivedKind
from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.key import ICECUBE_LABEL

from . import targets, withdrawal
from .messages import Reading, read
from .models import DerivedAlert, Event, RejectedMessage, StreamPosition

_log = logging.getLogger(__name__)

#: Greatest number of bytes of a rejected message that are kept.
_KEPT_BYTES = 64 * 1024
#: What v1 and v2 messages of one score share beside the candidate.
_SCORE = ("ra", "dec", "observed", "kilonova_probability")


class Outcome(StrEnum):
    """Outcome for one message."""

    STORED = "stored"
    KNOWN = "known"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class TargetRule:
    """Rule for the alerts that become targets automatically; a person may create a target of any alert."""

    enabled: bool = True
    min_kilonova_probability: float = 0.0
    only_significant: bool = False
    test_events: bool = False

    @classmethod
    def from_settings(cls) -> TargetRule:
        """The rule of `settings.MMA_TOM["target_rule"]`."""
        return cls(**settings.MMA_TOM.get("target_rule", {}))

    def admits(self, alert: DerivedAlert) -> bool:
        """Whether this alert becomes a target automatically; a retracted one never does."""
        return (
            self.enabled
            and alert.kind == DerivedAlert.Kind.CANDIDATE
            and not alert.retracted
            and (self.test_events or not alert.is_test)
            and (_probability(alert) or 0.0) >= self.min_kilonova_probability
            and (not self.only_significant or (alert.event is not None and bool(alert.event.significant)))
        )


def _probability(alert: DerivedAlert) -> float | None:
    """The posterior where there is one, else what the light curve says."""
    return alert.kilonova_probability if alert.posterior is None else alert.posterior


def store_batch(stream: str, messages: Iterable[StreamMessage], offsets: Mapping[str, Any]) -> dict[Outcome, int]:
    """Store messages and the position after them in one transaction; returns the number of messages by outcome.

    Raises django.db.Error if the database does not accept them: then nothing was stored and nothing is lost.
    """
    counts = dict.fromkeys(Outcome, 0)
    with transaction.atomic():
        for message in messages:
            outcome = store(message.body, dict(message.headers), message.coordinates, message.broker_time, message.key)
            counts[outcome] += 1
        plain = {topic: {str(p): o for p, o in parts.items()} for topic, parts in offsets.items()}
        StreamPosition.objects.update_or_create(stream=stream, defaults={"offsets": plain})
    return counts


@transaction.atomic
def store(
    body: bytes, headers: Mapping[str, bytes], source: str, broker_time: Any = None, key: bytes | None = None
) -> Outcome:
    """Store one message with all its consequences.

    `source` is its position, `topic/partition/offset`; `broker_time` (aware datetime or None) dates a message whose
        headers carry no time; `key` is its Kafka key.
    """
    try:
        reading = read(body, headers, key)
    except NoticeError as error:
        _log.warning("rejected %s: %s", source, error)
        RejectedMessage.objects.get_or_create(
            source=source, defaults={"reason": str(error), "body": body[:_KEPT_BYTES]}
        )
        return Outcome.REJECTED
    event = _event(reading)
    published = reading.published or broker_time or timezone.now()
    alert, created = DerivedAlert.objects.get_or_create(
        message_id=reading.message_id,
        defaults=_columns(reading) | {"event": event, "source": source, "published": published},
    )
    if not created:
        return Outcome.KNOWN
    _mark_mock(alert)
    _share_posterior(alert)
    if reading.kind is DerivedKind.RETRACTION:
        _retract(alert, whole_event=reading.retracts_event)
    elif _is_withdrawn(alert):
        DerivedAlert.objects.filter(pk=alert.pk).update(retracted=True)
        alert.retracted = True
    _update_target(alert)
    return Outcome.STORED


def _mark_mock(alert: DerivedAlert) -> None:
    """Set the test flag of v1 messages, which do not name their event, from the v2 messages of the candidate.

    Those of the same score decide; a score that also belongs to a real event is no test. Without any, a message is a
    test if all v2 messages of the candidate are of mocks. Works in any order of arrival.
    """
    if alert.kind != DerivedAlert.Kind.CANDIDATE:
        return
    same = DerivedAlert.objects.filter(kind=alert.kind, candidate=alert.candidate)
    told = list(same.exclude(event=None).values_list(*_SCORE, "is_test"))
    if not told:
        return
    only_mocks = all(is_test for *_, is_test in told)
    for pk, is_test, *score in same.filter(event=None).values_list("pk", "is_test", *_SCORE):
        of_score = {flag for *other, flag in told if other == score}
        found = of_score == {True} if of_score else is_test or only_mocks
        if found != is_test:
            DerivedAlert.objects.filter(pk=pk).update(is_test=found)
        if pk == alert.pk:
            alert.is_test = found


def _share_posterior(alert: DerivedAlert) -> None:
    """Give v1 messages, which have none, the posterior and the reasons of the v2 message of the same score, in any order of arrival.

    A score that belongs to several events has the largest.
    """
    if alert.kind != DerivedAlert.Kind.CANDIDATE:
        return
    score = {name: getattr(alert, name) for name in ("candidate", *_SCORE)}
    same = DerivedAlert.objects.filter(kind=alert.kind, **score)
    best = same.exclude(event=None).exclude(posterior=None).order_by("-posterior").first()
    if best is None:
        return
    same.filter(event=None).update(posterior=best.posterior, reasons=best.reasons)
    if alert.event_id is None:
        alert.posterior, alert.reasons = best.posterior, best.reasons


def _update_target(alert: DerivedAlert) -> None:
    known = targets.find(alert.candidate, alert.aliases) if alert.candidate else None
    if known is not None:
        targets.attach(alert, known)
    elif TargetRule.from_settings().admits(alert):
        targets.make(alert)


def _event(reading: Reading) -> Event | None:
    """The event of a message, updated if the message is about its newest version."""
    if reading.event_id is None:
        return None
    event, _ = Event.objects.get_or_create(event_id=reading.event_id, defaults={"is_test": reading.is_test})
    alert = reading.alert
    if alert is None or alert.version is None or reading.kind is DerivedKind.RETRACTION:
        return event
    if alert.version.label == ICECUBE_LABEL:
        return event  # a neutrino notice is not a version of the event's map
    created, changed = alert.version.created, []
    if event.version_created is None or created > event.version_created:
        event.version, event.version_created = alert.version.partition_key, created
        changed += ["version", "version_created"]
    significant = alert.event.significant if alert.event else None
    if significant is not None and (event.significant_as_of is None or created > event.significant_as_of):
        event.significant, event.significant_as_of = significant, created
        changed += ["significant", "significant_as_of"]
    if changed:
        event.save(update_fields=changed)
    return event


def _columns(reading: Reading) -> dict[str, Any]:
    columns: dict[str, Any] = {
        "schema": reading.schema,
        "kind": str(reading.kind),
        "body": dict(reading.body),
        "is_test": reading.is_test,
        "retracts": reading.retracts or "",
        "version": reading.alert.version.partition_key if reading.alert and reading.alert.version else "",
    }
    position = reading.position
    if position is None:
        return columns
    x, y, z = unit_vector(position.ra, position.dec)
    return columns | {
        "candidate": position.name,
        "ra": position.ra,
        "dec": position.dec,
        "x": x,
        "y": y,
        "z": z,
        "observed": position.observed,
        "kilonova_probability": position.kilonova_probability,
        "other_probability": position.other_probability,
        "credible_level": position.credible_level,
        "magnitude": position.magnitude,
        "magnitude_error": position.magnitude_error,
        "band": position.band or "",
        "aliases": list(position.aliases),
        "posterior": position.posterior,
        "reasons": list(position.reasons),
    }


def unit_vector(ra: float, dec: float) -> tuple[float, float, float]:
    """Unit vector of a position given in deg."""
    alpha, delta = math.radians(ra), math.radians(dec)
    return math.cos(delta) * math.cos(alpha), math.cos(delta) * math.sin(alpha), math.sin(delta)


def _is_withdrawn(alert: DerivedAlert) -> bool:
    """Whether a retraction arrived before the message that it retracts: arrival is not in order of creation."""
    if alert.event is not None and alert.event.retracted_at is not None:
        return True
    return DerivedAlert.objects.filter(kind=DerivedAlert.Kind.RETRACTION, retracts=alert.message_id).exists()


def _retract(retraction: DerivedAlert, *, whole_event: bool) -> None:
    withdrawn = DerivedAlert.objects.filter(message_id=retraction.retracts)
    event = retraction.event
    if whole_event and event is not None:
        if event.retracted_at is None or retraction.published < event.retracted_at:
            event.retracted_at = retraction.published
            event.save(update_fields=["retracted_at"])
        withdrawn |= DerivedAlert.objects.filter(event=event).exclude(kind=DerivedAlert.Kind.RETRACTION)
    rows = list(withdrawn.filter(retracted=False).values_list("pk", "target_id"))
    DerivedAlert.objects.filter(pk__in=[pk for pk, _ in rows]).update(retracted=True)
    for target_id in sorted({target_id for _, target_id in rows if target_id is not None}):
        if targets.refresh(target_id) is targets.Status.RETRACTED:
            withdrawal.schedule(target_id, retraction)
