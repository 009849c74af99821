"""Versions whose products are not there: what waits, what goes out bare, what is completed, what passes them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mma_pipeline.adapters.archive import Archive, VersionRecord, blocks, schema, writing
from mma_pipeline.adapters.archive.publications import Publication, State
from mma_pipeline.adapters.publishing import config
from mma_pipeline.adapters.publishing.config import DestinationConfig
from mma_pipeline.adapters.publishing.decision import Decider, Extras
from mma_pipeline.adapters.publishing.hopskotch import id_of
from mma_pipeline.adapters.publishing.rules import Rule
from mma_pipeline.adapters.publishing.service import Publications, Readiness
from mma_pipeline.notices.derived import DerivedAlert
from mma_pipeline.settings import Settings
from tests.adapters.publishing.helpers import (
    ALERTS,
    EVERYTHING,
    GWTM,
    address,
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
from tests.services.gwtm_schemas import ADMIN
from tests.services.gwtm_standin import GwtmStandIn

pytestmark = needs_alerts
HOP = DestinationConfig("hop", "hopskotch", EVERYTHING, {"url": "kafka://127.0.0.1:1/t"})
PEOPLE = DestinationConfig("people", "webhook", EVERYTHING)
BARE_GWTM = DestinationConfig("gwtm", "gwtm", EVERYTHING, {"bare_rows": True})


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """An empty archive."""
    return new_archive(f"sqlite:///{tmp_path / 'a.db'}")


def taken(archive: Archive, *patterns: str) -> list[VersionRecord]:
    """Real alerts in the archive, without products."""
    return take_in(archive, [sorted(ALERTS.glob(p))[0].read_bytes() for p in patterns])


def mark(archive: Archive, state: State, *, kind: str | None = None) -> None:
    """Let publications have gone the way that they may go."""

    change = schema.publication.update().values(state=state, attempts=1)
    with writing(archive.engine) as connection:
        connection.execute(change if kind is None else change.where(schema.publication.c.kind == kind))


def one(archive: Archive, destination: str, state: State | None = None) -> list[Publication]:
    """Publications of a destination."""
    return [p for p in all_publications(archive) if p.destination == destination and state in {None, p.state}]


def test_a_bare_version_goes_where_it_can_be_completed(archive: Archive) -> None:
    """Not to the site, which keeps rows as posted; to topic and people, and again as a whole when the products come."""
    (record,) = taken(archive, "S230518h-PRELIMINARY*.json")
    chooser, now = decider(archive, GWTM, HOP, PEOPLE), datetime.now(UTC)
    chooser.decide(record, now)
    bare = {p.destination: p for p in all_publications(archive)}
    assert set(bare) == {"hop", "people"}
    assert all(p.payload["bare"] for p in bare.values())
    mark(archive, State.DONE)
    make_products(archive, record)
    for _ in range(2):
        chooser.decide(record, now)
    assert [p.state for p in one(archive, "gwtm")] == [State.PENDING]
    first, second = one(archive, "hop")
    assert second.payload["alert"]["localisation"]["area_90"] == 400.0
    assert second.payload["alert"]["completes"] == first.payload["alert"]["id"]
    assert second.payload["alert"]["schema"] == "mma.derived-alert/2.1"
    assert DerivedAlert.from_json(second.payload["alert"]).completes == str(id_of("v2", first.payload))
    assert len(one(archive, "people")) == 2


def test_a_bare_message_nobody_sent_is_replaced(archive: Archive) -> None:
    """What still waits when the products come goes out whole, once."""
    (record,) = taken(archive, "S230518h-PRELIMINARY*.json")
    chooser = decider(archive, HOP, PEOPLE)
    chooser.decide(record, datetime.now(UTC))
    make_products(archive, record)
    chooser.decide(record, datetime.now(UTC))
    assert [p.payload.get("bare") for p in all_publications(archive)] == [None, None]
    assert [p.payload["alert"].get("completes") for p in all_publications(archive)] == [None, None]


def test_a_retraction_withdraws_both_messages(archive: Archive) -> None:
    """The bare message and the one that completed it."""
    (early,) = taken(archive, "MS181101ab-preliminary*.json")
    chooser = decider(archive, HOP)
    chooser.decide(early, datetime.now(UTC))
    mark(archive, State.DONE)
    make_products(archive, early)
    chooser.decide(early, datetime.now(UTC))
    mark(archive, State.DONE)
    (end,) = take_in(archive, [(ALERTS / "MS181101ab-retraction.json").read_bytes()], start=9)
    chooser.decide(end, datetime.now(UTC))
    sent = {p.payload["alert"]["id"] for p in one(archive, "hop") if p.kind == "v2"}
    assert len(sent) == 2
    assert {p.payload["alert"]["retracts"] for p in one(archive, "hop") if p.kind == "retraction"} == sent


def test_bare_rows_only_where_a_setting_says_so(archive: Archive, tmp_path: Path) -> None:
    """With `bare_rows`, or its variable, the site gets the row at once, and the galaxies when they come."""
    (record,) = taken(archive, "S230518h-PRELIMINARY*.json")
    env = {"API_BASE": "https://x/api/v1/", "API_TOKEN": "t"}
    path = tmp_path / "p.toml"
    path.write_text("[destinations.a]\nkind = 'gwtm'\n[destinations.b]\nkind = 'gwtm'\nbare_rows = true\n")
    assert [c.takes_bare for c in config.load(Settings(env).access)] == [False]
    assert [c.takes_bare for c in config.load(Settings({**env, "MMA_GWTM_BARE_ROWS": "true"}).access)] == [True]
    assert [c.takes_bare for c in config.load(Settings({**env, "MMA_PUBLICATION_CONFIG": str(path)}).access)] == [
        False,
        True,
    ]
    with GwtmStandIn() as server:
        sender, chooser = publisher(archive, gwtm(server)), decider(archive, BARE_GWTM)
        chooser.decide(record, datetime.now(UTC))
        sender.run("gwtm")
        assert [(r["area_90"], r["skymap_fits_url"]) for r in server.alerts] == [(None, None)]
        make_products(archive, record)
        chooser.decide(record, datetime.now(UTC), Extras(galaxies=GALAXIES))
        sender.run("gwtm")
        assert len(server.alerts) == len(server.lists) == 1


def test_a_version_that_is_held_back_is_not_posted_for_the_next(archive: Archive) -> None:
    """The next of its kind waits for it without a run, and both go when it is let pass, in order."""
    first, second = take_in(archive, [p.read_bytes() for p in sorted(ALERTS.glob("S240114aj*.json"))[:2]])
    for record in (first, second):
        make_products(archive, record)
    held = {first.partition_key}
    chooser = Decider(archive, address, (GWTM,), fit=lambda record: record.partition_key not in held)
    with GwtmStandIn() as server:
        sender = publisher(archive, gwtm(server))
        chooser.decide(second, datetime.now(UTC))
        assert sender.run("gwtm") == []
        late = publisher(archive, gwtm(server), clock=lambda: datetime.now(UTC) + timedelta(days=2))
        assert late.run("gwtm") == []
        assert server.requests.total() == 0
        chooser.decide(first, datetime.now(UTC))
        sender.run("gwtm")
        assert set(site_names(server)) == {str(first.stem), str(second.stem)}
        assert list(site_names(server).values()) == [f"fit/{v.stem}.fits.gz" for v in (first, second)]


def test_an_earlier_version_that_is_fit_does_not_wait(archive: Archive) -> None:
    """Undecided but whole: it goes at once before the next, as it would by its own decision."""
    first, second = take_in(archive, [p.read_bytes() for p in sorted(ALERTS.glob("S240114aj*.json"))[:2]])
    for record in (first, second):
        make_products(archive, record)
    with GwtmStandIn() as server:
        decider(archive).decide(second, datetime.now(UTC))
        publisher(archive, gwtm(server)).run("gwtm")
        assert [row["area_90"] for row in server.alerts] == [400.0, 400.0]


def test_a_retraction_passes_all_that_is_stuck(archive: Archive) -> None:
    """A galaxy list that the site refuses with 500, and a row that waits for its products, hold no retraction."""
    bodies = sorted(ALERTS.glob("MS181101ab*.json"), key=lambda p: str(json.loads(p.read_bytes())["time_created"]))
    records = take_in(archive, [p.read_bytes() for p in bodies])
    retraction = next(r for r in records if r.version.label == "Retraction")
    with GwtmStandIn() as server:
        sender = publisher(archive, gwtm(server))
        server.fail("event_galaxies", "500", times=1000)
        first = records[0]
        make_products(archive, first)
        decider(archive).decide(first, datetime.now(UTC), Extras(galaxies=GALAXIES))
        sender.run("gwtm", limit=2)
        decide_all(archive, [retraction])
        sender.run("gwtm", limit=2)
        assert [row["alert_type"] for row in server.alerts] == [first.version.label, "Retraction"]
        # The list that was stuck is not wanted any more.
        server._faults.clear()
        sender.run("gwtm")
        assert server.lists == []
        assert {p.state for p in all_publications(archive)} == {State.DONE}


def service(archive: Archive, **env: str) -> Publications:
    """Publication to site and topic."""
    wired = {"API_BASE": "https://x/api/v1/", "API_TOKEN": ADMIN, "MMA_HOP_URL": "kafka://x/t", **env}
    return Publications(archive, address, Settings(wired).access)


@pytest.mark.parametrize("minutes", [0, 11, 60 * 30])
def test_time_alone_makes_nothing_bare(archive: Archive, minutes: int) -> None:
    """A version whose products wait behind a backlog is offered to nobody, however long ago it was received."""
    (record,) = taken(archive, "S230518h-PRELIMINARY*.json")
    with archive.engine.begin() as connection:
        connection.execute(schema.message.update().values(received=datetime.now(UTC) - timedelta(minutes=minutes)))
    published = service(archive)
    assert published.undecided(lambda *_: Readiness.WAITING) == []
    (offer,) = published.undecided(lambda *_: Readiness.GIVEN_UP)
    assert (offer.record, offer.bare) == (record, True)
    make_products(archive, record)
    (offer,) = published.undecided(lambda *_: Readiness.READY)
    assert not offer.bare


def test_offers_follow_the_products(archive: Archive) -> None:
    """Given up: offered once, for the topic. Products there: offered again, for both, and then not any more."""
    (record,) = taken(archive, "S230518h-PRELIMINARY*.json")
    published = service(archive)

    def offered(state: Readiness) -> list[VersionRecord]:
        return [offer.record for offer in published.undecided(lambda *_: state)]

    assert offered(Readiness.GIVEN_UP) == [record]
    decided = published.decide(record, published.configs)
    assert {d.destination: d.deferred for d in decided} == {"gwtm": True, "hopskotch": False}
    assert offered(Readiness.GIVEN_UP) == []
    make_products(archive, record)
    with archive.engine.begin() as connection:  # the store was away for days
        connection.execute(schema.message.update().values(received=datetime.now(UTC) - timedelta(days=9)))
    assert offered(Readiness.READY) == [record]
    published.decide(record, published.configs)
    assert offered(Readiness.READY) == []


def test_old_versions_are_left_alone(archive: Archive) -> None:
    """What was decided somewhere a day ago, or never within three, waits for a person; a release is a person's word."""
    (record,) = taken(archive, "S230518h-PRELIMINARY*.json")
    make_products(archive, record)
    published = service(archive)
    ages = []
    for hours in (1, 30, 80):
        with archive.engine.begin() as connection:
            connection.execute(schema.message.update().values(received=datetime.now(UTC) - timedelta(hours=hours)))
        ages.append(len(published.undecided(lambda *_: Readiness.READY)))
    assert ages == [1, 1, 0]
    with writing(archive.engine) as connection:
        blocks.release(connection, record.partition_key, "S230518h", "looked at it", datetime.now(UTC))
    assert len(published.undecided(lambda *_: Readiness.WAITING)) == 1


def test_a_rule_is_judged_again_with_the_products(archive: Archive) -> None:
    """A limit on the area refuses a bare version, and takes it when the area is known."""
    (record,) = taken(archive, "S230518h-PRELIMINARY*.json")
    picky: Any = DestinationConfig("hop", "hopskotch", Rule(area_90_max=500), {"url": "kafka://x/t"})
    chooser = decider(archive, picky)
    assert not chooser.decide(record, datetime.now(UTC))[0].accepted
    make_products(archive, record)
    (decision,) = chooser.decide(record, datetime.now(UTC))
    assert (decision.accepted, decision.bare) == (True, False)
