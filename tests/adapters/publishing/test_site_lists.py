"""Galaxy lists and neutrino notices on GWTM, and everything at once under random faults and several publishers."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mma_pipeline.adapters.archive import Archive, ProductRecord, VersionRecord
from mma_pipeline.adapters.archive.publications import Draft, State
from mma_pipeline.adapters.publishing.decision import Extras
from mma_pipeline.adapters.publishing.gwtm_fields import icecube_body
from mma_pipeline.adapters.publishing.publisher import Backoff
from tests.adapters.publishing.helpers import (
    ALERTS,
    NO_WAIT,
    SHARED,
    alert_files,
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
from tests.adapters.publishing.test_outbox import put
from tests.alerts import body
from tests.homes import new_archive
from tests.services.gwtm_schemas import USER
from tests.services.gwtm_standin import FaultKind, GwtmStandIn

#: Nothing waits and nothing is given up soon.
PATIENT = Backoff(first_s=0.0, longest_s=0.0, waiting_s=0.0, attempts=40, waiting_limit_s=3600)
GALAXIES = [
    {"name": "NGC 4993", "ra": 197.448, "dec": -23.384, "score": 0.3, "info": {"Distance [Mpc]": 40.0}},
    {"name": "ESO 508-019", "ra": 197.466, "dec": -24.239, "score": 0.1, "info": {}},
]


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """An empty archive."""
    return new_archive(f"sqlite:///{tmp_path / 'a.db'}")


@pytest.fixture
def server() -> Iterator[GwtmStandIn]:
    """An empty site."""
    with GwtmStandIn() as running:
        yield running


def decide(archive: Archive, record: VersionRecord, galaxies: list[dict[str, Any]]) -> None:
    """Decide about a version that brings galaxies."""
    make_products(archive, record)
    decider(archive).decide(record, datetime.now(UTC), Extras(galaxies=galaxies))


@needs_alerts
@pytest.mark.parametrize("fault", [None, "500 after", "truncated", "slow after"])
def test_a_new_list_takes_the_place_of_the_old(archive: Archive, server: GwtmStandIn, fault: FaultKind | None) -> None:
    """One list of ours per event, the latest, whatever goes wrong on the way; other people's lists stay."""
    pattern = ("S230518h-PRELIMINARY*.json", "S230518h-UPDATE*.json")
    first, second = take_in(archive, [next(ALERTS.glob(p)).read_bytes() for p in pattern])
    site = gwtm(server, timeout_s=2.0 if fault == "slow after" else 30.0)
    sender = publisher(archive, site, backoff=PATIENT)
    decide(archive, first, GALAXIES)
    sender.run("gwtm")
    other = {**server_list("S230518h", "2023-05-18T13:38:18"), "groupname": "mma_pipeline"}
    stranger = gwtm(server, token=USER)
    stranger.client.post_galaxies(other)
    if fault is not None:
        server.fail("event_galaxies", fault, seconds=4.0)
    decide(archive, second, GALAXIES[:1])
    sender.run("gwtm")
    lists = [(x["user"], [e["name"] for e in x["entries"]]) for x in server.lists]
    assert sorted(lists) == [("admin", ["NGC 4993"]), ("user", ["x"])]
    assert {p.state for p in all_publications(archive)} == {State.DONE}
    (kept,) = [
        p.answer for p in all_publications(archive) if p.kind == "galaxies" and p.partition_key == second.partition_key
    ]
    assert len(kept["lists_of_others"]) == 1


@needs_alerts
def test_a_late_notice_does_not_put_the_old_list_back(archive: Archive, server: GwtmStandIn) -> None:
    """The list of an earlier version that is decided upon last is not sent; the row of that version is."""
    pattern = ("S230518h-PRELIMINARY*.json", "S230518h-UPDATE*.json")
    early, late = take_in(archive, [next(ALERTS.glob(p)).read_bytes() for p in pattern])
    sender = publisher(archive, gwtm(server))
    decide(archive, late, GALAXIES[:1])
    decide(archive, early, GALAXIES)
    sender.run("gwtm")
    assert [[e["name"] for e in x["entries"]] for x in server.lists] == [["NGC 4993"]]
    assert {row["alert_type"] for row in server.alerts} == {"Preliminary", "Update"}


