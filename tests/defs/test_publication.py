"""Publication in the graph: checks stand before it, materialisations show answers, the sensor asks once."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from mma_pipeline.adapters.archive import VersionRecord, outbox, reading, schema
from mma_pipeline.adapters.archive.publications import Publication, State
from mma_pipeline.definitions import defs
from mma_pipeline.defs.jobs import alert_products
from mma_pipeline.defs.operations.failed_runs import failed_runs_sensor
from mma_pipeline.defs.partitions import alert_versions
from mma_pipeline.defs.publication.sensors import publication_sensor
from mma_pipeline.defs.resources import ArchiveResource, PublicationResource, SettingsResource, StoreResource
from tests.adapters.publishing.helpers import ALERTS, needs_alerts, take_in
from tests.homes import new_archive
from tests.services.gwtm_schemas import ADMIN
from tests.services.gwtm_standin import GwtmStandIn

pytestmark = needs_alerts


#: Products of an alert that what is published is made from.
READ = ("raw_alert", "skymap", "flat_skymap", "skymap_statistics")


class PublishingHome:
    """An archive, a store, a Dagster instance and the site, wired by the environment as in production."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch, server: GwtmStandIn) -> None:
        self.server, self.store_folder = server, path / "products"
        url = f"sqlite:///{path / 'archive.db'}"
        monkeypatch.setenv("MMA_ARCHIVE_URL", url)
        monkeypatch.setenv("MMA_STORE_URL", self.store_folder.as_uri())
        monkeypatch.setenv("API_BASE", server.base)
        monkeypatch.setenv("API_TOKEN", ADMIN)
        for name in ("DRY_RUN", "MMA_HOP_URL", "MMA_WEBHOOK_URL", "MMA_PUBLICATION_CONFIG"):
            monkeypatch.delenv(name, raising=False)
        self.archive = new_archive(url)
        self.instance = dg.DagsterInstance.ephemeral()
        self.taken = 0

    def take(self, pattern: str, *, whole: bool = False) -> VersionRecord:
        """Archive one alert and make the products that publication reads; all of them, as its sensor waits for, if `whole`."""
        self.taken += 1
        record = take_in(self.archive, [next(ALERTS.glob(pattern)).read_bytes()], start=self.taken)[0]
        self.instance.add_dynamic_partitions(str(alert_versions.name), [record.partition_key])
        assert self.run(alert_products.name, record, None if whole else READ).success
        return record

    def run(
        self, job: str, record: VersionRecord | None = None, only: Sequence[str] | None = None
    ) -> dg.ExecuteInProcessResult:
        """Run a job, or some assets of it alone, in this process."""
        key = None if record is None else record.partition_key
        return defs.resolve_job_def(job).execute_in_process(
            partition_key=key,
            instance=self.instance,
            raise_on_error=False,
            asset_selection=None if only is None else [dg.AssetKey(name) for name in only],
        )

    def tick(self) -> Any:
        """What the sensor answers."""
        context = dg.build_sensor_context(instance=self.instance)
        return publication_sensor(
            context,
            archive=ArchiveResource(),
            store=StoreResource(),
            publication=PublicationResource(),
            settings=SettingsResource(),
        )

    def outbox(self) -> list[Publication]:
        """All publications."""
        with reading(self.archive.engine) as connection:
            return outbox.publications(connection)

    def partitions(self, asset: str = "gwtm_publication") -> set[str | None]:
        """Partitions with a materialisation."""
        return set(self.instance.get_materialized_partitions(dg.AssetKey(asset)))

    def answer(self, asset: str = "gwtm_publication") -> dict[str, Any]:
        """Metadata of the latest materialisation."""
        event = self.instance.get_latest_materialization_event(dg.AssetKey(asset))
        assert event is not None
        assert event.asset_materialization is not None
        return {name: value.value for name, value in event.asset_materialization.metadata.items()}


@pytest.fixture
def publishing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PublishingHome]:
    """Everything, empty."""
    with GwtmStandIn() as server:
        yield PublishingHome(tmp_path, monkeypatch, server)


