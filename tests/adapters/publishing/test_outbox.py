"""The outbox on SQLite and PostgreSQL: once, in order, safe for several publishers, surviving those that die."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from mma_pipeline.adapters.archive import Archive, outbox, reading, writing
from mma_pipeline.adapters.errors import PermanentError
from mma_pipeline.adapters.publishing.model import Answer, Draft, State

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LEASE = {"lease_s": 60.0, "settle_s": 10.0}


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[sa.Engine]:
    """An empty archive's database."""
    url = f"sqlite:///{tmp_path / 'a.db'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
    archive = Archive(url, create=True)
    yield archive.engine
    archive.engine.dispose()


def draft(key: str, event: str = "S230518h", *, provisional: bool = False, destination: str = "gwtm") -> Draft:
    """A draft with a payload that names it."""
    return Draft(destination, "alert", key, event, {"key": key, "provisional": provisional}, None, provisional)


def put(engine: sa.Engine, *drafts: Draft, hold_s: float = 0.0) -> None:
    """Enqueue in one transaction."""
    with writing(engine) as connection:
        for one in drafts:
            outbox.enqueue(connection, one, NOW, hold_s=hold_s)


def take(engine: sa.Engine, now: datetime = NOW) -> tuple[str, str] | None:
    """Claim; the key and the token."""
    with writing(engine) as connection:
        claimed = outbox.claim(connection, "gwtm", now, **LEASE)
    return None if claimed is None else (claimed[0].dedupe_key, claimed[1])


def test_same_key_is_enqueued_once(engine: sa.Engine) -> None:
    """A second draft with a key that is there changes nothing, not even its payload."""
    put(engine, draft("a"))
    with writing(engine) as connection:
        assert not outbox.enqueue(connection, Draft("gwtm", "alert", "a", "S230518h", {"other": 1}), NOW)
        assert outbox.enqueue(connection, draft("a", destination="hop"), NOW)
    with reading(engine) as connection:
        assert [p.payload["key"] for p in outbox.publications(connection, destination="gwtm")] == ["a"]


def test_rolled_back_with_its_decision(engine: sa.Engine) -> None:
    """Decision and publication are written together or not at all."""

    def die_half_way() -> None:
        with writing(engine) as connection:
            outbox.record_decision(connection, "gwtm", "key", "S230518h", accepted=True, reasons=[], now=NOW)
            outbox.enqueue(connection, draft("a"), NOW)
            raise RuntimeError("the process dies here")

    with pytest.raises(RuntimeError):
        die_half_way()
    with reading(engine) as connection:
        assert outbox.publications(connection) == []
        assert not outbox.is_decided(connection, "gwtm", "key")


def test_one_event_goes_in_order_and_others_pass(engine: sa.Engine) -> None:
    """While one publication of an event is open, the next of that event waits; other events do not."""
    put(engine, draft("a1"), draft("a2"), draft("b1", "S240112e"))
    first, second = take(engine), take(engine)
    assert first is not None
    assert second is not None
    assert (first[0], second[0], take(engine)) == ("a1", "b1", None)


def test_a_failed_one_lets_the_next_go(engine: sa.Engine) -> None:
    """A publication that was given up holds up nothing."""
    put(engine, draft("a1"), draft("a2"))
    with writing(engine) as connection:
        claimed = outbox.claim(connection, "gwtm", NOW, **LEASE)
        assert claimed is not None
        outbox.fail(connection, *claimed, "no", NOW)
    following = take(engine)
    assert following is not None
    assert following[0] == "a2"


