"""The archive on SQLite and PostgreSQL: recording is idempotent, numbers are unique, the schema is the migrated one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from mma_pipeline.adapters.archive import Archive, ProductRecord, decisions, outbox, reading, writing
from mma_pipeline.adapters.archive.alerts import insert_versions
from mma_pipeline.adapters.archive.database import open_engine
from mma_pipeline.adapters.archive.migrate import current_revision, head_revision, migrate
from mma_pipeline.adapters.archive.photometry import PhotometryArchive
from mma_pipeline.adapters.archive.publications import State
from mma_pipeline.adapters.archive.quarantine import quarantined
from mma_pipeline.adapters.archive.schema import metadata
from mma_pipeline.adapters.errors import NotFoundError, PermanentError, TransientError
from mma_pipeline.adapters.kafka.message import StreamMessage
from mma_pipeline.cli import app
from mma_pipeline.notices.key import EventVersion
from tests import older_archive

NOW = datetime(2024, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'archive.db'}"
    else:
        yield request.getfixturevalue("postgres_url")
    open_engine.cache_clear()


@pytest.fixture
def archive(url: str) -> Iterator[Archive]:
    """An archive at this code's schema."""
    opened = Archive(url, create=True)
    yield opened
    opened.engine.dispose()


def message(offset: int = 0, data: bytes = b"body", **changes: object) -> StreamMessage:
    """A message with every field set."""
    values = {
        "stream": "gcn-gwalert",
        "topic": "igwn.gwalert",
        "partition": 2,
        "offset": offset,
        "body": data,
        "key": b"\x00key",
        "headers": (("_id", b"\xff\x00"), ("_id", b"twice")),
        "broker_time": NOW,
        "received": NOW + timedelta(seconds=1, milliseconds=5),
    }
    return StreamMessage(**(values | changes))


def version(number: int = 0, event: str = "S240301a", label: str = "Preliminary") -> EventVersion:
    """One of many versions of an event."""
    return EventVersion(event, NOW + timedelta(minutes=number), label, f"{number:010x}")


def test_message_comes_back_as_it_was(archive: Archive) -> None:
    """A message, with key, repeated headers, times and every byte of its body, is read as it was recorded."""
    sent = message(7, bytes(range(256)) * 5000)
    recorded = archive.record(sent, [(version(), {"far_hz": 1e-9})])
    assert archive.message(recorded.message_id) == sent
    assert archive.origin(recorded.message_id).sha256 == sent.sha256
    assert archive.origin(recorded.message_id).body == b""


def test_recording_twice_changes_nothing(archive: Archive) -> None:
    """The same message recorded again gives the same answer and leaves the same rows."""
    versions = [(version(), {"a": 1}), (version(label="Preliminary-ExtCoinc"), {"a": 2})]
    first = archive.record(message(), versions)
    counts = archive.counts()
    assert archive.record(message(), versions) == first
    assert archive.counts() == counts
    assert first.owned == first.versions
    assert len(first.owned) == 2


def former(archive: Archive, one: EventVersion) -> str:
    """Give an archived version the key that an earlier release gave it; returns that key."""
    today, before = one.possible_keys
    table = metadata.tables["version"]
    with archive.engine.begin() as connection:
        connection.execute(sa.update(table).where(table.c.partition_key == today).values(partition_key=before))
    return before


def test_a_version_of_an_earlier_release_is_found_again(archive: Archive) -> None:
    """The same version by the same or another message, after the upgrade, is the archived one under its former key."""
    one, combined = version(), version(label="Preliminary-ExtCoinc")
    first = archive.record(message(1), [(one, {"a": 1}), (combined, {})])
    keys = [former(archive, one), former(archive, combined)]
    repeated = archive.record(message(1), [(one, {"a": 1}), (combined, {})])
    assert [record.partition_key for record in repeated.versions] == keys
    # A crash before the upgrade repeats the message after it: the run has its former key.
    assert [record.partition_key for record in repeated.owned] == keys
    twin = archive.record(message(2, b"twin"), [(one, {"a": 2}), (combined, {})])
    assert twin.owned == ()
    assert [(r.version, r.number, r.facts) for r in twin.versions] == [
        (r.version, r.number, r.facts) for r in first.versions
    ]
    assert archive.counts()["versions"] == 2
    assert archive.version(keys[0]).version == one
    assert [record.partition_key for record in archive.versions_named(keys[0])] == [keys[0]]
    assert archive.versions_at([*keys, one.partition_key]).keys() == set(keys)


