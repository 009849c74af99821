"""What the outbox holds: drafts, publications, the answers to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class State(StrEnum):
    """Where a publication stands."""

    PENDING = "pending"
    """To be sent when its time and its turn come."""
    SENDING = "sending"
    """Claimed by a publisher; taken over by another when the lease runs out."""
    DONE = "done"
    """The receiver has it."""
    FAILED = "failed"
    """Given up; a person has to look."""


@dataclass(frozen=True, slots=True)
class Draft:
    """Something that is to be published, before it is in the outbox."""

    destination: str
    kind: str
    dedupe_key: str
    """Unique per destination: what has this key is published once."""
    event_id: str
    payload: Mapping[str, Any]
    """JSON values; everything that sending needs."""
    partition_key: str | None = None
    provisional: bool = False
    """Only keeps a place in its sequence: it is sent once its own decision has brought the full payload."""
    sequence: str | None = None
    """Publications of one event with this name leave one after the other; None keeps no order."""
    after: str | None = None
    """Key of a publication of the same event and destination that goes first, as long as it is open."""


@dataclass(frozen=True, slots=True)
class Publication:
    """A row of the outbox."""

    id: int
    destination: str
    kind: str
    dedupe_key: str
    event_id: str
    partition_key: str | None
    payload: Mapping[str, Any]
    state: State
    attempts: int
    next_attempt: datetime
    created: datetime
    finished: datetime | None
    provisional: bool
    progress: Mapping[str, Any]
    """What an earlier attempt left behind to find out whether it got through."""
    answer: Mapping[str, Any]
    """The receiver's answer."""
    error: str | None
    sequence: str | None = None
    after: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What the receiver said to a publication that it has."""

    reference: str
    """The receiver's name for it: row id, list id, topic/partition/offset, HTTP status."""
    details: Mapping[str, Any] = field(default_factory=dict)
    already_there: bool = False
    """An earlier attempt had got through."""
    warning: str | None = None
    """What people must look at although the receiver has it."""
