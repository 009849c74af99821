"""What surrounds the demo's event: a catalog that can be ranked, elements that can be propagated, a receiver that is told."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import numpy as np
import pytest

from mma_pipeline.adapters.archive.publications import Publication, State
from mma_pipeline.adapters.catalogs.index import CatalogIndex
from mma_pipeline.adapters.errors import CredentialsError, PermanentError
from mma_pipeline.adapters.publishing.config import WEBHOOK, Access, load, open_destination
from mma_pipeline.adapters.publishing.gwtm_client import GwtmClient
from mma_pipeline.adapters.publishing.webhook import VERSION
from mma_pipeline.adapters.spacecraft.orbits import parse_tle
from mma_pipeline.cli.demo import _plan
from mma_pipeline.cli.demo_nights import DESTINATION as ALERTS
from mma_pipeline.cli.demo_nights import publication_settings
from mma_pipeline.cli.demo_site import DemoSite
from mma_pipeline.cli.demo_surroundings import (
    ADDRESS,
    ALONE,
    DESTINATION,
    PUBLICATION,
    WebhookReceiver,
    galaxy_catalog,
    orbital_elements,
)
from mma_pipeline.defs.operations.completeness import completeness_schedule
from mma_pipeline.defs.operations.connections import is_deaf, unconnected
from mma_pipeline.defs.resources import SettingsResource
from mma_pipeline.science.galaxies.ranking import Choice, rank_galaxies
from mma_pipeline.science.simulation.alerts import simulate_event
from mma_pipeline.science.simulation.galaxies import simulate_galaxies
from mma_pipeline.science.simulation.orbits import NORAD_ID, simulate_elements
from mma_pipeline.science.skymaps.model import SkyMap, decode_skymap
from mma_pipeline.settings import Settings

MERGER = datetime(2026, 11, 24, 12, 30, 15, tzinfo=UTC)


@pytest.fixture(scope="module")
def notices() -> list:
    """A simulated event."""
    return list(simulate_event("MS261124a", time=MERGER, seed=1))


@pytest.fixture(scope="module")
def skymap(notices: list) -> SkyMap:
    """Its last map."""
    return decode_skymap([n.event.skymap for n in notices if n.event is not None and n.event.skymap is not None][-1])


def test_catalog_can_be_ranked(tmp_path: Path, notices: list, skymap: SkyMap) -> None:
    """The index holds every galaxy, and the map's best are those that were drawn from it, at its distances."""
    catalog = CatalogIndex.open(galaxy_catalog(tmp_path, notices, seed=1))
    assert len(catalog) == 4400
    assert catalog.label == "simulated galaxies"
    found = rank_galaxies(skymap, catalog, Choice())
    assert len(found) > 50


def test_galaxies_follow_the_map(skymap: SkyMap) -> None:
    """As many galaxies lie in the 90 % region as the level says, and the same arguments give the same rows."""
    from mma_pipeline.science.skymaps.credible import Ranking
    from mma_pipeline.science.sphere import index29

    rows = simulate_galaxies(skymap, seed=3, near=2000, elsewhere=0)
    assert rows == simulate_galaxies(skymap, seed=3, near=2000, elsewhere=0)
    ra, dec = (np.array([row[n] for row in rows]) for n in (1, 2))
    inside = Ranking(skymap).searched_prob[skymap.row_of(index29(ra, dec))] <= 0.9
    assert inside.mean() == pytest.approx(0.9, abs=0.05)


def test_elements_are_an_orbit_of_fermi(tmp_path: Path) -> None:
    """The lines are intact, of their epoch, and sgp4 finds Fermi's height and inclination from them."""
    from sgp4.api import Satrec

    (one,) = parse_tle(orbital_elements(tmp_path, MERGER, seed=1).read_text(), NORAD_ID)
    assert abs((one.epoch - MERGER).total_seconds()) < 0.01
    satellite = Satrec.twoline2rv(one.line1, one.line2)
    error, place, _ = satellite.sgp4(satellite.jdsatepoch, satellite.jdsatepochF)
    assert error == 0
    assert 6378 + 500 < np.linalg.norm(place) < 6378 + 570
    assert np.degrees(satellite.inclo) == pytest.approx(25.58, abs=0.01)
    for seed in range(20):
        assert parse_tle(simulate_elements(datetime(2027, 1, 1, tzinfo=UTC), seed=seed))


