"""Infrared light beside i and z: what synchrotron emission cannot make lowers an afterglow's share, and nothing else."""

from pathlib import Path

import numpy as np
import pytest

from mma_pipeline.adapters.photometry.files import Defaults, read_photometry
from mma_pipeline.science.kilonova import infrared
from mma_pipeline.science.kilonova.bands import infrared_band
from mma_pipeline.science.kilonova.by_night import nightly_scores
from mma_pipeline.science.kilonova.lightcurve import Event, LightCurve
from mma_pipeline.science.kilonova.measured import light_curve
from mma_pipeline.science.kilonova.model import packaged

MERGER = 60000.0
EVENT = Event(MERGER, 40.0, 8.3)
DATA = Path(__file__).resolve().parents[4] / "shared" / "data" / "photometry"
UM = {"r": 0.6215, "i": 0.7545, "z": 0.8679, "J": 1.235, "H": 1.662, "K": 2.159}


def power_law(index, rows, err=0.1, dust=0.0):
    """A light curve of F ∝ ν^-index at (day, band) of `rows`, behind `dust` mag in V of dust with A ∝ λ^-1.3."""
    um = np.array([UM[band] for _, band in rows])
    mag = 20 - 2.5 * index * np.log10(um / 0.7545) + dust * (um / 0.55) ** -1.3
    t = np.array([day for day, _ in rows])
    return LightCurve(MERGER + t, mag, np.full(len(t), err), [b for _, b in rows], np.zeros(len(t), bool))


def red(curve, end=np.inf):
    """Whether it is too red for an afterglow up to `end` days."""
    return bool(infrared.too_red([curve], [EVENT], np.zeros(1, int), np.full(1, end))[0])


def test_synchrotron_light_is_never_too_red():
    """The steepest spectrum of electrons with p = 3 behind a magnitude of dust passes in no pair of bands; one steeper by far does."""
    for seen in "iz":
        for band in "JHK":
            rows = [(5.0, seen), (5.1, band), (4.2, band)]
            assert not red(power_law(1.5, rows, dust=1.0, err=0.01))
            assert red(power_law(3.5, rows, err=0.1))


def test_no_single_measurement_and_no_uncertain_one_is_believed():
    """A second infrared measurement, the same night, i or z, and three deviations are needed; the later one says from when on."""
    rows = [(5.0, "i"), (5.1, "K"), (6.5, "K")]
    assert red(power_law(3.5, rows))
    assert not red(power_law(3.5, rows), end=6.0)
    assert not red(power_law(3.5, rows[:2]))
    assert not red(power_law(3.5, [(5.0, "i"), (5.7, "K"), (6.5, "K")]))
    assert not red(power_law(3.5, [(5.0, "r"), (5.1, "K"), (6.5, "K")]))
    assert not red(power_law(3.5, [(5.0, "i"), (5.1, "K"), (9.5, "K")]))
    assert not red(power_law(2.4, rows, err=0.2))


def test_only_the_afterglow_loses():
    """A tenth of the afterglow's share is left and the others keep their proportion; a doubted row stays as it is."""
    p = np.array([[0.6, 0.2, 0.1, 0.1], [0.1, 0.0, 0.9, 0.0], [0.6, 0.2, 0.1, 0.1]])
    changed, all_points = infrared.without_afterglow(p, np.array([0.6, 0.1, 0.8]), np.array([True, True, True]))
    assert changed[0] == pytest.approx(np.array([0.6, 0.02, 0.1, 0.01]) / 0.73)
    assert np.array_equal(changed[1:], p[1:])
    assert all_points == pytest.approx([0.6 / 0.73, 0.1, 0.8])


def test_names_of_infrared_bands():
    """Those of 2MASS as catalogs write them; nothing else is infrared."""
    names = ("J", "H", "Ks", "K", "2massj", "2massks", "2MASS H", "g", "bessellr", "uvot::u", "white")
    assert [infrared_band(name) for name in names] == ["J", "H", "K", "K", "J", "K", "H", None, None, None, None]


@pytest.mark.skipif(not DATA.is_dir(), reason="the light curves of ../shared are not here")
@pytest.mark.parametrize("deviation", [20.0, 70.0])
def test_the_kilonova_of_a_long_burst(deviation):
    """GRB 211211A at 348 Mpc with all its bands: 0.9 or more from 2.7 d on, as its infrared light is no afterglow's."""
    burst = 59559.548599537
    points = read_photometry(DATA / "GRB211211A.txt", mapping={}, defaults=Defaults("it", 0.0, 0.0)).measurements
    scores = nightly_scores(packaged(), light_curve(points), Event(burst, 348.0, deviation))
    late = [s for s in scores if s["sufficient"] and s["days"] > 2.6]
    assert len(late) == 2
    assert all(s["p_all_points"] >= 0.9 for s in late)
    assert all(s["p_phot"] >= 0.9 for s in late)
    assert all(s["p_phot"] <= s["p_all_points"] for s in scores)
    without = light_curve([m for m in points if infrared_band(m.band) is None])
    assert nightly_scores(packaged(), without, Event(burst, 348.0, deviation))[-1]["p_phot"] < late[-1]["p_phot"]
