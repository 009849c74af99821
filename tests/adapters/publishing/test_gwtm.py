"""Publishing on GWTM against a server that behaves as recorded: each row once, numbered as our files are."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from mma_pipeline.adapters.archive import Archive, outbox, writing
from mma_pipeline.adapters.archive.publications import State
from tests.adapters.publishing.helpers import (
    ALERTS,
    alert_files,
    all_publications,
    decide_all,
    gwtm,
    needs_alerts,
    publisher,
    site_names,
    take_in,
)
from tests.homes import new_archive
from tests.services.gwtm_schemas import ADMIN, USER
from tests.services.gwtm_standin import FaultKind, GwtmStandIn

pytestmark = needs_alerts
EVENT = ("EARLY_WARNING", "PRELIMINARY", "INITIAL", "UPDATE", "RETRACTION")


def _archive(path: Path) -> Archive:
    return new_archive(f"sqlite:///{path / 'archive.db'}")


def _mock_event() -> list[bytes]:
    """The alerts of one event in the order in which they were created."""
    import json

    bodies = [p.read_bytes() for p in ALERTS.glob("MS181101ab*.json")]
    return sorted(bodies, key=lambda body: str(json.loads(body)["time_created"]))


def test_every_alert_is_one_row_with_our_name(tmp_path: Path) -> None:
    """Twice in order and once shuffled: the same rows, and each points to the map that the site looks for."""
    bodies = [p.read_bytes() for p in alert_files()]
    shuffled = random.Random(20170817).sample(bodies, len(bodies))
    archive = _archive(tmp_path)
    with GwtmStandIn() as server:
        sender = publisher(archive, gwtm(server))
        for start, pass_ in enumerate((bodies, bodies, shuffled)):
            decide_all(archive, take_in(archive, pass_, start=start * 100))
            sender.run("gwtm", limit=1000)
            if start == 0:
                first = [dict(row) for row in server.alerts]
        assert server.alerts == first
        names = site_names(server)
    versions = archive.versions()
    assert len(versions) >= 24
    assert {str(v.stem) for v in versions} == set(names)
    for stem, skymap in names.items():
        if skymap is not None:
            assert skymap.split("/")[1] == f"{stem}.fits.gz"
    assert {p.state for p in all_publications(archive)} == {State.DONE}


@pytest.mark.parametrize("seed", [1, 2])
def test_names_agree_in_any_order_of_arrival(tmp_path: Path, seed: int) -> None:
    """Whatever order alerts come in and whoever decides first, row and file of a name are the same version."""
    bodies = [p.read_bytes() for p in alert_files()]
    random.Random(seed).shuffle(bodies)
    archive = _archive(tmp_path)
    with GwtmStandIn() as server:
        sender = publisher(archive, gwtm(server))
        records = take_in(archive, bodies)
        random.Random(seed + 100).shuffle(records)
        for record in records:
            decide_all(archive, [record])
            sender.run("gwtm", limit=1000)
        names = site_names(server)
        assert {str(v.stem) for v in archive.versions()} == set(names)
        for stem, skymap in names.items():
            assert skymap is None or skymap.split("/")[1] == f"{stem}.fits.gz"
        # The coincidence's row lies behind its main row.
        order = [(r["graceid"], r["alert_type"]) for r in server.alerts]
        for graceid, kind in order:
            if kind.endswith("-ExtCoinc"):
                assert order.index((graceid, kind.removesuffix("-ExtCoinc"))) < order.index((graceid, kind))


def test_fields_are_those_of_the_alert(tmp_path: Path) -> None:
    """A row holds what the listener before sent for the same alert (recorded), save what it had wrong."""
    import json

    recorded = json.loads((ALERTS.parent / "gwtm_contract" / "009-post_alert-preliminary.json").read_text())
    old = json.loads(recorded["request"]["body"])
    archive = _archive(tmp_path)
    with GwtmStandIn() as server:
        path = next(ALERTS.glob("S230518h-PRELIMINARY*.json"))
        decide_all(archive, take_in(archive, [path.read_bytes()]))
        publisher(archive, gwtm(server)).run("gwtm")
        row = server.alerts[0]
    same = ("graceid", "role", "alert_type", "packet_type", "far", "group", "pipeline", "search", "detectors")
    probabilities = [name for name in old if name.startswith("prob_")]
    assert {n: row[n] for n in (*same, *probabilities)} == {n: old[n] for n in (*same, *probabilities)}
    assert row["time_of_signal"].isoformat()[:19] == old["time_of_signal"][:19]
    # Ours: the notice's own creation time, and our stored map.
    assert row["timesent"].isoformat() == "2023-05-18T13:38:18"
    assert row["skymap_fits_url"] == "fit/S230518h-Preliminary.fits.gz"


FAULTS: list[tuple[str, FaultKind, State]] = [
    ("post_alert", "500 after", State.DONE),
    ("post_alert", "500", State.DONE),
    ("post_alert", "slow after", State.DONE),
    ("post_alert", "truncated", State.DONE),
    ("post_alert", "html", State.DONE),
    ("post_alert", "401", State.FAILED),
    ("post_alert", "307", State.FAILED),
    ("post_alert", "400", State.FAILED),
    ("post_alert", "409", State.FAILED),
    ("query_alerts", "500", State.DONE),
    ("query_alerts", "slow after", State.DONE),
    ("query_alerts", "truncated", State.DONE),
    ("query_alerts", "html", State.DONE),
    ("query_alerts", "307", State.FAILED),
]


@pytest.mark.parametrize(("path", "kind", "state"), FAULTS)
def test_a_fault_ends_in_the_right_state(tmp_path: Path, path: str, kind: FaultKind, state: State) -> None:
    """Outages are survived without a second row; refusals are given up with the server's words; others go on."""
    archive = _archive(tmp_path)
    records = take_in(archive, [next(ALERTS.glob("S230518h-PRELIMINARY*.json")).read_bytes()])
    others = take_in(archive, [next(ALERTS.glob("S240112e-*.json")).read_bytes()], start=10)
    with GwtmStandIn() as server:
        server.fail(path, kind, seconds=2.0)
        decide_all(archive, [*records, *others])
        if kind == "slow after":
            # One attempt that runs into its timeout; the server has stored the row by the time of the next.
            publisher(archive, gwtm(server, timeout_s=0.5)).run("gwtm", limit=1)
            until = time.monotonic() + 60
            while path == "post_alert" and not server.alerts and time.monotonic() < until:
                time.sleep(0.05)
        publisher(archive, gwtm(server)).run("gwtm")
        found = {p.event_id: p for p in all_publications(archive)}
        assert found["S230518h"].state is state, found["S230518h"].error
        assert found["S240112e"].state is State.DONE
        graceids = sorted(row["graceid"] for row in server.alerts)
    assert graceids == (["S230518h", "S240112e"] if state is State.DONE else ["S240112e"])
    failed = found["S230518h"].error or ""
    assert ADMIN not in str(found)
    if state is State.FAILED:
        said = {"401": "Authentication required", "307": "check its address", "400": "validation", "409": "conflicts"}
        assert said[kind] in failed


