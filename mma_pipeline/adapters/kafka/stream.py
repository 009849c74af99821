"""Values of a Kafka stream: its configuration, the result of a poll, and lost messages.

Not here: reading (`reader`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mma_pipeline.adapters.errors import PermanentError
from mma_pipeline.adapters.kafka.cursor import Offsets, TopicIds
from mma_pipeline.adapters.kafka.message import StreamMessage
from mma_pipeline.notices.words import counted


@dataclass(frozen=True)
class Gap:
    """Messages that were lost because the broker dropped them, or because the topic was created again."""

    topic: str
    partition: int
    wanted: int
    """Offset that should have come next."""
    resumed: int
    """Offset at which reading continues."""
    another_topic: bool = False
    """Whether the broker says that the topic is not the one that was read."""

    @property
    def lost(self) -> int | None:
        """How many messages were dropped unseen; None if the topic was created again, so that it is unknown."""
        return None if self.another_topic or self.resumed <= self.wanted else self.resumed - self.wanted

    def __str__(self) -> str:
        where = f"{self.topic}/{self.partition}"
        if self.lost is None:
            why = "belongs to an earlier topic of this name" if self.another_topic else "does not exist"
            return (
                f"{where}: offset {self.wanted} {why}, the topic was created again; reading continues at {self.resumed}"
            )
        return (
            f"{where}: {counted(self.lost, 'message')} from offset {self.wanted} {'was' if self.lost == 1 else 'were'} dropped by the broker before they were "
            f"read; reading continues at {self.resumed}"
        )


@dataclass(frozen=True)
class Batch:
    """Result of one bounded poll."""

    messages: tuple[StreamMessage, ...]
    offsets: Offsets
    """Cursor after these messages."""
    gaps: tuple[Gap, ...] = ()
    problems: tuple[str, ...] = ()
    """Errors of brokers during the poll, without secrets; the client keeps retrying by itself."""
    topic_ids: TopicIds = field(default_factory=dict)
    """The topics' identities, as far as known, to be kept in the cursor with the offsets."""


@dataclass(frozen=True)
class StreamConfig:
    """How to read one stream."""

    name: str
    topics: tuple[str, ...]
    client: Mapping[str, Any] = field(repr=False)
    """librdkafka configuration; may hold credentials, so it is never shown."""
    start: str = "earliest"
    """Position at which a consumer without cursor and committed offsets begins: `earliest` or `latest`."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Topic to the stream that its messages count as; empty where all are of this one. Then a topic may be missing."""

    def __post_init__(self) -> None:
        if self.start not in {"earliest", "latest"}:
            raise PermanentError(f"KAFKA_OFFSET_RESET is {self.start!r}: use earliest or latest")