def test_receiver_is_a_destination(tmp_path: Path) -> None:
    """The demo's publication settings name the receiver beside the topic of alerts, and a message arrives there."""
    with WebhookReceiver() as people:
        access = Access(file=publication_settings(tmp_path, "127.0.0.1:1", PUBLICATION), named={ADDRESS: people.url})
        configs = {config.name: config for config in load(access)}
        assert configs.keys() == {ALERTS, DESTINATION}
        assert configs[DESTINATION].kind == WEBHOOK
        failure = {"kind": "problem", "destination": "begun", "event_id": "", "error": "nothing is wrong"}
        item = Publication(
            id=1, destination=DESTINATION, kind=VERSION, dedupe_key="a", event_id="MS261124a", partition_key=None,
            payload={"failure": failure}, provisional=False, state=State.PENDING, attempts=0, next_attempt=MERGER,
            created=MERGER, finished=None, progress={}, answer={}, error=None,
        )  # fmt: skip
        open_destination(configs[DESTINATION], access).send(item)
        assert people.texts == ["PROBLEM: nothing is wrong"]
        people.take(b"{")
        assert people.texts[-1] == "1 bytes that are no message"


def test_site_takes_what_the_client_posts() -> None:
    """The client for the real site posts rows, a list and a notice to the demo's, looks at them, and is refused without the token."""
    with DemoSite() as site, contextlib.closing(GwtmClient(site.base, site.token)) as client:
        assert client.alerts("MS261124a") == []
        stored = client.post_alert({"graceid": "MS261124a", "role": "test", "alert_type": "Initial"})
        assert [row["id"] for row in client.alerts("MS261124a")] == [stored["id"]]
        assert client.alerts("MS261124b") == []
        galaxies = [{"name": "SIM J00001", "score": 0.5, "ra": 10.0, "dec": 20.0, "rank": 1}]
        number = client.post_galaxies({"graceid": "MS261124a", "timesent_stamp": "x", "galaxies": galaxies})
        assert [one["name"] for one in client.galaxies("MS261124a", "mma_pipeline")[number]] == ["SIM J00001"]
        assert client.remove_galaxies(number)
        assert not client.remove_galaxies(number)
        notice = {"notice_data": {"ref_id": "a", "graceid": "MS261124a"}, "events_data": []}
        assert client.post_icecube(notice)["icecube_notice"]["id"] == 1
        assert "id" not in client.post_icecube(notice)["icecube_notice"]
        with pytest.raises(PermanentError):
            client.post_alert({"role": "test"})
        with contextlib.closing(GwtmClient(site.base, "another")) as stranger, pytest.raises(CredentialsError):
            stranger.alerts("MS261124a")
        assert site.words == "1 row, 0 lists of galaxies, 1 neutrino notice"


def test_the_demo_asks_nobody_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the user's environment names, the demo reads no Hopskotch, survey or TOM, fetches no map, and leaves GraceDB alone."""
    theirs = {
        "HOP_USERNAME": "me", "HOP_PASSWORD": "secret-word", "MMA_HOP_STREAMS": "true", "MMA_PHOTOMETRY_TOPICS": "a",
        "MMA_SURVEY_TOPICS": "ztf", "MMA_POINTINGS_TOM_URL": "https://tom.example/", "MMA_POINTINGS_TOM_TOKEN": "word",
        "MMA_FT2_SOURCE": "https://fermi.example/", "MMA_POINTINGS_URL": "https://gwtm.example/api/v1/",
    }  # fmt: skip
    settings = Settings({**theirs, **ALONE})
    without = unconnected(settings)
    assert is_deaf(without)
    assert settings.pointings_tom is None
    assert not settings.coverage.pointings_url
    assert settings.observing.ft2_source == ()
    assert settings.notices.map_hours == 0
    for name, value in ALONE.items():
        monkeypatch.setenv(name, value)
    schedule = completeness_schedule(dg.build_schedule_context(), settings=SettingsResource())
    assert isinstance(schedule, dg.SkipReason)


def test_two_mergers_have_two_times(tmp_path: Path) -> None:
    """The demo's two simulated events differ by hours, so that neither is taken for the other."""
    plan, *_ = _plan(tmp_path, 1)
    times = {}
    for _, body, keys in plan:
        record = json.loads(body) if keys and keys[0].startswith("MS") else {}
        if event := record.get("event"):
            times[record["superevent_id"]] = datetime.fromisoformat(event["time"])
    first, second = times.values()
    assert abs((first - second).total_seconds()) > 3600