@needs_alerts
@pytest.mark.parametrize("fault", [None, "500 after", "truncated", "slow after"])
def test_a_version_that_ranks_none_takes_the_list_away(
    archive: Archive, server: GwtmStandIn, fault: FaultKind | None
) -> None:
    """Our list goes, once, whatever goes wrong on the way; another user's stays; nothing is said where none was sent."""
    pattern = ("S230518h-PRELIMINARY*.json", "S230518h-INITIAL*.json", "S230518h-UPDATE*.json")
    first, second, third = take_in(archive, [next(ALERTS.glob(p)).read_bytes() for p in pattern])
    sender = publisher(archive, gwtm(server, timeout_s=2.0 if fault == "slow after" else 30.0), backoff=PATIENT)
    decide(archive, first, [])
    assert [p.kind for p in all_publications(archive)] == ["alert"]
    decide(archive, second, GALAXIES)
    sender.run("gwtm")
    stranger = gwtm(server, token=USER)
    stranger.client.post_galaxies(server_list("S230518h", "2023-05-18T13:38:18") | {"groupname": "mma_pipeline"})
    if fault is not None:
        server.fail("remove_event_galaxies", fault, seconds=4.0)
    for _ in range(2):
        decide(archive, third, [])
        sender.run("gwtm")
    assert [x["user"] for x in server.lists] == ["user"]
    assert {p.state for p in all_publications(archive)} == {State.DONE}
    # One removal for ours, one that the site refuses for the stranger's, and the repetition of the one that failed.
    assert server.requests["DELETE remove_event_galaxies"] <= 3 + (fault is not None)
    # A notice that arrives late does not put a list back.
    decide(archive, second, GALAXIES)
    sender.run("gwtm")
    assert [x["user"] for x in server.lists] == ["user"]


@needs_alerts
@pytest.mark.parametrize("pattern", ["S230518h-UPDATE*.json", None])
def test_a_late_list_stays_away(archive: Archive, server: GwtmStandIn, pattern: str | None) -> None:
    """The first list of an event is not sent after a version that ranks none, or after the retraction."""
    first = take_in(archive, [next(ALERTS.glob("S230518h-PRELIMINARY*.json")).read_bytes()])[0]
    if pattern is None:
        retraction = body("S230518h", kind="RETRACTION", created="2023-05-19T00:00:00Z")
        (later,) = take_in(archive, [retraction], start=5)
        decide_all(archive, [later])
    else:
        (later,) = take_in(archive, [next(ALERTS.glob(pattern)).read_bytes()], start=5)
        note_ranking(archive, later, 0)
        decide(archive, later, [])
    decide(archive, first, GALAXIES)
    publisher(archive, gwtm(server)).run("gwtm")
    assert server.lists == []
    assert {p.kind for p in all_publications(archive)} == {"alert"}


def note_ranking(archive: Archive, record: VersionRecord, listed: int) -> None:
    """Note the product `galaxies` of a version, as its asset does."""
    statistics, digest = {"galaxies_listed": listed}, "0" * 64
    key = f"mma/{record.version.event_id}/{record.partition_key}/galaxies.json"
    archive.record_product(
        ProductRecord(
            record.partition_key, "galaxies", "galaxies", key, digest, 2, "application/json", "1", digest, statistics,
            datetime.now(UTC),
        )
    )  # fmt: skip


@needs_alerts
def test_unknown_galaxies_leave_the_list(archive: Archive, server: GwtmStandIn) -> None:
    """A version of whose ranking nothing is known (its list failed, or it has no map) takes nothing away."""
    pattern = ("S230518h-PRELIMINARY*.json", "S230518h-UPDATE*.json")
    first, second = take_in(archive, [next(ALERTS.glob(p)).read_bytes() for p in pattern])
    decide(archive, first, GALAXIES)
    decide_all(archive, [second])
    publisher(archive, gwtm(server)).run("gwtm")
    assert len(server.lists) == 1


@needs_alerts
@pytest.mark.parametrize("state", ["sent", "waiting"])
def test_a_retraction_takes_the_list_away(archive: Archive, server: GwtmStandIn, state: str) -> None:
    """Also where the list had not gone out yet when the retraction came; a late version does not bring it back."""
    bodies = sorted(
        (p.read_bytes() for p in ALERTS.glob("MS181101ab*.json")), key=lambda b: str(json.loads(b)["time_created"])
    )
    *alive, retraction = take_in(archive, bodies)
    sender = publisher(archive, gwtm(server))
    for record in alive[:-1]:
        decide(archive, record, GALAXIES)
    if state == "sent":
        sender.run("gwtm")
        assert len(server.lists) == 1
    for _ in range(2):
        decide_all(archive, [retraction])
        sender.run("gwtm")
    assert server.lists == []
    decide(archive, alive[-1], GALAXIES)
    sender.run("gwtm")
    assert server.lists == []
    assert {p.state for p in all_publications(archive)} == {State.DONE}
    assert len([p for p in all_publications(archive) if p.partition_key == retraction.partition_key]) == 2


