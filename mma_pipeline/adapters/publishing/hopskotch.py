"""Publishes to Hopskotch with hop-client: idempotent producer, checked delivery, and a search before a second attempt.

The message id is a digest of the content, so consumers can drop repeats. If the credential may read the topic, an attempt
after a crash or a lost answer first searches for the message: the publication keeps the offsets at which the topic ended
before the first attempt, and only messages after them are read.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlparse

from mma_pipeline.adapters.archive.publications import Answer, Draft, Publication
from mma_pipeline.adapters.deadline import left
from mma_pipeline.adapters.errors import (
    ConfigurationError,
    CredentialsError,
    PermanentError,
    TransientError,
    UncertainError,
)
from mma_pipeline.adapters.publishing.formats import GCN, HERMES, RETRACTION, V1
from mma_pipeline.adapters.publishing.model import Note
from mma_pipeline.adapters.redact import redact
from mma_pipeline.notices import derived
from mma_pipeline.notices.derived import DerivedKind
from mma_pipeline.notices.outgoing.gcn import unified
from mma_pipeline.notices.outgoing.hermes import hermes_message

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class HopskotchDestination:
    """A topic as a destination.

    Payloads: {alert, published} with the JSON of a `DerivedAlert` (kinds `v2`, `retraction`, `gcn`, `hermes`) or of a
    `BrokerAlertV1` (kind `v1`), and the time of the decision (ISO 8601); for `gcn` and `hermes` also the candidate's
    photometry (`notices.outgoing.points`).

    Args:
        name: name of the destination.
        url: `kafka://[user@]host[:port]/topic`, one topic.
        anonymous: connect without credentials, whatever `auth` is, for example to an institute's own broker.
        auth: a `hop.auth.Auth`; by default hop-client's own auth.toml is read.
        verify: search the topic before a second attempt; needs permission to read it.
        timeout_s: seconds that a delivery may take, or less where `deadline.within` leaves less.
    """

    name: str
    url: str
    anonymous: bool = False
    auth: Any = None
    verify: bool = True
    timeout_s: float = 30.0
    settle_s: float = 30.0
    per_minute: int | None = None
    _producer: Any = field(default=None, repr=False)
    _consumer: Any = field(default=None, repr=False)

    def __post_init__(self) -> None:
        parsed = urlparse(self.url)
        if parsed.scheme != "kafka" or not parsed.hostname or "," in parsed.netloc or len(self.topic.split("/")) != 1:
            raise ConfigurationError(f"{self.name}: the Hopskotch address must be kafka://host/topic")
        if not self.topic or "," in self.topic or parsed.password:
            raise ConfigurationError(f"{self.name}: the Hopskotch address names one topic and no password")

    @property
    def topic(self) -> str:
        """Name of the topic."""
        return urlparse(self.url).path.lstrip("/")

    def preview(self, item: Draft) -> Mapping[str, Any]:
        """Headers and message; sends no request."""
        message = _message(item.kind, item.payload, self.topic)
        shown = {**message.headers, "_id": message.id.hex, **({"_test": "true"} if message.test else {})}
        return {"topic": self.topic, "headers": shown, "body": dict(message.body)}

    def prepare(self, item: Publication) -> Mapping[str, Any]:  # noqa: ARG002 - the topic alone matters
        """Offset at which each partition ends now."""
        return {"ends": self.ends()} if self.verify else {}

    def send(self, item: Publication, note: Note | None = None) -> Answer:  # noqa: ARG002 - the ends say it all
        """Publish one message; raises UncertainError if it is unknown whether it was written."""
        message = _message(item.kind, item.payload, self.topic)
        if item.progress.get("ends"):  # of an earlier attempt
            found = self._find(message.id.bytes, item.progress["ends"])
            if found is not None:
                partition, offset = found
                return Answer(f"{self.topic}/{partition}/{offset}", {"id": str(message.id)}, already_there=True)
        partition, offset = self._write(message, key=item.event_id)
        return Answer(f"{self.topic}/{partition}/{offset}", {"id": str(message.id)})

    def close(self) -> None:
        """Close the connections."""
        if self._consumer is not None:
            self._consumer.close()
        self._producer = self._consumer = None

    def _write(self, message: _Message, *, key: str) -> tuple[int, int]:
        producer = self._open_producer()
        sender = [] if producer.auth is None else [("_sender", producer.auth.username.encode())]
        packed = [
            *((name, value.encode()) for name, value in message.headers.items()),
            ("_id", message.id.bytes),
            *sender,
            *([("_test", b"true")] if message.test else []),
            # With a format name of our own, consumers without our plugin would get raw bytes.
            ("_format", b"json"),
        ]
        delivered: list[tuple[Any, Any]] = []
        wait = left(self.timeout_s + 5)
        producer.write_raw(
            derived.encode_json(message.body), packed, delivery_callback=lambda e, m: delivered.append((e, m)), key=key
        )
        producer.flush(timedelta(seconds=wait))
        if not delivered or delivered[0][0] is not None:
            # A failed producer may still hold the message and must not send it later.
            self._producer = None
            raise self._delivery_error(delivered[0][0] if delivered else None)
        return delivered[0][1].partition(), delivered[0][1].offset()

    def _delivery_error(self, error: Any) -> PermanentError | TransientError:
        from confluent_kafka import KafkaError as Kafka

        if error is None:
            return UncertainError(f"{self.name}: no delivery report within {self.timeout_s:g} s")
        text = f"{self.name}: not delivered: {redact(error.str())}"
        refused = {
            Kafka.TOPIC_AUTHORIZATION_FAILED,
            Kafka.CLUSTER_AUTHORIZATION_FAILED,
            Kafka.SASL_AUTHENTICATION_FAILED,
        }
        if error.code() in refused | {Kafka._AUTHENTICATION}:
            return CredentialsError(text)
        if error.code() in {Kafka.MSG_SIZE_TOO_LARGE, Kafka.INVALID_RECORD, Kafka.TOPIC_EXCEPTION}:
            return PermanentError(text)
        return UncertainError(text)

    def _open_producer(self) -> Any:
        if self._producer is None:
            from hop.io import Stream

            auth = False if self.anonymous else self.auth if self.auth is not None else True
            try:
                self._producer = Stream(auth=auth).open(
                    self.url,
                    "w",
                    produce_timeout=timedelta(seconds=self.timeout_s),
                    use_idempotence=True,
                    automatic_offload=False,  # our messages contain links but no large data
                )
            except (FileNotFoundError, RuntimeError, ValueError) as error:
                raise ConfigurationError(
                    f"{self.name}: hop-client cannot open the topic: {redact(str(error))}"
                ) from error
        return self._producer

    def _open_consumer(self) -> Any:
        if self._consumer is None:
            from confluent_kafka import Consumer

            producer = self._open_producer()
            user = "" if producer.auth is None else f"{producer.auth.username}-"
            address = producer.broker_addresses
            settings = {
                "bootstrap.servers": address if isinstance(address, str) else ",".join(address),
                "group.id": f"{user}mma-publication-look",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                **({} if producer.auth is None else producer.auth()),
            }
            self._consumer = Consumer(settings)
        return self._consumer

    def ends(self) -> dict[str, int]:
        """Offset at which each partition of the topic ends; raises CredentialsError or TransientError."""
        from confluent_kafka import KafkaError, KafkaException, TopicPartition

        consumer = self._open_consumer()
        try:
            topic = consumer.list_topics(self.topic, timeout=left(self.timeout_s)).topics[self.topic]
            if topic.error is not None and topic.error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                raise CredentialsError(
                    f"{self.name}: the credential may not read the topic: allow it, or set verify = false"
                )
            partitions = topic.partitions
            ends = {
                str(p): consumer.get_watermark_offsets(TopicPartition(self.topic, p), timeout=left(self.timeout_s))[1]
                for p in partitions
            }
        except KafkaException as error:
            raise TransientError(f"{self.name}: the topic's state cannot be read: {redact(str(error))}") from error
        return ends

    def _find(self, message: bytes, since: Mapping[str, int]) -> tuple[int, int] | None:
        """Partition and offset of a message written after the given offsets; None if there is none."""
        from confluent_kafka import TopicPartition

        ends = self.ends()
        unread = {p: end for p, end in ends.items() if end > since.get(p, 0)}
        if not unread:
            return None
        consumer = self._open_consumer()
        consumer.assign([TopicPartition(self.topic, int(p), since.get(p, 0)) for p in unread])
        deadline = time.monotonic() + left(self.timeout_s)
        try:
            while unread and time.monotonic() < deadline:
                record = consumer.poll(1.0)
                if record is None:
                    continue
                partition = str(record.partition())
                if record.error() is None:
                    if ("_id", message) in (record.headers() or ()):
                        return record.partition(), record.offset()
                    if record.offset() + 1 < ends[partition]:
                        continue
                unread.pop(partition, None)
        finally:
            consumer.unassign()
        if unread:
            raise TransientError(f"{self.name}: the topic could not be read to its end within {self.timeout_s:g} s")
        return None


@dataclass(frozen=True, slots=True)
class _Message:
    """What goes on the wire."""

    body: Mapping[str, Any]
    headers: Mapping[str, str]
    id: uuid.UUID
    test: bool


def id_of(kind: str, payload: Mapping[str, Any]) -> uuid.UUID:
    """Id of a payload's message: it depends on the content alone, and differs between the forms of one alert."""
    if kind == V1:
        return derived.message_id(derived.BrokerAlertV1(**payload["alert"]))
    plain = derived.message_id(derived.DerivedAlert.from_json(payload["alert"]))
    if kind not in {GCN, HERMES}:
        return plain
    points = derived.encode_json({"points": payload.get("photometry", [])}).decode()
    return uuid.uuid5(plain, f"{kind} {points}")


