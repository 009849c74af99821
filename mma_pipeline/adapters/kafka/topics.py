"""The identity of a topic. A broker gives each topic an id when it is created, so a topic that was created again has another.

Offsets alone do not suffice: a new topic that has grown beyond the old cursor looks like the old one with more messages.
Brokers without topic ids (before Kafka 2.8, librdkafka's mock cluster) and credentials that may not describe a topic
give no id.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

_log = logging.getLogger(__name__)

#: Seconds that the broker may take to answer; it is asked once a minute per stream.
TIMEOUT_S = 20.0
#: Seconds that the reader waits for it, because alerts must not wait; a later answer is used at the next poll.
WAIT_S = 0.25
#: Settings of a consumer that an admin client does not accept.
_CONSUMERS = {"group.id", "group.protocol", "auto.offset.reset"}


class TopicDirectory:
    """One resident admin client; it connects on first use."""

    def __init__(self, stream: str, client: Mapping[str, Any]) -> None:
        """`stream`: for the log; `client`: librdkafka configuration of the stream's consumer."""
        self._stream = stream
        self._settings = {name: value for name, value in client.items() if name not in _CONSUMERS}
        self._admin: AdminClient | None = None
        self._asked: dict[str, Any] = {}

    def id_of(self, topic: str) -> str | None:
        """The topic's identity; None if the broker does not report it, or not yet."""
        try:
            if self._admin is None:
                settings: dict[str, Any] = {**self._settings, "log_level": 0, "error_cb": _ignore}
                self._admin = AdminClient(settings)
            if topic not in self._asked:
                question = self._admin.describe_topics(TopicCollection([topic]), request_timeout=TIMEOUT_S)
                self._asked[topic] = question[topic]
            described = self._asked[topic].result(WAIT_S)
        except FutureTimeoutError:
            return None
        except KafkaException as error:
            _log.info("stream %s: the broker does not report the identity of %s: %s", self._stream, topic, error)
            described = None
        self._asked.pop(topic, None)
        bits = None if described is None else described.topic_id
        if bits is None or (bits.get_most_significant_bits(), bits.get_least_significant_bits()) == (0, 0):
            return None
        return str(bits)

    def close(self) -> None:
        """Leave the brokers."""
        self._asked.clear()
        self._admin = None


def _ignore(_: KafkaError) -> None:
    """Ignored, because the stream's consumer reports the same error."""
