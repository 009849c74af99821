"""What goes out beside alert rows, through the whole graph: neutrino notices, galaxy lists, and their messages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import jsonschema
import numpy as np
import pytest
from astropy.table import Table
from typer.testing import CliRunner

from mma_pipeline.adapters.archive import schema
from mma_pipeline.adapters.archive.publications import State
from mma_pipeline.adapters.catalogs.index import build_index
from mma_pipeline.adapters.kafka.embedded import EmbeddedKafka
from mma_pipeline.defs.resources import ArchiveResource, PublicationResource, SettingsResource, StoreResource
from mma_pipeline.notices.derived import DerivedAlert, json_schema_v2
from tests.adapters.publishing.test_hopskotch import everything_on
from tests.alerts import body, fits_map
from tests.defs.malformed import tiny_map
from tests.homes import Home
from tests.neutrinos import notice, track
from tests.services.gwtm_schemas import ADMIN
from tests.services.gwtm_standin import GwtmStandIn

#: Products of an alert that what is published is made from.
MADE = ["raw_alert", "skymap", "flat_skymap", "skymap_statistics", "galaxies"]


@dataclass
class PublishingHome:
    """A home with the site and a topic, wired by the environment as in production."""

    home: Home
    server: GwtmStandIn
    topic: str

    def run(self, job: str, record: Any) -> dg.ExecuteInProcessResult:
        """Run a job for a version in this process."""
        from mma_pipeline.definitions import defs

        return defs.resolve_job_def(job).execute_in_process(
            partition_key=record.partition_key,
            instance=self.home.instance,
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )

    def take(self, data: bytes) -> Any:
        """Archive a message, make the products of its (first) version and publish it."""
        record = self.home.receive(data)[0]
        self.home.instance.add_dynamic_partitions("alert_version", [record.partition_key])
        wanted = ["neutrino_notice", "neutrino_coincidence"] if record.version.label == "IceCube" else MADE
        assert self.home.make(record, wanted).success
        assert self.run("publish_version", record).success
        return record

    def messages(self) -> list[dict[str, Any]]:
        """Every message on the topic, decoded, by the v2 schema."""
        found = [json.loads(message.value()) for message in everything_on(self.topic)]
        for one in found:
            jsonschema.validate(one, json_schema_v2())
        return found

    def publications(self) -> list[Any]:
        """The outbox."""
        from mma_pipeline.adapters.archive import outbox, reading

        with reading(self.home.archive.engine) as connection:
            return outbox.publications(connection)

    def shown(self, asset: str = "gwtm_publication") -> dict[str, Any]:
        """Metadata of the asset's latest materialisation."""
        event = self.home.instance.get_latest_materialization_event(dg.AssetKey(asset))
        assert event is not None
        assert event.asset_materialization is not None
        return {name: value.value for name, value in event.asset_materialization.metadata.items()}


@pytest.fixture
def publishing(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PublishingHome]:
    """Everything, empty; the topic on an embedded Kafka without credentials."""
    with GwtmStandIn() as server, EmbeddedKafka() as kafka:
        kafka.create_topic("derived")
        topic = f"kafka://{kafka.bootstrap}/derived"
        rule = "rule = { roles = ['observation', 'test'] }"
        hop = f"[destinations.hop]\nkind = 'hopskotch'\nurl = '{topic}'\nanonymous = true\n{rule}"
        config = tmp_path / "publication.toml"
        config.write_text(f"{hop}\n[destinations.gwtm]\nkind = 'gwtm'\n{rule}\n")
        for name, value in (
            ("API_BASE", server.base),
            ("API_TOKEN", ADMIN),
            ("MMA_PUBLICATION_CONFIG", str(config)),
            ("MMA_PUBLIC_URL", "https://alerts.example.org/products"),
        ):
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("MMA_GALAXY_CATALOG", raising=False)
        yield PublishingHome(home, server, topic)


def test_a_neutrino_notice_goes_out_once(publishing: PublishingHome) -> None:
    """The site has the notice with its tracks, the topic one message with the comparison; again, nothing is added."""
    alert = publishing.take(body())
    record = publishing.take(notice("MS240301a", track(150.0, 20.0), track(10.0, -20.0, radius=[0.4, 0.6])))
    for _ in range(2):
        assert publishing.run("publish_version", record).success
    (stored,) = publishing.server.notices
    assert (stored["ref_id"], stored["graceid"]) == ("MS240301a-1-Preliminary", "MS240301a")
    assert [(e["ra"], e["dec"]) for e in stored["events"]] == [(150.0, 20.0), (10.0, -20.0)]
    assert [row["alert_type"] for row in publishing.server.alerts] == ["Preliminary"]
    assert publishing.shown()["reference"] == f"icecube_notice {stored['id']}"
    # The comparison, as the picture's page shows it: inside the map's centre, and far from it.
    found = {message["version"]["label"]: message for message in publishing.messages()}
    assert set(found) == {"Preliminary", "IceCube"}
    search = found["IceCube"]["neutrinos"]
    assert (search["count"], search["map_version"]) == (2, alert.partition_key)
    near, far = search["tracks"]
    assert near["credible_level"] < 0.05
    assert far["credible_level"] > 0.999
    assert near["p_trials"] == pytest.approx(1 - (1 - near["p_spacetime"]) ** 2)
    assert found["IceCube"]["event"]["far"] == 1e-9
    assert {p["name"] for p in found["IceCube"]["products"]} >= {
        "neutrino_notice",
        "coincidence",
        "coincidence_picture",
    }
    assert DerivedAlert.from_json(found["IceCube"]).is_test
    assert {p.state for p in publishing.publications()} == {State.DONE}