def test_a_failed_row_can_be_sent_again(tmp_path: Path) -> None:
    """After a person has put the token right, retrying publishes it, and what waited for it."""
    archive = _archive(tmp_path)
    preliminary = [p.read_bytes() for p in sorted(ALERTS.glob("S240114aj*.json"))]
    with GwtmStandIn() as server:
        decide_all(archive, take_in(archive, preliminary))
        publisher(archive, gwtm(server, token=USER)).run("gwtm", limit=5)
        failed, waiting = all_publications(archive)
        assert failed.state is State.FAILED
        assert "Only admins can access this endpoint" in (failed.error or "")
        assert waiting.state is State.PENDING
        assert "earlier ones must be posted first" in (waiting.error or "")
        assert server.alerts == []
        with writing(archive.engine) as connection:
            outbox.retry(connection, failed.id, failed.created)
        publisher(archive, gwtm(server)).run("gwtm")
        assert len(server.alerts) == len(preliminary)
    assert {p.state for p in all_publications(archive)} == {State.DONE}


def test_a_row_of_somebody_else_is_not_taken_for_ours(tmp_path: Path) -> None:
    """Where the site's row of our number is another alert, ours is given up with the reason, and not posted."""
    archive = _archive(tmp_path)
    records = take_in(archive, [next(ALERTS.glob("S230518h-PRELIMINARY*.json")).read_bytes()])
    with GwtmStandIn() as server:
        foreign = {"graceid": "S230518h", "role": "observation", "alert_type": "Preliminary"}
        gwtm(server).client.post_alert(foreign | {"timesent": "2023-05-18T12:59:27"})
        decide_all(archive, records)
        publisher(archive, gwtm(server)).run("gwtm")
        assert len(server.alerts) == 1
    (item,) = all_publications(archive)
    assert item.state is State.FAILED
    assert "another alert" in (item.error or "")


def test_a_late_version_does_not_revive_a_retracted_event(tmp_path: Path) -> None:
    """The row that the site shows, the one with the latest datecreated, stays the retraction."""
    archive = _archive(tmp_path)
    bodies = _mock_event()
    late, early = bodies[:2], bodies[2:]
    with GwtmStandIn() as server:
        sender = publisher(archive, gwtm(server))
        for part, start in ((early, 0), (late, 10)):
            decide_all(archive, take_in(archive, part, start=start))
            sender.run("gwtm")
        latest = max(server.alerts, key=lambda row: row["datecreated"])
        assert latest["alert_type"] == "Retraction"
        assert {str(v.stem) for v in archive.versions()} == set(site_names(server))