def test_materialisation_shows_the_receivers_answer(publishing: PublishingHome) -> None:
    """Id, time and state of the stored row are in the metadata; a second run posts nothing."""
    record = publishing.take("S230518h-PRELIMINARY*.json")
    for _ in range(2):
        assert publishing.run("publish_version", record).success
        assert len(publishing.server.alerts) == 1
    shown = publishing.answer()
    assert shown["reference"] == f"gw_alert {publishing.server.alerts[0]['id']}"
    assert shown["state"] == "done"
    assert shown["published"]
    assert "role is observation or test" in shown["decision"]
    # Areas of this alert by an independent tool (ligo.skymap): 1002.05 and 265.79 deg².
    row = publishing.server.alerts[0]
    assert row["area_90"] == pytest.approx(1002.05, rel=1e-3)
    assert row["area_50"] == pytest.approx(265.79, rel=1e-3)
    # The site reads our own flat map, under the name that it counts.
    assert row["skymap_fits_url"] == "fit/S230518h-Preliminary.fits.gz"
    assert (publishing.store_folder / row["skymap_fits_url"]).is_file()


def test_nothing_is_published_that_failed_a_check(publishing: PublishingHome) -> None:
    """A file that is not what was written stops publication before anything is decided or called."""
    record = publishing.take("S230518h-PRELIMINARY*.json")
    written = next(self for self in publishing.store_folder.rglob("*_moc.fits.gz"))
    written.write_bytes(b"something else")
    assert not publishing.run("publish_version", record).success
    assert publishing.server.alerts == []
    assert publishing.outbox() == []
    assert publishing.server.requests.total() == 0


