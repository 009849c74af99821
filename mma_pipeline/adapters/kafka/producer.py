"""Writes messages to a Kafka topic, each confirmed by the broker."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from types import TracebackType
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from mma_pipeline.adapters.errors import PermanentError, TransientError

DELIVERY_TIMEOUT_S = 30.0
MAX_MESSAGE_BYTES = 32 * 1024 * 1024


class ConfirmedProducer:
    """A producer that says when the broker has a message: `send` for one, `hand_over` and `confirm` for many."""

    def __init__(self, client: Mapping[str, Any]) -> None:
        """`client` is librdkafka configuration; it may hold credentials and is never shown.

        Raises PermanentError if librdkafka refuses it.
        """
        settings = {
            "enable.idempotence": True,
            "message.max.bytes": MAX_MESSAGE_BYTES,
            "delivery.timeout.ms": int(DELIVERY_TIMEOUT_S * 1000),
            "linger.ms": 0,
            **client,
        }
        try:
            self._producer = Producer(settings)
        except KafkaException as error:
            refusal = error.args[0] if error.args else error
            said = refusal.str() if isinstance(refusal, KafkaError) else str(refusal)
            raise PermanentError(f"Kafka refuses the settings of the producer: {said}") from error
        self._refused: KafkaError | None = None

    def __enter__(self) -> ConfirmedProducer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._producer.flush(DELIVERY_TIMEOUT_S)

    def send(
        self, topic: str, body: bytes, *, key: str | None = None, headers: Mapping[str, bytes] | None = None
    ) -> tuple[int, int, datetime]:
        """Send one message; returns its partition, its offset and the time it was handed over (UTC).

        Raises TransientError if the broker does not confirm it in time.
        """
        outcome: list[tuple[KafkaError | None, Message]] = []
        handed_over = datetime.now().astimezone()
        try:
            self._producer.produce(
                topic,
                body,
                key=key,
                headers=list((headers or {}).items()),
                on_delivery=lambda error, message: outcome.append((error, message)),
            )
        except (KafkaException, BufferError) as error:
            raise TransientError(f"topic {topic}: the message was not taken: {error}") from error
        deadline = time.monotonic() + DELIVERY_TIMEOUT_S + 1
        while not outcome and time.monotonic() < deadline:
            self._producer.poll(0.1)
        if not outcome:
            raise TransientError(f"topic {topic}: no broker confirmed the message within {DELIVERY_TIMEOUT_S:.0f} s")
        refusal, message = outcome[0]
        if refusal is not None:
            raise TransientError(f"topic {topic}: the message was not delivered: {refusal.str()}")
        return message.partition() or 0, message.offset() or 0, handed_over

    def hand_over(self, topic: str, body: bytes, *, key: str | None = None) -> None:
        """Hand one of many messages over without waiting for the broker's word; `confirm` waits for all.

        Raises TransientError where the broker takes nothing for as long as a delivery may take, or refused an earlier one.
        """
        deadline = time.monotonic() + DELIVERY_TIMEOUT_S
        while True:
            try:
                self._producer.produce(topic, body, key=key, on_delivery=self._noted)
            except BufferError as error:
                if time.monotonic() > deadline:
                    raise TransientError(f"topic {topic}: no broker takes messages") from error
                self._producer.poll(0.1)
            except KafkaException as error:
                raise TransientError(f"topic {topic}: the message was not taken: {error}") from error
            else:
                break
        self._producer.poll(0)
        self._look()

    def confirm(self) -> None:
        """Wait until the broker has all that was handed over; raises TransientError where it has not."""
        left = self._producer.flush(DELIVERY_TIMEOUT_S)
        self._look()
        if left:
            raise TransientError(f"{left} messages were not confirmed within {DELIVERY_TIMEOUT_S:.0f} s")

    def _noted(self, error: KafkaError | None, _: Message) -> None:
        self._refused = self._refused or error

    def _look(self) -> None:
        if self._refused is not None:
            raise TransientError(f"a message was not delivered: {self._refused.str()}")
