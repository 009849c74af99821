"""The outbox on SQLite and PostgreSQL: once, in order, safe for several publishers, surviving those that die."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from mma_pipeline.adapters.archive import decisions, outbox, reading, schema, writing
from mma_pipeline.adapters.archive.publications import Answer, Draft, State
from mma_pipeline.adapters.errors import PermanentError
from tests.homes import new_archive

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LEASE = {"lease_s": 60.0, "settle_s": 10.0}


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[sa.Engine]:
    """An empty archive's database."""
    url = f"sqlite:///{tmp_path / 'a.db'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
    archive = new_archive(url)
    yield archive.engine
    archive.engine.dispose()


def draft(key: str, event: str = "S230518h", *, provisional: bool = False, destination: str = "gwtm") -> Draft:
    """A draft with a payload that names it."""
    payload = {"key": key, "provisional": provisional}
    return Draft(destination, "alert", key, event, payload, None, provisional, "alert Update")


def put(engine: sa.Engine, *drafts: Draft) -> None:
    """Enqueue in one transaction."""
    with writing(engine) as connection:
        for one in drafts:
            outbox.enqueue(connection, one, NOW)


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
            decisions.record_decision(connection, "gwtm", "key", "S230518h", accepted=True, reasons=[], now=NOW)
            outbox.enqueue(connection, draft("a"), NOW)
            raise RuntimeError("the process dies here")

    with pytest.raises(RuntimeError):
        die_half_way()
    with reading(engine) as connection:
        assert outbox.publications(connection) == []
        assert decisions.decisions(connection, "S230518h") == []


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
    """A place that is kept is never sent, however long it lasts; its own decision completes it, before what is behind."""
    put(engine, draft("a", provisional=True), draft("b"))
    assert take(engine, NOW + timedelta(days=3)) is None
    with reading(engine) as connection:
        assert outbox.due(connection, NOW + timedelta(days=3)) == []
    put(engine, draft("a"))
    with reading(engine) as connection:
        first, _ = outbox.publications(connection)
        assert [row.dedupe_key for row in outbox.due(connection, NOW)] == ["a"]
    assert first.payload == {"key": "a", "provisional": False}
    taken = take(engine)
    assert taken is not None
    assert taken[0] == "a"
    put(engine, draft("a"))
    with reading(engine) as connection:
        assert len(outbox.publications(connection)) == 2


def test_a_bare_message_not_yet_tried_is_completed_in_its_place(engine: sa.Engine) -> None:
    """What nobody has begun to send is replaced; what was tried stays as it was sent."""
    bare, whole = {"bare": True}, {"whole": True}
    put(engine, Draft("hop", "v2", "a", "S230518h", bare), Draft("hop", "v2", "b", "S230518h", bare))
    with writing(engine) as connection:
        claimed = outbox.claim(connection, "hop", NOW, **LEASE)
        assert claimed is not None
        outbox.postpone(connection, *claimed, "no answer", NOW)
    put(engine, Draft("hop", "v2", "a", "S230518h", whole), Draft("hop", "v2", "b", "S230518h", whole))
    with reading(engine) as connection:
        assert [row.payload for row in outbox.publications(connection)] == [bare, whole]


def test_only_a_sequence_keeps_an_order(engine: sa.Engine) -> None:
    """Rows of one kind wait for each other, a list for the row that it belongs to; a retraction passes all of them."""
    row = {"destination": "gwtm", "event_id": "S230518h", "payload": {}}
    put(
        engine,
        Draft(kind="alert", dedupe_key="u0", sequence="alert Update", **row),
        Draft(kind="galaxies", dedupe_key="g0", sequence="galaxies", after="u0", **row),
        Draft(kind="alert", dedupe_key="u1", sequence="alert Update", **row),
        Draft(kind="galaxies", dedupe_key="g1", sequence="galaxies", after="u1", **row),
        Draft(kind="icecube", dedupe_key="n", **row),
        Draft(kind="alert", dedupe_key="r", sequence="alert Retraction", **row),
    )
    with reading(engine) as connection:
        assert [item.dedupe_key for item in outbox.due(connection, NOW)] == ["u0", "n", "r"]
    with writing(engine) as connection:
        first = outbox.claim(connection, "gwtm", NOW, **LEASE)
        assert first is not None
        outbox.finish(connection, *first, Answer("1"), NOW)
    # The list is stuck, the next row goes all the same, and its list waits for the first.
    with writing(engine) as connection:
        listed = outbox.claim(connection, "gwtm", NOW, **LEASE)
        assert listed is not None
        assert listed[0].dedupe_key == "g0"
        outbox.postpone(connection, *listed, "500", NOW + timedelta(hours=1))
    with reading(engine) as connection:
        assert [item.dedupe_key for item in outbox.due(connection, NOW)] == ["u1", "n", "r"]