def withdrawal_form(kind: str) -> str:
    """Kind of publication that withdraws one of a kind: GCN and Hermes read their own form alone."""
    return kind if kind in {GCN, HERMES} else RETRACTION


def withdraws(kind: str, payload: Mapping[str, Any]) -> bool:
    """Whether a payload is the withdrawal of another message."""
    return kind != V1 and payload["alert"].get("kind") == DerivedKind.RETRACTION


def _message(kind: str, payload: Mapping[str, Any], topic: str) -> _Message:
    """The message of a payload; raises NoticeError if its form does not hold it."""
    published, number = datetime.fromisoformat(payload["published"]), id_of(kind, payload)
    if kind == V1:
        old = derived.BrokerAlertV1(**payload["alert"])
        return _Message(old.to_json(), derived.headers_v1(old, published), number, bool(payload.get("test")))
    alert = derived.DerivedAlert.from_json(payload["alert"])
    headers = derived.headers_v2(alert, published)
    if kind not in {GCN, HERMES}:
        return _Message(alert.to_json(), headers, number, alert.is_test)
    points = payload.get("photometry", [])
    if kind == GCN:
        body, own = unified(alert, points, published, number), {"schema": "gcn"}
    else:
        body = hermes_message(alert, points, topic)
        own = {"schema": "hermes", "title": str(body["title"])}
    return _Message(body, {**headers, **own, "id": str(number)}, number, alert.is_test)
