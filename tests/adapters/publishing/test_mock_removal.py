"""Mocks leave the site when their time is over, with our lists; real events, the site's sample and strangers stay."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from mma_pipeline.adapters.archive import Archive, schema, writing
from mma_pipeline.adapters.archive.publications import Draft, State
from mma_pipeline.adapters.errors import ConfigurationError, CredentialsError
from mma_pipeline.adapters.publishing.decision import Extras
from mma_pipeline.adapters.publishing.mocks import ask, due
from mma_pipeline.adapters.publishing.probe import probe
from mma_pipeline.settings import Settings
from tests.adapters.publishing.helpers import all_publications, decider, gwtm, make_products, publisher, take_in
from tests.alerts import body
from tests.defs.malformed import tiny_map
from tests.homes import new_archive
from tests.services.gwtm_schemas import USER
from tests.services.gwtm_standin import FaultKind, GwtmStandIn

GALAXY = {"name": "NGC 4993", "ra": 197.448, "dec": -23.384, "score": 0.3, "info": {}}
REAL, OLD, SAMPLE = "S240301a", "MS240301a", "MS181101ab"


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """An empty archive."""
    return new_archive(f"sqlite:///{tmp_path / 'a.db'}")


@pytest.fixture
def server() -> Iterator[GwtmStandIn]:
    """An empty site."""
    with GwtmStandIn() as running:
        yield running


def publish(archive: Archive, server: GwtmStandIn, *events: str) -> None:
    """Post a preliminary with a galaxy list for each event."""
    records = take_in(archive, [body(event, skymap=tiny_map()) for event in events])
    for record in records:
        make_products(archive, record)
        decider(archive).decide(record, datetime.now(UTC), Extras(galaxies=[GALAXY]))
    publisher(archive, gwtm(server)).run("gwtm")
    assert {p.state for p in all_publications(archive)} == {State.DONE}


def age(archive: Archive, hours: float) -> None:
    """Let everything have been finished so many hours ago."""
    with writing(archive.engine) as connection:
        finished = datetime.now(UTC) - timedelta(hours=hours)
        connection.execute(sa.update(schema.publication).values(finished=finished))


def remove(archive: Archive, server: GwtmStandIn, hours: float = 48.0) -> list[str]:
    """One pass; the events that were asked for."""
    drafts = due(archive.engine, "gwtm", datetime.now(UTC), hours)
    assert ask(archive.engine, drafts) == len(drafts)
    publisher(archive, gwtm(server)).run("gwtm")
    return sorted(draft.event_id for draft in drafts)


def on_site(server: GwtmStandIn) -> tuple[set[str], set[str]]:
    """Events with rows, and events with lists."""
    return {row["graceid"] for row in server.alerts}, {one["graceid"] for one in server.lists}


@pytest.mark.parametrize("fault", [None, "500", "500 after", "truncated"])
@pytest.mark.parametrize("path", ["del_test_alerts", "remove_event_galaxies"])
def test_old_mocks_go_and_all_else_stays(
    archive: Archive, server: GwtmStandIn, path: str, fault: FaultKind | None
) -> None:
    """After 48 hours and not before, once, also after a lost answer; a real event of the same age is not touched."""
    today = f"MS{datetime.now(UTC):%y%m%d}a"
    publish(archive, server, OLD, REAL, SAMPLE, today, "TS240301b")
    everything = {OLD, REAL, SAMPLE, today, "TS240301b"}
    age(archive, 47.9)
    assert remove(archive, server) == []
    assert on_site(server) == (everything, everything)
    age(archive, 48.1)
    if fault is not None:
        server.fail(path, fault)
    assert remove(archive, server) == [OLD, "TS240301b"]
    stays = {REAL, SAMPLE, today}
    assert on_site(server) == (stays, stays)
    assert remove(archive, server) == []
    assert {p.state for p in all_publications(archive)} == {State.DONE}
    assert server.requests["POST del_test_alerts"] <= 1 + (fault is not None)


def test_a_mock_that_comes_back_goes_again(archive: Archive, server: GwtmStandIn) -> None:
    """A later version of a mock that was removed is removed in its turn; an event with something open waits."""
    publish(archive, server, OLD)
    age(archive, 49)
    assert remove(archive, server) == [OLD]
    (record,) = take_in(archive, [body(OLD, kind="UPDATE", created="2024-03-01T15:00:00Z", skymap=tiny_map())], start=9)
    make_products(archive, record)
    decider(archive).decide(record, datetime.now(UTC))
    assert due(archive.engine, "gwtm", datetime.now(UTC), 0.0) == []
    publisher(archive, gwtm(server)).run("gwtm")
    age(archive, 49)
    assert on_site(server)[0] == {OLD}
    assert remove(archive, server) == [OLD]
    assert on_site(server) == (set(), set())


def test_rows_that_are_no_tests_are_left_alone(archive: Archive, server: GwtmStandIn) -> None:
    """Should the site call a mock's row an observation, or somebody ask for a real event, nothing is deleted."""
    publish(archive, server, OLD, REAL)
    server.alerts[0]["role"] = "observation"
    age(archive, 49)
    remove(archive, server)
    ask(archive.engine, [Draft("gwtm", "mock_removal", "by hand", REAL, {})])
    publisher(archive, gwtm(server)).run("gwtm")
    assert on_site(server)[0] == {OLD, REAL}
    assert server.requests["POST del_test_alerts"] == 0
    failed = [p for p in all_publications(archive) if p.state is State.FAILED]
    assert [p.event_id for p in failed] == [OLD, REAL]
    assert REAL in on_site(server)[1]


def test_settings() -> None:
    """On after 48 hours by default; hours and switch as set; what cannot be meant is refused."""
    plain = Settings({}).publication
    assert (plain.gwtm_remove_mocks, plain.gwtm_mock_hours) == (True, 48.0)
    chosen = Settings({"MMA_GWTM_REMOVE_MOCKS": "off", "MMA_GWTM_MOCK_HOURS": "72"}).publication
    assert (chosen.gwtm_remove_mocks, chosen.gwtm_mock_hours) == (False, 72.0)
    for wrong in ("soon", "-1", "nan", "1e9"):
        with pytest.raises(ConfigurationError, match="MMA_GWTM_MOCK_HOURS"):
            Settings({"MMA_GWTM_MOCK_HOURS": wrong}).publication  # noqa: B018 - reading it is what must fail
    with pytest.raises(ConfigurationError, match="MMA_GWTM_REMOVE_MOCKS"):
        Settings({"MMA_GWTM_REMOVE_MOCKS": "maybe"}).publication  # noqa: B018


def test_the_probe_tells_an_administrator_from_others(server: GwtmStandIn) -> None:
    """An ordinary token and an unknown one are each named for what they are, and nothing is stored."""
    assert "administrator" in probe(gwtm(server))
    with pytest.raises(CredentialsError, match="not an administrator's"):
        probe(gwtm(server, token=USER))
    with pytest.raises(CredentialsError, match="401"):
        probe(gwtm(server, token="nobody"))
    assert server.alerts == []