def test_new_versions_of_an_old_event_have_new_keys(archive: Archive) -> None:
    """Numbers go on where the earlier release was, whatever the form of the keys, and arrival decides no key."""
    old, new = version(0), version(1)
    archive.record(message(1), [(old, {})])
    former(archive, old)
    (record,) = archive.record(message(2), [(new, {})]).versions
    assert (record.number, record.partition_key) == (1, new.possible_keys[0])
    # A version made from an archived one, as that of a fetched map, is named as today all the same.
    (parent,) = archive.versions_at([old.possible_keys[1]]).values()
    child = replace(parent.version, label="Preliminary-Map", digest="f" * 10)
    (made,) = archive.record(message(3), [(child, {})]).versions
    assert made.partition_key == child.possible_keys[0]
    assert {r.partition_key for r in archive.versions(old.event_id)} == {
        old.possible_keys[1], new.possible_keys[0], child.possible_keys[0],
    }  # fmt: skip


def test_quarantined_message_of_an_earlier_release(archive: Archive) -> None:
    """A message that is retried after the upgrade and gives a version that is archived under its former key adds none."""
    one = version()
    archive.record(message(1), [(one, {})])
    key = former(archive, one)
    aside = archive.quarantine(message(2, b"unreadable then"), "not JSON")
    with writing(archive.engine) as connection:
        (record,) = insert_versions(connection, [(one, {})], aside)
    assert record.partition_key == key
    assert archive.counts()["versions"] == 1


def test_same_alert_at_another_offset(archive: Archive) -> None:
    """A duplicate is a message of its own, brings no version, and its body is kept once."""
    first = archive.record(message(1), [(version(), {})])
    second = archive.record(message(2), [(version(), {})])
    assert second.message_id != first.message_id
    assert second.versions == first.versions
    assert second.owned == ()
    with archive.engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM body")) == 1


def test_topic_created_anew(archive: Archive) -> None:
    """Another message at the same offset, as in a topic that counts from zero again, is not taken for the old one."""
    one = archive.record(message(0, b"old"), [])
    other = archive.record(message(0, b"new"), [])
    assert one.message_id != other.message_id


def test_numbers_in_order_of_recording(archive: Archive) -> None:
    """Each label of an event counts from zero in order of recording, whatever the creation times say."""
    late, early = version(9), version(1)
    assert archive.record(message(1), [(late, {})]).versions[0].number == 0
    assert archive.record(message(2), [(early, {})]).versions[0].number == 1
    assert archive.record(message(3), [(version(label="Update"), {})]).versions[0].number == 0
    assert archive.record(message(4), [(version(event="S240301b"), {})]).versions[0].number == 0
    assert str(archive.version(early.partition_key).stem) == "S240301a-Preliminary1"


def test_numbers_when_many_record_at_once(archive: Archive, url: str) -> None:
    """Threads with engines of their own, recording versions of one event at once, get all numbers once."""
    workers, each = 4, 6
    failures: list[BaseException] = []
    barrier = threading.Barrier(workers)

    def work(worker: int) -> None:
        own = Archive.__new__(Archive)
        own.engine = open_engine.__wrapped__(url)
        barrier.wait()
        try:
            for n in range(each):
                mine = version(worker * each + n)
                own.record(message(worker * each + n, f"{worker} {n}".encode()), [(mine, {}), (version(1000), {})])
        except BaseException as error:  # noqa: BLE001 - shown by the assertion in the main thread
            failures.append(error)
        finally:
            own.engine.dispose()

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    numbers = sorted(record.number for record in archive.versions("S240301a"))
    assert numbers == list(range(workers * each + 1))


