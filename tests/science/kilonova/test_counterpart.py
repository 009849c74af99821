"""The simulated counterpart: inside the map, labelled, deterministic, and recognised."""

from datetime import UTC, datetime

import numpy as np
import pytest
from astropy.cosmology import FlatLambdaCDM

from mma_pipeline.science.kilonova.assess import admits, locate
from mma_pipeline.science.kilonova.by_night import nightly_scores
from mma_pipeline.science.kilonova.counterpart import simulate_counterpart
from mma_pipeline.science.kilonova.lightcurve import Event, LightCurve
from mma_pipeline.science.kilonova.measured import light_curve
from mma_pipeline.science.kilonova.model import packaged
from mma_pipeline.science.kilonova.plot import expectation, light_curve_png
from mma_pipeline.science.simulation.alerts import MapSpec, simulate_skymap
from mma_pipeline.science.skymaps.statistics import map_distance

MERGER = 60000.25


@pytest.fixture(scope="module")
def skymap():
    """A blob of 30 deg² at 80 Mpc."""
    spec = MapSpec(ra=120.0, dec=20.0, area_90=30.0, distance=80.0, max_order=7)
    return simulate_skymap(spec, name="MS230225a", time=datetime(2023, 2, 25, 6, tzinfo=UTC))


def test_counterpart_is_where_the_map_says_and_is_recognised(skymap):
    """It lies inside the map, is found within a day, and scores above 0.9 from the third night; the seed decides."""
    rows = simulate_counterpart(skymap, MERGER, name="SIM", seed=3, distance_mpc=80.0)
    assert rows == simulate_counterpart(skymap, MERGER, name="SIM", seed=3, distance_mpc=80.0)
    here = rows[0].candidate
    place = locate(skymap, here.ra, here.dec)
    assert admits(place, MERGER, min(m.mjd for m in rows if not m.upper_limit))
    distance, deviation = map_distance(skymap)
    history = nightly_scores(packaged(), light_curve(rows), Event(MERGER, distance, deviation, here.ebv))
    assert not history[0]["sufficient"]
    assert all(h["p_phot"] >= 0.9 for h in history[2:])


def test_counterpart_states_the_redshift_of_its_distance(skymap):
    """Astropy's luminosity distance at the stated redshift is the distance it was simulated at."""
    here = simulate_counterpart(skymap, MERGER, name="SIM", seed=3, distance_mpc=80.0)[0].candidate
    assert FlatLambdaCDM(H0=70, Om0=0.3).luminosity_distance(here.redshift).to_value("Mpc") == pytest.approx(
        80, rel=1e-3
    )


def test_area_and_distance_of_a_map(skymap):
    """The 90 % area is the one the map was made with; the distance's moments are ligo.skymap's."""
    from ligo.skymap.distance import parameters_to_marginal_moments

    assert locate(skymap, 120.0, 20.0).area_90_deg2 == pytest.approx(30.0, rel=0.1)
    expected = parameters_to_marginal_moments(skymap.prob, skymap.distmu, skymap.distsigma)
    assert map_distance(skymap) == pytest.approx(expected, rel=0.01)


def test_admission_needs_map_and_time(skymap):
    """Outside the map, before the merger, after ten days, or never detected: not admitted."""
    inside, outside = locate(skymap, 120.0, 20.0), locate(skymap, 300.0, -20.0)
    assert admits(inside, MERGER, MERGER + 1)
    assert not admits(outside, MERGER, MERGER + 1)
    assert not admits(inside, MERGER, MERGER - 0.01)
    assert not admits(inside, MERGER, MERGER + 11)
    assert not admits(inside, MERGER, None)


def test_expectation_holds_the_published_kilonova():
    """The band of expectation at AT2017gfo's distance holds its published model; quantiles are ordered."""
    bands = expectation(np.array([1.0, 2.0, 4.0]), 40.7)
    assert (np.diff(bands, axis=0) > 0).all()
    assert (bands[0, 1] < [17.8, 18.6, 19.9]).all()
    assert (bands[2, 1] > [17.8, 18.6, 19.9]).all()


def test_plot_is_deterministic_and_survives_odd_input(skymap):
    """The same light curve gives the same PNG; one of limits, unknown bands and no distance is drawn too."""
    rows = simulate_counterpart(skymap, MERGER, name="SIM", seed=3)
    curve, event = light_curve(rows), Event(MERGER, 80.0, 16.0)
    history = nightly_scores(packaged(), curve, event)
    first = light_curve_png(curve, event, [*history], title="SIM", simulated=True)
    assert first == light_curve_png(curve, event, [*history], title="SIM", simulated=True)
    assert first.startswith(b"\x89PNG")
    odd = LightCurve(
        MERGER + np.array([1.0, -3.0]), np.array([22.0, 19.0]), np.full(2, np.nan), ["r", "J"], np.array([True, False])
    )
    assert light_curve_png(odd, Event(MERGER), [], title="odd").startswith(b"\x89PNG")
