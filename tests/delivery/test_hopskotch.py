"""Hopskotch's alert stream: SCRAM, group ids, test messages, messages outside the broker, Avro."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mma_pipeline.adapters.errors import ConfigurationError, TransientError
from mma_pipeline.adapters.hopskotch.stream import fetch_offloaded, hop_stream, is_test
from mma_pipeline.adapters.kafka.message import StreamMessage
from mma_pipeline.adapters.kafka.reader import StreamReader
from mma_pipeline.settings import Settings
from tests.delivery.test_stream_faults import poll_until
from tests.services.kafka import KafkaBroker

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MESSAGE = StreamMessage("hop-gwalert", "igwn.gwalert", 0, 7, b"body", None, (("_format", b"avro"),), None, NOW)


def test_group_id_begins_with_the_user_name() -> None:
    """Hopskotch refuses any other; nothing is read without a credential, and half of one is an error."""
    env = {"HOP_USERNAME": "alice-1", "HOP_PASSWORD": "secret", "MMA_HOP_GROUP": "site"}
    config = hop_stream(Settings(env).hop_broker, "hop-gwalert", "igwn.gwalert")
    assert config is not None
    assert config.client["group.id"] == "alice-1-site-hop-gwalert"
    assert config.client["security.protocol"] == "SASL_SSL"
    assert "secret" not in repr(config)
    assert hop_stream(Settings({}).hop_broker, "hop-gwalert", "igwn.gwalert") is None
    with pytest.raises(ConfigurationError, match="both"):
        hop_stream(Settings({"HOP_USERNAME": "alice"}).hop_broker, "hop-gwalert", "igwn.gwalert")


def test_a_broker_without_credentials() -> None:
    """With such a protocol none is asked for nor shown; Hopskotch itself is never read that way."""
    env = {"MMA_HOP_BOOTSTRAP": "broker.example:9092", "MMA_HOP_PROTOCOL": "PLAINTEXT"}
    for given in ({}, {"HOP_USERNAME": "alice", "HOP_PASSWORD": "secret"}):
        config = hop_stream(Settings(env | given).hop_broker, "hop-gwalert", "igwn.gwalert")
        assert config is not None
        assert dict(config.client) == {
            "security.protocol": "PLAINTEXT",
            "bootstrap.servers": "broker.example:9092",
            "group.id": "mma-hop-gwalert",
        }
    with pytest.raises(ConfigurationError, match="MMA_HOP_BOOTSTRAP"):
        hop_stream(Settings({"MMA_HOP_PROTOCOL": "SSL"}).hop_broker, "hop-gwalert", "igwn.gwalert")


def test_credential_of_hop_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file that `hop auth` writes is used; one that others may read is refused, with what to do."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ConfigurationError, match="hop auth add"):
        hop_stream(Settings({"MMA_HOP_STREAMS": "true"}).hop_broker, "hop-gwalert", "igwn.gwalert")
    file = tmp_path / "hop" / "auth.toml"
    file.parent.mkdir()
    file.write_text('[[auth]]\nusername = "bob-2"\npassword = "secret"\nhostname = "kafka.scimma.org"\n')
    file.chmod(0o600)
    config = hop_stream(Settings({"MMA_HOP_STREAMS": "true"}).hop_broker, "hop-gwalert", "igwn.gwalert")
    assert config is not None
    assert config.client["group.id"] == "bob-2-mma-hop-gwalert"
    assert config.client["sasl.mechanism"] == "SCRAM-SHA-512"


def test_read_over_scram(kafka: KafkaBroker) -> None:
    """A message with its binary headers comes through the SASL listener with these settings."""
    topic = f"hop-{uuid.uuid4().hex}"
    kafka.create_topic(topic)
    kafka.produce(topic, b"one", headers=[("_id", uuid.uuid4().bytes), ("_test", b"true")])
    env = {"HOP_USERNAME": "alice", "HOP_PASSWORD": kafka.passwords["alice"]}
    env |= {"MMA_HOP_BOOTSTRAP": kafka.sasl_bootstrap, "MMA_HOP_PROTOCOL": "SASL_PLAINTEXT"}
    config = hop_stream(Settings(env).hop_broker, "hop-gwalert", topic)
    assert config is not None
    reader = StreamReader(config)
    batches = poll_until(reader, {}, 1)
    reader.close()
    (message,) = [message for batch in batches for message in batch.messages]
    assert message.body == b"one"
    assert is_test(message)
    assert not is_test(MESSAGE)


class Offload(BaseHTTPRequestHandler):
    """A server of large messages: one there, one gone, one that fails for now."""

    def do_GET(self) -> None:
        """Answer."""
        from hop import bson

        if self.path != "/there":
            self.send_error(404 if self.path == "/gone" else 503)
            return
        headers = [["_format", b"avro"], ["_id", b"\x00" * 16]]
        body = bson.dumps({"message": b"large", "metadata": {"headers": headers, "timestamp": 5}})
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def offload() -> Iterator[str]:
    """Address of the server."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Offload) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def address(url: str) -> StreamMessage:
    """A message that is only an address."""
    return replace(MESSAGE, body=json.dumps({"url": url}).encode(), headers=(("_format", b"external"),))


def test_large_message_is_fetched(offload: str) -> None:
    """Bytes and headers of the large message take the place of its address; where it came from stays."""
    found = fetch_offloaded(address(f"{offload}/there"))
    assert found.body == b"large"
    assert found.headers == (("_format", b"avro"), ("_id", b"\x00" * 16))
    assert found.coordinates == MESSAGE.coordinates
    assert fetch_offloaded(MESSAGE) is MESSAGE


def test_large_message_that_cannot_be_had(offload: str) -> None:
    """Gone for good or no address: the message stays as it is, for the quarantine; away for now: try again later."""
    gone = address(f"{offload}/gone")
    assert fetch_offloaded(gone) is gone
    local = address("file:///etc/passwd")
    assert fetch_offloaded(local) is local
    with pytest.raises(TransientError):
        fetch_offloaded(address(f"{offload}/busy"))
