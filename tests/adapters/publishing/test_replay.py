"""All real alerts again and again, in order and shuffled: the same messages on the topic and the same names."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mma_pipeline.adapters.archive import Archive
from mma_pipeline.adapters.archive.publications import State
from mma_pipeline.adapters.kafka.embedded import EmbeddedKafka
from mma_pipeline.adapters.publishing.config import DestinationConfig
from tests.adapters.publishing.helpers import (
    EVERYTHING,
    alert_files,
    all_publications,
    decide_all,
    needs_alerts,
    publisher,
    take_in,
)
from tests.adapters.publishing.test_hopskotch import destination, everything_on
from tests.homes import new_archive

pytestmark = needs_alerts


@pytest.fixture
def topics() -> Iterator[list[str]]:
    """Addresses of four empty topics on an embedded Kafka."""
    with EmbeddedKafka() as kafka:
        names = [f"derived-{n}" for n in range(4)]
        for name in names:
            kafka.create_topic(name)
        yield [f"kafka://{kafka.bootstrap}/{name}" for name in names]


def publish(archive: Archive, url: str, bodies: list[bytes], start: int = 0) -> None:
    """Take alerts in, decide about their versions one by one, and send each time what is due."""
    config = DestinationConfig("hop", "hopskotch", EVERYTHING, {"url": url, "formats": ["v1", "v2"]})
    sender = publisher(archive, destination(url))
    for offset, body in enumerate(bodies, start=start):
        decide_all(archive, take_in(archive, [body], start=offset), config)
        sender.run("hop")


def sent(url: str) -> list[tuple[bytes, bytes]]:
    """Id and bytes of every message on a topic, sorted."""
    return sorted((dict(m.headers())["_id"], m.value()) for m in everything_on(url))


def standing(url: str) -> dict[str, dict[str, Any]]:
    """By version, the messages that no later one withdraws, without the name that counts arrivals."""
    messages = [json.loads(value) for _, value in sent(url)]
    withdrawn = {message["retracts"] for message in messages if message["kind"] == "retraction"}
    found = {}
    for message in messages:
        if message["kind"] == "version" and message["id"] not in withdrawn:
            key = message["version"]["partition_key"]
            assert key not in found
            del message["version"]["file_stem"], message["id"]
            del message["products"]  # their addresses hold the same name
            found[key] = message
    return found


def test_a_replay_sends_nothing_again(tmp_path: Path, topics: list[str]) -> None:
    """Twice in order and once shuffled into one archive: as many messages, with the same bytes, as after the first time."""
    bodies = [p.read_bytes() for p in alert_files()]
    archive = new_archive(f"sqlite:///{tmp_path / 'a.db'}")
    publish(archive, topics[0], bodies)
    first, names = sent(topics[0]), sorted(str(v.stem) for v in archive.versions())
    assert len({one for one, _ in first}) == len(first) > 20
    publish(archive, topics[0], bodies, start=100)
    publish(archive, topics[0], random.Random(20170817).sample(bodies, len(bodies)), start=200)
    assert sent(topics[0]) == first
    assert sorted(str(v.stem) for v in archive.versions()) == names
    assert {p.state for p in all_publications(archive)} == {State.DONE}


def test_what_stands_in_the_end_does_not_depend_on_the_order(tmp_path: Path, topics: list[str]) -> None:
    """In whatever order the alerts come, the same versions stand, with the same content; retracted events have none."""
    bodies = [p.read_bytes() for p in alert_files()]
    found = []
    for number, url in enumerate(topics[1:]):
        archive = new_archive(f"sqlite:///{tmp_path / f'{number}.db'}")
        publish(archive, url, random.Random(number).sample(bodies, len(bodies)) if number else bodies)
        found.append(standing(url))
    assert found[0] == found[1] == found[2]
    retracted = {json.loads(b)["superevent_id"] for b in bodies if b.startswith(b"{") and b'"RETRACTION"' in b}
    assert retracted
    assert {message["event_id"] for message in found[0].values()}.isdisjoint(retracted)
    assert found[0]
