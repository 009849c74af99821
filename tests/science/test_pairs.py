"""Pairs of events: overlap, joint rates beside ligo-raven, chance under background, combined maps, the table of searches."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mma_pipeline.science.coincidence.chance import among, background_overlaps, p_pair
from mma_pipeline.science.coincidence.combined import combined_map
from mma_pipeline.science.coincidence.joint_far import RAVEN_YEAR_S, Method, joint_far
from mma_pipeline.science.coincidence.overlap import overlap_integral, overlap_of_circle, overlap_of_point
from mma_pipeline.science.coincidence.pair import compare
from mma_pipeline.science.coincidence.searches import (
    FAR_GW_MAX,
    SEARCHES,
    GwKind,
    OtherKind,
    gw_kind,
    search_of,
    searches_from,
)
from mma_pipeline.science.skymaps.credible import credible_areas
from mma_pipeline.science.skymaps.fits import SkyMapError
from mma_pipeline.science.skymaps.model import SkyMap, decode_skymap
from tests.science.maps import MISSING, SHARED, gaussian_map, table_bytes

ORACLE = json.loads((Path(__file__).parent / "raven_joint_far.json").read_text())


def _map(ra: float, dec: float, sigma: float, order: int = 7, coarse: int = 3) -> SkyMap:
    uniq, density = gaussian_map(ra, dec, sigma, order=order, coarse=coarse)
    return decode_skymap(table_bytes({"UNIQ": uniq, "PROBDENSITY": density}, ORDERING="NUNIQ"))


def _with_distance(m: SkyMap, mu: np.ndarray, sigma: float) -> SkyMap:
    norm = 1.0 / (mu**2 + sigma**2)  # of r² N(r; μ, σ) for μ far above σ
    return SkyMap(m.uniq, m.probdensity, mu, np.full(len(mu), sigma), norm, meta={"OBJECT": "S1", "DISTMEAN": 1.0})


def _rates(p: dict[str, object], overlap: float) -> tuple[float | None, float | None]:
    window = p["window"]
    found = joint_far(
        method=Method.TARGETED if p["search"] == "SubGRBTargeted" else Method.UNTARGETED,
        window_s=window[1] - window[0],
        far_gw=p["far_gw"],
        far_gw_max=p.get("far_gw_max", FAR_GW_MAX),
        rate_ext=p.get("rate"),
        far_ext=p.get("far_ext"),
        far_ext_max=p.get("far_ext_max"),
        overlap=overlap,
    )
    return found.time, found.space_time


def test_joint_rates_beside_ligo_raven() -> None:
    """Overlap and joint rates of 100 random pairs of every published search agree with ligo-raven 3.3 to 1e-3."""
    assert len(ORACLE["pairs"]) == 100
    for p in ORACLE["pairs"]:
        overlap = overlap_integral(_map(*p["gw"], 5), _map(*p["ext"], 5))
        assert overlap == pytest.approx(p["overlap"], rel=1e-3)
        assert _rates(p, overlap) == pytest.approx((p["time"], p["space_time"]), rel=1e-3)


def test_gw170817_beside_ligo_raven() -> None:
    """GW170817 (real map) with GRB 170817A (GBM's position and statistical error, as a Gaussian) agrees to 1e-3."""
    path = SHARED / "data" / "gw_maps" / "GW170817_bayestar_flat_nside128.fits.gz"
    if not path.is_file():
        pytest.skip(MISSING)
    p = ORACLE["GW170817"]
    overlap = overlap_integral(decode_skymap(path.read_bytes()), _map(*p["ext"], 5))
    assert overlap == pytest.approx(p["overlap"], rel=1e-3)
    assert _rates(p, overlap) == pytest.approx((p["time"], p["space_time"]), rel=1e-3)


def test_s241125n_as_published() -> None:
    """A sure event with a weak trigger is rated by how often sure events are: of S241125n once in six years, not in a thousand.

    GCN Circular 38356 states both for one trigger of Swift, with one sure event in three days. The inputs that it does not
    state, false-alarm rates and overlap, are such that they give these two rates.
    """
    search = search_of(SEARCHES, GwKind.CBC, OtherKind.GRB_TARGETED_SWIFT)
    assert search is not None
    six_years = 1 / (6 * 365.25 * 86400)
    gw = _map(58.0, 70.0, 15.0, 5)
    far_other = six_years * overlap_integral(gw, gw) / (search.seconds / (3 * 86400))
    found = compare(search, 10.0, far_gw=4e-10, far_other=far_other, significant=True, gw_map=gw, other_map=gw)
    assert found.confident_space_time == pytest.approx(six_years, rel=1e-9)
    assert found.joint.space_time == pytest.approx(1.8e-11, rel=1.0)
    assert found.far == found.confident_space_time
    low = compare(search, 10.0, far_gw=1e-6, far_other=1e-5, significant=False, gw_map=gw, other_map=gw)
    assert low.confident_time is None


def test_overlap_equals_a_sum_over_the_finest_pixels() -> None:
    """On two maps of 20,000 rows the integral is that of both maps written out at the finest order, to 1e-6."""
    a, b = _map(150.0, 20.0, 8.0, order=8, coarse=5), _map(161.0, 15.0, 6.0, order=8, coarse=5)
    assert min(len(a.uniq), len(b.uniq)) > 14_000

    def flat(m: SkyMap) -> np.ndarray:
        written = np.empty(12 * 4**8)
        for order, ipix, density in zip(m.order, m.ipix, m.probdensity, strict=True):
            step = 4 ** (8 - order)
            written[ipix * step : (ipix + 1) * step] = density
        return written

    brute = 4 * np.pi * np.sum(flat(a) * flat(b)) * (np.pi / 3 / 4**8)
    assert overlap_integral(a, b) == pytest.approx(brute, rel=1e-6)
    assert overlap_integral(b, a) == pytest.approx(brute, rel=1e-6)


def test_overlap_in_closed_form() -> None:
    """Gaussians of widths a and b at distance d overlap by 2 exp(-d²/2s²)/s², s² = a² + b²; points and circles likewise."""
    sky = _map(50.0, 0.0, 3.0, order=8)
    for d in (0.0, 2.0, 5.0):
        s2 = np.radians(3.0) ** 2 + np.radians(2.0) ** 2
        truth = 2 * np.exp(-(np.radians(d) ** 2) / 2 / s2) / s2
        assert overlap_integral(sky, _map(50.0 + d, 0.0, 2.0, order=8)) == pytest.approx(truth, rel=0.01)
        circle = overlap_of_circle(sky, 50.0 + d, 0.0, 2.0 * np.sqrt(-2 * np.log(0.1)), 0.9)
        assert circle == pytest.approx(truth, rel=0.01)
        point = 2 * np.exp(-(np.radians(d) ** 2) / 2 / np.radians(3.0) ** 2) / np.radians(3.0) ** 2
        assert overlap_of_point(sky, 50.0 + d, 0.0) == pytest.approx(point, rel=0.05)
    uniform = SkyMap(np.arange(4, 16), np.full(12, 1 / (4 * np.pi)))
    assert overlap_integral(sky, uniform) == pytest.approx(1.0, rel=1e-12)


def test_background_pairs() -> None:
    """Of 100,000 unrelated pairs p is uniform (KS p > 0.05), and the number below a joint rate is what the rate says.

    False-alarm rates are uniform below the search's depth and places isotropic. The overlaps of the unrelated pairs are
    those of two Gaussians in closed form; p comes from the maps, as for a real pair, for ten pairs of widths.
    """
    from scipy.stats import kstest

    rng = np.random.default_rng(5)
    n, kinds = 10_000, 10
    search = search_of(SEARCHES, GwKind.CBC, OtherKind.GRB)
    assert search is not None
    assert search.rate is not None
    p, rates = [], []
    for _ in range(kinds):
        widths = rng.uniform(5.0, 14.0, 2)
        turned = background_overlaps(_map(10.0, 30.0, widths[0], 5, 3), _map(200.0, -50.0, widths[1], 5, 3))
        distance = np.degrees(np.arccos(rng.uniform(-1, 1, n)))
        overlap = _closed_overlap(*np.radians(widths), np.radians(distance))
        far = rng.uniform(0.0, FAR_GW_MAX, n)
        for f, i in zip(far, overlap, strict=True):
            one = joint_far(
                method=search.method,
                window_s=search.seconds,
                far_gw=f,
                far_gw_max=FAR_GW_MAX,
                rate_ext=search.rate,
                overlap=i,
            )
            assert one.quantile is not None
            rates.append(np.inf if one.space_time is None else one.space_time)
            p.append(p_pair(one.quantile, i, turned))
    assert kstest(p, "uniform").pvalue > 0.05
    whole = FAR_GW_MAX * search.rate * search.seconds  # rate of all unrelated pairs within the window, Hz
    for share in (1e-4, 1e-3, 1e-2):
        expected = share * n * kinds
        assert abs(np.sum(np.array(rates) < share * whole) - expected) < 3 * np.sqrt(expected)


def _closed_overlap(a: float, b: float, distance: np.ndarray) -> np.ndarray:
    """Overlap of two Fisher distributions of concentrations 1/a², 1/b² at a distance, rad (Fisher et al. 1987, 4.4)."""
    k1, k2 = a**-2, b**-2
    k = np.sqrt(k1**2 + k2**2 + 2 * k1 * k2 * np.cos(distance))

    # 4π C(k1) C(k2) / C(k), C(k) = k / (4π sinh k), with the exponentials taken together
    def log_sinh(x: np.ndarray | float) -> np.ndarray | float:
        return x + np.log1p(-np.exp(-2 * x)) - np.log(2)

    return k1 * k2 / k * np.exp(log_sinh(k) - log_sinh(k1) - log_sinh(k2))


def test_p_of_one_pair() -> None:
    """p is the share of unrelated pairs: a closed form for a point on a map; without maps the quantile itself."""
    wide, narrow = _map(10.0, 30.0, 10.0, 6, 3), _map(10.0, 30.0, 5.0, 6, 3)
    turned = background_overlaps(wide, narrow)
    isotropic = _closed_overlap(*np.radians([10.0, 5.0]), np.arccos(np.linspace(-1, 1, 200_001)))
    possible = isotropic >= 0.01
    for quantile, overlap in ((1e-6, 20.0), (0.01, 5.0), (0.3, 1.0), (0.9, 0.5)):
        truth = np.mean(np.minimum(1.0, quantile * isotropic / overlap) * possible)
        assert p_pair(quantile, overlap, turned) == pytest.approx(truth, rel=0.05)
    assert p_pair(0.2, None, None) == 0.2
    assert p_pair(1e-9, 0.001, turned) == pytest.approx(np.mean(possible), abs=0.02)  # excluded, however rare in time
    assert p_pair(1.0, 0.0, turned) == 1.0
    assert np.array_equal(turned, background_overlaps(wide, narrow))
    assert among(0.01, 1) == pytest.approx(0.01)
    assert among(0.01, 10) == pytest.approx(1 - 0.99**10)


def test_targeted_rate_is_that_of_a_product_of_uniforms() -> None:
    """Z (1 + ln(Z_max/Z)) over Z_max is the distribution function of a product of two uniform numbers, hence uniform."""
    from scipy.stats import kstest

    rng = np.random.default_rng(2)
    found = [
        joint_far(
            method=Method.TARGETED,
            window_s=30.0,
            far_gw=FAR_GW_MAX * u,
            far_gw_max=FAR_GW_MAX,
            far_ext=1e-3 * v,
            far_ext_max=1e-3,
        ).quantile
        for u, v in rng.uniform(size=(4000, 2))
    ]
    assert kstest(found, "uniform").pvalue > 0.01


def test_what_is_missing_says_why() -> None:
    """No rate is made up: without a false-alarm rate, a published rate, or above a threshold there is none, with the reason."""
    common = {"window_s": 6.0, "far_gw_max": FAR_GW_MAX}
    none = joint_far(method=Method.UNTARGETED, far_gw=None, rate_ext=1e-5, **common)
    unpublished = joint_far(method=Method.UNTARGETED, far_gw=1e-7, **common)
    lacking = joint_far(method=Method.TARGETED, far_gw=1e-7, far_ext_max=1e-3, **common)
    above = joint_far(method=Method.TARGETED, far_gw=1e-7, far_ext=2e-3, far_ext_max=1e-3, **common)
    for found, words in (
        (none, "false-alarm"),
        (unpublished, "published"),
        (lacking, "targeted"),
        (above, "threshold"),
    ):
        assert found.time is found.best is None
        assert words in str(found.reason)
    apart = joint_far(method=Method.UNTARGETED, far_gw=1e-7, rate_ext=1e-5, overlap=0.0, **common)
    assert apart.time is not None
    assert apart.space_time is None


def test_combined_map_of_gaussians() -> None:
    """The product of two Gaussians is the Gaussian of 1/s² = 1/a² + 1/b² between them, smaller than either, and sums to one."""
    a, b = _map(100.0, 0.0, 6.0, order=8), _map(104.0, 0.0, 3.0, order=8)
    both = combined_map(a, b)
    assert both is not None
    assert float(both.prob.sum()) == pytest.approx(1.0, abs=1e-12)
    s2 = 1 / (6.0**-2 + 3.0**-2)
    area = credible_areas(both, [0.9])[0]
    assert area == pytest.approx(2 * np.pi * s2 * np.log(10), rel=0.02)
    assert area < min(credible_areas(a, [0.9])[0], credible_areas(b, [0.9])[0])
    peak = int(np.argmax(both.probdensity))
    from mma_pipeline.science.sphere import pixel_centres

    ra, dec = pixel_centres(both.order[peak : peak + 1], both.ipix[peak : peak + 1])
    middle = (100.0 / 6**2 + 104.0 / 3**2) * s2
    assert (float(ra[0]), float(dec[0])) == pytest.approx((middle, 0.0), abs=0.3)


def test_combined_map_carries_the_distances() -> None:
    """Each line of sight keeps its distance, whichever map has it; the mean over the sky follows the new weights."""
    a = _map(100.0, 0.0, 10.0, order=6)
    from mma_pipeline.science.sphere import pixel_centres

    ra = pixel_centres(a.order, a.ipix)[0]
    near = (ra < 100.0) | (ra > 280.0)
    m = _with_distance(a, np.where(near, 50.0, 200.0), 5.0)
    grb = _map(90.0, 0.0, 2.0, order=7)
    for both in (combined_map(m, grb, "GRB"), combined_map(grb, m, "GRB")):
        assert both is not None
        assert both.distmu is not None
        assert both.meta["OBJECT"] == "S1"
        assert both.meta["HISTORY"] == "GRB"
        # Of r² N(r; 50, 5): mean (μ³ + 3μσ²)/(μ² + σ²)
        assert both.meta["DISTMEAN"] == pytest.approx((50.0**3 + 3 * 50 * 25) / (2500 + 25), rel=1e-3)
        rows = both.row_of(m.start29)
        assert np.array_equal(both.distmu[rows], m.distmu)
    with pytest.raises(SkyMapError, match="both"):
        combined_map(m, m)


def test_maps_that_exclude_each_other() -> None:
    """Two maps without a common place have no combined map, an overlap of zero, and no rate in space and time."""
    a, b = np.zeros(12), np.zeros(12)
    a[0], b[5] = 3 / np.pi, 3 / np.pi
    first, second = SkyMap(np.arange(4, 16), a), SkyMap(np.arange(4, 16), b)
    assert combined_map(first, second) is None
    search = SEARCHES[0]
    found = compare(search, 0.0, far_gw=1e-9, far_other=None, significant=True, gw_map=first, other_map=second)
    assert found.overlap == 0.0
    assert found.far is None
    assert found.p_chance is not None
    assert found.p_chance > 1 / 12


def test_table_of_searches() -> None:
    """The published windows, each with a source; windows hold their ends; a table of one's own is checked."""
    grb = search_of(SEARCHES, GwKind.CBC, OtherKind.GRB)
    assert grb is not None
    assert grb.window == (-5.0, 1.0)
    assert grb.rate == pytest.approx(325 / RAVEN_YEAR_S)
    assert grb.holds(-1.74)  # GW170817 before GRB 170817A
    assert grb.holds(-5.0)
    assert not grb.holds(1.01)
    assert all(one.source and one.seconds > 0 for one in SEARCHES)
    assert gw_kind("CBC", "AllSky") is gw_kind("Burst", "BBH") is GwKind.CBC
    assert gw_kind("Burst", "AllSky") is gw_kind(None, None) is GwKind.BURST
    own = {"gw": "CBC", "other": "FRB", "window": [-1, 1], "source": "us", "per_year": 10}
    assert searches_from([own])[0].seconds == 2.0
    for wrong in (
        {**own, "window": [1, -1]},
        {**own, "other": "aurora"},
        {**own, "per_year": -1},
        {**own, "colour": "red"},
        {"gw": "CBC"},
    ):
        with pytest.raises(ValueError, match="search 1"):
            searches_from([wrong])
    with pytest.raises(ValueError, match="twice"):
        searches_from([own, own])
