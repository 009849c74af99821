"""The run of an alert publishes it at its end; what it does not publish, the sensor requests, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from mma_pipeline.adapters.archive import VersionRecord, schema
from mma_pipeline.adapters.archive.publications import State
from mma_pipeline.definitions import defs
from mma_pipeline.defs.all_products import expected_files
from mma_pipeline.defs.jobs import LANE_TAG, PUBLISH_VERSION, Lane, alert_products, lane_tags
from mma_pipeline.defs.publication.readiness import CHECKS
from mma_pipeline.settings import current
from tests.alerts import body, fits_map
from tests.defs.test_blocked_publication import keys, other_events_map, take
from tests.defs.test_publication import PublishingHome
from tests.services.gwtm_standin import GwtmStandIn


@pytest.fixture
def publishing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PublishingHome]:
    """Archive, store, Dagster and the site, wired as in production."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with GwtmStandIn() as server:
        yield PublishingHome(tmp_path, monkeypatch, server)


def own_run(publishing: PublishingHome, record: VersionRecord, lane: Lane = Lane.LIVE) -> dg.ExecuteInProcessResult:
    """A run of all products as a stream's sensor requests it."""
    return defs.resolve_job_def(alert_products.name).execute_in_process(
        partition_key=record.partition_key,
        instance=publishing.instance,
        raise_on_error=False,
        tags=lane_tags(lane),
    )


def is_complete(publishing: PublishingHome, record: VersionRecord) -> bool:
    """Whether a version has all its products."""
    made = {product.name for product in publishing.archive.products(record.partition_key)}
    return expected_files(record, current()) <= made


def under_way(publishing: PublishingHome, record: VersionRecord, job: str, **tags: str) -> dg.DagsterRun:
    """A run in progress of a version."""

    @dg.op
    def nothing() -> None:
        """Is never begun."""

    @dg.job(name=job)
    def running() -> None:
        nothing()

    tags = {"dagster/partition": record.partition_key, LANE_TAG: "live", **tags}
    return publishing.instance.create_run_for_job(running, status=dg.DagsterRunStatus.STARTED, tags=tags)


def due(publishing: PublishingHome, *, ago: timedelta = timedelta()) -> None:
    """Let everything in the outbox be due, as if it had been written some time ago."""
    with publishing.archive.engine.begin() as connection:
        then = datetime.now(UTC) - ago
        connection.execute(schema.publication.update().values(next_attempt=then, created=then))


@pytest.mark.parametrize(("event", "lane"), [("S240301a", Lane.LIVE), ("MS240301a", Lane.MOCK)])
def test_an_alert_is_posted_by_its_own_run(publishing: PublishingHome, event: str, lane: Lane) -> None:
    """One row, reported on the publishing assets with the checks that came before; a second run, and the sensor, add nothing."""
    record = take(publishing, body(event, skymap=fits_map()), make=False)
    for _ in range(2):
        assert own_run(publishing, record, lane).success
        assert [row["graceid"] for row in publishing.server.alerts] == [event]
        assert keys(publishing) == []
    assert publishing.server.requests["POST post_alert"] == 1
    assert publishing.answer()["reference"] == f"gw_alert {publishing.server.alerts[0]['id']}"
    assert "role is observation or test" in publishing.answer()["decision"]
    assert publishing.answer("prompt_publication")["gwtm"] == "1 of 1 publications received"
    assert publishing.partitions("publishable") == {record.partition_key}
    checked = dg.AssetKey("publishable")
    (materialised,) = publishing.instance.fetch_materializations(checked, limit=10).records
    for name in CHECKS:
        (found,) = publishing.instance.event_log_storage.get_asset_check_execution_history(
            dg.AssetCheckKey(checked, name), limit=10
        )
        assert (found.status.value, found.run_id) == ("SUCCEEDED", materialised.run_id)


def test_a_retraction_is_posted_by_its_own_run(publishing: PublishingHome) -> None:
    """Products that a retraction cannot have keep it from nothing."""
    for data in (body("S240301a", skymap=fits_map()), body("S240301a", "RETRACTION", created="2024-03-01T13:00:00Z")):
        assert own_run(publishing, take(publishing, data, make=False)).success
    assert [row["alert_type"] for row in publishing.server.alerts] == ["Preliminary", "Retraction"]
    assert keys(publishing) == []


@pytest.mark.parametrize("lane", [Lane.BACKFILL, None])
def test_other_runs_publish_nothing(publishing: PublishingHome, lane: Lane | None) -> None:
    """What a backfill or a person makes is left to the sensor, as ever."""
    record = take(publishing, body("S240301a", skymap=fits_map()), make=False)
    assert (publishing.run(alert_products.name, record) if lane is None else own_run(publishing, record, lane)).success
    assert publishing.outbox() == []
    assert publishing.server.requests.total() == 0
    assert keys(publishing) == [f"publish:{record.partition_key}:0"]


def test_a_destination_that_is_away_fails_no_run(publishing: PublishingHome) -> None:
    """The products are there, the run has succeeded, the next alert does not ask the site again; both rows come once."""
    publishing.server.fail("query_alerts", "500", times=100)
    records = [take(publishing, body(f"S240301{letter}", skymap=fits_map()), make=False) for letter in "ab"]
    for record in records:
        assert own_run(publishing, record).success
        assert is_complete(publishing, record)
    assert publishing.server.requests["GET query_alerts"] == 1
    assert [(item.state, item.attempts) for item in publishing.outbox()] == [(State.PENDING, 1), (State.PENDING, 0)]
    assert publishing.partitions() == set()
    publishing.server._faults.clear()
    due(publishing)
    (key,) = keys(publishing)
    assert key.startswith("outbox:")
    assert publishing.run("publish_outbox").success
    assert sorted(row["graceid"] for row in publishing.server.alerts) == ["S240301a", "S240301b"]
    assert publishing.partitions() == {record.partition_key for record in records}
    # It takes what is sent again: the next alert is posted by its own run.
    third = take(publishing, body("S240301c", skymap=fits_map()), make=False)
    assert own_run(publishing, third).success
    assert len(publishing.server.alerts) == 3
    assert keys(publishing) == []