def test_an_upper_limit_and_a_second_notice_of_a_reference(publishing: PublishingHome) -> None:
    """A notice without tracks is posted; another of the same reference is not, and `mma explain` says why."""
    publishing.take(body(skymap=tiny_map()))
    first = publishing.take(notice(coincident_events=..., most_probable_direction=None))
    again = publishing.take(notice("MS240301a", track(1.0, 2.0), alert_datetime="2024-03-01T13:00:00Z"))
    assert [(n["ref_id"], n["events"]) for n in publishing.server.notices] == [("MS240301a-1-Preliminary", [])]
    from mma_pipeline.cli import app

    answer = CliRunner().invoke(app, ["explain", "MS240301a", "--json"])
    assert answer.exit_code == 0, answer.output
    told = {(row["partition"], row["destination"]): row for row in json.loads(answer.stdout)}
    assert told[first.partition_key, "gwtm"]["wanted"]
    assert told[first.partition_key, "gwtm"]["would_send"] == ["icecube"]
    refused = told[again.partition_key, "gwtm"]
    assert not refused["wanted"]
    assert first.partition_key in json.dumps(refused["reasons"])
    # Both are news to the readers of the topic.
    assert sorted(m["neutrinos"]["count"] for m in publishing.messages() if "neutrinos" in m) == [0, 1]