def test_dry_run_calls_nothing_and_shows_what_it_would_send(
    publishing: PublishingHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No request, no publication; the body is in the observation."""
    monkeypatch.setenv("DRY_RUN", "true")
    record = publishing.take("S230518h-PRELIMINARY*.json")
    result = publishing.run("publish_version", record)
    assert result.success
    assert publishing.server.requests.total() == 0
    assert publishing.outbox() == []
    (event,) = [e for e in result.all_events if e.event_type_value == "ASSET_OBSERVATION"]
    shown = event.asset_observation_data.asset_observation.metadata["would send"].value
    assert shown[0]["endpoint"] == "post_alert"
    assert shown[0]["body"]["graceid"] == "S230518h"
    assert ADMIN not in json.dumps(shown)
    assert publishing.instance.get_latest_materialization_event(dg.AssetKey("gwtm_publication")) is None


def test_a_refusal_fails_with_the_servers_words(publishing: PublishingHome) -> None:
    """The UI shows what the server said and how to send it again; other versions go on."""
    publishing.server.fail("post_alert", "400")
    refused, fine = publishing.take("S230518h-PRELIMINARY*.json"), publishing.take("S240112e-*.json")
    result = publishing.run("publish_version", refused)
    assert not result.success
    (failure,) = [e for e in result.all_events if e.is_step_failure]
    assert "Request validation error" in str(failure.event_specific_data.error_display_string)
    assert publishing.run("publish_version", fine).success
    assert [row["graceid"] for row in publishing.server.alerts] == ["S240112e"]


def test_an_outage_is_finished_by_the_outbox(publishing: PublishingHome) -> None:
    """Not sent: no materialisation and no failure. A tick waits for the time that has nearly come, and the row is reported."""
    publishing.server.fail("query_alerts", "500")
    record = publishing.take("S230518h-PRELIMINARY*.json")
    assert publishing.run("publish_version", record).success
    assert publishing.instance.get_latest_materialization_event(dg.AssetKey("gwtm_publication")) is None
    (item,) = publishing.outbox()
    assert item.state is State.PENDING
    with publishing.archive.engine.begin() as connection:
        connection.execute(schema.publication.update().values(next_attempt=datetime.now(UTC) + timedelta(seconds=2)))
    (request,) = publishing.tick().run_requests
    assert request.job_name == "publish_outbox"
    assert publishing.run("publish_outbox").success
    assert publishing.answer()["reference"] == f"gw_alert {publishing.server.alerts[0]['id']}"
    assert publishing.partitions() == {record.partition_key}
    assert isinstance(publishing.tick(), dg.SkipReason)


def test_sensor_asks_once_for_what_is_ready(publishing: PublishingHome, monkeypatch: pytest.MonkeyPatch) -> None:
    """A version without its products is left alone; one with them is asked for under one run key until decided."""
    (waiting,) = take_in(publishing.archive, [next(ALERTS.glob("S240112e-*.json")).read_bytes()], start=50)
    assert isinstance(publishing.tick(), dg.SkipReason)
    record = publishing.take("S230518h-PRELIMINARY*.json", whole=True)
    keys = [[r.run_key for r in publishing.tick().run_requests] for _ in range(2)]
    assert keys == [[f"publish:{record.partition_key}:0"]] * 2
    assert waiting.partition_key not in str(keys)
    assert publishing.run("publish_version", record).success
    assert isinstance(publishing.tick(), dg.SkipReason)
    monkeypatch.delenv("API_BASE")
    assert "no destination" in str(publishing.tick().skip_message)


def test_what_another_versions_run_sends_is_reported_too(publishing: PublishingHome) -> None:
    """A version that waited and went out in the run of a later one has its own materialisation."""
    publishing.server.fail("query_alerts", "500")
    first = publishing.take("S240112e-PRELIMINARY-2024-01-12T010901Z.json", whole=True)
    assert publishing.run("publish_version", first).success
    assert publishing.partitions() == set()
    (item,) = publishing.outbox()
    with publishing.archive.engine.begin() as connection:
        connection.execute(schema.publication.update().values(next_attempt=item.created))
    second = publishing.take("S240112e-PRELIMINARY-2024-01-12T011334Z.json", whole=True)
    assert publishing.run("publish_version", second).success
    assert publishing.partitions() == {first.partition_key, second.partition_key}
    assert [row["alert_type"] for row in publishing.server.alerts] == ["Preliminary", "Preliminary"]


def test_a_wrong_setting_stops_no_other_destination(
    publishing: PublishingHome, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A topic whose credential is half set fails with what to do; the site gets its row all the same."""
    path = tmp_path / "publication.toml"
    rule = "rule = { roles = ['observation'] }"
    topic = f"[destinations.a]\nkind = 'hopskotch'\nurl = 'kafka://127.0.0.1:1/t'\n{rule}"
    path.write_text(f"{topic}\n[destinations.site]\nkind = 'gwtm'\n{rule}\n")
    monkeypatch.setenv("MMA_PUBLICATION_CONFIG", str(path))
    monkeypatch.setenv("HOP_USERNAME", "somebody")
    record = publishing.take("S230518h-PRELIMINARY*.json")
    result = publishing.run("publish_version", record)
    assert [e.step_key for e in result.all_events if e.is_step_failure] == ["hopskotch_publication"]
    assert len(publishing.server.alerts) == 1
    (stuck,) = publishing.tick().run_requests
    assert not publishing.run("publish_outbox").success
    # What comes due behind the one that cannot be sent makes a new request.
    publishing.server.fail("query_alerts", "500")
    later = publishing.take("S240112e-PRELIMINARY-2024-01-12T010901Z.json")
    publishing.run("publish_version", later)
    with publishing.archive.engine.begin() as connection:
        connection.execute(schema.publication.update().values(next_attempt=publishing.outbox()[0].created))
    (other,) = publishing.tick().run_requests
    assert other.run_key != stuck.run_key
    publishing.run("publish_outbox")
    assert {(p.destination, p.state) for p in publishing.outbox()} == {("site", State.DONE), ("a", State.PENDING)}


def failed_run(publishing: PublishingHome, job: str, error: str, tags: dict[str, str]) -> dg.RunFailureSensorContext:
    """A run of a job whose step raised; what Dagster hands to the sensor."""

    @dg.op
    def breaks() -> None:
        raise RuntimeError(error)

    @dg.job(name=job)
    def broken() -> None:
        breaks()

    result = broken.execute_in_process(instance=publishing.instance, raise_on_error=False, tags=tags)
    (failure,) = [e for e in result.all_events if e.event_type_value == "PIPELINE_FAILURE"]
    return dg.build_run_status_sensor_context(
        sensor_name="failed_runs_sensor",
        dagster_event=failure,
        dagster_instance=publishing.instance,
        dagster_run=result.dagster_run,
    ).for_run_failure()


def test_people_hear_of_a_failed_run(publishing: PublishingHome, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that could not make its products is one message in the outbox of the webhook: the cause, without secrets."""
    record = take_in(publishing.archive, [next(ALERTS.glob("S230518h-PRELIMINARY*.json")).read_bytes()])[0]
    monkeypatch.setenv("MMA_WEBHOOK_URL", "https://hooks.example/T0000-B0000-XXXXXXXX")
    tags = {"dagster/partition": record.partition_key, "mma/event": "S230518h"}
    context = failed_run(publishing, "alert_products", f"no space for {ADMIN}", tags)
    for _ in range(2):
        failed_runs_sensor(context, archive=ArchiveResource(), publication=PublicationResource())
    (item,) = publishing.outbox()
    assert (item.destination, item.kind, item.event_id) == ("webhook", "failure", "S230518h")
    assert item.partition_key == record.partition_key
    assert item.payload["failure"]["destination"] == "alert_products"
    assert item.payload["failure"]["error"].startswith("breaks: ")
    assert "no space for ***" in item.payload["failure"]["error"]
    assert ADMIN not in str(item)


def test_a_storm_of_failures_floods_nobody(publishing: PublishingHome, monkeypatch: pytest.MonkeyPatch) -> None:
    """One message per job, event and cause, whichever the job; mock events are one; what is tried again is none."""
    monkeypatch.setenv("MMA_WEBHOOK_URL", "https://hooks.example/T0000-B0000-XXXXXXXX")
    monkeypatch.setattr("mma_pipeline.defs.operations.failed_runs.QUIET_S", 10**11)  # a test may run over the full hour

    def fail(job: str, error: str, **tags: str) -> None:
        named = {f"mma/{name}" if name == "event" else f"dagster/{name}": value for name, value in tags.items()}
        failed_runs_sensor(
            failed_run(publishing, job, error, named), archive=ArchiveResource(), publication=PublicationResource()
        )

    for number in range(3):
        fail("alert_products", f"S3 did not answer in {number} s", event="S230518h")
        fail("alert_products", f"S3 did not answer in {number} s", event=f"MS23051{number}a")
        fail("candidate_products", "no light curve", partition=f"S230518h-AT{number}-MJD60000")
        fail("retention", "the database went away")
        fail("publish_version", "will come again", event="S230518h", will_retry="true")
    fail("alert_products", "another cause", event="S230518h")
    told = [(item.payload["failure"]["destination"], item.event_id) for item in publishing.outbox()]
    assert sorted(told) == [
        ("alert_products", "MS230510a"),
        ("alert_products", "S230518h"),
        ("alert_products", "S230518h"),
        ("candidate_products", "S230518h"),
        ("retention", "no event"),
    ]


def test_every_job_is_watched(publishing: PublishingHome, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dagster calls the sensor of failed runs for each job of the code location, those to come too."""
    monkeypatch.setenv("MMA_WEBHOOK_URL", "https://hooks.example/T0000-B0000-XXXXXXXX")

    def tick(cursor: str | None) -> str | None:
        resources = {"archive": ArchiveResource(), "publication": PublicationResource()}
        with dg.build_sensor_context(instance=publishing.instance, cursor=cursor, resources=resources) as context:
            return failed_runs_sensor.evaluate_tick(context).cursor

    cursor = tick(None)
    for job in ("completeness", "a_job_to_come"):
        failed_run(publishing, job, "no answer", {})
    tick(cursor)
    assert {item.payload["failure"]["destination"] for item in publishing.outbox()} == {"completeness", "a_job_to_come"}


def test_a_retraction_is_published_though_it_has_no_map(publishing: PublishingHome) -> None:
    """Products that do not apply do not keep a retraction from going out."""
    record = publishing.take("MS181101ab-retraction.json", whole=True)
    assert publishing.run("publish_version", record).success
    (row,) = publishing.server.alerts
    assert (row["alert_type"], row["packet_type"], row["skymap_fits_url"]) == ("Retraction", 164, None)
