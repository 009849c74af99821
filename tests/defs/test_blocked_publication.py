"""What stops publication is heard and can be let pass; what lacks products waits, and goes out bare when they failed for good."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from typer.testing import CliRunner

from mma_pipeline.adapters.archive import VersionRecord, schema
from mma_pipeline.adapters.archive.publications import State
from mma_pipeline.adapters.publishing.service import Readiness
from mma_pipeline.cli import app
from mma_pipeline.defs.jobs import REPORTED, alert_products
from mma_pipeline.defs.operations.finders import Situation, find
from mma_pipeline.defs.operations.problems import Kind, Problem
from mma_pipeline.defs.product_asset import PERMANENT
from mma_pipeline.defs.publication.readiness import readiness
from mma_pipeline.defs.resources import PublicationResource
from mma_pipeline.settings import current
from tests.adapters.publishing.helpers import ALERTS, needs_alerts, take_in
from tests.alerts import body, fits_map, map_of_columns
from tests.defs.test_publication import PublishingHome
from tests.science.maps import gaussian_map
from tests.services.gwtm_standin import GwtmStandIn

PUBLICATION_KINDS = {Kind.PUBLICATION_BLOCKED, Kind.PUBLICATION_LATE, Kind.PUBLISHED_BARE}


@pytest.fixture
def publishing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PublishingHome]:
    """Archive, store, Dagster and the site, wired as in production."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.delenv("MMA_GWTM_BARE_ROWS", raising=False)
    with GwtmStandIn() as server:
        yield PublishingHome(tmp_path, monkeypatch, server)


def take(publishing: PublishingHome, data: bytes, *, make: bool = True) -> VersionRecord:
    """Archive an alert and make what publication needs of it."""
    publishing.taken += 1
    record = take_in(publishing.archive, [data], start=publishing.taken)[0]
    publishing.instance.add_dynamic_partitions("alert_version", [record.partition_key])
    if make:
        assert publishing.run(alert_products.name, record).success
    return record


def other_events_map() -> bytes:
    """A map whose DATE-OBS is an hour before the event of `body`."""
    uniq, density = gaussian_map(150.0, 20.0, 2.0, order=6, coarse=2)
    return map_of_columns(uniq, density, **{"DATE-OBS": "2024-03-01T10:59:00.500000"})


def mma(*arguments: str) -> tuple[int, str]:
    """Run a command; its exit code and what it printed."""
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.output


def problems(publishing: PublishingHome, *, later: timedelta = timedelta()) -> dict[Kind, Problem]:
    """What people are told about publication."""
    now = datetime.now(UTC) + later
    found = find(
        Situation(publishing.instance, publishing.archive, now, None, PublicationResource().names(), current())
    )
    return {problem.kind: problem for problem in found if problem.kind in PUBLICATION_KINDS}


def keys(publishing: PublishingHome) -> list[str]:
    """Run keys that the sensor asks for."""
    answer = publishing.tick()
    return [] if isinstance(answer, dg.SkipReason) else [str(r.run_key) for r in answer.run_requests]


def failed_run(publishing: PublishingHome, record: VersionRecord, *, times: int) -> None:
    """Runs of the products that ended with a failure for good."""

    @dg.op
    def breaks() -> None:
        raise RuntimeError("no such luck")

    @dg.job(name=alert_products.name)
    def broken() -> None:
        breaks()

    tags = {"dagster/partition": record.partition_key, **PERMANENT}
    for _ in range(times):
        broken.execute_in_process(instance=publishing.instance, raise_on_error=False, tags=tags)


