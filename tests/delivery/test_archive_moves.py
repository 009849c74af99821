"""The archive moves between databases, products are rebuilt from it to the same bytes, mock events are forgotten."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa
from astropy.time import Time
from typer.testing import CliRunner

from mma_pipeline.adapters.archive import Archive, ProductRecord
from mma_pipeline.adapters.archive.recent import RecentVersion, recent_versions
from mma_pipeline.adapters.archive.retention import forget
from mma_pipeline.adapters.archive.transfer import export_archive, import_archive
from mma_pipeline.adapters.errors import PermanentError
from mma_pipeline.adapters.kafka.message import StreamMessage
from mma_pipeline.cli import app
from mma_pipeline.cli.backfill import parse_range
from mma_pipeline.cli.materialise import materialise
from mma_pipeline.definitions import defs
from mma_pipeline.defs.alerts.unfinished import SensorTick, request_for, unfinished_versions_sensor, was_requested
from mma_pipeline.defs.operations.retention import remove_expired
from mma_pipeline.defs.resources import ArchiveResource, SettingsResource
from mma_pipeline.notices import lvk
from mma_pipeline.notices.observing_runs import observing_run
from mma_pipeline.products.ingest import ingest, parse_alert
from mma_pipeline.science.simulation.alerts import simulate_event
from tests.homes import Home, instance_for_test, new_archive

DAY = datetime(2023, 6, 1, 12, tzinfo=UTC)


def alerts(superevent_id: str) -> list[bytes]:
    """Two notices of a simulated event: an early warning and one with a combined map."""
    notices = simulate_event(superevent_id, time=DAY, seed=3, max_order=5)
    return [json.dumps(lvk.to_record(notice)).encode() for notice in (notices[0], notices[-1])]


def receive(archive: Archive, bodies: list[bytes], *, received: datetime = DAY, topic: str = "t") -> None:
    """Archive messages as a sensor does."""
    for offset, body in enumerate(bodies):
        ingest(
            archive, StreamMessage("s", topic, 0, offset, body, b"k\xff", (("h", b"\x00"),), DAY, received), parse_alert
        )


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """An archive with a real and a mock event and one malformed message."""
    found = new_archive(f"sqlite:///{tmp_path / 'archive.db'}")
    receive(found, alerts("S230601a"), topic="real")
    receive(found, [*alerts("MS230601a"), b"not json"], topic="mock")
    return found


@pytest.fixture
def deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, archive: Archive) -> Iterator[dg.DagsterInstance]:
    """A Dagster instance beside the archive, and an empty store."""
    monkeypatch.setenv("MMA_ARCHIVE_URL", archive.engine.url.render_as_string(hide_password=False))
    monkeypatch.setenv("MMA_STORE_URL", (tmp_path / "products").as_uri())
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture(scope="module")
def everything_made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a home: a real event with all products, an old and a young mock event with those of some versions."""
    folder = tmp_path_factory.mktemp("made") / "home"
    with _opened(folder) as (home, instance):
        archive = home.archive
        receive(archive, alerts("S230601a"), topic="real")
        receive(archive, [*alerts("MS230601a"), b"not json"], topic="mock")
        receive(archive, alerts("MS230602b"), received=DAY + timedelta(days=40), topic="young")
        mock, young = archive.versions("MS230601a"), archive.versions("MS230602b")
        assert all(materialise(instance, record) for record in (*archive.versions("S230601a"), *mock[:2], young[0]))
    return folder


@pytest.fixture
def filled(everything_made: Path, tmp_path: Path) -> Iterator[tuple[Home, dg.DagsterInstance]]:
    """A copy of that home of the test's own, and its Dagster instance."""
    shutil.copytree(everything_made, tmp_path / "home")
    with _opened(tmp_path / "home") as found:
        yield found


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[tuple[Home, dg.DagsterInstance]]:
    with Home(folder).active() as home, instance_for_test(temp_dir=str(folder)) as instance:
        yield home, instance


