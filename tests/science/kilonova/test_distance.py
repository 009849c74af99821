"""Which distance a candidate's probability assumes: its own where something is known of it, else the event's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mma_pipeline.adapters.photometry.files import Defaults, read_photometry
from mma_pipeline.science.healpix import order_ipix_to_uniq
from mma_pipeline.science.kilonova.assess import CandidateCurve, assess_many
from mma_pipeline.science.kilonova.distance import Distance, DistanceSource, assumed_distance, of_host, own_distance
from mma_pipeline.science.kilonova.lightcurve import Event
from mma_pipeline.science.kilonova.measured import light_curve
from mma_pipeline.science.kilonova.model import packaged
from mma_pipeline.science.skymaps.model import SkyMap

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data" / "photometry"
MERGER, NGC4993_REDSHIFT = 57982.5285236, 0.009783


def everywhere() -> SkyMap:
    """A map of twelve equal pixels without distances."""
    return SkyMap(order_ipix_to_uniq(np.zeros(12, int), np.arange(12)), np.full(12, 1 / (4 * np.pi)))


def test_own_distance_comes_before_the_events():
    """A redshift first, then a host's distance, then the event's; none where nothing is known."""
    event, host = Event(0.0, 150.0, 30.0), of_host(40.7, 2.4)
    assert assumed_distance(event, own_distance(NGC4993_REDSHIFT, host)).source is DistanceSource.REDSHIFT
    assert assumed_distance(event, own_distance(None, host)) == Distance(40.7, 2.4, DistanceSource.HOST)
    assert assumed_distance(event, own_distance(None, None)) == Distance(150.0, 30.0, DistanceSource.EVENT)
    assert assumed_distance(Event(0.0), own_distance(None, None)) is None


def test_distance_that_says_nothing_is_not_used():
    """Peculiar velocities of 300 km/s hide the expansion below a redshift of 0.002, so the host's or event's distance counts."""
    host = of_host(6.9, 0.2)
    assert own_distance(0.0008, host) == host
    assert own_distance(0.0008, None) is None
    assert own_distance(0.003, None) is not None
    assert of_host(None) is of_host(float("nan")) is of_host(-3.0) is of_host(30.0, 20.0) is None


def test_host_without_a_deviation_gets_a_fifth():
    """Catalogs that give no deviation mean a relation with a scatter of 0.4 mag: 20 %."""
    assert of_host(50.0) == Distance(50.0, 10.0, DistanceSource.HOST)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real photometry of ../shared is not here")
@pytest.mark.parametrize("map_distance", [80.0, 150.0])
def test_wrong_map_distance_does_not_hide_at2017gfo(map_distance):
    """With NGC 4993 known, every night scores as at its true distance, and the score says which distance was used."""
    # Within 0.04: the redshift's peculiar velocity makes 40.7 Mpc less certain than `truth`, which the second night feels most.
    rows = read_photometry(SHARED / "AT2017gfo_DECam_griz.csv", mapping={}, defaults=Defaults(ra=197.45, dec=-23.38))
    curve, position = light_curve(rows.measurements), (197.45, -23.38)
    candidates = [
        CandidateCurve(curve, 0.105, position, NGC4993_REDSHIFT),
        CandidateCurve(curve, 0.105, position, host=of_host(40.7, 2.4)),
        CandidateCurve(curve, 0.105, position),
    ]
    known = {"has_remnant": 1.0, "terrestrial": 0.0}
    found = assess_many(packaged(), candidates, Event(MERGER, map_distance, 0.2 * map_distance), everywhere(), **known)
    (truth,) = assess_many(packaged(), candidates[2:], Event(MERGER, 40.7, 2.4), everywhere(), **known)
    assert [one["distance_source"] for one in found] == ["redshift", "host", "event"]
    assert found[1]["assumed_distance_mpc"] == 40.7
    assert found[2]["assumed_distance_mpc"] == map_distance
    for one in found[:2]:
        for night, expected in zip(one["history"], truth["history"], strict=True):
            assert night["p_phot"] == pytest.approx(expected["p_phot"], abs=0.04)