def test_rules_speak_of_the_event(publishing: PublishingHome, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A topic for significant events takes the notice of one, and none of an event that is not; roles hold on the site."""
    config = tmp_path / "choice.toml"
    hop = f"[destinations.hop]\nkind = 'hopskotch'\nurl = '{publishing.topic}'\nanonymous = true\n"
    site = "[destinations.gwtm]\nkind = 'gwtm'\nrule = { roles = ['observation'] }\n"
    config.write_text(f"{hop}rule = {{ roles = ['test'], significant = true }}\n{site}")
    monkeypatch.setenv("MMA_PUBLICATION_CONFIG", str(config))
    for event, significant in (("MS240301a", True), ("MS240301b", False)):
        publishing.take(body(event, skymap=tiny_map(), significant=significant))
        publishing.take(notice(event))
    assert publishing.server.notices == []
    assert {(m["event_id"], m["version"]["label"]) for m in publishing.messages()} == {
        ("MS240301a", "Preliminary"),
        ("MS240301a", "IceCube"),
    }


def test_a_retraction_withdraws_the_message(publishing: PublishingHome) -> None:
    """The message about neutrinos is withdrawn with the others; a notice that comes afterwards is the site's alone."""
    publishing.take(body(skymap=tiny_map()))
    publishing.take(notice())
    publishing.take(body(kind="RETRACTION", created="2024-03-01T14:00:00Z"))
    publishing.take(notice(reference={"gcn.notices.LVK.alert": "MS240301a-2-Initial"}))
    messages = publishing.messages()
    sent = {m["id"] for m in messages if m["kind"] == "version"}
    assert {m["retracts"] for m in messages if m["kind"] == "retraction"} == sent
    assert len(sent) == 2
    assert [n["ref_id"] for n in publishing.server.notices] == ["MS240301a-1-Preliminary", "MS240301a-2-Initial"]


def test_dry_run_shows_the_notice_and_calls_nothing(
    publishing: PublishingHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With DRY_RUN the body of the post is in the observation, and neither site nor topic hears anything."""
    monkeypatch.setenv("DRY_RUN", "true")
    (record,) = publishing.home.receive(notice("MS240301a", track(1.0, 2.0)))
    assert publishing.home.make(record).success
    result = publishing.run("publish_version", record)
    assert result.success
    seen = {
        e.asset_observation_data.asset_observation.asset_key.to_user_string(): e.asset_observation_data.asset_observation
        for e in result.all_events
        if e.event_type_value == "ASSET_OBSERVATION"
    }
    (would,) = seen["gwtm_publication"].metadata["would send"].value
    assert would["endpoint"] == "post_icecube_notice"
    assert would["body"]["notice_data"]["graceid"] == "MS240301a"
    (message,) = seen["hopskotch_publication"].metadata["would send"].value
    assert message["body"]["neutrinos"]["count"] == 1
    assert publishing.server.requests.total() == 0
    assert publishing.publications() == []
    assert publishing.messages() == []


def test_a_notice_waits_a_while_for_its_map(publishing: PublishingHome) -> None:
    """The sensor offers a notice once it was compared with a map, or ten minutes after it was compared with none."""
    from mma_pipeline.defs.publication.sensors import publication_sensor

    def asked() -> set[str]:
        context = dg.build_sensor_context(instance=publishing.home.instance)
        answer = publication_sensor(
            context,
            archive=ArchiveResource(),
            store=StoreResource(),
            publication=PublicationResource(),
            settings=SettingsResource(),
        )
        requests = answer.run_requests or [] if isinstance(answer, dg.SensorResult) else []
        return {str(request.partition_key) for request in requests}

    (record,) = publishing.home.receive(notice())
    publishing.home.make(record)
    assert asked() == set()
    publishing.home.receive(body(skymap=tiny_map()))
    publishing.home.make(record)
    assert asked() == {record.partition_key}
    (late,) = publishing.home.receive(notice("MS240301z"))
    publishing.home.make(late)
    # However long ago it came: what counts is how long ago it was compared.
    before = datetime.now(UTC) - timedelta(minutes=11)
    with publishing.home.archive.engine.begin() as connection:
        connection.execute(schema.message.update().values(received=before))
    assert asked() == {record.partition_key}
    with publishing.home.archive.engine.begin() as connection:
        connection.execute(schema.product.update().values(written=before))
    assert asked() >= {record.partition_key, late.partition_key}


def _catalog(folder: Path) -> None:
    """Three hundred galaxies around the place of the small maps, every one with distance and mass."""
    rng = np.random.default_rng(7)
    table = Table(
        {
            "objname": [f"NED {i}" for i in range(300)],
            "ra": rng.normal(150.0, 3.0, 300) % 360,
            "dec": rng.normal(20.0, 3.0, 300),
            "DistMpc": rng.normal(100.0, 20.0, 300).clip(5),
            "Mstar": 10 ** rng.normal(10, 0.5, 300),
        }
    )
    table.write(folder / "ned.fits")
    build_index(folder / "ned.fits", folder / "galaxies")


def test_a_galaxy_list_replaces_the_one_before(publishing: PublishingHome, monkeypatch: pytest.MonkeyPatch) -> None:
    """The site has the galaxies of the file, in its order; the next version's list replaces them; a rerun changes nothing."""
    _catalog(publishing.home.folder)
    monkeypatch.setenv("MMA_GALAXY_PUBLISHED", "25")
    first = publishing.take(body())
    (listed,) = publishing.server.lists
    product = publishing.home.archive.product(first.partition_key, "galaxies")
    assert product is not None
    wanted = json.loads(publishing.home.files()[product.store_key])
    assert len(wanted) == 25
    assert [(e["name"], e["rank"]) for e in listed["entries"]] == [(g["name"], g["rank"]) for g in wanted]
    assert [e["score"] for e in listed["entries"]] == pytest.approx([g["score"] for g in wanted], rel=1e-12)
    assert listed["alert"] == publishing.server.alerts[0]["id"]
    # A point of the site is lon/lat in ±180: the best galaxy lies where the file says.
    lon, lat = map(float, listed["entries"][0]["position"][7:-1].split())
    assert (lon % 360, lat) == pytest.approx((wanted[0]["ra"], wanted[0]["dec"]))
    assert listed["entries"][0]["info"]["Distance [Mpc]"] == pytest.approx(wanted[0]["info"]["Distance [Mpc]"])
    second = publishing.take(body(kind="UPDATE", created="2024-03-01T15:00:00Z", skymap=fits_map(ra=152.0)))
    (now,) = publishing.server.lists
    assert now["id"] != listed["id"]
    assert now["alert"] == next(r["id"] for r in publishing.server.alerts if r["alert_type"] == "Update")
    product = publishing.home.archive.product(second.partition_key, "galaxies")
    assert product is not None
    assert [e["name"] for e in now["entries"]] == [
        g["name"] for g in json.loads(publishing.home.files()[product.store_key])
    ]
    assert "removed_lists" in json.dumps(publishing.shown(), default=str)
    # A version near the pole has no galaxy of the catalog in its region: the list goes, once.
    third = publishing.take(body(kind="UPDATE", created="2024-03-01T16:00:00Z", skymap=fits_map(ra=10.0, dec=-80.0)))
    product = publishing.home.archive.product(third.partition_key, "galaxies")
    assert product is not None
    assert product.statistics["galaxies_listed"] == 0
    assert publishing.server.lists == []
    posts = publishing.server.requests["POST event_galaxies"]
    for record in (first, second, third):
        assert publishing.run("publish_version", record).success
    assert publishing.server.requests["POST event_galaxies"] == posts == 2
    assert publishing.server.lists == []