def test_a_blocked_version_is_heard_and_let_pass(publishing: PublishingHome) -> None:
    """Explain and the problem name the check and its values; a release publishes it, and is shown with its reason."""
    record = take(publishing, body("S240301a", skymap=other_events_map()))
    result = publishing.run("publish_version", record)
    assert not result.success
    assert publishing.server.alerts == []
    key = record.partition_key
    told = problems(publishing)[Kind.PUBLICATION_BLOCKED]
    assert (told.event, told.subject) == ("S240301a", key)
    for text in (told.text, mma("explain", "S240301a")[1], mma("publication", "blocked")[1].replace("\n", "")):
        assert "map_is_of_this_event" in text
        assert "-3600" in text or "2024-03-01T10:59:00.500000" in text
    assert f"mma publication release {key} --reason" in told.text
    (row,) = json.loads(mma("explain", "S240301a", "--json")[1])
    assert row["blocked"]
    (blocking,) = [check for check in row["checks"] if check["blocks"]]
    assert blocking["check"] == "skymap.map_is_of_this_event"
    assert blocking["values"]["time_offset_s"] == pytest.approx(-3600, abs=1)
    # The run says it once: people are not told of the run besides.
    run = publishing.instance.get_run_by_id(result.run_id)
    assert run is not None
    assert REPORTED.items() <= run.tags.items()
    assert keys(publishing) == []
    assert mma("publication", "release", key, "--reason", " ")[0] == 2
    assert mma("publication", "release", "S240301a", "--reason", "x")[0] != 0
    code, _ = mma("publication", "release", key, "--reason", "LVK confirmed the map by telephone")
    assert code == 0
    assert keys(publishing) == [f"publish:{key}:1"]
    assert publishing.run("publish_version", record).success
    assert [r["graceid"] for r in publishing.server.alerts] == ["S240301a"]
    assert "LVK confirmed the map by telephone" in publishing.answer()["released"]
    assert "LVK confirmed the map by telephone" in mma("explain", "S240301a")[1]
    assert problems(publishing, later=timedelta(hours=1)) == {}


def test_gps_seconds_and_a_sum_of_1_002_are_published_and_said(publishing: PublishingHome) -> None:
    """Eighteen seconds off and two thousandths too much mislead nobody: the alert goes out, and explain names both."""
    uniq, density = gaussian_map(150.0, 20.0, 2.0, order=6, coarse=2)
    date = {"DATE-OBS": "2024-03-01T11:59:18.500000"}
    record = take(publishing, body("S240301a", skymap=map_of_columns(uniq, 1.002 * density, **date)))
    assert publishing.run("publish_version", record).success
    assert len(publishing.server.alerts) == 1
    (row,) = json.loads(mma("explain", "S240301a", "--json")[1])
    assert not row["blocked"]
    assert {check["check"] for check in row["checks"]} == {
        "skymap.probability_sums_to_one",
        "skymap.map_and_alert_agree",
    }
    assert "map_and_alert_agree" in mma("explain", "S240301a")[1]
    assert "map_and_alert_agree" in str(publishing.answer()["checks not passed"])
    assert problems(publishing) == {}


def test_mock_events_trouble_nobody(publishing: PublishingHome) -> None:
    """A blocked mock version is shown, and is no problem."""
    record = take(publishing, body("MS240301a", skymap=other_events_map()))
    assert not publishing.run("publish_version", record).success
    assert problems(publishing, later=timedelta(hours=1)) == {}
    assert json.loads(mma("publication", "blocked", "--json")[1])[0]["partition"] == record.partition_key


def test_a_file_that_is_back_unblocks(publishing: PublishingHome) -> None:
    """What the store had lost blocks; once it holds it again, the next run publishes, and the problem is over."""
    record = take(publishing, body("S240301a", skymap=fits_map()))
    (lost,) = publishing.store_folder.rglob("S240301a-Preliminary.fits.gz")
    kept = lost.read_bytes()
    lost.unlink()
    assert not publishing.run("publish_version", record).success
    assert "files_are_in_the_store" in problems(publishing)[Kind.PUBLICATION_BLOCKED].text
    assert "files_are_in_the_store" in mma("explain", "S240301a")[1]
    lost.write_bytes(kept)
    assert publishing.run("publish_version", record).success
    assert problems(publishing) == {}


