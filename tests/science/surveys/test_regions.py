"""Regions of live events as ranges: the same sky as mocpy, healpy and ligo.skymap say, for one position and for many."""

from __future__ import annotations

import healpy
import numpy as np
import pytest
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.table import QTable
from hypothesis import given
from hypothesis import strategies as st
from ligo.skymap.io import read_sky_map
from ligo.skymap.postprocess import crossmatch
from mocpy import MOC

from mma_pipeline.science.skymaps.model import SkyMap, decode_skymap
from mma_pipeline.science.sphere import PositionError, index29
from mma_pipeline.science.surveys.regions import LiveRegion, RegionIndex, credible_ranges, live_region
from tests.science.maps import SHARED, gaussian_map, table_bytes

GW190425 = SHARED / "data" / "coverage" / "GW190425_bayestar.multiorder.fits"
needs_gw190425 = pytest.mark.skipif(not GW190425.is_file(), reason=f"{GW190425} is not there")
T0 = 58598.346
ANY = T0 + 1.0


def gaussian(ra: float, dec: float, sigma: float, order: int = 9) -> SkyMap:
    """Map of a Gaussian of width sigma, deg."""
    uniq, density = gaussian_map(ra, dec, sigma, order=order)
    return decode_skymap(table_bytes({"UNIQ": uniq, "PROBDENSITY": density}, ORDERING="NUNIQ"))


