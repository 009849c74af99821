"""Footprints on the sphere, what pointings cover of a map, and what is left: closed forms, an exact polygon sum, real data."""

import csv
from datetime import datetime
from itertools import pairwise

import numpy as np
import pytest
import shapely
from scipy.integrate import quad

from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.footprints import box, circle, footprint_of_json, of_polygons, parse_footprint
from mma_pipeline.science.coverage.cells import Places, cells_of
from mma_pipeline.science.coverage.footprint import area_deg2, plane_corners
from mma_pipeline.science.coverage.ledger import Visits, ledger
from mma_pipeline.science.coverage.reach import reach_mpc, share_within
from mma_pipeline.science.healpix import DEG2_PER_SR, SKY_DEG2
from mma_pipeline.science.skymaps.model import decode_skymap

from ..maps import SHARED, table_bytes

COVERAGE = SHARED / "data" / "coverage"
NIGHTS = pytest.mark.skipif(not COVERAGE.is_dir(), reason=f"no real pointings: {COVERAGE} is not there")
EVERYWHERE = [(0.0, 0.0), (359.9, -12.0), (40.0, 90.0), (123.0, -89.6), (210.0, 45.0)]


def _places(footprint, ra, dec, angle=0.0):
    ra, dec, angle = np.broadcast_arrays(*(np.atleast_1d(np.asarray(v, dtype=float)) for v in (ra, dec, angle)))
    return Places((footprint,), np.zeros(len(ra), dtype=np.int64), ra, dec, angle)


def _covered_deg2(places):
    cells = cells_of(places)
    return float(cells.area_deg2[cells.any(np.ones(len(places), dtype=bool))].sum())


def _rectangle_deg2(width, height):
    """Solid angle of a pyramid: the corners of a box stand at ± its half sizes in longitude and latitude."""
    x, y = np.radians(width / 2), np.radians(height / 2)
    a, b = np.tan(x), np.tan(y) / np.cos(x)
    return 4 * np.arcsin(a * b / np.sqrt((1 + a**2) * (1 + b**2))) * DEG2_PER_SR


def _map(mu=None, sigma=None):
    """The whole sky alike, at order 4; with distances where they are given."""
    uniq = 4 * 4**4 + np.arange(12 * 4**4)
    columns = {"UNIQ": uniq, "PROBDENSITY": np.full(len(uniq), 1 / (4 * np.pi))}
    if mu is not None:
        norm = (
            1
            / quad(
                lambda r: r**2 * np.exp(-((r - mu) ** 2) / 2 / sigma**2) / np.sqrt(2 * np.pi) / sigma,
                0,
                1e4,
                points=[mu],
            )[0]
        )
        columns |= {n: np.full(len(uniq), v) for n, v in (("DISTMU", mu), ("DISTSIGMA", sigma), ("DISTNORM", norm))}
    return decode_skymap(table_bytes(columns, ORDERING="NUNIQ"))


def _visits(places, *, hours=0.0, depth=21.0, band="r", done=True):
    n = len(places)
    return Visits(
        places,
        np.broadcast_to(np.asarray(done, dtype=bool), n).copy(),
        np.broadcast_to(np.asarray(hours, dtype=float), n).copy(),
        np.broadcast_to(np.asarray(depth, dtype=float), n).copy(),
        [band] * n if isinstance(band, str) else band,
        ["Camera"] * n,
    )


@pytest.mark.parametrize(("width", "height"), [(1.0, 1.0), (2.0, 0.5), (20.0, 10.0)])
def test_area_of_a_rectangle_is_the_solid_angle_of_a_pyramid(width, height):
    """A rectangle's area is the closed form, and so is that of the cells, wherever it is and however it is turned."""
    expected = _rectangle_deg2(width, height)
    assert area_deg2(box(width, height)) == pytest.approx(expected, rel=1e-9)
    for ra, dec in EVERYWHERE:
        for angle in (0.0, 33.0):
            assert _covered_deg2(_places(box(width, height), ra, dec, angle)) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("radius", [0.05, 1.0, 60.0, 110.0])
def test_area_of_a_circle(radius):
    """A circle covers its cap, a hemisphere and more included."""
    cap = 2 * np.pi * (1 - np.cos(np.radians(radius))) * DEG2_PER_SR
    for ra, dec in EVERYWHERE:
        assert _covered_deg2(_places(circle(radius), ra, dec)) == pytest.approx(cap, rel=0.01)