def test_products_that_failed_for_good(
    publishing: PublishingHome, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Waiting with no run and after one failure; bare after the second; completed when the products come."""
    config = tmp_path / "publication.toml"
    config.write_text(
        "[destinations.site]\nkind = 'gwtm'\n"
        "[destinations.people]\nkind = 'webhook'\nurl_env = 'HOOK'\nrule = { roles = ['observation'] }\n"
    )
    monkeypatch.setenv("MMA_PUBLICATION_CONFIG", str(config))
    monkeypatch.setenv("HOOK", "http://127.0.0.1:1/x")
    record = take(publishing, body("S240301a", skymap=fits_map()), make=False)
    key = record.partition_key

    def state() -> Readiness:
        products = {product.name: product for product in publishing.archive.products(record.partition_key)}
        return readiness(record, products, publishing.instance, datetime.now(UTC), current())

    assert state() is Readiness.WAITING
    failed_run(publishing, record, times=1)
    assert state() is Readiness.WAITING
    assert keys(publishing) == []
    late = problems(publishing, later=timedelta(minutes=20))
    assert set(late) == {Kind.PUBLICATION_LATE}
    assert f"{key} waits for" in late[Kind.PUBLICATION_LATE].text
    assert problems(publishing, later=timedelta(minutes=5)) == {}
    # By hand it is not sent bare either, as long as the products may come.
    assert not publishing.run("publish_version", record).success
    assert publishing.outbox() == []
    failed_run(publishing, record, times=1)
    assert state() is Readiness.GIVEN_UP
    # The newer product runs are no change of the version: the pause after the run by hand has to pass.
    with publishing.archive.engine.begin() as connection:
        connection.execute(schema.message.update().values(received=datetime.now(UTC)))
    (request,) = publishing.tick().run_requests
    assert (request.run_key, request.tags["dagster/priority"]) == (f"publish:{key}:1", "8")
    assert publishing.run("publish_version", record).success
    (told,) = publishing.outbox()
    assert (told.destination, told.payload["bare"]) == ("people", True)
    assert publishing.server.alerts == []
    with publishing.archive.engine.begin() as connection:
        connection.execute(schema.publication.update().values(state=State.DONE))
    assert f"{key} went to people without its map's values" in problems(publishing)[Kind.PUBLISHED_BARE].text
    assert keys(publishing) == []
    assert publishing.run(alert_products.name, record).success
    (request,) = publishing.tick().run_requests
    assert request.tags["dagster/priority"] == "12"
    assert publishing.run("publish_version", record).success
    assert [(r["area_90"] is not None, r["skymap_fits_url"]) for r in publishing.server.alerts] == [
        (True, "fit/S240301a-Preliminary.fits.gz")
    ]
    assert [p.payload.get("bare") for p in publishing.outbox() if p.destination == "people"] == [True, None]
    assert problems(publishing) == {}


@needs_alerts
def test_a_waiting_row_asks_for_few_runs(publishing: PublishingHome) -> None:
    """A row whose predecessor was given up is looked at at its own, growing pauses: some twenty runs in the first hour."""
    first, second = (p.read_bytes() for p in sorted(ALERTS.glob("S240114aj*.json"))[:2])
    publishing.server.fail("post_alert", "400")
    assert not publishing.run("publish_version", take(publishing, first)).success
    assert publishing.run("publish_version", take(publishing, second)).success
    runs, waited = 0, 0.0
    while waited < 3600:
        waiting = next(p for p in publishing.outbox() if p.state is State.PENDING)
        pause = (waiting.next_attempt - datetime.now(UTC)).total_seconds()
        assert keys(publishing) == []
        with publishing.archive.engine.begin() as connection:
            connection.execute(
                schema.publication.update()
                .where(schema.publication.c.id == waiting.id)
                .values(next_attempt=datetime.now(UTC))
            )
        assert len(keys(publishing)) == 1
        publishing.run("publish_outbox")
        runs, waited = runs + 1, waited + max(pause, 1.0)
    assert runs < 20
    assert publishing.server.requests["POST post_alert"] == 1


def test_retry_by_destination_and_time(publishing: PublishingHome) -> None:
    """All, or by destination, or since a time; nothing meant is exit code 3, and both ways at once is wrong usage."""
    publishing.server.fail("post_alert", "400")
    record = take(publishing, body("S240301a", skymap=fits_map()))
    assert not publishing.run("publish_version", record).success
    for arguments in (["--destination", "hop"], ["--since", "2100-01-01"]):
        assert mma("publication", "retry", *arguments)[0] == 3
    for wrong in ([], ["1", "--all"], ["--since", "yesterday"]):
        assert mma("publication", "retry", *wrong)[0] == 2
    before = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    code, text = mma("publication", "retry", "--destination", "gwtm", "--since", before)
    assert code == 0
    assert "publication 1 will be sent again" in text
    assert publishing.run("publish_outbox").success
    assert len(publishing.server.alerts) == 1
    assert mma("publication", "retry", "--all")[0] == 3
