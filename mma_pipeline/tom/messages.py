"""Parses bytes and headers of a derived alert into a `Reading`, the same type for the demo's v1 messages and our v2.

Not here: the database. A message that cannot be read raises NoticeError with the reason for the table of rejects.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from mma_pipeline.notices.derived import SCHEMA_V1, BrokerAlertV1, DerivedAlert, DerivedKind, message_id
from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.fields import decode_json, finite, number_at, object_at, text_at
from mma_pipeline.notices.key import check_event_id
from mma_pipeline.notices.model import AlertType, Role, role_of
from mma_pipeline.notices.text import REPLACEMENT

#: Zero point of the Modified Julian Date.
_MJD_EPOCH = datetime(1858, 11, 17, tzinfo=UTC)
#: Greatest length of a target's name in the toolkit.
_NAME_LENGTH = 100
#: Longest reason that is kept.
_REASON_LENGTH = 500
#: Plausible times of a light curve, MJD: 1950 to 2140. Other times are mistakes, often Julian Dates.
_MJD_RANGE = (33282.0, 102830.0)


@dataclass(frozen=True, slots=True)
class Position:
    """A candidate as one message reports it."""

    name: str
    ra: float
    """Right ascension ICRS, deg, 0 to 360."""
    dec: float
    """Declination ICRS, deg."""
    observed: datetime
    """Latest observation used, UTC."""
    kilonova_probability: float
    """0 to 1."""
    other_probability: float
    """0 to 1."""
    credible_level: float | None = None
    """Probability of the sky map above the density at the candidate, 0 to 1."""
    magnitude: float | None = None
    """AB magnitude of the latest detection; None if the message carries none."""
    magnitude_error: float | None = None
    band: str | None = None
    aliases: tuple[str, ...] = ()
    posterior: float | None = None
    """By all that is known: after vetting, else the posterior without it; None if the message has neither."""
    reasons: tuple[str, ...] = ()
    """What vetting found, in words; first, where it is so, that the posterior contradicts the light curve."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One derived alert, whatever its schema."""

    message_id: str
    """32 hexadecimal digits that identify copies."""
    schema: str
    kind: DerivedKind
    body: Mapping[str, Any]
    published: datetime | None
    """Time of publication by the header, UTC; None if there is none."""
    event_id: str | None = None
    is_test: bool = False
    position: Position | None = None
    alert: DerivedAlert | None = None
    """The v2 message; None for v1."""
    retracts: str | None = None
    """Id of the withdrawn message, 32 hexadecimal digits."""

    @property
    def retracts_event(self) -> bool:
        """Whether the collaboration retracted the event itself, not only one of our messages."""
        version = self.alert.version if self.alert else None
        return self.kind is DerivedKind.RETRACTION and version is not None and version.label == AlertType.RETRACTION


def read(body: bytes, headers: Mapping[str, bytes], key: bytes | None = None) -> Reading:
    """Read one message; raises NoticeError with the reason if it is not a derived alert.

    `key` is its Kafka key, the event's id on our topics. Without a header, only the key reveals a mock's v1 message.
    """
    record = decode_json(body)
    schema = headers.get("schema", b"").decode("utf-8", "replace") or record.get("schema") or SCHEMA_V1
    published = _published(headers)
    if schema == SCHEMA_V1:
        return _read_v1(record, headers, published, key)
    return _read_v2(record, headers, published)


def _read_v1(
    record: dict[str, Any], headers: Mapping[str, bytes], published: datetime | None, key: bytes | None
) -> Reading:
    position = _position(record, "kn_score", "other_score", name="candidate")
    alert = BrokerAlertV1(
        candidate=position.name,
        ra=position.ra,
        dec=position.dec,
        time_obs=finite(record["time_obs"], "time_obs"),
        kn_score=position.kilonova_probability,
        other_score=position.other_probability,
    )
    stated = headers.get("id", b"").decode("ascii", "replace")
    return Reading(
        # The demo's own broker uses random ids; without an id, the content identifies copies.
        message_id=_hex_id(stated, "the id header") if stated else message_id(alert).hex,
        schema="v1",
        kind=DerivedKind.CANDIDATE,
        body=record,
        published=published,
        is_test="_test" in headers or _is_mock(key),
        position=position,
    )


