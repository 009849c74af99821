"""Sends photometry messages to a plain Kafka broker or to Hopskotch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Protocol

from mma_pipeline.adapters.errors import CredentialsError, PermanentError, TransientError

#: Seconds to wait on closing until Hopskotch has confirmed everything.
FLUSH_TIMEOUT_S = 30.0


class Sender(Protocol):
    """Destination of messages."""

    def send(self, body: bytes, key: str, headers: Mapping[str, str]) -> str:
        """Send one message; returns where it went, for people. Raises TransientError."""
        ...


class _Broker:
    """A broker without authentication, each message confirmed."""

    def __init__(self, producer: Any, topic: str) -> None:
        self._producer, self._topic = producer, topic

    def send(self, body: bytes, key: str, headers: Mapping[str, str]) -> str:
        encoded = {name: value.encode() for name, value in headers.items()}
        partition, offset, _ = self._producer.send(self._topic, body, key=key, headers=encoded)
        return f"{self._topic}/{partition}/{offset}"


class _Hopskotch:
    """A Hopskotch topic with the credentials of `hop auth`."""

    def __init__(self, stream: Any, address: str) -> None:
        self._stream, self._address = stream, address

    def send(self, body: bytes, key: str, headers: Mapping[str, str]) -> str:
        from hop.models import JSONBlob

        self._stream.write(JSONBlob.deserialize(body), headers=list(headers.items()), key=key)
        return self._address


@contextmanager
def open_sender(topic: str, bootstrap: str | None) -> Iterator[Sender]:
    """A sender to `topic`: a name on the broker `bootstrap`, or a Hopskotch address kafka://host/topic.

    Raises TransientError if the broker is away, CredentialsError if Hopskotch refuses, PermanentError for a
    topic without a broker.
    """
    if not topic.startswith("kafka://"):
        if not bootstrap:
            raise PermanentError(f"no broker for topic {topic}: set MMA_KAFKA_BOOTSTRAP")
        from mma_pipeline.adapters.kafka.producer import ConfirmedProducer

        with ConfirmedProducer({"bootstrap.servers": bootstrap}) as producer:
            yield _Broker(producer, topic)
        return
    from confluent_kafka import KafkaException
    from hop import Stream

    try:
        timeout = timedelta(seconds=FLUSH_TIMEOUT_S)
        stream = Stream(auth=True).open(topic, "w", automatic_offload=False, produce_timeout=timeout)
    except (FileNotFoundError, RuntimeError, ValueError) as error:
        raise CredentialsError(f"{topic} cannot be opened: set up credentials with `hop auth add`") from error
    try:
        yield _Hopskotch(stream, topic)
        unsent = stream.flush(timeout)
        if unsent:
            raise TransientError(f"{topic}: {unsent} messages were not confirmed within {FLUSH_TIMEOUT_S:.0f} s")
    except KafkaException as error:
        raise TransientError(f"{topic}: the message was not taken: {error.args[0].name()}") from error
    finally:
        stream.close()
