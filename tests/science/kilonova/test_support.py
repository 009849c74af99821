"""No probability stands on a single point: outliers, unsupported jumps, one band that brightens."""

import re
from pathlib import Path

import numpy as np
import pytest

from mma_pipeline.adapters.photometry.files import Defaults, read_photometry
from mma_pipeline.science.kilonova import support
from mma_pipeline.science.kilonova.bands import BANDS, WAVELENGTH_UM
from mma_pipeline.science.kilonova.by_night import nightly_scores
from mma_pipeline.science.kilonova.calibration import CLIP
from mma_pipeline.science.kilonova.features import compute
from mma_pipeline.science.kilonova.lightcurve import Event, LightCurve, prepare
from mma_pipeline.science.kilonova.measured import light_curve
from mma_pipeline.science.kilonova.model import packaged
from mma_pipeline.science.kilonova.simulation import villar
from mma_pipeline.science.kilonova.simulation.radiation import lnu_to_absolute, modulus

FAULTS = Path(__file__).resolve().parents[4] / "shared" / "data" / "faults" / "photometry"
MERGER = 60000.0
EVENT = Event(MERGER, 40.0, 8.3)


def curve(t, mag, band, err=0.05):
    """A light curve of detections at days after the merger."""
    size = len(t)
    return LightCurve(
        MERGER + np.array(t, float), np.array(mag, float), np.full(size, err), list(band), np.zeros(size, bool)
    )


def supernova(nights, bands="gri"):
    """A supernova near its maximum: night after night as bright as before."""
    return [(0.5 + n + 0.01 * k, 18.2 + 0.1 * k, b) for n in range(nights) for k, b in enumerate(bands)]


@pytest.mark.parametrize("off", [2.4, -2.4])
@pytest.mark.parametrize("nights", [2, 3, 4, 6])
def test_one_point_that_contradicts_its_neighbours_makes_no_candidate(nights, off):
    """Any single point of a steady supernova 2.4 mag off, in any night and band: the probability stays below 0.5."""
    rows = supernova(nights)
    curves = []
    for wrong in range(len(rows)):
        t, mag, band = zip(*rows, strict=True)
        curves.append(curve(t, np.array(mag) + off * (np.arange(len(rows)) == wrong), band))
    assert packaged().score(curves, [EVENT] * len(curves)).probability[:, 0].max() < 0.5


def test_a_kilonova_keeps_its_probability():
    """AT2017gfo's published fit, seen nightly in griz or in g and r: no night loses anything, with two nights or nine."""
    for bands in ((0, 1, 2, 3), (0, 1)):
        t = np.repeat(0.6 + np.arange(9), len(bands))
        band = np.tile(bands, 9)
        light = villar.lnu(villar.AT2017GFO, t[None], WAVELENGTH_UM[band][None])
        mag = lnu_to_absolute(light)[0] + modulus(np.array(40.0))
        for entry in nightly_scores(packaged(), curve(t, mag, [BANDS[k] for k in band]), EVENT):
            assert entry["p_phot"] == entry["p_all_points"]


def test_a_jump_that_nothing_supports_stays_below_ninety_per_cent():
    """Two points in one band, two magnitudes apart: at most 0.89, however steep; a third point settles it."""
    drops = np.arange(1.4, 4.0, 0.2)
    curves = [curve([0.5, gap], [19.0, 19.0 + drop], "rr") for drop in drops for gap in (1.5, 2.5, 3.5)]
    assert packaged().score(curves, [EVENT] * len(curves)).probability[:, 0].max() <= support.HELD


