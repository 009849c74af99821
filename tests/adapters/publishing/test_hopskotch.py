"""Publishing on Kafka with hop-client, against librdkafka's mock cluster and a real Apache Kafka."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from mma_pipeline.adapters.archive.publications import Draft, Publication, State
from mma_pipeline.adapters.deadline import within
from mma_pipeline.adapters.errors import ConfigurationError, OutOfTimeError, UncertainError
from mma_pipeline.adapters.publishing.config import DestinationConfig, load, open_destination
from mma_pipeline.adapters.publishing.decision import enqueue_candidate
from mma_pipeline.adapters.publishing.hopskotch import HopskotchDestination
from mma_pipeline.notices import derived
from mma_pipeline.settings import Settings
from tests.adapters.publishing.helpers import (
    ALERTS,
    EVERYTHING,
    all_publications,
    decide_all,
    needs_alerts,
    publisher,
    take_in,
)
from tests.homes import new_archive
from tests.notices.test_derived import FULL, V1

NOW = datetime(2026, 1, 1, tzinfo=UTC)
_topics = itertools.count()


@pytest.fixture(params=["mock cluster", "Apache Kafka"])
def topic_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Address of an empty topic."""
    topic = f"publish-{next(_topics)}"
    if request.param == "Apache Kafka":
        broker = request.getfixturevalue("kafka")
        broker.create_topic(topic, partitions=3)
        yield f"kafka://{broker.bootstrap}/{topic}"
        return
    cluster = Producer({"bootstrap.servers": "x", "test.mock.num.brokers": 1})
    brokers = cluster.list_topics(timeout=10).brokers
    yield f"kafka://{next(iter(brokers.values())).host}:{next(iter(brokers.values())).port}/{topic}"


def destination(url: str, **options: Any) -> HopskotchDestination:
    """The topic as a destination without credentials."""
    return HopskotchDestination("hop", url, anonymous=True, **({"timeout_s": 15.0, "settle_s": 0.0} | options))


def everything_on(url: str) -> list[Any]:
    """All messages of the topic, read by a client of its own."""
    address, topic = url.removeprefix("kafka://").split("/")
    consumer = Consumer({"bootstrap.servers": address, "group.id": "test", "enable.auto.commit": False})
    found = []
    partitions = consumer.list_topics(topic, timeout=20).topics[topic].partitions
    ends = {p: consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=20)[1] for p in partitions}
    consumer.assign([TopicPartition(topic, p, 0) for p, end in ends.items() if end])
    while len(found) < sum(ends.values()):
        message = consumer.poll(20)
        assert message is not None
        assert message.error() is None
        found.append(message)
    consumer.close()
    return found


def item(kind: str, payload: dict[str, Any], *, attempts: int = 1, progress: Any = None) -> Publication:
    """A publication as claimed."""
    return Publication(
        1, "hop", kind, "k", "S230518h", None, payload, State.SENDING, attempts, NOW, NOW, None, False, progress or {}, {}, None
    )  # fmt: skip


def test_messages_are_what_consumers_expect(topic_url: str) -> None:
    """v1 and v2 on the wire: body, headers, raw id, key; hop-client itself reads them."""
    from hop.io import StartPosition, Stream
    from hop.models import JSONBlob

    target = destination(topic_url)
    target.send(item("v1", {"alert": V1.to_json(), "published": NOW.isoformat()}))
    target.send(item("v2", {"alert": FULL.to_json(), "published": NOW.isoformat()}))
    mock = replace(FULL, event_id="MS181101ab")
    target.send(item("v2", {"alert": mock.to_json(), "published": NOW.isoformat()}))
    by_id = {dict(m.headers())["_id"]: m for m in everything_on(topic_url)}
    old, new, test = (by_id[derived.message_id(a).bytes] for a in (V1, FULL, mock))
    assert json.loads(old.value()) == V1.to_json()
    headers = dict(old.headers())
    assert headers["schema"] == b"scimma.alert-integration-demo/broker/v1"
    assert headers["sender"] == b"alert-integration-demo"
    assert headers["time"] == b"2026-01-01 00:00:00.000000"
    assert bytes.fromhex(headers["id"].decode()) == headers["_id"]
    assert headers["_format"] == b"json"
    assert dict(new.headers())["_format"] == b"json"
    assert derived.decode_v2(new.value()) == FULL
    assert old.key() == b"S230518h"
    assert "_test" in dict(test.headers())
    assert "_test" not in dict(new.headers())
    with Stream(auth=False, start_at=StartPosition.EARLIEST, until_eos=True).open(
        topic_url, "r", group_id="hop-reader"
    ) as stream:
        read = list(stream)
    # hop drops the mock event's message; v1 is a JSON blob to it.
    assert len(read) == 2
    assert any(isinstance(m, JSONBlob) and m.content == V1.to_json() for m in read)