@pytest.fixture
def stored(deployment: dg.DagsterInstance, tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """A Dagster instance that knows sensors, too."""
    (tmp_path / "home").mkdir()
    with instance_for_test(temp_dir=str(tmp_path / "home")) as instance:
        yield instance


def rows(archive: Archive) -> dict[str, list[object]]:
    """Every row of every table."""
    with archive.engine.connect() as connection:
        names = sa.inspect(connection).get_table_names()
        return {
            name: sorted(map(repr, connection.execute(sa.text(f'SELECT * FROM "{name}"')).all()))
            for name in sorted(names)
        }


def test_export_and_import_lose_nothing(archive: Archive, tmp_path: Path) -> None:
    """SQLite to SQLite: every row of every table is the same, and so is a second export."""
    first, second = tmp_path / "a.jsonl.gz", tmp_path / "b.jsonl.gz"
    counts = export_archive(archive.engine, first)
    assert counts["message"] == 5
    assert counts["version"] == 6
    other = new_archive(f"sqlite:///{tmp_path / 'other.db'}")
    assert import_archive(other.engine, first) == counts
    assert rows(other) == rows(archive)
    export_archive(other.engine, second)
    assert first.read_bytes() == second.read_bytes()


def test_archive_moves_to_postgresql_and_goes_on(archive: Archive, tmp_path: Path, postgres_url: str) -> None:
    """The laptop's archive moves to the production database, and the next message gets a new number."""
    first, second = tmp_path / "a.jsonl.gz", tmp_path / "b.jsonl.gz"
    export_archive(archive.engine, first)
    other = new_archive(postgres_url)
    import_archive(other.engine, first)
    export_archive(other.engine, second)
    assert first.read_bytes() == second.read_bytes()
    receive(other, [b"again not json"], topic="later")
    assert other.counts()["messages"] == 6


def test_import_needs_an_empty_archive_and_a_whole_file(archive: Archive, tmp_path: Path) -> None:
    """A filled archive, another file and a file that was cut short are refused, and nothing is written."""
    path = tmp_path / "a.jsonl.gz"
    export_archive(archive.engine, path)
    with pytest.raises(PermanentError, match="not empty"):
        import_archive(archive.engine, path)
    empty = new_archive(f"sqlite:///{tmp_path / 'empty.db'}")
    cut = tmp_path / "cut.gz"
    cut.write_bytes(path.read_bytes()[:-200])
    other = tmp_path / "other.gz"
    other.write_bytes(b"no gzip")
    for bad in (cut, other):
        with pytest.raises(PermanentError):
            import_archive(empty.engine, bad)
    assert empty.counts()["messages"] == 0


def test_products_are_rebuilt_to_the_same_bytes(filled: tuple[Home, dg.DagsterInstance], tmp_path: Path) -> None:
    """From a moved archive alone, into another store, every product has the digest that it had."""
    home, instance = filled
    records = home.archive.versions("S230601a")
    before = {(p.partition_key, p.name): p.sha256 for r in records for p in home.archive.products(r.partition_key)}
    assert before
    export_archive(home.archive.engine, tmp_path / "a.gz")
    moved = new_archive(f"sqlite:///{tmp_path / 'moved.db'}")
    import_archive(moved.engine, tmp_path / "a.gz")
    with moved.engine.begin() as connection:  # nothing known to copy from: everything is made again
        connection.execute(sa.text("DELETE FROM product"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMA_ARCHIVE_URL", str(moved.engine.url))
        patch.setenv("MMA_STORE_URL", (tmp_path / "second").as_uri())
        assert all(materialise(instance, record) for record in moved.versions("S230601a"))
    after = {(p.partition_key, p.name): p.sha256 for r in records for p in moved.products(r.partition_key)}
    assert after == before


def test_retention_removes_mock_events_whole_and_keeps_real_ones(filled: tuple[Home, dg.DagsterInstance]) -> None:
    """Files, rows, contents, runs and partitions of old mock events go; a real event and a young mock event stay."""
    home, instance = filled
    archive, store = home.archive, home.store
    versions, files = remove_expired(instance, archive, store, DAY + timedelta(days=1))
    assert versions == 3
    assert files > 0
    left = {record.version.event_id for record in archive.versions()}
    assert left == {"S230601a", "MS230602b"}
    partitions = instance.get_dynamic_partitions("alert_version")
    assert {key.partition("-")[0] for key in partitions} == left
    assert {run.tags["dagster/partition"] for run in instance.get_runs()} == set(partitions)
    assert not [path for path in home.products.rglob("*MS230601a*") if path.is_file()]
    assert not store.exists("mma/MS230601a/index.html")
    assert store.exists("mma/MS230602b/index.html")
    kept: list[ProductRecord] = [p for r in archive.versions() for p in archive.products(r.partition_key)]
    assert all(store.exists(product.store_key) for product in kept)
    with archive.engine.connect() as connection:
        orphans = sa.text("SELECT count(*) FROM body WHERE sha256 NOT IN (SELECT sha256 FROM message)")
        assert connection.scalar(orphans) == 0
    assert archive.counts()["quarantined"] == 1
    assert remove_expired(instance, archive, store, DAY + timedelta(days=1)) == (0, 0)


def test_a_real_event_cannot_be_forgotten(archive: Archive) -> None:
    """Whoever asks: the archive refuses to remove a real event, and removes nothing else in that request."""
    keys = [record.partition_key for record in archive.versions()]
    with pytest.raises(PermanentError, match="real event"):
        forget(archive.engine, keys)
    assert len(archive.versions()) == 6


def test_unfinished_version_gets_another_run(
    archive: Archive, stored: dg.DagsterInstance, deployment: dg.DagsterInstance
) -> None:
    """A version that was archived but never made is asked for once it is overdue, and not while it is finished."""

    def tick() -> object:
        context = dg.build_sensor_context(
            instance=stored, resources={"archive": ArchiveResource(), "settings": SettingsResource()}
        )
        return unfinished_versions_sensor(context)

    assert isinstance(tick(), dg.SkipReason), "2023 is beyond its look back"
    now = datetime.now(UTC)
    receive(archive, alerts("S230603c")[:1], received=now - timedelta(minutes=20), topic="lost")
    receive(archive, alerts("S230604d"), received=now, topic="under way")
    lost = {record.partition_key for record in archive.versions("S230603c")}
    result = tick()
    assert isinstance(result, dg.SensorResult)
    assert {request.partition_key for request in result.run_requests or ()} == lost
    for record in archive.versions("S230603c"):
        assert materialise(deployment, record)
    assert isinstance(tick(), dg.SkipReason)


@pytest.mark.parametrize(
    ("look", "asked"),
    [
        (None, True),
        (SensorTick(running=False, began=None), True),
        (SensorTick(running=True, began=None), False),
        (SensorTick(running=True, began=DAY.timestamp() - 1), False),
        (SensorTick(running=True, began=DAY.timestamp() + 1), True),
    ],
    ids=["no sensor", "stopped", "never well", "tick under way", "a tick later"],
)
def test_unfinished_waits_for_the_tick_that_brought_it(archive: Archive, look: SensorTick | None, asked: bool) -> None:
    """While the stream's sensor may still submit the version's run, the net below it asks for none."""
    (found, *_) = recent_versions(archive, DAY, DAY + timedelta(seconds=1))
    assert was_requested(found, {} if look is None else {"s": look}) is asked


def test_unfinished_leaves_a_run_to_its_retry(archive: Archive, stored: dg.DagsterInstance) -> None:
    """A failed run that Dagster will retry is not doubled; one that it gives up is followed by another."""
    now = datetime.now(UTC)
    receive(archive, alerts("S230603c")[:1], received=now - timedelta(minutes=20), topic="failed")
    (record,) = archive.versions("S230603c")
    run = stored.create_run_for_job(
        defs.resolve_job_def("alert_products"), tags={"dagster/partition": record.partition_key}
    )
    stored.report_run_failed(run)

    def idle(found: RecentVersion) -> dg.RunRequest | None:
        return request_for(stored, found, {"alert"}, datetime.now(UTC) + timedelta(minutes=1))

    (found,) = [one for one in recent_versions(archive, now - timedelta(hours=1), now) if one.record == record]
    asked = idle(found)
    assert asked is not None
    assert asked.partition_key == record.partition_key
    stored.add_run_tags(run.run_id, {"dagster/will_retry": "true"})
    assert idle(found) is None
    stored.add_run_tags(run.run_id, {"dagster/auto_retry_run_id": "0"})
    assert idle(found) is not None


def test_backfill_chooses_by_event_time_and_run(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By event it makes products and a second time changes no digest; by time and by observing run it finds the same."""
    monkeypatch.setenv("MMA_ARCHIVE_URL", str(archive.engine.url))
    monkeypatch.setenv("MMA_STORE_URL", (tmp_path / "products").as_uri())
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    key = min(record.partition_key for record in archive.versions("S230601a"))
    for _ in range(2):
        made = CliRunner().invoke(app, ["backfill", key, "--json"])
        assert made.exit_code == 0, made.output
        (entry,) = json.loads(made.stdout)
        assert (entry["outcome"], entry["changed"]) == ("made", [])
    assert CliRunner().invoke(app, ["backfill", key, "--missing"]).exit_code == 3
    for choice in (["--between", "2023-06-01..2023-06-02"], ["--run", "O4a"], ["--all"]):
        planned = CliRunner().invoke(app, ["backfill", *choice, "--dry-run"])
        assert planned.output.count("would make") == 6, choice
    assert CliRunner().invoke(app, ["backfill"]).exit_code == 2


@pytest.mark.parametrize("text", ["2023-05-18", "2023-05-20..2023-05-18", "yesterday..today", ""])
def test_wrong_range_is_refused(text: str) -> None:
    """A range without end, backwards or unreadable is a usage error that shows an example."""
    with pytest.raises(Exception, match=r"2023-05-18\.\.2023-05-20"):
        parse_range(text)


@pytest.mark.parametrize(
    ("run", "start", "end"),
    [
        ("O1", 1126051217, 1137254417),
        ("O2", 1164556817, 1187733618),
        ("O3a", 1238166018, 1253977218),
        ("O3b", 1256655618, 1269363618),
        ("O4a", 1368975618, 1389456018),
        ("O4b", 1396796418, 1422118818),
    ],
)
def test_observing_runs_are_those_of_the_open_science_center(run: str, start: int, end: int) -> None:
    """First and last moment agree with the GPS seconds of GWOSC's data releases."""
    found = observing_run(run)
    assert [round(Time(moment).gps) for moment in found] == [start, end]


def test_observing_runs_by_name() -> None:
    """GW170817 lies in O2, S230518h before O4, and O4 is its parts together."""
    start, end = observing_run("o2")
    assert end is not None
    assert start <= datetime(2017, 8, 17, 12, 41, tzinfo=UTC) < end
    assert observing_run("O4") == (observing_run("O4a")[0], observing_run("O4c")[1])
    assert datetime(2023, 5, 18, tzinfo=UTC) < observing_run("O4a")[0]
    with pytest.raises(Exception, match="not an observing run"):
        observing_run("O9")