def test_a_refusal_fails_no_run_and_is_shown(publishing: PublishingHome) -> None:
    """The products are fine, and so is the run; the server's words are on the asset, and nothing is requested again."""
    publishing.server.fail("post_alert", "400")
    record = take(publishing, body("S240301a", skymap=fits_map()), make=False)
    result = own_run(publishing, record)
    assert result.success
    (item,) = publishing.outbox()
    assert item.state is State.FAILED
    seen = [
        e.asset_observation_data.asset_observation
        for e in result.all_events
        if e.event_type_value == "ASSET_OBSERVATION"
    ]
    (shown,) = [one.metadata for one in seen if one.asset_key == dg.AssetKey("gwtm_publication")]
    assert "Request validation error" in str(shown["gwtm alert"].value)
    assert keys(publishing) == []


def test_what_a_check_holds_back_is_left_to_the_sensor(publishing: PublishingHome) -> None:
    """Nothing is decided or sent by the alert's own run, which succeeds; the run that the sensor requests fails and says why."""
    record = take(publishing, body("S240301a", skymap=other_events_map()), make=False)
    assert own_run(publishing, record).success
    assert publishing.outbox() == []
    assert publishing.server.requests.total() == 0
    assert keys(publishing) == [f"publish:{record.partition_key}:0"]
    assert not publishing.run(PUBLISH_VERSION, record).success
    assert publishing.server.alerts == []


def test_a_dry_run_is_left_to_the_sensor(publishing: PublishingHome, monkeypatch: pytest.MonkeyPatch) -> None:
    """With DRY_RUN nothing is decided; the run of `publish_version` shows what would be sent."""
    monkeypatch.setenv("DRY_RUN", "true")
    record = take(publishing, body("S240301a", skymap=fits_map()), make=False)
    assert own_run(publishing, record).success
    assert publishing.outbox() == []
    assert publishing.server.requests.total() == 0
    assert keys(publishing) == [f"publish:{record.partition_key}:0"]


def test_a_wrong_configuration_fails_no_run(
    publishing: PublishingHome, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A topic whose credential is half set: the site gets its row, the topic's message waits, the products are there."""
    path, rule = tmp_path / "publication.toml", "rule = { roles = ['observation'] }"
    topic = f"[destinations.a]\nkind = 'hopskotch'\nurl = 'kafka://127.0.0.1:1/t'\n{rule}"
    path.write_text(f"{topic}\n[destinations.site]\nkind = 'gwtm'\n{rule}\n")
    monkeypatch.setenv("MMA_PUBLICATION_CONFIG", str(path))
    monkeypatch.setenv("HOP_USERNAME", "somebody")
    record = take(publishing, body("S240301a", skymap=fits_map()), make=False)
    assert own_run(publishing, record).success
    assert {(p.destination, p.state) for p in publishing.outbox()} == {("site", State.DONE), ("a", State.PENDING)}
    path.write_text("not = TOML [")
    other = take(publishing, body("S240301b", skymap=fits_map()), make=False)
    assert own_run(publishing, other).success
    assert is_complete(publishing, other)


def test_the_sensor_leaves_a_version_to_its_own_run(publishing: PublishingHome) -> None:
    """While the alert's run is in progress nothing is requested; once it is over without a decision, a run is, at once."""
    record = take(publishing, body("S240301a", skymap=fits_map()))
    backfill = under_way(publishing, record, alert_products.name, **{LANE_TAG: "backfill"})
    own = under_way(publishing, record, alert_products.name)
    assert keys(publishing) == []
    publishing.instance.report_run_failed(own)
    wanted = [f"publish:{record.partition_key}:0"]
    assert keys(publishing) == wanted, "a backfill in progress publishes nothing"
    publishing.instance.report_run_failed(backfill)
    assert keys(publishing) == wanted


def test_a_run_that_never_ends_is_not_waited_for(publishing: PublishingHome) -> None:
    """After the time that an alert's run may take the sensor publishes, whatever becomes of that run."""
    record = take(publishing, body("S240301a", skymap=fits_map()))
    under_way(publishing, record, alert_products.name)
    assert keys(publishing) == []
    long_ago = datetime.now(UTC) - timedelta(minutes=3)
    with publishing.archive.engine.begin() as connection:
        connection.execute(schema.product.update().values(written=long_ago))
        connection.execute(schema.message.update().values(received=long_ago))
    assert keys(publishing) == [f"publish:{record.partition_key}:0"]


@pytest.mark.parametrize("job", [alert_products.name, PUBLISH_VERSION])
def test_the_sensor_leaves_what_is_being_sent_to_its_run(publishing: PublishingHome, job: str) -> None:
    """What a run in progress has just written is not requested; it is when the run has died, or an attempt failed."""
    publishing.server.fail("query_alerts", "500")
    record = take(publishing, body("S240301a", skymap=fits_map()), make=False)
    assert own_run(publishing, record).success
    run = under_way(publishing, record, job)
    due(publishing)
    assert len(keys(publishing)) == 1, "an attempt has failed: this is a repetition"
    with publishing.archive.engine.begin() as connection:
        connection.execute(schema.publication.update().values(attempts=0))
    assert keys(publishing) == []
    due(publishing, ago=timedelta(minutes=3))
    assert len(keys(publishing)) == 1
    due(publishing)
    publishing.instance.report_run_failed(run)
    assert len(keys(publishing)) == 1
