"""Settings from the environment, cursors, the confirmed producer, and that secrets stay secret."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mma_pipeline.adapters.errors import ConfigurationError, PermanentError, TransientError
from mma_pipeline.adapters.kafka.cursor import decode_offsets, encode_offsets
from mma_pipeline.adapters.kafka.embedded import EmbeddedKafka
from mma_pipeline.adapters.kafka.gcn import gcn_stream
from mma_pipeline.adapters.kafka.producer import ConfirmedProducer
from mma_pipeline.adapters.kafka.reader import StreamReader
from mma_pipeline.adapters.kafka.stream import StreamConfig
from mma_pipeline.adapters.redact import redact, secret_values
from mma_pipeline.settings import Settings
from tests.services.process import free_ports

SECRET = "s3cr3t-of-the-client"
CREDENTIALS = {"KAFKA_CLIENT_ID": "my-client-id", "KAFKA_CLIENT_SECRET": SECRET}
OFFSETS = st.dictionaries(
    st.text(max_size=9), st.dictionaries(st.integers(0, 1000), st.integers(0, 2**63 - 1), max_size=4), max_size=3
)


@given(OFFSETS)
def test_cursor_round_trip(offsets: dict[str, dict[int, int]]) -> None:
    """Offsets written as a cursor are read back as they were."""
    assert decode_offsets(encode_offsets(offsets)) == offsets


@given(OFFSETS)
def test_cursor_is_canonical(offsets: dict[str, dict[int, int]]) -> None:
    """The same offsets give the same text in whatever order they were collected."""
    turned = {t: dict(reversed(parts.items())) for t, parts in reversed(offsets.items())}
    assert encode_offsets(turned) == encode_offsets(offsets)


@given(st.text(min_size=1) | st.sampled_from(['{"t": {"0": Infinity}}', '{"t": {"0": null}}', "[]", "17", "[" * 9999]))
def test_what_is_no_cursor(text: str) -> None:
    """Text that is no cursor is refused with what to do, never with another error."""
    try:
        decode_offsets(text)
    except PermanentError as error:
        reason = str(error)
    else:
        return
    assert "reset it in the UI" in reason
    assert len(reason) < 1000


@pytest.mark.parametrize("cursor", [None, ""])
def test_no_cursor(cursor: str | None) -> None:
    """No cursor is no offsets."""
    assert decode_offsets(cursor) == {}


def test_state_lives_in_the_dagster_home() -> None:
    """Without settings, archive and products lie in DAGSTER_HOME; each can be put elsewhere."""
    env = {"DAGSTER_HOME": "/var/lib/mma"}
    assert Settings(env).archive_url == "sqlite:////var/lib/mma/archive.db"
    assert Settings(env).store_url == "file:///var/lib/mma/products"
    assert Settings(env | {"MMA_ARCHIVE_URL": "postgresql://db/mma"}).archive_url == "postgresql://db/mma"
    assert Settings(env | {"MMA_STORE_URL": "s3://bucket"}).store_url == "s3://bucket"


def test_nothing_configured() -> None:
    """Without broker and credentials there is no stream, which is no error."""
    assert gcn_stream(Settings({}).gcn_broker, "gcn", "igwn.gwalert") is None


@pytest.mark.parametrize("half", list(CREDENTIALS))
def test_half_of_the_credentials(half: str) -> None:
    """One half of the credentials is an error that names both, and shows neither value."""
    with pytest.raises(ConfigurationError, match="set both KAFKA_CLIENT_ID and KAFKA_CLIENT_SECRET") as refusal:
        gcn_stream(Settings({half: CREDENTIALS[half]}).gcn_broker, "gcn", "igwn.gwalert")
    assert CREDENTIALS[half] not in str(refusal.value)


def test_gcn_credentials() -> None:
    """Both halves give GCN's OpenID Connect settings, a group of the client's own, and the predecessors' names work."""
    config = gcn_stream(Settings(CREDENTIALS).gcn_broker, "gcn", "igwn.gwalert")
    assert config is not None
    assert config.client["bootstrap.servers"] == "kafka.gcn.nasa.gov"
    assert config.client["sasl.oauthbearer.client.secret"] == SECRET
    assert config.client["group.id"] == "mma-my-client-id"
    assert config.start == "earliest"
    named = gcn_stream(
        Settings(
            CREDENTIALS
            | {"KAFKA_GROUP_ID": "treasuremap", "KAFKA_OFFSET_RESET": "latest", "GCN_DOMAIN": "test.gcn.nasa.gov"}
        ).gcn_broker,
        "gcn",
        "igwn.gwalert",
    )
    assert named is not None
    assert named.client["group.id"] == "treasuremap"
    assert named.client["bootstrap.servers"] == "kafka.test.gcn.nasa.gov"
    assert named.start == "latest"


def test_other_start_is_refused() -> None:
    """KAFKA_OFFSET_RESET takes the two words that Kafka knows."""
    with pytest.raises(ConfigurationError, match="KAFKA_OFFSET_RESET: Input should be 'earliest' or 'latest'"):
        gcn_stream(Settings(CREDENTIALS | {"KAFKA_OFFSET_RESET": "newest"}).gcn_broker, "gcn", "t")


