"""Alert streams for tom-alertstreams, which create targets automatically.

`KafkaAlertStream` reads a Kafka cluster (the demo's, or Hopskotch's) from the place stored with the messages, so
that nothing is lost or doubled. `handle` is a handler for the toolkit's own HopskotchAlertStream, for TOMs that
already run one; that stream marks a message as read before its handler is done, so a crash may lose it.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Mapping
from typing import Any

from django.db import DatabaseError, close_old_connections
from tom_alertstreams.alertstreams.alertstream import AlertStream

from mma_pipeline.adapters.errors import TransientError
from mma_pipeline.adapters.kafka.cursor import Offsets
from mma_pipeline.adapters.kafka.reader import StreamReader
from mma_pipeline.adapters.kafka.stream import StreamConfig

from . import ingest, withdrawal
from .models import StreamPosition

_log = logging.getLogger(__name__)

#: Greatest number of messages stored in one transaction.
BATCH = 200
#: Seconds to wait for messages before other due work.
POLL_S = 1.0
#: Seconds of pause after the broker or the database failed.
PAUSE_S = 5.0


class KafkaAlertStream(AlertStream):
    """Reads topics with derived alerts into the local table, for as long as the process lives.

    OPTIONS: NAME (under which the position is stored), TOPICS, CLIENT (librdkafka settings), FROM_BEGINNING (ignore the
    position, for a Kafka that does not keep its messages).
    """

    required_keys = ("NAME", "TOPICS", "CLIENT")
    allowed_keys = ("NAME", "TOPICS", "CLIENT", "FROM_BEGINNING", "TOPIC_HANDLERS")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Check the options; `listen` contacts the brokers."""
        self.topic_handlers: dict[str, str] = {}
        self.from_beginning = False
        super().__init__(*args, **kwargs)
        self._stop = threading.Event()
        self._reader: StreamReader | None = None

    def stop(self) -> None:
        """Let `listen` return after the current batch."""
        self._stop.set()

    def listen(self) -> None:
        """Read until `stop`; waits for a broker or database that is away, and skips nothing."""
        offsets = None if self.from_beginning else self.stored_place()
        while not self._stop.is_set():
            try:
                offsets = self.step({} if offsets is None else offsets)
            except (TransientError, DatabaseError) as error:
                _log.warning("stream %s: %s; trying again in %g s", self.name, error, PAUSE_S)
                self._stop.wait(PAUSE_S)
            finally:
                close_old_connections()

    def step(self, offsets: Offsets) -> Offsets:
        """Read and store one batch after `offsets`, and execute due withdrawals; returns the new position."""
        if self._reader is None:
            config = StreamConfig(self.name, tuple(self.topics), dict(self.client), start="earliest")
            self._reader = StreamReader(config)
        batch = self._reader.poll(offsets, max_messages=BATCH, timeout_s=POLL_S)
        if batch.messages:
            counts = ingest.store_batch(self.name, batch.messages, batch.offsets)
            _log.info("stream %s: %s", self.name, ", ".join(f"{n} {what}" for what, n in counts.items() if n))
        withdrawal.run()
        return batch.offsets

    def stored_place(self) -> Offsets:
        """The stored position in the stream; empty if it was never read."""
        position = StreamPosition.objects.filter(stream=self.name).first()
        stored: Mapping[str, Mapping[str, int]] = position.offsets if position else {}
        return {topic: {int(p): int(o) for p, o in parts.items()} for topic, parts in stored.items()}


def handle(alert: Any, metadata: Any) -> None:
    """Handler for HopskotchAlertStream: store one alert of a Hopskotch topic.

    `alert` is a message model of hop-client (its `content` is decoded JSON or bytes), `metadata` hop.io.Metadata.
    """
    content = getattr(alert, "content", alert)
    body = bytes(content) if isinstance(content, bytes | bytearray) else json.dumps(content).encode()
    headers = {str(name): bytes(value) for name, value in metadata.headers or ()}
    source = f"{metadata.topic}/{metadata.partition}/{metadata.offset}"
    ingest.store(body, headers, source, key=getattr(metadata, "key", None))
    withdrawal.run()
