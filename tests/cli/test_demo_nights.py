"""The demo's photometry: what it sends, and where its alerts go; and when its pages are complete."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from mma_pipeline.adapters.publishing.config import load
from mma_pipeline.cli.demo import Sent, absent_from_pages
from mma_pipeline.cli.demo_nights import NIGHTS, nights_of, publication_settings
from mma_pipeline.defs.alerts.raw_alert import raw_alert
from mma_pipeline.notices.photometry.candidate_key import CandidateNight
from mma_pipeline.notices.photometry.message import parse
from mma_pipeline.products.inputs import ProductInput
from mma_pipeline.products.materialize import materialize
from mma_pipeline.science.kilonova.counterpart import counterpart_of
from mma_pipeline.science.simulation.alerts import simulate_event, simulate_retracted
from mma_pipeline.science.skymaps.crossmatch import crossmatch
from mma_pipeline.science.skymaps.model import decode_skymap
from mma_pipeline.settings import Settings, current
from tests.alerts import body
from tests.homes import Home
from tests.portal.conftest import make

MERGER = datetime(2026, 1, 10, 3, tzinfo=UTC)


@pytest.fixture(scope="module")
def notices() -> list:
    """An event whose last notice has a combined map."""
    return simulate_event("MS260110a", time=MERGER, seed=5)


def test_nights_hold_all_measurements_once(notices: list) -> None:
    """Every night is one message under its own key, together they hold each exposure once, labelled simulated."""
    nights = nights_of(notices, "MS260110a", seed=5)
    parsed = [parse(night.body) for night in nights]
    rows = [m for notice in parsed for m in notice.measurements]
    assert len(rows) == 4 * NIGHTS == sum(night.measurements for night in nights)
    assert len({(m.mjd, m.band) for m in rows}) == len(rows)
    assert all(notice.simulated and notice.event_id == "MS260110a" for notice in parsed)
    for night, notice in zip(nights, parsed, strict=True):
        assert {CandidateNight("MS260110a", "MS260110a-kn", int(m.mjd)).partition_key for m in notice.measurements} == {
            night.key
        }


@pytest.mark.parametrize("seed", range(5))
def test_counterpart_lies_in_every_late_map(seed: int) -> None:
    """The counterpart is inside the 99 % region of the update and of the combined map: each of them admits it."""
    notices = simulate_event("MS260110a", time=MERGER, seed=seed)
    place = counterpart_of(notices, name="x", seed=seed, nights=1)[0].candidate
    update, external = notices[-1].event, notices[-1].external
    assert update is not None
    assert external is not None
    for data in (update.skymap, external.combined_skymap):
        found = crossmatch(decode_skymap(data or b""), [place.ra], [place.dec])
        assert found.searched_prob[0] < 0.99


def test_no_map_no_counterpart() -> None:
    """Without any map there is no place for a counterpart, which is said."""
    retraction = simulate_retracted("MS260110b", time=MERGER, seed=1)[-1:]
    with pytest.raises(ValueError, match="no notice has a map"):
        counterpart_of(retraction, name="x", seed=1)


def test_alerts_go_to_the_embedded_kafka_only(tmp_path: Path) -> None:
    """The demo's settings name one destination, on its own broker, whatever else the environment has."""
    path = publication_settings(tmp_path, "127.0.0.1:4711")
    env = {"MMA_PUBLICATION_CONFIG": str(path), "API_BASE": "https://example.org/api/v1/", "MMA_HOP_URL": "kafka://x/y"}
    (destination,) = load(Settings(env).access)
    assert destination.settings["url"] == "kafka://127.0.0.1:4711/mma.alerts"
    assert destination.settings["formats"] == ["v1", "v2"]


def test_what_the_pages_lack_is_named(home: Home) -> None:
    """The demo is complete when each page shows every product and candidate; what a page lacks is named, and a missing page."""
    (first,) = home.receive(body("MS240301a"))
    sent = [Sent("", datetime.now(UTC), (first.partition_key,))]
    assert absent_from_pages(home.archive, home.folder, sent, 0.0) == ["MS240301a: the page itself"]
    make(home, "raw_alert")
    assert absent_from_pages(home.archive, home.folder, sent, 0.0) == []
    (second,) = home.receive(body("MS240301a", "UPDATE", created="2024-03-01T13:00:00Z"))
    materialize(raw_alert, ProductInput(home.archive, home.store, second.partition_key, current()))
    lacking = absent_from_pages(home.archive, home.folder, sent, 0.0)
    assert lacking == ["MS240301a: test/MS240301a-Update_alert.json", "MS240301a: what came last"]