def test_secret_is_never_shown(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    """The client secret is in no repr, text, log or error of configuration, reader and refusal."""
    config = gcn_stream(Settings(CREDENTIALS).gcn_broker, "gcn", "igwn.gwalert")
    assert config is not None
    shown = [repr(config), str(config), f"{config}"]
    with caplog.at_level(logging.DEBUG):
        reader = StreamReader(config)
        reader.close()
        with pytest.raises(PermanentError) as refusal:
            StreamReader(StreamConfig("gcn", ("t",), {**config.client, "no.such.setting": "1"}))
    shown += [str(refusal.value), repr(refusal.value), caplog.text, *capfd.readouterr()]
    assert not any(SECRET in text for text in shown)
    assert "Kafka refuses the settings" in str(refusal.value)


def test_environment_marks_secrets() -> None:
    """Values of variables that are named like secrets are taken out of any text; short and other values stay."""
    env = {
        "API_TOKEN": "tokentoken",
        "OS_PASSWORD": "passwordvalue",
        "AWS_SECRET_ACCESS_KEY": "abcdefgh",
        "HOME": "/root",
        "PASSWORD": "x",
    }
    assert set(secret_values(env)) == {"tokentoken", "passwordvalue", "abcdefgh"}
    text = redact("GET /root?t=tokentoken with abcdefgh as x", secret_values(env))
    assert text == "GET /root?t=*** with *** as x"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("postgresql://me:hunter22@db/archive failed", "hunter22"),
        ("https://b.example.org/x?X-Amz-Signature=abc123&y=1", "abc123"),
        ("{'api_token': 'abc123def'}", "abc123def"),
        ("Authorization: Bearer abc.def.ghi", "abc.def.ghi"),
        ("AccountKey=Zm9v;EndpointSuffix=x", "Zm9v"),
        ("password=hunter22, retry", "hunter22"),
    ],
)
def test_secrets_in_what_libraries_say(text: str, secret: str) -> None:
    """Secrets of the usual shapes are taken out of messages, and something is left to read."""
    cleaned = redact(text, ())
    assert secret not in cleaned
    assert "***" in cleaned


@pytest.fixture(scope="module")
def broker() -> Iterator[EmbeddedKafka]:
    """An embedded Kafka."""
    with EmbeddedKafka() as running:
        yield running


def test_producer_confirms(broker: EmbeddedKafka) -> None:
    """A message is there when `send` returns: at the partition and offset told, with key and headers, byte for byte."""
    broker.create_topic("confirmed")
    data = bytes(range(256)) * 1000
    with ConfirmedProducer({"bootstrap.servers": broker.bootstrap}) as producer:
        places = [producer.send("confirmed", data + bytes([n]), key="k", headers={"_test": b"1"}) for n in range(3)]
    assert [offset for _, offset, _ in places] == [0, 1, 2]
    reader = StreamReader(StreamConfig("confirmed", ("confirmed",), {"bootstrap.servers": broker.bootstrap}))
    batch = reader.poll({}, max_messages=3, timeout_s=20)
    while len(found := batch.messages) < 3:
        batch = reader.poll({}, max_messages=3, timeout_s=20)
    reader.close()
    assert [(m.partition, m.offset) for m in found] == [(partition, offset) for partition, offset, _ in places]
    assert [m.body for m in found] == [data + bytes([n]) for n in range(3)]
    assert found[0].headers == (("_test", b"1"),)
    assert found[0].key == b"k"
    assert found[0].broker_time is not None


def test_empty_body_arrives(broker: EmbeddedKafka) -> None:
    """A message without body (a tombstone) is a message with no bytes."""
    from confluent_kafka import Producer

    broker.create_topic("tombstones")
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    producer.produce("tombstones", None, key=b"k", headers=[("empty", None)])
    producer.flush(10)
    reader = StreamReader(StreamConfig("tombstones", ("tombstones",), {"bootstrap.servers": broker.bootstrap}))
    (found,) = reader.poll({}, max_messages=1, timeout_s=20).messages
    reader.close()
    assert found.body == b""
    assert found.headers == (("empty", b""),)


def test_producer_without_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message that no broker confirms is TransientError, after a limited time."""
    monkeypatch.setattr("mma_pipeline.adapters.kafka.producer.DELIVERY_TIMEOUT_S", 1.0)
    (port,) = free_ports(1)
    producer = ConfirmedProducer({"bootstrap.servers": f"127.0.0.1:{port}"})
    with pytest.raises(TransientError, match="topic t: "):
        producer.send("t", b"x")


def test_settings_that_kafka_refuses() -> None:
    """A producer setting that librdkafka does not know is PermanentError in one sentence."""
    with pytest.raises(PermanentError, match="Kafka refuses the settings"):
        ConfirmedProducer({"bootstrap.servers": "127.0.0.1:1", "no.such.setting": "1"})