def _is_mock(key: bytes | None) -> bool:
    """Whether a Kafka key is the id of a mock or test event; other senders' keys may be anything."""
    try:
        return role_of(check_event_id((key or b"").decode("utf-8", "replace"))) is Role.TEST
    except NoticeError:
        return False


def _read_v2(record: dict[str, Any], headers: Mapping[str, bytes], published: datetime | None) -> Reading:
    alert = DerivedAlert.from_json(record)
    event_id = check_event_id(alert.event_id)
    position = None
    if alert.kind is DerivedKind.CANDIDATE:
        candidate = object_at(record, "candidate")
        if candidate is None:
            raise NoticeError("a candidate message without a candidate")
        position = _position(candidate, "kilonova_probability", "other_probability", name="name")
    if alert.kind is DerivedKind.RETRACTION and not alert.retracts:
        raise NoticeError("a retraction that does not say which message it retracts")
    stated = text_at(record, "id")
    return Reading(
        message_id=_hex_id(stated, "id") if stated else message_id(alert).hex,
        schema="v2",
        kind=alert.kind,
        body=record,
        published=published,
        event_id=event_id,
        is_test="_test" in headers or role_of(event_id) is Role.TEST,
        position=position,
        alert=alert,
        retracts=_hex_id(alert.retracts, "retracts") if alert.retracts else None,
    )


def _position(record: Mapping[str, Any], kilonova: str, other: str, *, name: str) -> Position:
    label = text_at(record, name)
    # A name that had to be cleaned is not valid.
    if not label or not label.strip() or len(label) > _NAME_LENGTH or REPLACEMENT in label or not label.isprintable():
        raise NoticeError(f"{name} is {label!r:.60}, not a name of 1 to {_NAME_LENGTH} printable characters")
    return Position(
        name=label.strip(),
        ra=_within(record.get("ra"), "ra", 0.0, 360.0) % 360.0,
        dec=_within(record.get("dec"), "dec", -90.0, 90.0),
        observed=_MJD_EPOCH + timedelta(days=_within(record.get("time_obs"), "time_obs", *_MJD_RANGE)),
        kilonova_probability=_within(record.get(kilonova), kilonova, 0.0, 1.0),
        other_probability=_within(record.get(other), other, 0.0, 1.0),
        credible_level=_optional(record, "searched_probability", 0.0, 1.0),
        magnitude=_optional(record, "magnitude", -30.0, 40.0),
        magnitude_error=_optional(record, "magnitude_error", 0.0, 10.0),
        band=text_at(record, "band"),
        aliases=_aliases(record.get("aliases")),
        posterior=_first(_optional(record, "vetted_probability", 0.0, 1.0), _optional(record, "posterior", 0.0, 1.0)),
        reasons=_reasons(record),
    )


def _first(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)


def _reasons(record: Mapping[str, Any]) -> tuple[str, ...]:
    said = [text_at(record, "contradiction")]
    verdicts = record.get("vetting")
    for verdict in verdicts if isinstance(verdicts, list) else ():
        # What was looked for and not found is no reason.
        if isinstance(verdict, Mapping) and verdict.get("outcome") in ("found", "doubtful"):
            said.append(text_at(verdict, "words"))
    return tuple(words[:_REASON_LENGTH] for words in said if words)


def _aliases(value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        return ()
    return tuple(str(name) for name in value if 0 < len(str(name)) <= _NAME_LENGTH and str(name).isprintable())


def _within(value: object, name: str, low: float, high: float) -> float:
    number = finite(value, name)
    if not low <= number <= high:
        raise NoticeError(f"{name} is {number:g}, outside {low:g} to {high:g}")
    return number


def _optional(record: Mapping[str, Any], name: str, low: float, high: float) -> float | None:
    number = number_at(record, name, name)
    return None if number is None else _within(number, name, low, high)


def _hex_id(text: str, name: str) -> str:
    try:
        return uuid.UUID(text).hex
    except ValueError as error:
        raise NoticeError(f"{name} is {text!r:.60}, not a UUID") from error


def _published(headers: Mapping[str, bytes]) -> datetime | None:
    text = headers.get("time", b"").decode("ascii", "replace")
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise NoticeError(f"the time header is {text!r:.60}, not a time") from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
