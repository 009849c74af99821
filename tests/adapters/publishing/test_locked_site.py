"""A site that is locked for minutes: each row once, however many publishers wait; copies that are there are named."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mma_pipeline.adapters.archive import Archive, outbox, schema, writing
from mma_pipeline.adapters.archive.publications import State
from mma_pipeline.adapters.publishing.config import DestinationConfig
from mma_pipeline.adapters.publishing.decision import Extras
from mma_pipeline.adapters.publishing.publisher import Backoff
from tests.adapters.publishing.helpers import (
    ALERTS,
    all_publications,
    decide_all,
    decider,
    gwtm,
    make_products,
    needs_alerts,
    publisher,
    site_names,
    take_in,
)
from tests.adapters.publishing.test_site_lists import GALAXIES
from tests.homes import new_archive
from tests.services.gwtm_standin import GwtmStandIn

pytestmark = needs_alerts
#: Looks again and again, and gives up nothing.
TIRELESS = Backoff(first_s=0.1, longest_s=0.1, waiting_s=0.1, waiting_longest_s=0.1, attempts=10_000)


@pytest.fixture(params=["sqlite", "postgresql"])
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Archive]:
    """An empty archive on each database."""
    url = f"sqlite:///{tmp_path / 'a.db'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
    opened = new_archive(url)
    yield opened
    opened.engine.dispose()


@pytest.mark.parametrize("locked", [{"post_alert"}, {"post_alert", "query_alerts", "event_galaxies"}])
def test_a_lock_makes_no_copies(archive: Archive, locked: set[str]) -> None:
    """Three publishers, whose leases run out meanwhile, wait ten timeouts for a locked site: one row, one list."""
    (record,) = take_in(archive, [next(ALERTS.glob("S230518h-PRELIMINARY*.json")).read_bytes()])
    make_products(archive, record)
    decider(archive).decide(record, datetime.now(UTC), Extras(galaxies=GALAXIES))
    with GwtmStandIn() as server:
        server.locked = frozenset(locked)
        over = threading.Event()

        def work() -> None:
            site = gwtm(server, timeout_s=0.3, repeat_s=600.0)
            sender = publisher(archive, site, backoff=TIRELESS, lease_s=1.0)
            while not over.is_set():
                sender.run("gwtm", seconds=1.0)
                over.wait(0.05)

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        time.sleep(3.0)
        server.locked = frozenset()
        until = time.monotonic() + 120
        while time.monotonic() < until and any(p.state is not State.DONE for p in all_publications(archive)):
            time.sleep(0.1)
        over.set()
        for thread in threads:
            thread.join(60)
        assert [row["graceid"] for row in server.alerts] == ["S230518h"]
        assert len(server.lists) == 1
    assert {p.state for p in all_publications(archive)} == {State.DONE}


def test_what_never_came_is_posted_again(tmp_path: Path) -> None:
    """A post that the server has lost is repeated, once it could not come any more."""
    archive = new_archive(f"sqlite:///{tmp_path / 'a.db'}")
    records = take_in(archive, [next(ALERTS.glob("S230518h-PRELIMINARY*.json")).read_bytes()])
    decide_all(archive, records)
    with GwtmStandIn() as server:
        server.fail("post_alert", "html")  # a gateway's answer: the server behind it may still be at work
        for ahead_s, posts, said in ((0, 1, "502"), (60, 1, "posted"), (120, 1, "not on the site yet")):
            clock = lambda s=ahead_s: datetime.now(UTC) + timedelta(seconds=s)  # noqa: E731
            publisher(archive, gwtm(server, repeat_s=900.0), clock=clock, backoff=Backoff()).run("gwtm")
            assert server.requests["POST post_alert"] == posts
            (item,) = all_publications(archive)
            assert said in (item.error or "")
            assert item.attempts == 1
        later = lambda: datetime.now(UTC) + timedelta(seconds=1200)  # noqa: E731
        publisher(archive, gwtm(server, repeat_s=0.0), clock=later).run("gwtm")
        assert [row["graceid"] for row in server.alerts] == ["S230518h"]


def test_copies_are_named_with_what_mends_them(tmp_path: Path) -> None:
    """Rows of one version that are there three times: people hear of it, later versions say so, and go once it is mended."""
    archive = new_archive(f"sqlite:///{tmp_path / 'a.db'}")
    people = DestinationConfig("people", "webhook", decider(archive).destinations[0].rule)
    bodies = [p.read_bytes() for p in sorted(ALERTS.glob("S240114aj*.json"))][:2]
    with GwtmStandIn() as server:
        first = take_in(archive, bodies[:1])
        decide_all(archive, first)
        publisher(archive, gwtm(server)).run("gwtm")
        (row,) = server.alerts
        server.alerts += [
            {**row, "id": number, "datecreated": datetime.now(UTC).replace(tzinfo=None)} for number in (7, 8)
        ]
        with writing(archive.engine) as connection:
            connection.execute(schema.publication.update().values(state=State.PENDING, next_attempt=datetime.now(UTC)))
        sender = publisher(archive, gwtm(server), failure_webhooks=[people])
        sender.run("gwtm")
        decide_all(archive, take_in(archive, bodies[1:], start=5))
        sender.run("gwtm")
        done, told, failed, *_ = all_publications(archive)
        assert (done.state, failed.state) == (State.DONE, State.FAILED)
        for text in (done.answer["warning"], told.payload["failure"]["error"], failed.error or ""):
            assert "rows 1, 7, 8" in text
            assert "an administrator of the site must delete 7, 8" in text
            assert "mma publication retry" in text
        server.alerts[:] = [r for r in server.alerts if r["id"] == 1]
        with writing(archive.engine) as connection:
            assert outbox.retry_failed(connection, datetime.now(UTC), destination="gwtm") == [failed.id]
        sender.run("gwtm")
        assert set(site_names(server)) == {str(v.stem) for v in archive.versions()}