def test_what_overlaps_counts_once():
    """Two squares that share a half cover one and a half; the same twice covers one; across RA 0 nothing is lost."""
    one = _rectangle_deg2(1.0, 1.0)
    assert _covered_deg2(_places(box(1, 1), [359.75, 0.25], [0.0, 0.0])) == pytest.approx(1.5 * one, rel=0.005)
    assert _covered_deg2(_places(box(1, 1), [10.0, 10.0], [0.0, 0.0])) == pytest.approx(one, rel=0.005)
    assert _covered_deg2(_places(box(1, 1), [10.0, 12.0], [0.0, 0.0])) == pytest.approx(2 * one, rel=0.005)


def test_footprints_turn_from_north_through_east():
    """A tall box turned by 45° covers what is north-east of its pointing, and nothing north-west."""
    places = _places(box(0.4, 4.0), 100.0, 0.0, 45.0)
    cells = cells_of(places)
    import healpy

    ra, dec = healpy.pix2ang(1 << cells.order[cells.covered], cells.ipix[cells.covered], nest=True, lonlat=True)
    assert np.corrcoef(ra - 100, dec)[0, 1] > 0.9


def test_many_ccds_are_the_sum_of_their_areas():
    """A mosaic with gaps covers its CCDs and not the gaps, whatever the number of pointings lowers the order to."""
    ccds = of_polygons(
        [(x, y), (x + 0.25, y), (x + 0.25, y + 0.25), (x, y + 0.25)]
        for x in np.arange(-1.2, 1.2, 0.3)
        for y in np.arange(-1.2, 1.2, 0.3)
    )
    ra, dec = (v.ravel() for v in np.meshgrid(np.arange(0, 360, 4.0), np.arange(-58, 60, 4.0)))
    ra = ra[np.abs(dec) < 30]
    dec = dec[np.abs(dec) < 30]
    assert _covered_deg2(_places(ccds, ra, dec)) == pytest.approx(len(ra) * area_deg2(ccds), rel=0.005)


def test_footprints_are_read_as_sources_write_them():
    """WKT, short words, a DS9 file and what is kept are one footprint; what is none is refused."""
    wkt = "POLYGON ((-1 0.5, 1 0.5, 1 -0.5, -1 -0.5, -1 0.5))"
    assert area_deg2(parse_footprint(wkt)) == pytest.approx(area_deg2(parse_footprint("box 2 1")))
    ds9 = "icrs\npolygon(359,0.5,1,0.5,1,-0.5,359,-0.5)\n"
    assert parse_footprint(ds9) == parse_footprint(wkt)
    import json

    for text in (wkt, "circle 1.5", ds9):
        found = parse_footprint(text)
        assert footprint_of_json(json.loads(found.text)) == found
    for text in (
        "",
        "circle",
        "circle 0",
        "box 1",
        "POLYGON ((0 0, 1 1))",
        "POLYGON ((0 0, 90 0, 0 1))",
        "polygon(1,2,3)",
    ):
        with pytest.raises(NoticeError):
            parse_footprint(text)


@pytest.mark.parametrize(("mu", "sigma"), [(150.0, 30.0), (40.0, 30.0), (-100.0, 40.0), (-900.0, 20.0)])
def test_share_within_reach_is_the_integral_of_the_posterior(mu, sigma):
    """The closed form is the numerical integral of r² N(r; μ, σ), also far below zero."""
    shift = mu**2 / 2 / sigma**2 if mu < 0 else 0.0
    top = 3000.0 if mu > 0 else 40 * sigma**2 / abs(mu)
    density = lambda r: r**2 * np.exp(shift - (r - mu) ** 2 / 2 / sigma**2)  # noqa: E731
    peak = [max(mu, 0.0)] if mu > 0 else None
    whole = quad(density, 0, top, points=peak, limit=500)[0]
    for distance in np.array([0.02, 0.05, 0.1]) * top:
        expected = quad(density, 0, distance, limit=500)[0] / whole
        found = share_within(np.array([distance]), np.array([mu]), np.array([sigma]))[0]
        assert found == pytest.approx(expected, rel=0.02 if mu < -20 * sigma else 1e-6, abs=1e-9)


def test_reach_is_the_distance_modulus():
    """A source of magnitude -16 is of magnitude 21 at a distance modulus of 37, and where there is no distance, nothing is reached."""
    assert reach_mpc(np.array([21.0]), -16.0)[0] == pytest.approx(10 ** (37 / 5 + 1) / 1e6)
    assert share_within(np.array([100.0, np.nan]), np.array([np.inf, 50.0]), np.array([1.0, 5.0])).tolist() == [0, 0]


