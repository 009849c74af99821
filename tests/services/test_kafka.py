"""The Kafka fixture does what the tests of the streams rely on."""

import uuid

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from tests.services.kafka import KafkaBroker


def read_all(settings: dict[str, object], topic: str, count: int, offset: int = 0) -> list[bytes]:
    """Read `count` messages of partition 0."""
    consumer = Consumer({**settings, "group.id": uuid.uuid4().hex, "auto.offset.reset": "error"})
    consumer.assign([TopicPartition(topic, 0, offset)])
    try:
        messages = consumer.consume(count, timeout=20)
        for message in messages:
            if message.error():
                raise KafkaException(message.error())
        return [message.value() for message in messages]
    finally:
        consumer.close()


@pytest.fixture
def topic(kafka: KafkaBroker) -> str:
    """A topic of the test's own."""
    name = f"t{uuid.uuid4().hex}"
    kafka.create_topic(name)
    return name


def test_scram_listener_checks_passwords(kafka: KafkaBroker, topic: str) -> None:
    """A SCRAM client reads with the right password, and a wrong one is refused."""
    kafka.produce(topic, b"one")
    assert read_all(kafka.sasl_client("alice"), topic, 1) == [b"one"]
    wrong = Producer(kafka.sasl_client("alice", **{"sasl.password": "wrong"}))
    wrong.poll(0)
    with pytest.raises(KafkaException):
        wrong.list_topics(timeout=3)


def test_password_changes(kafka: KafkaBroker, topic: str) -> None:
    """After a change of password new connections need the new one."""
    kafka.set_password("carol", "first")
    old = kafka.sasl_client("carol")
    kafka.set_password("carol", "second")
    kafka.produce(topic, b"one")
    assert read_all(kafka.sasl_client("carol"), topic, 1) == [b"one"]
    with pytest.raises(KafkaException):
        Producer(old).list_topics(timeout=3)


def test_messages_survive_sigkill(kafka: KafkaBroker, topic: str) -> None:
    """A killed broker comes back on the same port with the acknowledged messages."""
    kafka.produce(topic, b"one", key=b"k", headers=[("_id", b"\x00\xff")])
    kafka.restart(kill=True)
    kafka.produce(topic, b"two")
    assert read_all(kafka.client(), topic, 2) == [b"one", b"two"]


def test_expired_records_leave_a_gap(kafka: KafkaBroker, topic: str) -> None:
    """Offsets before the retention limit answer "out of range", and the watermark shows the gap."""
    for n in range(5):
        kafka.produce(topic, b"%d" % n)
    kafka.expire(topic, 3)
    assert kafka.watermarks(topic) == (3, 5)
    assert read_all(kafka.client(), topic, 2, offset=3) == [b"3", b"4"]
    with pytest.raises(KafkaException) as failure:
        read_all(kafka.client(), topic, 1, offset=1)
    assert failure.value.args[0].code() == KafkaError._AUTO_OFFSET_RESET


def test_topic_recreated_and_grown(kafka: KafkaBroker, topic: str) -> None:
    """A recreated topic begins at 0, and partitions can be added."""
    kafka.produce(topic, b"old")
    kafka.recreate_topic(topic)
    assert kafka.watermarks(topic) == (0, 0)
    kafka.add_partitions(topic, 3)
    kafka.produce(topic, b"new", partition=2)
    assert kafka.watermarks(topic, 2) == (0, 1)
