"""Neutrinos against a map: closed forms, uniform p-values under background, what is missing stays missing."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from mma_pipeline.notices.icecube import Direction, Neutrino
from mma_pipeline.science.coincidence.neutrinos import fisher, overlaps
from mma_pipeline.science.coincidence.plot import draw_overlaps, draw_pair
from mma_pipeline.science.skymaps.model import SkyMap, decode_skymap
from mma_pipeline.science.sphere import index29
from tests.science.maps import gaussian_map, table_bytes


def _track(
    ra: float, dec: float, radius: float | None = 0.5, dt: float | None = 10.0, c: float | None = 0.9
) -> Neutrino:
    return Neutrino(dt, Direction(ra, dec), radius, c, None, None, None, ())


def _sky(ra: float, dec: float, sigma: float, order: int = 8) -> SkyMap:
    uniq, density = gaussian_map(ra, dec, sigma, order=order)
    return decode_skymap(table_bytes({"UNIQ": uniq, "PROBDENSITY": density}, ORDERING="NUNIQ"))


def _uniform(order: int = 4) -> SkyMap:
    n = 12 * 4**order
    return SkyMap(np.arange(4 * 4**order, 16 * 4**order), np.full(n, 1 / (4 * np.pi)))


@pytest.mark.parametrize(("ra", "dec"), [(120.0, 10.0), (0.1, -60.0), (200.0, 89.5)])
@pytest.mark.parametrize("radius", [0.3, 2.0, 6.0])
def test_probability_inside_the_circle(ra: float, dec: float, radius: float) -> None:
    """A circle around the centre of a Gaussian map of 3 deg holds 1 - exp(-r²/18), over the meridian and the pole too."""
    (found,) = overlaps(_sky(ra, dec, 3.0), [_track(ra, dec, radius)])
    assert found.probability_inside == pytest.approx(1 - np.exp(-(radius**2) / 18), rel=0.02)
    assert found.credible_level == pytest.approx(0.0, abs=0.01)


def test_overlap_integral_in_closed_form() -> None:
    """Two Gaussians of widths a and b at distance d overlap by 2 exp(-d²/2s²)/s², s² = a² + b² in rad²; a uniform map by 1."""
    sky = _sky(50.0, 0.0, 3.0)
    for d in (0.0, 2.0, 5.0):
        (found,) = overlaps(sky, [_track(50.0 + d, 0.0, radius=2.0)])
        sigma = 2.0 / np.sqrt(-2 * np.log(0.1))
        s2 = np.radians(3.0) ** 2 + np.radians(sigma) ** 2
        assert found.overlap == pytest.approx(2 * np.exp(-(np.radians(d) ** 2) / 2 / s2) / s2, rel=0.02)
    (plain,) = overlaps(_uniform(), [_track(50.0, 80.0)])
    assert plain.overlap == pytest.approx(1.0, rel=1e-6)


def test_p_value_is_uniform_for_background() -> None:
    """Isotropic tracks at uniform times must have uniform p-values: this is what a p-value is."""
    from scipy.stats import kstest

    rng = np.random.default_rng(8)
    n = 1500
    ra, dec, dt = rng.uniform(0, 360, n), np.degrees(np.arcsin(rng.uniform(-1, 1, n))), rng.uniform(-500, 500, n)
    sky = _sky(310.0, -35.0, 12.0, order=7)
    found = overlaps(sky, [_track(*p[:2], radius=None, dt=p[2]) for p in zip(ra, dec, dt, strict=True)], (500.0, 500.0))
    p = np.array([f.p_spacetime for f in found])
    assert kstest(p, "uniform").pvalue > 1e-3


def test_window_that_is_not_centred() -> None:
    """Uniform times in the two-week window of a neutron-star merger (0.1 d before to 14 d after) have uniform p_time."""
    from scipy.stats import kstest

    from mma_pipeline.science.coincidence.neutrinos import time_p_value

    window = (8640.0, 14 * 86400.0)
    times = np.random.default_rng(3).uniform(-window[0], window[1], 4000)
    assert kstest([time_p_value(t, window) for t in times], "uniform").pvalue > 1e-3
    assert time_p_value(-250.0, (500.0, 500.0)) == 0.5
    assert time_p_value(2 * 86400.0, window) == pytest.approx((8640 + 172800) / (8640 + 14 * 86400))
    assert time_p_value(1e9, window) == 1.0


def test_a_rounded_offset_of_zero_has_a_p_value() -> None:
    """Notices round to 0.01 s: 0.0 stands for up to 0.005 s, so 2 x 0.005 s of a window of 1000 s, never for nothing."""
    from mma_pipeline.science.coincidence.neutrinos import time_p_value

    assert time_p_value(0.0, (500.0, 500.0)) == pytest.approx(1e-5)
    assert time_p_value(0.01, (500.0, 500.0)) == pytest.approx(2e-5)
    (found,) = overlaps(_sky(10.0, 0.0, 3.0), [_track(10.0, 0.0, dt=0.0)])
    assert found.p_spacetime is not None
    assert found.p_spacetime > 0


def test_circle_smaller_than_any_pixel() -> None:
    """A radius of nearly nothing gives the density at the best fit, not a number that is none."""
    sky = _sky(50.0, 0.0, 3.0)
    (found,) = overlaps(sky, [_track(50.0, 0.0, radius=1e-7)])
    assert found.overlap == pytest.approx(2 / np.radians(3.0) ** 2, rel=0.02)


def test_fisher_against_scipy() -> None:
    """The combination must be that of scipy.stats.combine_pvalues."""
    from scipy.stats import combine_pvalues

    for p1, p2 in ((0.01, 0.2), (0.5, 0.9), (1.0, 1.0), (1e-9, 1e-3)):
        assert fisher(p1, p2) == pytest.approx(combine_pvalues([p1, p2]).pvalue, rel=1e-9)
    assert fisher(0.0, 0.5) == 0.0


def test_trials_make_it_less_significant() -> None:
    """The value for n tracks is 1 - (1 - p)^n, and times outside the window count as no coincidence."""
    sky = _sky(10.0, 0.0, 5.0)
    alone = overlaps(sky, [_track(11.0, 0.0)])[0]
    among = overlaps(sky, [_track(11.0, 0.0)] * 4)[0]
    assert alone.p_trials == pytest.approx(alone.p_spacetime)
    assert alone.p_spacetime is not None
    assert among.p_trials == pytest.approx(1 - (1 - alone.p_spacetime) ** 4)
    assert overlaps(sky, [_track(11.0, 0.0, dt=900.0)])[0].p_time == 1.0


def test_what_is_missing_stays_missing() -> None:
    """No direction, no circle, no time: the quantities that need them are None, the others are there."""
    sky = _uniform()
    nothing = overlaps(sky, [Neutrino(None, None, None, None, None, None, None, ())])[0]
    assert nothing.probability_inside is nothing.credible_level is nothing.p_spacetime is None
    point = overlaps(sky, [_track(1.0, 2.0, radius=None)])[0]
    assert point.probability_inside is None
    assert point.credible_level is not None
    timeless = overlaps(sky, [_track(1.0, 2.0, dt=None)])[0]
    assert timeless.p_space is not None
    assert timeless.p_spacetime is None
    assert overlaps(sky, []) == ()


def test_picture() -> None:
    """The picture is a PNG, the same every time, with circles over the meridian and the pole."""
    sky = _sky(0.0, 80.0, 6.0, order=6)
    found = overlaps(
        sky, [_track(359.8, 3.0, 4.0), _track(30.0, 89.0, 5.0), Neutrino(1.0, None, None, None, None, None, None, ())]
    )
    picture = draw_overlaps(sky, found, "S230914ak")
    assert picture.startswith(b"\x89PNG")
    assert picture == draw_overlaps(sky, found, "S230914ak")
    assert sky.row_of(index29([0.0], [80.0])).size == 1


def test_a_pair_is_drawn_about_its_region(monkeypatch: pytest.MonkeyPatch) -> None:
    """A region at 12h, opposite of 0h, lies whole in the middle of the sky; its axis is in hours, and lines are explained."""
    drawn: list[Figure] = []
    save = Figure.savefig

    def kept(figure: Figure, *args: object, **options: object) -> None:
        drawn.append(figure)
        save(figure, *args, **options)

    monkeypatch.setattr(Figure, "savefig", kept)
    gw, burst = (
        decode_skymap(table_bytes({"UNIQ": uniq, "PROBDENSITY": density}, ORDERING="NUNIQ"))
        for uniq, density in (gaussian_map(182.0, 10.0, 5.0), gaussian_map(178.0, 12.0, 5.0))
    )
    draw_pair(gw, burst, None, ("S240301a", "Fermi_731246338"), "title")
    sky = drawn[0].axes[0]
    outlines = [
        path.vertices for found in sky.collections for path in found.get_paths() if found.get_facecolor().size == 0
    ]
    assert outlines
    # 90 % of a Gaussian lie within 2.15 widths, and the two centres are four degrees apart.
    assert max(float(np.abs(np.degrees(np.asarray(one)[:, 0])).max()) for one in outlines if len(one)) < 20
    hours = {label.get_text(): float(x) for x, label in zip(sky.get_xticks(), sky.get_xticklabels(), strict=True)}
    assert abs(np.degrees(hours["12h"])) < 5
    assert hours["14h"] < hours["12h"] < hours["10h"], "right ascension grows to the left"
    assert [text.get_text() for text in sky.get_legend().get_texts()][-2:] == ["50 % region", "90 % region"]