def test_a_jump_to_where_the_line_leads_is_no_surprise():
    """A faint point 1.9 mag below the one before, error 0.35: doubted unless the fade of the nights before leads within 0.4 mag of it."""
    t, before = [0.6, 0.7, 1.65, 2.65], [20.0, 20.2, 22.0]
    led = 20.1 + (22.0 - 20.1) / (1.65 - 0.65) * (2.65 - 0.65)
    cases = {"on the line": led, "0.3 mag below": led + 0.3, "0.6 mag below": led + 0.6, "0.5 mag above": led - 0.5}
    curves = [curve(t, [*before, mag], "iiii", np.array([0.05, 0.05, 0.1, 0.35])) for mag in cases.values()]
    p = prepare(curves, [EVENT] * len(curves))
    _, unsupported = support.suspects(p)
    last = unsupported[p.mag[unsupported] > 23]
    assert {list(cases)[s] for s in p.snapshot[last]} == {"0.6 mag below", "0.5 mag above"}


def test_a_colour_that_nothing_supports_stays_below_ninety_per_cent():
    """A band's only point 1.9 mag or more from its neighbour's is doubted; nearer, seen twice or in another night it is not."""
    r = ([0.5, 1.5, 2.5, 3.5], [18.5, 19.0, 19.6, 20.2], "rrrr")
    cases = {"alone": ([3.5], [22.2], "g"), "near": ([3.5], [21.9], "g"), "twice": ([2.5, 3.5], [21.8, 22.3], "gg"),
             "apart": ([5.5], [22.9], "g"), "far band": ([3.5], [17.0], "z")}  # fmt: skip
    curves = [curve(r[0] + t, r[1] + mag, r[2] + band) for t, mag, band in cases.values()]
    p = prepare(curves, [EVENT] * len(curves))
    _, unsupported = support.suspects(p)
    assert {list(cases)[s] for s in p.snapshot[unsupported]} == {"alone"}
    few = [curve([0.5, 2.5, 2.5], [19.0, 18.8, 18.8 + off], "zrg") for off in np.arange(1.9, 3.5, 0.2)]
    assert packaged().score(few, [EVENT] * len(few)).probability[:, 0].max() <= support.HELD


def test_two_nights_that_contradict_each_other_stay_below_ninety_per_cent():
    """Two bands in two nights of which one point must be wrong, as any of them may be: at most 0.89, whichever it is and however far."""
    curves = []
    for off in np.concatenate([np.arange(-3.5, -1.8, 0.2), np.arange(1.9, 3.6, 0.2)]):
        for wrong in range(4):
            mag = np.array([18.6, 18.65, 18.9, 18.95]) + off * (np.arange(4) == wrong)
            curves.append(curve([1.5, 2.5, 1.5, 2.5], mag, "rrii"))
    s = packaged().score(curves, [EVENT] * len(curves))
    assert s.all_points.max() > 0.99
    assert s.probability[:, 0].max() <= support.HELD


def test_filters_that_change_from_night_to_night_make_a_colour():
    """A point that nothing else constrains is compared with the next night's neighbouring band; with two of its own band it is not doubted."""
    t, mag = [0.6, 3.6, 4.6], [22.2, 22.0, 19.8]
    p = prepare(
        [curve(t, mag, "iiz"), curve([*t, 3.7], [*mag, 19.9], "iizz"), curve([0.6, 3.6, 5.2], mag, "iiz")], [EVENT] * 3
    )
    _, unsupported = support.suspects(p)
    assert set(p.snapshot[unsupported].tolist()) == {0}
    assert packaged().score([curve(t, mag, "iiz")], [EVENT]).probability[0, 0] <= support.HELD


def test_one_band_that_brightens_is_doubted():
    """Brightening in r alone: the odds are 0.3 times what the light curve gives; with a second band they are not changed."""
    p = packaged().score([curve([0.5, 1.5, 2.5], [19.0, 18.6, 18.3], "rrr")], [EVENT])
    assert p.probability[0, 0] < 0.75
    assert p.probability[0].sum() == pytest.approx(1.0)
    raw = np.array([[0.9, 0.06, 0.04]] * 3 + [[0.001, 0.5, 0.499]])
    single, both, fading, hopeless = (
        ([18.9, 18.5], "rr"), ([18.9, 18.5], "rg"), ([18.5, 18.9], "rr"), ([18.9, 18.5], "rr"),
    )  # fmt: skip
    curves = [curve([0.5, 1.5], mag, band) for mag, band in (single, both, fading, hopeless)]
    features = compute(prepare(curves, [EVENT] * 4))
    changed = support.less_sure(raw, features)
    assert changed[0] == pytest.approx([2.7 / 3.7, 0.6 / 3.7, 0.4 / 3.7])
    assert np.array_equal(changed[1:3], raw[1:3])
    assert changed[3, 0] == CLIP[0]


