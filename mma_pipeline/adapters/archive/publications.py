"""Content of the outbox: drafts, publications, and answers to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class State(StrEnum):
    """State of a publication."""

    PENDING = "pending"
    """Will be sent when it is due."""
    SENDING = "sending"
    """Claimed by a publisher; taken over by another when the lease runs out."""
    DONE = "done"
    """The receiver has it."""
    FAILED = "failed"
    """Failed for good; needs a person's attention."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A publication before it is in the outbox."""

    destination: str
    kind: str
    dedupe_key: str
    """Unique per destination: each key is published once."""
    event_id: str
    payload: Mapping[str, Any]
    """JSON values; everything that sending needs."""
    partition_key: str | None = None
    provisional: bool = False
    """Whether it only keeps a place in its sequence: it is sent once its own decision has given it the full payload."""
    sequence: str | None = None
    """Publications of one event with this name are sent in order; None for no order."""
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
    """Data that an earlier attempt stored to find out whether it succeeded."""
    answer: Mapping[str, Any]
    """The receiver's answer."""
    error: str | None
    sequence: str | None = None
    after: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """The receiver's answer to a publication that it has."""

    reference: str
    """The receiver's name for it: row id, list id, topic/partition/offset, HTTP status."""
    details: Mapping[str, Any] = field(default_factory=dict)
    already_there: bool = False
    """Whether an earlier attempt had succeeded."""
    warning: str | None = None
    """What needs a person's attention although the receiver has it."""
