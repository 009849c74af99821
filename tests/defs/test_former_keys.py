"""An archive, files and partitions of an earlier release, whose keys had another form, after the upgrade."""

from __future__ import annotations

import json

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from mma_pipeline.adapters.archive import VersionRecord
from mma_pipeline.adapters.archive.event_history import chronological
from mma_pipeline.adapters.archive.schema import metadata
from mma_pipeline.cli import app
from mma_pipeline.defs.alerts.sensors import run_request
from mma_pipeline.defs.events.page.state import event_state
from tests.alerts import alert, avro, body, fits_map, needs_real_alerts, real_paths
from tests.homes import Home

EVENT = "S240301a"
WANTED = ["raw_alert", "skymap", "skymap_statistics", "version_difference", "event_page"]
EARLY = alert(EVENT)
LATE = body(EVENT, "UPDATE", created="2024-03-01T13:00:00Z", skymap=fits_map(sigma=1.0))


def as_before(home: Home, record: VersionRecord) -> VersionRecord:
    """The version as an earlier release archived it; before it has products."""
    today, before = record.version.possible_keys
    table = metadata.tables["version"]
    with home.archive.engine.begin() as connection:
        connection.execute(sa.update(table).where(table.c.partition_key == today).values(partition_key=before))
    return home.archive.version(before)


@pytest.fixture
def upgraded(home: Home) -> tuple[Home, VersionRecord]:
    """A home with a version of an earlier release, its products and its page."""
    old = as_before(home, home.receive(json.dumps(EARLY).encode())[0])
    assert old.partition_key.startswith(f"{EVENT}-Preliminary-20240301T120000-")
    assert home.make(old, WANTED).success
    return home, old


def test_the_twin_of_an_old_version_is_the_old_version(upgraded: tuple[Home, VersionRecord]) -> None:
    """The same alert by the other stream asks for no run and makes no version; its products lie where they lay."""
    home, old = upgraded
    files = home.files()
    assert any(key.startswith(f"mma/{EVENT}/{old.partition_key}/") for key in files)
    (twin,) = home.receive(avro(EARLY))
    assert (twin.partition_key, twin.message_id) == (old.partition_key, old.message_id)
    assert home.archive.counts()["versions"] == 1
    # Made again under its former key, every file has the same place and bytes.
    assert home.make(twin, WANTED).success
    assert {key: data for key, data in home.files().items() if "index.html" not in key} == {
        key: data for key, data in files.items() if "index.html" not in key
    }


def test_old_and_new_versions_are_one_event(upgraded: tuple[Home, VersionRecord]) -> None:
    """A new version is compared with the old one, is on the page beside it, and its run is asked for under its own key."""
    home, old = upgraded
    (new,) = home.receive(LATE)
    assert new.partition_key == new.version.possible_keys[0]
    assert new.partition_key[:20] == f"{EVENT}-U130000-{new.version.digest[:3]}"
    request = run_request(new, home.archive.origin(new.message_id))
    assert (request.partition_key, request.run_key) == (new.partition_key, new.partition_key)
    assert home.make(new, WANTED).success
    made = {product.name: product for product in home.archive.products(new.partition_key)}
    assert made["difference"].statistics["map_before"] == old.partition_key
    state = event_state(home.archive, EVENT)
    assert [shown["partition"] for shown in state.versions] == [new.partition_key, old.partition_key]
    assert [record.partition_key for record in chronological(home.archive.versions(EVENT))] == [
        old.partition_key,
        new.partition_key,
    ]


def test_commands_take_either_form(upgraded: tuple[Home, VersionRecord]) -> None:
    """`mma show` and `mma replay` find an old version by its key, and a new one by its own."""
    home, old = upgraded
    (new,) = home.receive(LATE)
    for record in (old, new):
        with home.active():
            shown = CliRunner().invoke(app, ["show", record.partition_key, "--json"])
        assert shown.exit_code == 0, shown.output
        assert [one["partition"] for one in json.loads(shown.stdout)["versions"]] == [record.partition_key]


@needs_real_alerts
def test_every_real_alert_of_an_earlier_release_is_known_again(home: Home) -> None:
    """All real alerts, archived under former keys, are the same versions when their files come again in any order."""
    parsed = [path.read_bytes() for path in real_paths()]
    for data in parsed:
        for record in home.receive(data):
            if not record.version.former_key:
                as_before(home, record)
    before = {record.partition_key: record.number for record in home.archive.versions()}
    assert all(record.version.former_key for record in home.archive.versions())
    for data in reversed(parsed):
        home.receive(data)
    assert {record.partition_key: record.number for record in home.archive.versions()} == before
