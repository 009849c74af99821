"""Simulated neutrino notices: by the schema, the same every time, the neutrino where the map says it may be."""

from __future__ import annotations

import json

import numpy as np

from mma_pipeline.adapters.notice_schemas import ICECUBE, schema_drift
from mma_pipeline.notices import icecube
from mma_pipeline.science.simulation.alerts import simulate_event, simulate_retracted
from mma_pipeline.science.simulation.neutrinos import neutrino_notice_of, simulate_neutrino_notice
from mma_pipeline.science.skymaps.credible import Ranking
from mma_pipeline.science.skymaps.crossmatch import crossmatch
from mma_pipeline.science.skymaps.model import decode_skymap
from mma_pipeline.science.sphere import separation
from tests.alerts import fits_map, utc

TIME = utc("2024-03-01T11:59:00Z")


def test_a_notice_about_a_simulated_event() -> None:
    """It follows the schema, is read with all its tracks, refers to the alert of its time, and is reproducible."""
    notices = simulate_event("MS240301a", time=TIME, seed=3, max_order=7)
    record = neutrino_notice_of(notices, seed=3)
    assert schema_drift(record, ICECUBE) == []
    assert record == neutrino_notice_of(notices, seed=3)
    assert record != neutrino_notice_of(notices, seed=4)
    found = icecube.parse_json(json.dumps(record).encode())
    assert (found.event_id, len(found.neutrinos)) == ("MS240301a", 2)
    assert found.reference == "MS240301a-4-Initial"
    assert (found.alert_time - TIME).total_seconds() == 2400
    assert found.window == (500.0, 500.0)
    retracted = neutrino_notice_of(simulate_retracted("MS240301b", time=TIME, seed=3, max_order=7), seed=3)
    assert retracted["reference"] == {"gcn.notices.LVK.alert": "MS240301b-1-Preliminary"}


def test_the_neutrino_follows_the_map_and_its_error() -> None:
    """Its credible levels are uniform, as those of a true source are, and background does not care for the map."""
    from scipy.stats import kstest

    sky = decode_skymap(fits_map(sigma=12.0, order=4))
    records = [simulate_neutrino_notice(sky, "MS240301a", time=TIME, reference="x", seed=seed) for seed in range(80)]
    places = np.array(
        [[[e["localization"][k] for k in ("ra", "dec")] for e in r["coincident_events"]] for r in records]
    )
    levels = crossmatch(Ranking(sky), places[:, 0, 0], places[:, 0, 1]).searched_prob
    assert kstest(levels, "uniform").pvalue > 1e-3
    # Isotropic directions: the cosine of the angle to any axis is uniform.
    angle = np.cos(np.radians(separation(places[:, 1, 0], places[:, 1, 1], 150.0, 20.0)))
    assert kstest((angle + 1) / 2, "uniform").pvalue > 1e-3
