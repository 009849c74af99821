"""The identity of a topic. A broker gives each topic an id when it is created, so a topic that was created anew has another.

Offsets alone cannot tell: a new topic that has grown beyond the old cursor looks like the old one with more in it.
Brokers without topic ids (before Kafka 2.8, librdkafka's mock cluster) and credentials that may not describe a topic
give no answer.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

_log = logging.getLogger(__name__)

#: Seconds that the broker may take to answer; the question is put once a minute per stream.
TIMEOUT_S = 20.0
#: Seconds that the reader waits for it: an alert must not. What comes later is taken at the next look.
WAIT_S = 0.25
#: Settings of a consumer that a client for questions does not know.
_CONSUMERS = {"group.id", "group.protocol", "auto.offset.reset"}


class TopicDirectory:
    """One resident client that only asks; it connects when it is first asked."""

    def __init__(self, stream: str, client: Mapping[str, Any]) -> None:
        """`stream`: for the log; `client`: librdkafka configuration of the stream's consumer."""
        self._stream = stream
        self._settings = {name: value for name, value in client.items() if name not in _CONSUMERS}
        self._admin: AdminClient | None = None
        self._asked: dict[str, Any] = {}

    def id_of(self, topic: str) -> str | None:
        """The topic's identity; None if the broker does not tell, or not yet."""
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
    """The stream's consumer complains of the same."""