def test_rows_count_what_visits_cover_together():
    """By time, band and depth each square is counted where it belongs; planned ones apart; the curve ends with all."""
    places = _places(box(1, 1), [10.0, 10.5, 50.0, 80.0], 0.0)
    visits = _visits(
        places, hours=[0.5, 2.0, 30.0, 40.0], depth=[20.0, 21.5, np.nan, 21.0], band=["g", "r", "g", "r"],
        done=[True, True, True, False],
    )  # fmt: skip
    found = ledger(_map(), visits)
    one = _rectangle_deg2(1.0, 1.0)
    area = {(row.by, row.value): row.area_deg2 / one for row in found.rows}
    expected = {
        ("all", "completed"): 2.5, ("planned", "planned"): 1.0, ("time", "1"): 1.0, ("time", "3"): 1.5,
        ("time", "24"): 1.5, ("time", "48"): 2.5, ("band", "g"): 2.0, ("band", "r"): 1.0,
        ("depth", "20"): 1.5, ("depth", "21"): 1.0, ("instrument", "Camera"): 2.5,
    }  # fmt: skip
    assert {k: area[k] for k in expected} == pytest.approx(expected, rel=0.01)
    assert ("time", "72") not in area
    for row in found.rows:
        assert row.probability == pytest.approx(row.area_deg2 / SKY_DEG2, rel=1e-6)
        assert row.reached is None
    assert found.figures["probability_planned"] * SKY_DEG2 == pytest.approx(one, rel=0.01)
    assert [hours for hours, _, _ in found.curve] == [0.5, 2.0, 30.0]
    assert found.curve[-1][2] == pytest.approx(2.5 * one, rel=0.01)
    assert found.covered.area_deg2 == pytest.approx(2.5 * one, rel=0.01)
    whole = found.left.area_deg2 + found.covered.moc().intersection(_region(0.9)).sky_fraction * SKY_DEG2
    assert whole == pytest.approx(_region(0.9).sky_fraction * SKY_DEG2, rel=1e-6)


def _region(level):
    from mma_pipeline.science.regions.coverage import credible_coverage

    return credible_coverage(_map(), level).moc()


def test_deepest_visit_decides_what_is_reached():
    """Of two visits of a place the deeper one counts, and half the posterior lies within reach of its middle."""
    map_ = _map(150.0, 1.0)
    shallow = ledger(map_, _visits(_places(box(1, 1), 10.0, 0.0), depth=15.0))
    both = ledger(map_, _visits(_places(box(1, 1), [10.0, 10.0], 0.0), depth=[15.0, 5 * np.log10(150e6 / 10.0) - 16.0]))
    assert shallow.figures["probability_reached"] == pytest.approx(0.0, abs=1e-12)
    share = both.figures["probability_reached"] / both.figures["probability_covered"]
    assert share == pytest.approx(0.5, abs=0.01)
    unknown = ledger(map_, _visits(_places(box(1, 1), 10.0, 0.0), depth=np.nan))
    assert unknown.figures["probability_covered"] > 0
    assert unknown.figures["probability_reached"] == 0


def test_reach_grows_with_time_alone_where_a_visit_is_deeper():
    """Until each hour the deepest visit so far decides: a shallower, an unknown and a planned one take nothing away or add."""
    middle = 5 * np.log10(150e6 / 10.0) - 16.0
    visits = _visits(
        _places(box(1, 1), [10.0, 10.0, 10.0, 10.0, 50.0, 10.0], 0.0),
        hours=[0.5, 2.0, 5.0, 11.0, 20.0, 3.0], depth=[15.0, middle, 16.0, np.nan, middle + 2, middle + 3],
        done=[True, True, True, True, True, False],
    )  # fmt: skip
    found = ledger(_map(150.0, 1.0), visits)
    one = _rectangle_deg2(1.0, 1.0) / SKY_DEG2
    reached = {row.value: row.reached / one for row in found.rows if row.by == "time"}
    assert reached == pytest.approx({"1": 0.0, "3": 0.5, "6": 0.5, "12": 0.5, "24": 1.5}, abs=0.02)
    deeper = {row.value: row.reached / one for row in found.rows if row.by == "depth"}
    assert [deeper[str(int(d))] for d in (15, 16, middle, middle + 2)] == pytest.approx([1.5, 1.5, 1.5, 1.0], abs=0.02)