def cap(ra: float, dec: float, radius: float, order: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Pixels of a circle (deg) by healpy, as ranges of order 29."""
    centre = healpy.ang2vec(ra, dec, lonlat=True)
    pixels = np.sort(healpy.query_disc(1 << order, centre, np.radians(radius), nest=True))
    shift = 2 * (29 - order)
    return pixels << shift, (pixels + 1) << shift


def region(name: str, begin: np.ndarray, end: np.ndarray, t0: float = T0, days: float = 14.0) -> LiveRegion:
    """Region of an event of that name."""
    return LiveRegion(name, f"{name}-Preliminary", t0, t0 + days, begin, end)


def everywhere(count: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Positions evenly on the sphere, deg, both poles and RA 0 among them."""
    draw = np.random.default_rng(seed)
    ra, dec = draw.uniform(0, 360, count), np.degrees(np.arcsin(draw.uniform(-1, 1, count)))
    return np.concatenate([ra, [0.0, 0.0, 0.0, 359.9999999]]), np.concatenate([dec, [90.0, -90.0, 0.0, 41.8]])


def at_edges(moc: MOC, count: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Positions a hundredth of an arcsecond on both sides of the corners of a region's pixels."""
    order = moc.max_order
    inner = moc.flatten()
    border = np.random.default_rng(2).choice(inner, min(count // 8, len(inner)), replace=False).astype(np.int64)
    corners = healpy.boundaries(1 << order, border, nest=True)  # (pixels, 3, 4)
    ra, dec = healpy.vec2ang(np.moveaxis(corners, 1, 2).reshape(-1, 3), lonlat=True)
    step = 0.01 / 3600
    away = np.where(np.arange(len(ra)) % 2 == 0, step, -step)
    return np.mod(ra + away, 360.0), np.clip(dec + away[::-1], -90, 90)


@needs_gw190425
def test_gw190425_agrees_with_mocpy_everywhere_and_at_the_edges():
    """A wide real region holds exactly the positions that mocpy finds in it, a hundredth of an arcsecond from its edges too."""
    skymap = decode_skymap(GW190425.read_bytes())
    table = QTable.read(GW190425)
    moc = MOC.from_valued_healpix_cells(
        table["UNIQ"].astype(np.uint64),
        (table["PROBDENSITY"].value * np.pi / 3 / 4.0 ** skymap_orders(table["UNIQ"])),
        max_depth=8,
        cumul_to=0.99,
        strict=False,
    )
    found = live_region("GW190425", "v", skymap, T0, days=14.0)
    assert found.area_deg2 == pytest.approx(moc.sky_fraction * 41252.96, abs=1.0)
    assert found.area_deg2 > 10_182.6  # the published 90 % area
    index = RegionIndex([found])
    for ra, dec in (everywhere(20_000), at_edges(moc)):
        expected = moc.contains_skycoords(SkyCoord(ra, dec, unit="deg"))
        rows, events = index.matches(index29(ra, dec), np.full(len(ra), ANY))
        inside = np.isin(np.arange(len(ra)), rows)
        assert np.count_nonzero(expected != inside) == 0
        assert not events.any()
        one_by_one = [bool(index.at(a, d, ANY)) for a, d in zip(ra[:3000].tolist(), dec[:3000].tolist(), strict=True)]
        assert one_by_one == inside[:3000].tolist()


def skymap_orders(uniq: np.ndarray) -> np.ndarray:
    """Orders of UNIQ pixels."""
    return np.floor(np.log2(np.asarray(uniq) // 4) / 2)


@needs_gw190425
def test_gw190425_agrees_with_ligo_skymap():
    """Inside is where the searched probability of ligo.skymap stays below the level."""
    ra, dec = everywhere(3000, seed=5)
    reference = crossmatch(read_sky_map(str(GW190425), moc=True), SkyCoord(ra, dec, unit="deg"))
    found = live_region("GW190425", "v", decode_skymap(GW190425.read_bytes()), T0, days=14.0)
    inside = found.holds(index29(ra, dec))
    searched = reference.searched_prob
    assert inside[searched < 0.99 - 1e-6].all()
    assert not inside[searched > 0.99 + 1e-3].any()


@pytest.mark.parametrize(("ra", "dec"), [(197.45, -23.38), (0.0, 0.0), (123.0, 90.0), (10.0, -89.9), (359.9, 41.8)])
def test_a_gaussian_has_its_closed_area_and_radius(ra: float, dec: float):
    """The 99 % region of a narrow Gaussian is the circle of radius sigma √(-2 ln 0.01), wherever it lies."""
    sigma = 1.0
    found = live_region("S1", "v", gaussian(ra, dec, sigma), T0, days=1.0)
    assert found.area_deg2 == pytest.approx(-2 * np.pi * sigma**2 * np.log(0.01), rel=0.01)
    radius = sigma * np.sqrt(-2 * np.log(0.01))
    index = RegionIndex([found])
    centre = SkyCoord(ra, dec, unit="deg")
    for angle in range(0, 360, 15):
        for factor, expected in ((0.9, True), (1.1, False)):
            place = centre.directional_offset_by(angle * units.deg, factor * radius * units.deg)
            assert bool(index.at(place.ra.deg, place.dec.deg, T0)) is expected


def test_the_window_is_closed_at_both_ends():
    """A detection counts from the very moment of the event to the very end of its days, and not beside them."""
    index = RegionIndex([region("S1", *cap(30, 10, 5), days=14.0)])
    times = np.array([np.nextafter(T0, 0), T0, T0 + 7, T0 + 14.0, np.nextafter(T0 + 14.0, 1e9), np.nan])
    expected = [False, True, True, True, False, False]
    assert [bool(index.at(30, 10, t)) for t in times.tolist()] == expected
    rows, _ = index.matches(index29(np.full(6, 30.0), np.full(6, 10.0)), times)
    assert np.isin(np.arange(6), rows).tolist() == expected


@given(
    st.lists(
        st.tuples(
            st.floats(0, 360), st.floats(-90, 90), st.floats(0.5, 120), st.floats(-3, 3), st.sampled_from([0.5, 30.0])
        ),
        max_size=70,
    ),
    st.integers(0, 1000),
)
def test_many_overlapping_events_agree_with_a_search_event_by_event(events, seed):
    """Whatever regions overlap, more than a machine word of them too, a position gets exactly the events that hold it."""
    regions = [
        region(f"S{number}", *cap(ra, dec, radius, order=4), t0=T0 + shift, days=days)
        for number, (ra, dec, radius, shift, days) in enumerate(events)
    ]
    ra, dec = everywhere(60, seed)
    mjd = np.random.default_rng(seed).uniform(T0 - 3, T0 + 5, len(ra))
    index = RegionIndex(regions)
    pixel = healpy.ang2pix(1 << 4, ra, dec, nest=True, lonlat=True)
    expected = [
        [r.event_id for r in regions if r.t0_mjd <= mjd[n] <= r.until_mjd and (pixel[n] << 50) in r.begin]
        for n in range(len(ra))
    ]
    assert [
        [r.event_id for r in index.at(*where)] for where in zip(ra.tolist(), dec.tolist(), mjd.tolist(), strict=True)
    ] == expected
    rows, numbers = index.matches(index29(ra, dec), mjd)
    found: list[list[str]] = [[] for _ in ra]
    for row, number in zip(rows.tolist(), numbers.tolist(), strict=True):
        found[row].append(regions[number].event_id)
    assert found == expected


def test_ranges_are_merged_and_the_whole_sky_is_one():
    """Neighbouring pixels are one range; at level 1 a map without empty pixels is the whole sky."""
    begin, end = credible_ranges(gaussian(10, 10, 40.0, order=5), 1.0)
    assert (begin.tolist(), end.tolist()) == ([0], [12 << 58])
    begin, end = credible_ranges(gaussian(10, 10, 2.0), 0.99)
    assert (begin[1:] > end[:-1]).all()
    assert (begin < end).all()


def test_no_event_is_live():
    """Without live events nothing lies inside."""
    index = RegionIndex()
    assert index.at(10.0, 10.0, ANY) == ()
    rows, events = index.matches(index29(*everywhere(10)), np.full(14, ANY))
    assert (len(rows), len(events), len(index)) == (0, 0, 0)


@pytest.mark.parametrize(("ra", "dec"), [(float("nan"), 0.0), (0.0, float("nan")), (0.0, 90.1), (float("inf"), 0.0)])
def test_a_position_off_the_sphere_is_an_error(ra: float, dec: float):
    """A position that is none is said to be none, not taken to lie outside."""
    with pytest.raises(PositionError):
        RegionIndex([region("S1", *cap(30, 10, 5))]).at(ra, dec, ANY)