def test_what_waited_is_due_when_it_need_not_wait_any_more(engine: sa.Engine) -> None:
    """A row that found its turn not come is looked at less and less often, and at once when the one before is done."""
    put(engine, draft("a"), draft("b"))
    with writing(engine) as connection:
        first = outbox.claim(connection, "gwtm", NOW, **LEASE)
        assert first is not None
        outbox.fail(connection, *first, "refused", NOW)
        waiting = outbox.claim(connection, "gwtm", NOW, **LEASE)
        assert waiting is not None
        outbox.postpone(connection, *waiting, "not its turn", NOW + timedelta(minutes=10), counts=False)
        assert outbox.due(connection, NOW) == []
        assert outbox.retry_failed(connection, NOW) == [first[0].id]
        again = outbox.claim(connection, "gwtm", NOW, **LEASE)
        assert again is not None
        outbox.finish(connection, *again, Answer("1"), NOW)
        (row,) = outbox.due(connection, NOW)
    assert (row.dedupe_key, row.attempts, row.progress) == ("b", 0, {outbox.WAITS: 1})


def test_failed_ones_are_put_back_together(engine: sa.Engine) -> None:
    """All, those of a destination, or those that failed since a time; what was not given up is left alone."""
    put(engine, draft("a"), draft("b", "S240112e"), draft("c", destination="hop"), draft("d", "S240109a"))
    for number, destination in enumerate(("gwtm", "gwtm", "hop")):
        with writing(engine) as connection:
            claimed = outbox.claim(connection, destination, NOW, **LEASE)
            assert claimed is not None
            outbox.fail(connection, *claimed, "no", NOW + timedelta(hours=number))
    with writing(engine) as connection:
        assert outbox.retry_failed(connection, NOW, since=NOW + timedelta(hours=1), destination="gwtm") == [2]
        assert outbox.retry_failed(connection, NOW, destination="hop") == [3]
        assert outbox.retry_failed(connection, NOW) == [1]
        assert outbox.retry_failed(connection, NOW) == []


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
    for table in (schema.publication, schema.decision, schema.block):
        found = {c["name"]: c["nullable"] for c in inspector.get_columns(table.name)}
        assert found == {c.name: bool(c.nullable) for c in table.columns}
        indexes = {i["name"] for i in inspector.get_indexes(table.name)}
        assert {str(i.name) for i in table.indexes} <= indexes


def test_a_destination_is_away_until_it_takes_something(engine: sa.Engine) -> None:
    """From a failed attempt that is to be repeated until something written later gets through; waiting for another is none."""

    def away(name: str = "gwtm") -> bool:
        with reading(engine) as connection:
            return outbox.is_away(connection, name)

    put(engine, draft("a"), draft("b", "S240112e"), draft("a", destination="hop"))
    assert not away()
    with writing(engine) as connection:
        claimed = outbox.claim(connection, "gwtm", NOW, **LEASE)
        assert claimed is not None
        outbox.postpone(connection, *claimed, "its turn has not come", NOW, counts=False)
    assert not away()
    with writing(engine) as connection:
        claimed = outbox.claim(connection, "gwtm", NOW, **LEASE)
        assert claimed is not None
        outbox.postpone(connection, *claimed, "no answer", NOW + timedelta(hours=1))
    assert away()
    assert not away("hop")
    with writing(engine) as connection:
        claimed = outbox.claim(connection, "gwtm", NOW + timedelta(seconds=1), **LEASE)
        assert claimed is not None
        outbox.finish(connection, *claimed, Answer("row 1"), NOW + timedelta(seconds=2))
    assert not away()