def test_a_dead_publisher_is_replaced_after_lease_and_settling(engine: sa.Engine) -> None:
    """Nobody takes over before lease and settling time have passed; then somebody does, and the dead one's late
    answer is refused."""
    put(engine, draft("a"))
    with writing(engine) as connection:
        dead = outbox.claim(connection, "gwtm", NOW, **LEASE)
    assert dead is not None
    assert take(engine, NOW + timedelta(seconds=69)) is None
    with writing(engine) as connection:
        heir = outbox.claim(connection, "gwtm", NOW + timedelta(seconds=70), **LEASE)
    assert heir is not None
    assert (heir[0].dedupe_key, heir[0].attempts) == ("a", 2)
    with pytest.raises(PermanentError, match="taken over"), writing(engine) as connection:
        outbox.finish(connection, *dead, Answer("1"), NOW)
    with writing(engine) as connection:
        outbox.finish(connection, *heir, Answer("2"), NOW)
    with reading(engine) as connection:
        (row,) = outbox.publications(connection)
    assert (row.state, row.answer["reference"]) == (State.DONE, "2")


def test_full_payload_takes_the_place_of_a_provisional_one(engine: sa.Engine) -> None:
    """Held back until its time, completed by its own decision at once, and left alone once it was tried."""
    put(engine, draft("a", provisional=True), hold_s=600)
    assert take(engine) is None
    put(engine, draft("a"))
    with reading(engine) as connection:
        (row,) = outbox.publications(connection)
    assert row.payload == {"key": "a", "provisional": False}
    assert take(engine) is not None
    put(engine, draft("b", "S240112e", provisional=True))
    assert take(engine) is not None
    put(engine, draft("b", "S240112e"))
    with reading(engine) as connection:
        (tried,) = outbox.publications(connection, event_id="S240112e")
    assert tried.payload["provisional"] is True


def test_publishers_at_once_never_share_a_publication(engine: sa.Engine) -> None:
    """Four threads drain thirty publications of ten events: each is claimed once, and in order within its event."""
    put(engine, *(draft(f"{event}-{n}", f"S2305{event:02d}a") for n in range(3) for event in range(10)))
    taken: list[str] = []
    lock = threading.Lock()

    def drain() -> None:
        misses = 0
        while misses < 40:
            with writing(engine) as connection:
                claimed = outbox.claim(connection, "gwtm", NOW, **LEASE)
            if claimed is None:
                misses += 1
                threading.Event().wait(0.005)
                continue
            with lock:
                taken.append(claimed[0].dedupe_key)
            with writing(engine) as connection:
                outbox.finish(connection, *claimed, Answer("x"), NOW)

    threads = [threading.Thread(target=drain) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert Counter(taken) == Counter({f"{e}-{n}": 1 for e in range(10) for n in range(3)})
    for event in range(10):
        assert [key for key in taken if key.startswith(f"{event}-")] == [f"{event}-{n}" for n in range(3)]


def test_retry_is_for_what_failed(engine: sa.Engine) -> None:
    """Only a person's word brings a failed publication back, with a fresh count of attempts."""
    put(engine, draft("a"))
    with pytest.raises(PermanentError, match="only a failed one"), writing(engine) as connection:
        outbox.retry(connection, 1, NOW)
    with writing(engine) as connection:
        claimed = outbox.claim(connection, "gwtm", NOW, **LEASE)
        assert claimed is not None
        outbox.fail(connection, *claimed, "no", NOW)
        outbox.retry(connection, claimed[0].id, NOW)
    with reading(engine) as connection:
        (row,) = outbox.publications(connection)
    assert (row.state, row.attempts, row.error) == (State.PENDING, 0, None)


def test_migrated_schema_is_the_declared_one(engine: sa.Engine) -> None:
    """The migration makes the tables that the code declares: columns, nullability and unique keys."""
    inspector = sa.inspect(engine)
    for table in (outbox.publication, outbox.decision):
        found = {c["name"]: c["nullable"] for c in inspector.get_columns(table.name)}
        assert found == {c.name: bool(c.nullable) for c in table.columns}
        indexes = {i["name"] for i in inspector.get_indexes(table.name)}
        assert {str(i.name) for i in table.indexes} <= indexes