def test_distance_from_the_others_is_that_of_a_fit_without_the_point():
    """The closed form agrees with a least-squares fit of all other points, solved anew for each."""
    rng = np.random.default_rng(5)
    t, band = rng.uniform(0.3, 8, 14), rng.integers(0, 3, 14)
    p = prepare([curve(t, rng.normal(19, 1, 14), [BANDS[k] for k in band], err=0.2)], [EVENT])
    rows = np.arange(14)
    distance, deviation = support._off(p, rows, p.t)
    weight = 1 / np.sqrt(p.err**2 + support.CURVATURE**2)
    design = np.column_stack([p.t, *(p.band == k for k in range(3))]).astype(float)
    for row in rows:
        others = rows != row
        a = design[others] * weight[others, None]
        solution, _, rank, _ = np.linalg.lstsq(a, p.mag[others] * weight[others], rcond=None)
        assert rank == 4
        assert distance[row] == pytest.approx(p.mag[row] - design[row] @ solution, abs=1e-8)
        spread = design[row] @ np.linalg.inv(a.T @ a) @ design[row] + weight[row] ** -2
        assert deviation[row] == pytest.approx(np.sqrt(spread), rel=1e-6)


def test_leaving_out_is_a_light_curve_without_the_point():
    """Each snapshot lacks its one row and keeps the others, limits and distance included."""
    rows = supernova(3)
    t, mag, band = zip(*rows, strict=True)
    p = prepare([curve(t, mag, band), curve(t[:5], mag[:5], band[:5])], [EVENT, Event(MERGER)])
    left = support.leave_out(p, np.array([2, 10]))
    assert (left.count, np.bincount(left.snapshot).tolist()) == (2, [8, 4])
    assert set(p.t[:9]) - set(left.t[left.snapshot == 0]) == {p.t[2]}
    assert set(p.t[9:]) - set(left.t[left.snapshot == 1]) == {p.t[10]}
    assert left.modulus.tolist() == pytest.approx(p.modulus.tolist(), nan_ok=True)


def test_what_varies_everywhere_asks_for_few_second_looks():
    """A source that jumps at each of 5,000 points is left out of at most a few times: the cost stays bounded."""
    rng = np.random.default_rng(6)
    t = np.sort(rng.uniform(0.2, 20, 5000))
    p = prepare([curve(t, rng.normal(19, 3, 5000).clip(12, 25), rng.choice(list("griz"), 5000))], [EVENT])
    far, jumps = support.suspects(p)
    assert len(far) <= support.MOST
    assert len(jumps) <= support.MOST


@pytest.mark.skipif(not FAULTS.is_dir(), reason="the light curves of ../shared are not here")
@pytest.mark.parametrize(
    ("name", "nights", "below"),
    [
        ("LSQ12btn", (4, 5, 6), 0.5),
        ("iPTF13bjx", (2, 3), 0.9),
        ("PTF12krf", (2, 3), 0.9),
        ("ZTF18abpcajj", (2, 3), 0.9),
    ],
)
def test_real_light_curves_that_passed(name, nights, below):
    """A supernova with one wrong point, two that brighten in r alone, and a variable star stay below."""
    (path,) = FAULTS.glob(f"{name}_merger*.csv")
    merger = float(re.search(r"merger([\d.]+)_", path.name)[1])
    points = read_photometry(path, defaults=Defaults(ra=0.0, dec=0.0)).measurements
    scores = {s["nights"]: s for s in nightly_scores(packaged(), light_curve(points), Event(merger, 40.0, 8.3))}
    assert all(scores[n]["p_phot"] < below for n in nights)
    assert all(s["p_phot"] <= s["p_all_points"] for s in scores.values())
