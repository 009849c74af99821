"""Reading the Treasure Map: a stand-in that answers as the recorded server, over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import numpy as np
import pytest

from mma_pipeline.adapters.archive import Archive
from mma_pipeline.adapters.archive.pointings import PointingArchive
from mma_pipeline.adapters.errors import ConfigurationError, TransientError
from mma_pipeline.adapters.pointings import treasure_map
from mma_pipeline.adapters.pointings.poll import FOOTPRINTS_FRESH, poll
from mma_pipeline.adapters.pointings.treasure_map import TreasureMap
from mma_pipeline.notices.pointings import Status
from tests.homes import new_archive
from tests.services.gwtm_standin import GwtmStandIn

NOW = datetime(2024, 3, 1, 12, tzinfo=UTC)
EVENT = "S240301a"
TOKEN = {"api_token": "test_token_user_002"}
MOSAIC = "#[(-0.5, -0.25)\n(-0.1, -0.25)\n(-0.1, 0.25)\n(-0.5, 0.25)]\n#[(0.1, -0.25)\n(0.5, -0.25)\n(0.5, 0.25)\n(0.1, 0.25)]"


@pytest.fixture
def site() -> Iterator[GwtmStandIn]:
    """A site with an event, two instruments and three pointings."""
    from tests.adapters.pointings.site import filled

    with GwtmStandIn() as server:
        filled(server, EVENT)
        yield server


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """An empty archive."""
    return new_archive(f"sqlite:///{tmp_path / 'archive.db'}")


def test_pointings_and_footprints_are_archived(site: GwtmStandIn, archive: Archive) -> None:
    """Positions, status, depth and all CCDs arrive as the site has them; the next poll asks for no footprint."""
    polled = poll(archive, TreasureMap(site.base), EVENT, NOW)
    assert (polled.recorded.new, polled.problems) == (3, ())
    done, planned, mosaic = PointingArchive(archive).pointings(EVENT)
    assert (done.status, done.ra, done.dec, done.band, done.depth) == (Status.COMPLETED, 200.5, -12.25, "r", 20.5)
    assert done.time == datetime(2024, 3, 1, 13, 30, tzinfo=UTC)
    assert done.footprint is not None
    assert np.ptp(np.array(done.footprint.polygons[0])[:, 0]) == pytest.approx(2.0)
    # The site turns towards the west.
    assert done.pos_angle == 330.0
    assert planned.status is Status.PLANNED
    assert mosaic.footprint is not None
    assert len(mosaic.footprint.polygons) == 2
    asked = site.requests.total()
    again = poll(archive, TreasureMap(site.base), EVENT, NOW)
    assert (again.recorded.new, again.recorded.changed, again.recorded.same) == (0, 0, 3)
    assert site.requests.total() == asked + 1
    poll(archive, TreasureMap(site.base), EVENT, NOW + 2 * FOOTPRINTS_FRESH)
    assert site.requests.total() == asked + 4


def test_a_completed_plan_is_one_pointing(site: GwtmStandIn, archive: Archive) -> None:
    """A planned pointing that was completed comes twice from the site and is one row here, with its history."""
    poll(archive, TreasureMap(site.base), EVENT, NOW)
    planned = next(p for p in PointingArchive(archive).pointings(EVENT) if p.status is Status.PLANNED)
    body = {
        "graceid": EVENT,
        "pointing": {
            "id": int(planned.source_id), "status": "completed", "time": "2024-03-02T03:05:00", "pos_angle": 0,
            "ra": 10.25, "dec": 45.5, "instrumentid": 1, "depth": 21.0, "depth_unit": "ab_mag", "band": "g",
        },
    }  # fmt: skip
    httpx.post(f"{site.base}pointings", json=body, headers=TOKEN, timeout=10).raise_for_status()
    assert poll(archive, TreasureMap(site.base), EVENT, NOW + timedelta(hours=1)).recorded.changed == 1
    found = {p.source_id: p.status for p in PointingArchive(archive).pointings(EVENT)}
    assert found[planned.source_id] is Status.COMPLETED
    assert len(found) == 3
    assert PointingArchive(archive).history(EVENT)[-1]["was"]["status"] == "planned"


def test_an_unknown_event_has_none(site: GwtmStandIn, archive: Archive) -> None:
    """The site answers an event that it does not know with an empty list."""
    assert poll(archive, TreasureMap(site.base), "S999999a", NOW).recorded.new == 0


@pytest.mark.parametrize("fault", ["500", "html", "truncated"])
def test_a_site_in_trouble_changes_nothing(site: GwtmStandIn, archive: Archive, fault: str) -> None:
    """An outage, an error page or a broken answer is transient, and what was archived stays."""
    site.fail("pointings", fault)  # type: ignore[arg-type]
    with pytest.raises(TransientError):
        poll(archive, TreasureMap(site.base), EVENT, NOW)
    assert PointingArchive(archive).pointings(EVENT) == []


def test_wrong_rows_are_left_out_and_named() -> None:
    """A row without position or status costs itself alone."""
    rows = [
        {"id": 1, "position": "POINT(3 4)", "status": "completed", "instrumentid": 1, "depth": None, "time": None},
        {"id": 2, "position": None, "status": "completed"},
        {"id": 3, "position": "POINT(3 95)", "status": "completed"},
        {"id": 4, "position": "POINT(3 4)", "status": "perhaps"},
        {"id": 5, "position": "POINT(3 4)", "status": "planned", "time": "yesterday"},
    ]
    answer = treasure_map.pointings_of(rows, lambda _: None)
    assert [p.source_id for p in answer.pointings] == ["1"]
    assert len(answer.problems) == 4


def test_an_address_that_is_none_is_refused() -> None:
    """The address must be of the web."""
    with pytest.raises(ConfigurationError):
        TreasureMap("file:///etc")