def server_list(graceid: str, stamp: str) -> dict[str, Any]:
    """A list as somebody else posts it."""
    galaxy = {"name": "x", "ra": 1.0, "dec": 2.0, "score": 1.0, "rank": 1}
    return {"graceid": graceid, "timesent_stamp": stamp, "galaxies": [galaxy]}


@pytest.mark.skipif(not (SHARED / "data" / "icecube").is_dir(), reason="../shared/data/icecube is not here")
@pytest.mark.parametrize("fault", [None, "500 after", "truncated"])
def test_a_neutrino_notice_is_stored_once(archive: Archive, server: GwtmStandIn, fault: FaultKind | None) -> None:
    """Also after a lost answer, and also one without coincident events."""
    record = json.loads((SHARED / "data" / "icecube" / "lvk_nu_track_search.example.json").read_text())
    limit = record | {"reference": {"gcn.notices.LVK.alert": "S230914ak-3-Initial"}, "coincident_events": []}
    if fault is not None:
        server.fail("post_icecube_notice", fault)
    bodies = [icecube_body(record), icecube_body(limit)]
    put(archive.engine, *(Draft("gwtm", "icecube", str(n), "S230914ak", {"body": b}) for n, b in enumerate(bodies)))
    publisher(archive, gwtm(server)).run("gwtm")
    assert [(n["ref_id"], len(n["events"])) for n in server.notices] == [
        ("S230914ak-2-Preliminary", 2),
        ("S230914ak-3-Initial", 0),
    ]
    assert {p.state for p in all_publications(archive)} == {State.DONE}


TRANSIENT: list[FaultKind] = ["500", "500 after", "truncated", "html"]


@needs_alerts
@pytest.mark.parametrize("seed", [0, 1])
def test_random_faults_leave_each_row_once(archive: Archive, server: GwtmStandIn, seed: int) -> None:
    """A site that fails half of all requests in random ways ends with every row once, under our names."""
    luck = random.Random(seed)
    for _ in range(25):
        path = luck.choice(["query_alerts", "post_alert", "post_alert", "event_galaxies"])
        server.fail(path, luck.choice(TRANSIENT))
    bodies = [p.read_bytes() for p in alert_files() if p.name.startswith(("MS181101ab", "MS230425k"))]
    luck.shuffle(bodies)
    records = take_in(archive, bodies)
    for record in records:
        if record.facts.get("skymap_sha256"):
            decide(archive, record, GALAXIES)
        else:
            decide_all(archive, [record])
    publisher(archive, gwtm(server), backoff=PATIENT).run("gwtm", limit=1000)
    assert {p.state for p in all_publications(archive)} == {State.DONE}
    names = site_names(server)
    assert {str(v.stem) for v in archive.versions()} == set(names)
    assert all(skymap is None or skymap.split("/")[1] == f"{stem}.fits.gz" for stem, skymap in names.items())
    # One of the two events is retracted, and with that its list goes.
    assert [x["graceid"] for x in server.lists] == ["MS230425k"]


@needs_alerts
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_many_deciders_and_publishers_at_once(
    request: pytest.FixtureRequest, tmp_path: Path, server: GwtmStandIn, database: str
) -> None:
    """Three threads decide about the same versions in different orders and publish meanwhile: each row once."""
    url = f"sqlite:///{tmp_path / 'b.db'}"
    if database == "postgresql":
        url = request.getfixturevalue("postgres_url")
    archive = new_archive(url)
    bodies = [p.read_bytes() for p in alert_files() if p.name.startswith(("MS181101ab", "S230518h"))]
    records = take_in(archive, bodies)
    for record in records:
        make_products(archive, record)
    problems: list[BaseException] = []

    def work(seed: int) -> None:
        mine = random.Random(seed).sample(records, len(records))
        sender = publisher(archive, gwtm(server, timeout_s=20.0), backoff=NO_WAIT)
        try:
            for record in mine:
                decider(archive).decide(record, datetime.now(UTC))
                sender.run("gwtm", limit=3)
        except BaseException as error:
            problems.append(error)
            raise

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert problems == []
    publisher(archive, gwtm(server)).run("gwtm")
    assert {p.state for p in all_publications(archive)} == {State.DONE}
    names = site_names(server)
    assert {str(v.stem) for v in archive.versions()} == set(names)
    assert len(server.alerts) == len(names)
    archive.engine.dispose()