def test_without_visits_everything_is_left():
    """Nothing is covered, and the whole credible region is left."""
    found = ledger(_map(), _visits(_places(box(1, 1), [], [])))
    assert found.figures["probability_covered"] == 0
    assert found.left.probability >= 0.9
    assert found.curve == ()


def ztf_visits():
    """ZTF's pointings on GW190425: field centres, hours after the merger, limits."""
    ztf = parse_footprint((COVERAGE / "ZTF_Region.reg").read_text())
    with (COVERAGE / "ZTF_Fields.csv").open() as lines:
        fields = {int(float(row["ID"])): (float(row["RA"]), float(row["Dec"])) for row in csv.DictReader(lines)}
    with (COVERAGE / "ZTF_GW190425_observation_data.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    ra, dec = np.array([fields[int(row["field_id"])] for row in rows]).T
    merger = datetime.fromisoformat("2019-04-25T08:18:05")
    hours = [(datetime.fromisoformat(row["obstime"]) - merger).total_seconds() / 3600 for row in rows]
    depth = [float(row["limmag"]) for row in rows]
    return ztf, _visits(_places(ztf, ra, dec), hours=hours, depth=depth, band=[row["filter"] for row in rows])


def exact_union_deg2(ztf, ra, dec):
    """Area of all CCDs together, by the polygons themselves in an equal-area plane (longitude, sine of latitude)."""
    found = []
    for a, d in sorted({*zip(ra.tolist(), dec.tolist(), strict=True)}):
        a0, d0 = np.radians([a, d])
        for ring in plane_corners(ztf):
            closed = np.concatenate([ring, ring[:1]])
            x, y = (np.concatenate([np.linspace(p, q, 4)[:-1] for p, q in pairwise(c)]) for c in closed.T)
            rho = np.hypot(x, y)
            c = np.arctan(rho)
            sine = np.cos(c) * np.sin(d0) + y * np.sin(c) * np.cos(d0) / rho
            lon = a0 + np.arctan2(x * np.sin(c), rho * np.cos(d0) * np.cos(c) - y * np.sin(d0) * np.sin(c))
            polygon = shapely.Polygon(np.stack([lon, sine], axis=1))
            found.append(polygon)
            for turn in (2 * np.pi, -2 * np.pi):
                if lon.min() < 0 or lon.max() > 2 * np.pi:
                    found.append(shapely.affinity.translate(polygon, turn))
    sky = shapely.box(0, -1, 2 * np.pi, 1)
    return shapely.unary_union(found).intersection(sky).area * DEG2_PER_SR


@NIGHTS
def test_ztf_on_gw190425_as_published():
    """ZTF covered 46 % of the initial map in two nights (Coughlin et al. 2019), on the area of its CCDs together."""
    skymap = decode_skymap((COVERAGE / "GW190425_bayestar.multiorder.fits").read_bytes())
    ztf, visits = ztf_visits()
    found = ledger(skymap, visits)
    first = visits.hours < 12
    after = {row.value: row for row in found.rows if row.by == "time"}
    assert after["48"].probability == pytest.approx(0.46, abs=0.01)
    assert 0.3 < after["12"].probability < after["48"].probability <= found.figures["probability_covered"]
    exact = exact_union_deg2(ztf, visits.places.ra[first], visits.places.dec[first])
    assert after["12"].area_deg2 == pytest.approx(exact, rel=0.005)
    assert found.covered.area_deg2 == pytest.approx(found.figures["area_covered_deg2"], rel=0.01)


def test_simulated_pointings_take_the_most_probable_fields_first():
    """Each night covers what is most probable of what the nights before left, and no field twice."""
    from mma_pipeline.science.simulation.pointings import simulate_pointings

    from ..maps import gaussian_map

    uniq, density = gaussian_map(40.0, -20.0, 4.0, order=8)
    skymap = decode_skymap(table_bytes({"UNIQ": uniq, "PROBDENSITY": density}, ORDERING="NUNIQ"))
    nights = simulate_pointings(skymap, datetime.fromisoformat("2024-03-01T12:00:00+00:00"), nights=2, fields=6)
    covered = []
    for count in (1, 2):
        done = [p for night in nights[:count] for p in night]
        places = _places(done[0].footprint, [p.ra for p in done], [p.dec for p in done])
        covered.append(ledger(skymap, _visits(places)).figures["probability_covered"])
    assert 0.5 < covered[0] < covered[1] < 1
    assert covered[1] - covered[0] < covered[0]
    assert len({(p.ra, p.dec) for night in nights for p in night}) == 12