def test_text_is_cleaned_on_the_way_in_and_out(archive: Archive) -> None:
    """Text that cannot be encoded is replaced when it is written, and when it is read from a row that is older."""
    dirty, clean = (
        {"pipeline": "sp\ud800ir", "degraded": ["\x1b[31m"]},
        {"pipeline": "sp\ufffdir", "degraded": ["\ufffd[31m"]},
    )
    (written,) = archive.record(message(1), [(version(1), dirty)]).versions
    assert written.facts == clean
    with archive.engine.begin() as connection:
        stored = connection.execute(sa.text("SELECT facts FROM version")).scalar_one()
        assert "ud800" not in str(stored)
        connection.execute(sa.text("UPDATE version SET facts = :old"), {"old": '{"pipeline": "sp\\ud800ir"}'})
    assert archive.version(written.partition_key).facts == {"pipeline": "sp\ufffdir"}
    archive.quarantine(message(2), "what\ud800 it says")
    assert archive.quarantined()[0][2] == "what\ufffd it says"


def test_quarantine(archive: Archive) -> None:
    """A message put aside keeps its bytes and reason, newest first, and counts once however often it is put aside."""
    archive.quarantine(message(1, b"one"), "not JSON")
    first = archive.quarantine(message(2, b"two"), "empty")
    assert archive.quarantine(message(2, b"two"), "empty") == first
    assert [(m.body, reason) for _, m, reason in archive.quarantined()] == [(b"two", "empty"), (b"one", "not JSON")]
    assert len(archive.quarantined(limit=1)) == 1
    assert archive.counts() == {"messages": 2, "versions": 0, "products": 0, "quarantined": 2}


def _product(partition_key: str, **changes: object) -> ProductRecord:
    values = {
        "partition_key": partition_key,
        "name": "skymap",
        "asset": "skymap",
        "store_key": "fit/x.fits.gz",
        "sha256": "a" * 64,
        "size": 2**33,
        "content_type": "application/gzip",
        "code_version": "1",
        "address": "b" * 64,
        "statistics": {"area_90_deg2": 12.5, "list": [1, None]},
        "written": NOW,
    }
    return ProductRecord(**(values | changes))


def test_products(archive: Archive) -> None:
    """A file's record comes back as written, replaces an earlier one of its name, and is found by its address."""
    (record,) = archive.record(message(), [(version(), {})]).versions
    first = _product(record.partition_key)
    archive.record_product(first)
    assert archive.products(record.partition_key) == [first]
    newer = _product(record.partition_key, sha256="c" * 64)
    archive.record_product(newer)
    assert archive.product(record.partition_key, "skymap") == newer
    assert archive.products_at("b" * 64) == [newer]
    assert archive.product(record.partition_key, "other") is None
    assert archive.products_at("d" * 64) == []
    # All files of a product at once: what it had and has no more goes, other products' files stay.
    key = record.partition_key
    both = [_product(key, name=name, asset="pairs") for name in ("pairs", "map")]
    archive.record_products(both)
    archive.record_products(both[:1])
    assert archive.products(key) == [both[0], newer]


def test_what_is_not_there(archive: Archive) -> None:
    """Asking for a version or message that was never archived says so, and what to do."""
    with pytest.raises(NotFoundError, match="replay its alert"):
        archive.version(version().partition_key)
    with pytest.raises(NotFoundError, match="no message 99"):
        archive.message(99)
    with pytest.raises(NotFoundError, match="no message 99"):
        archive.origin(99)


def test_times_come_back_in_utc(archive: Archive) -> None:
    """A time with another zone is kept as the same instant; a time without zone is refused."""
    local = NOW.astimezone(timezone(timedelta(hours=5)))
    recorded = archive.record(message(1, received=local, broker_time=None), [])
    found = archive.message(recorded.message_id)
    assert found.received == NOW
    assert found.received.tzinfo is UTC
    assert found.broker_time is None
    with pytest.raises(sa.exc.StatementError, match="without a time zone"):
        archive.record(message(2, received=datetime(2024, 1, 1)), [])  # noqa: DTZ001