def test_nothing_is_written_without_time(topic_url: str) -> None:
    """Within a common limit that is used up, no message is handed to the producer, which might send it later."""
    target = destination(topic_url)
    one = item("v1", {"alert": V1.to_json(), "published": NOW.isoformat()})
    target.send(one)
    with within(0.0):
        with pytest.raises(OutOfTimeError):
            target.prepare(one)
        with pytest.raises(OutOfTimeError):
            target.send(item("v2", {"alert": FULL.to_json(), "published": NOW.isoformat()}))
    target.close()
    assert len(everything_on(topic_url)) == 1


_STRANGER = """
import json, sys
from importlib.metadata import entry_points
from importlib.util import find_spec
from hop.io import StartPosition, Stream
with Stream(auth=False, start_at=StartPosition.EARLIEST, until_eos=True).open(sys.argv[1], "r", group_id="stranger") as stream:
    contents = [message.content for message in stream]
ours = find_spec("mma_pipeline") is not None or len(entry_points(group="hop_plugin")) > 0
print(json.dumps({"ours": ours, "contents": contents}))
"""


def test_consumers_without_our_package_get_a_dict(topic_url: str, tmp_path: Path) -> None:
    """hop-client in an environment that has neither our package nor our entry point decodes both forms."""
    target = destination(topic_url)
    target.send(item("v1", {"alert": V1.to_json(), "published": NOW.isoformat()}))
    target.send(item("v2", {"alert": FULL.to_json(), "published": NOW.isoformat()}))
    packages = tmp_path / "packages"
    packages.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if (
            not entry.name.lower().startswith(("mma_pipeline", "_mma", "__editable__", "_editable"))
            and entry.suffix != ".pth"
        ):
            (packages / entry.name).symlink_to(entry)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONHOME"}
    done = subprocess.run(
        [sys.executable, "-S", "-c", _STRANGER, topic_url],
        env=environment | {"PYTHONPATH": str(packages)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert not told["ours"]
    assert sorted(told["contents"], key=len) == [V1.to_json(), FULL.to_json()]


def test_without_credentials_means_none_are_shown(tmp_path: Path) -> None:
    """`anonymous = true` holds beside HOP_USERNAME, which is for Hopskotch and must not reach another broker."""
    path = tmp_path / "publication.toml"
    path.write_text("[destinations.local]\nkind = 'hopskotch'\nurl = 'kafka://127.0.0.1:1/t'\nanonymous = true\n")
    env = {"MMA_PUBLICATION_CONFIG": str(path), "HOP_USERNAME": "alice", "HOP_PASSWORD": "secret"}
    (config,) = load(Settings(env).access)
    opened = open_destination(config, Settings(env).access)
    assert isinstance(opened, HopskotchDestination)
    producer = replace(opened, auth="never used")._open_producer()
    assert producer.auth is None


def test_a_second_attempt_finds_the_first(topic_url: str) -> None:
    """After a crash between delivery and note, the message is found on the topic and not written again."""
    target = destination(topic_url)
    payload = {"alert": FULL.to_json(), "published": NOW.isoformat()}
    noise = {"alert": replace(FULL, event_id="S240112e").to_json(), "published": NOW.isoformat()}
    for _ in range(3):
        target.send(item("v2", noise))
    first = item("v2", payload)
    progress = target.prepare(first)
    written = target.send(first)
    heir = destination(topic_url)
    found = heir.send(item("v2", payload, attempts=2, progress=progress))
    assert found.already_there
    assert found.reference == written.reference
    assert len(everything_on(topic_url)) == 4
    # Without an earlier message the second attempt writes it.
    other = {"alert": replace(FULL, event_id="S240114aj").to_json(), "published": NOW.isoformat()}
    assert not heir.send(item("v2", other, attempts=2, progress=heir.prepare(first))).already_there
    assert len(everything_on(topic_url)) == 5


def test_no_broker_is_an_outage() -> None:
    """Nobody there: transient, within the time limit, and the producer that holds the message is thrown away."""
    target = destination("kafka://127.0.0.1:1/t", timeout_s=1.0)
    with pytest.raises(UncertainError, match="hop"):
        target.send(item("v2", {"alert": FULL.to_json(), "published": NOW.isoformat()}))
    assert target._producer is None


@pytest.mark.parametrize(
    "url", ["http://x/t", "kafka://x", "kafka://x/a,b", "kafka://a,b/t", "kafka://u:pw@x/t", "kafka://x/a/b"]
)
def test_addresses_that_cannot_be(url: str) -> None:
    """A wrong address is refused before anything is sent, and a password in it is not repeated."""
    with pytest.raises(ConfigurationError) as caught:
        destination(url)
    assert "pw" not in str(caught.value)


def test_preview_calls_nothing() -> None:
    """The dry run shows topic, headers and body without a connection."""
    target = destination("kafka://127.0.0.1:1/t")
    draft = Draft("hop", "v2", "k", "S230518h", {"alert": FULL.to_json(), "published": NOW.isoformat()})
    shown = target.preview(draft)
    assert shown["topic"] == "t"
    assert shown["headers"]["_id"] == derived.message_id(FULL).hex
    assert shown["body"] == FULL.to_json()


@needs_alerts
def test_a_retraction_withdraws_every_message(topic_url: str, tmp_path: Path) -> None:
    """Each message of the event, v1 and v2, gets one withdrawal by its id; repeating adds none; latecomers stay out."""
    config = DestinationConfig("hop", "hopskotch", EVERYTHING, {"url": topic_url, "formats": ["v1", "v2"]})
    archive = new_archive(f"sqlite:///{tmp_path / 'a.db'}")
    send = publisher(archive, destination(topic_url))
    bodies = [p.read_bytes() for p in ALERTS.glob("MS181101ab*.json")]
    bodies.sort(key=lambda body: str(json.loads(body)["time_created"]))
    *alive, retraction = bodies
    late = alive.pop(0)
    decide_all(archive, take_in(archive, alive), config)
    score = derived.CandidateScore("AT2017gfo", 197.45, -23.38, 57983.1, 0.9, 0.1)
    alert = derived.DerivedAlert(derived.DerivedKind.CANDIDATE, "MS181101ab", candidate=score)
    assert len(enqueue_candidate(archive, [config], alert, NOW)) == 2
    assert len(enqueue_candidate(archive, [config], alert, NOW)) == 2
    send.run("hop")
    for start in (10, 20):
        decide_all(archive, take_in(archive, [retraction], start=start), config)
        send.run("hop")
    decide_all(archive, take_in(archive, [late], start=30), config)
    send.run("hop")
    messages = everything_on(topic_url)
    bodies_out = [json.loads(m.value()) for m in messages]
    ids = [dict(m.headers())["_id"] for m in messages]
    assert len(set(ids)) == len(ids)
    withdrawn = [b["retracts"] for b in bodies_out if b.get("kind") == "retraction"]
    sent = {
        dict(m.headers())["id"].decode().replace("-", "")
        for m, b in zip(messages, bodies_out, strict=True)
        if b.get("kind") != "retraction"
    }
    assert len(sent) == len(archive.versions()) - 2 + 2
    assert sorted(w.replace("-", "") for w in withdrawn) == sorted(sent)
    assert {p.state for p in all_publications(archive)} == {State.DONE}
    assert all("_test" in dict(m.headers()) for m in messages)


def test_with_a_credential(kafka: Any) -> None:
    """Over SASL the user name is the sender, and the look before a second try works with the same credential."""
    from hop.auth import Auth, SASLMethod

    topic = f"publish-{next(_topics)}"
    kafka.create_topic(topic)
    auth = Auth("alice", kafka.passwords["alice"], ssl=False, method=SASLMethod.SCRAM_SHA_512)
    url = f"kafka://{kafka.sasl_bootstrap}/{topic}"
    target = HopskotchDestination("hop", url, auth=auth, timeout_s=20.0)
    payload = {"alert": FULL.to_json(), "published": NOW.isoformat()}
    progress = target.prepare(item("v2", payload))
    target.send(item("v2", payload, progress=progress))
    assert target.send(item("v2", payload, attempts=2, progress=progress)).already_there
    (message,) = everything_on(f"kafka://{kafka.bootstrap}/{topic}")
    assert dict(message.headers())["_sender"] == b"alice"
    wrong = Auth("alice", "not-the-password", ssl=False, method=SASLMethod.SCRAM_SHA_512)
    refused = HopskotchDestination("hop", url, auth=wrong, timeout_s=2.0, verify=False)
    with pytest.raises(UncertainError) as caught:
        refused.send(item("v2", payload))
    assert "not-the-password" not in str(caught.value)
