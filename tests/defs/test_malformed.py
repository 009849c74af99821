"""Malformed messages through Kafka and the real sensor: each is put aside with a reason, and nothing else happens."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import dagster as dg
import pytest

from mma_pipeline.adapters.embedded_kafka import EmbeddedKafka
from mma_pipeline.defs.ingest import MAX_REASON, Quarantined
from mma_pipeline.defs.products import expected_files
from tests.defs.malformed import cases, good, strange
from tests.defs.streaming import Streaming, keys_of
from tests.homes import Home, tree

CASES = list(cases())
STRANGE = list(strange())
#: What a person must not have to read.
PROGRAMMERS_WORDS = re.compile(r"Error|Exception|Traceback|NoneType|<class|object at 0x|\bdict\b|\bstr\b|Python|sys\.")


@dataclass
class Stream:
    """What became of a stream with a good alert before and after each malformed one."""

    home: Home
    keys: list[str]
    events: list[dg.AssetMaterialization]
    offsets: dict[str, int]
    before: set[str]


def _event_id(number: int) -> str:
    return f"S240301{chr(97 + number // 26)}{chr(97 + number % 26)}"


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stream]:
    """All messages sent and read by the sensor, tick by tick."""
    top = tmp_path_factory.mktemp("malformed")
    home = Home(top / "a" / "b" / "home")
    with home.active(), EmbeddedKafka() as kafka:
        streaming = Streaming(home, kafka)
        before = tree(top)
        offsets = {}
        streaming.send(good(_event_id(0)))
        for number, (name, data, _) in enumerate(CASES):
            (offsets[name],) = streaming.send(data)
            streaming.send(good(_event_id(number + 1)))
        answers = streaming.ticks(2 * len(CASES) + 1)
        events = [event for answer in answers for event in answer.asset_events]
        yield Stream(home, keys_of(answers), events, offsets, before)


def test_enough_cases() -> None:
    """There are many kinds of malformed messages, all different."""
    assert len(CASES) >= 30
    assert len({data for _, data, _ in CASES}) == len({name for name, _, _ in CASES}) == len(CASES)


def test_every_good_alert_between_them_asks_for_its_run(stream: Stream) -> None:
    """The good alert before and after each malformed message has its run, once and in order; no other run is asked for."""
    assert [key.partition("-")[0] for key in stream.keys] == [_event_id(n) for n in range(len(CASES) + 1)]


@pytest.mark.parametrize(
    ("name", "pattern"), [(name, pattern) for name, _, pattern in CASES], ids=[c[0] for c in CASES]
)
def test_reason_is_understood_by_a_person(stream: Stream, name: str, pattern: str) -> None:
    """The quarantine event of a malformed message gives one plain sentence, and says which message it was."""
    (event,) = [event for event in stream.events if event.metadata["offset"].value == stream.offsets[name]]
    assert event.asset_key == dg.AssetKey("quarantine")
    reason = str(event.metadata["reason"].value)
    assert re.search(pattern, reason)
    assert PROGRAMMERS_WORDS.search(reason) is None, reason
    assert len(reason) <= MAX_REASON
    assert reason.isprintable()


def test_quarantine_keeps_every_byte(stream: Stream) -> None:
    """The archive holds each malformed message byte for byte, under the reason that the event shows."""
    kept = {message.offset: (message.body, reason) for _, message, reason in stream.home.archive.quarantined()}
    assert {offset: body for offset, (body, _) in kept.items()} == {
        stream.offsets[name]: data for name, data, _ in CASES
    }
    shown = {event.metadata["offset"].value: event.metadata["reason"].value for event in stream.events}
    assert shown == {offset: reason for offset, (_, reason) in kept.items()}


def test_nothing_is_written_outside(stream: Stream) -> None:
    """No malformed message makes a file anywhere but in the archive's database, whatever its id says."""
    made = tree(stream.home.folder.parents[2]) - stream.before
    assert {path.removeprefix(str(stream.home.folder)) for path in made} <= {
        *("/archive.db", "/archive.db-wal", "/archive.db-shm")
    }


@pytest.mark.parametrize(("name", "data"), STRANGE, ids=[name for name, _ in STRANGE])
def test_strange_but_valid_alerts_are_processed(home: Home, name: str, data: bytes) -> None:
    """An alert that is odd and valid has its products like any other, all inside the store's folder."""
    before = tree(home.folder.parent)
    for record in home.receive(data):
        result = home.make(record)
        assert result.success, [event.message for event in result.all_events if event.is_failure]
        assert {product.name for product in home.archive.products(record.partition_key)} == expected_files(record)
    made = tree(home.folder.parent) - before
    assert all(path.startswith((str(home.products), str(home.folder / "archive.db"))) for path in made)


def test_unforeseen_failure_of_a_parser_is_quarantined(home: Home) -> None:
    """Even a parser that breaks in a way nobody thought of puts its message aside and stops nothing."""
    from datetime import UTC, datetime

    from mma_pipeline.adapters.message import StreamMessage
    from mma_pipeline.defs.ingest import ingest

    def broken(body: bytes) -> tuple[()]:
        raise ZeroDivisionError("\x00 internal")

    message = StreamMessage("s", "t", 0, 7, b"body", None, (), None, datetime.now(UTC))
    outcome = ingest(home.archive, message, broken)
    assert isinstance(outcome, Quarantined)
    assert "please report" in outcome.reason
    assert PROGRAMMERS_WORDS.search(outcome.reason) is None