def test_migrated_schema_is_the_declared_one(url: str) -> None:
    """From an empty database, the migrations give exactly the tables that the code declares; again they do nothing."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    engine = open_engine(url)
    migrate(engine)
    migrate(engine)
    assert current_revision(engine) == head_revision()
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "target_metadata": metadata, "version_table": "mma_alembic_version"}
        )
        assert compare_metadata(context, metadata) == []


def test_an_archive_of_the_previous_release_migrates(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """After `mma archive migrate` every partition, product, publication, decision, measurement and score is there."""
    engine = older_archive.make(url)
    monkeypatch.setenv("MMA_ARCHIVE_URL", url)
    for _ in range(2):
        assert CliRunner().invoke(app, ["archive", "migrate"]).exit_code == 0
    assert current_revision(engine) == head_revision()
    archive = Archive(url)
    keys, event = older_archive.KEYS, older_archive.EVENT
    assert [record.partition_key for record in archive.versions(event)] == keys
    assert all(record.facts == older_archive.FACTS for record in archive.versions(event))
    products = archive.products_of(keys)
    assert [[p.name for p in products[key]] for key in keys] == [["flat_skymap", "skymap"]] * 2
    assert {p.statistics["area_90_deg2"] for written in products.values() for p in written} == {31.5}
    assert [archive.message(number).body for number in (1, 2, 3)] == older_archive.BODIES
    assert [(found.event_id, found.reason) for found in quarantined(archive)] == [(event, "not JSON")]
    photometry = PhotometryArchive(archive)
    assert [m.measurement.mjd for m in photometry.measurements("AT2024abc")] == [60370.25]
    assert photometry.latest_scores(event)[0]["p_phot"] == 0.5
    with reading(engine) as connection:
        assert set(decisions.decided(connection, keys)) == set(keys)
        waiting, sent = outbox.publications(connection, event_id=event)
        assert (waiting.partition_key, waiting.state) == (keys[0], State.PENDING)
        assert (sent.partition_key, sent.answer) == (keys[1], {"reference": "gw_alert 7"})
        assert [item.id for item in outbox.due(connection)] == [waiting.id]


def test_quarantine_from_before_is_filled_in(url: str) -> None:
    """The migration that brought events to quarantined messages reads them from the bytes that were kept."""
    from alembic import command

    from mma_pipeline.adapters.archive.migrate import _config

    archive = Archive(url, create=True)
    bodies = (b'{"superevent_id": "S240301b", "ev', b'{"superevent_id": "MS240301c"}', b"nothing")
    for offset, data in enumerate(bodies):
        archive.quarantine(message(offset, data), "cannot be used")
    archive.record(message(9), [])
    with archive.engine.begin() as connection:
        command.downgrade(_config(connection), "0004")
    assert current_revision(archive.engine) == "0004"
    migrate(archive.engine)
    found = [(entry.event_id, entry.rehearsal, entry.solved) for entry in quarantined(archive)]
    assert found == [(None, False, None), ("MS240301c", True, None), ("S240301b", False, None)]


def test_old_or_missing_schema_is_a_clear_error(url: str) -> None:
    """An empty database says so; an older one is refused with the command to run, and left as it is."""
    with pytest.raises(NotFoundError, match="nothing has been archived there yet"):
        Archive(url)
    Archive(url, create=True)
    engine = open_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE mma_alembic_version SET version_num = '0000'"))
    for create in (False, True):
        with pytest.raises(PermanentError, match=r"is at schema 0000, this code needs \d{4}.*mma archive migrate"):
            Archive(url, create=create)
    assert current_revision(engine) == "0000"


def test_database_of_newer_code_is_refused(url: str) -> None:
    """A database that newer code migrated is not touched: the error says that this code is older."""
    Archive(url, create=True)
    engine = open_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE mma_alembic_version SET version_num = '9999'"))
    for create in (False, True):
        with pytest.raises(PermanentError, match="9999"):
            Archive(url, create=create)


def test_wrong_url_does_not_show_the_password() -> None:
    """A URL that cannot be read is refused without repeating it."""
    with pytest.raises(PermanentError) as refusal:
        open_engine("postgres//me:hunter2@db/archive")
    assert "hunter2" not in str(refusal.value)


def test_database_away_is_transient() -> None:
    """A PostgreSQL that does not answer is TransientError, without the password in its text or chain's head."""
    from mma_pipeline.adapters.archive import reading
    from tests.services.process import free_ports

    (port,) = free_ports(1)
    engine = open_engine(f"postgresql://me:hunter2@127.0.0.1:{port}/none")
    with pytest.raises(TransientError) as failure, reading(engine):
        pass
    assert "hunter2" not in str(failure.value)
    assert "hunter2" not in str(failure.value.__cause__)
