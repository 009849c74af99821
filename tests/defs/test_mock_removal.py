"""The schedule that removes mocks from the GWTM site, and its job, in the graph."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa

from mma_pipeline.adapters.archive import schema, writing
from mma_pipeline.adapters.publishing.decision import Extras
from mma_pipeline.defs.publication.mock_removal import gwtm_mock_removal, gwtm_mock_schedule
from mma_pipeline.defs.resources import ArchiveResource, PublicationResource, StoreResource
from tests.adapters.publishing.helpers import decider, gwtm, make_products, publisher
from tests.alerts import body
from tests.defs.malformed import tiny_map
from tests.homes import Home
from tests.services.gwtm_schemas import ADMIN, USER
from tests.services.gwtm_standin import GwtmStandIn


@pytest.fixture
def site(home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[GwtmStandIn]:
    """The site with a mock and a real event, both posted with a galaxy list three days ago."""
    for name in (
        "MMA_PUBLICATION_CONFIG",
        "MMA_HOP_URL",
        "MMA_WEBHOOK_URL",
        "MMA_GWTM_REMOVE_MOCKS",
        "MMA_GWTM_MOCK_HOURS",
    ):
        monkeypatch.delenv(name, raising=False)
    with GwtmStandIn() as server:
        monkeypatch.setenv("API_BASE", server.base)
        monkeypatch.setenv("API_TOKEN", ADMIN)
        galaxy = {"name": "x", "ra": 1.0, "dec": 2.0, "score": 1.0}
        for event_id in ("MS240301a", "S240301b"):
            (record,) = home.receive(body(event_id, skymap=tiny_map()))
            make_products(home.archive, record)
            decider(home.archive).decide(record, datetime.now(UTC), Extras(galaxies=[galaxy]))
        publisher(home.archive, gwtm(server)).run("gwtm")
        with writing(home.archive.engine) as connection:
            connection.execute(sa.update(schema.publication).values(finished=datetime.now(UTC) - timedelta(days=3)))
        assert (len(server.alerts), len(server.lists)) == (2, 2)
        server.requests.clear()
        yield server


def asked(home: Home) -> Any:
    """What the schedule answers."""
    context = dg.build_schedule_context(instance=home.instance, scheduled_execution_time=datetime.now(UTC))
    return gwtm_mock_schedule(
        context, archive=ArchiveResource(), store=StoreResource(), publication=PublicationResource()
    )


def run(home: Home) -> dg.ExecuteInProcessResult:
    """The job in this process."""
    resources = {"archive": ArchiveResource(), "store": StoreResource(), "publication": PublicationResource()}
    return gwtm_mock_removal.execute_in_process(instance=home.instance, raise_on_error=False, resources=resources)


def test_the_schedule_asks_and_the_job_removes(home: Home, site: GwtmStandIn) -> None:
    """One run where something is due; the mock goes with its list, the real event stays; then nothing is due."""
    assert isinstance(asked(home), dg.RunRequest)
    assert site.requests.total() == 0
    assert run(home).success
    assert [row["graceid"] for row in site.alerts] == ["S240301b"]
    assert [one["graceid"] for one in site.lists] == ["S240301b"]
    assert isinstance(asked(home), dg.SkipReason)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MMA_GWTM_REMOVE_MOCKS", "false"),
        ("MMA_GWTM_MOCK_HOURS", "73"),
        ("DRY_RUN", "true"),
        ("MMA_GWTM_MOCK_HOURS", "?"),
    ],
)
def test_nothing_is_called_where_it_is_not_wanted(
    home: Home, site: GwtmStandIn, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """Switched off, not yet due, in a dry run, or with hours that are none: no request reaches the site."""
    monkeypatch.setenv(name, value)
    assert isinstance(asked(home), dg.SkipReason)
    run(home)
    assert site.requests.total() == 0


def test_a_token_without_the_right_is_named(home: Home, site: GwtmStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run fails with what is missing, nothing is removed and nothing left to fail again and again."""
    monkeypatch.setenv("API_TOKEN", USER)
    result = run(home)
    assert not result.success
    (failure,) = [e for e in result.all_events if e.is_step_failure]
    assert "only an administrator's token" in str(failure.event_specific_data.error_display_string)
    assert (len(site.alerts), len(site.lists)) == (2, 2)
    monkeypatch.setenv("API_TOKEN", ADMIN)
    assert isinstance(asked(home), dg.RunRequest)
    assert run(home).success
    assert len(site.alerts) == 1
