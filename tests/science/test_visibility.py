"""Fields of view of satellites: GBM's own geometry, astropy's frames, caps in closed form, what is unknown."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mma_pipeline.science.observing.orbit import ElementSet, OrbitError, propagate
from mma_pipeline.science.observing.saa import in_gbm_saa, inside
from mma_pipeline.science.observing.visibility import (
    DEFAULT_INSTRUMENTS,
    FERMI_GBM,
    FERMI_LAT,
    FieldOfView,
    Instrument,
    InstrumentError,
    Pointing,
    State,
    field_of_view,
    instruments_from_json,
)
from mma_pipeline.science.skymaps.model import SkyMap, decode_skymap
from mma_pipeline.science.sphere import separation
from tests.science.maps import MISSING, gaussian_map, real_maps, table_bytes

#: Fermi on 2017-08-17 (Space-Track).
FERMI_2017 = ElementSet(
    "1 33053U 08029A   17229.56317825 +.00000508 +00000-0 +12437-4 0  9995",
    "2 33053 025.5829 306.0377 0012114 272.5539 087.3609 15.10926454506590",
)
GRB_170817A = datetime(2017, 8, 17, 12, 41, 6, 470000, tzinfo=UTC)
NGC4993 = (197.450374, -23.381495)


def _cap(ra: float, dec: float, radius: float, view: str = "cap") -> FieldOfView:
    instrument = Instrument("test", "test", 1, view, radius=radius, pointing="p")
    return FieldOfView(instrument, State.KNOWN, "", ra, dec, radius)


def _cells(fov: FieldOfView) -> dict[str, list[int]]:
    body = fov.moc_json()
    assert body is not None
    found: dict[str, list[int]] = json.loads(body)
    return found


def _area(cells: dict[str, list[int]]) -> float:
    return float(sum(len(ipix) * np.pi / 3 / 4 ** int(order) for order, ipix in cells.items()))


def _uniform(order: int = 5) -> SkyMap:
    n = 12 * 4**order
    return SkyMap(np.arange(4 * 4**order, 16 * 4**order), np.full(n, 1 / (4 * np.pi)))


def test_gbm_geometry_of_grb_170817a() -> None:
    """Earth centre, Earth radius and the angle of NGC 4993 must be those of GBM's own header within 0.1 deg."""
    fov = field_of_view(FERMI_GBM, GRB_170817A, elements=FERMI_2017)
    assert fov.state is State.KNOWN
    assert fov.ra is not None
    assert fov.dec is not None
    assert float(separation(fov.ra, fov.dec, 297.957, -3.897)) < 0.1
    assert fov.radius == pytest.approx(67.2, abs=0.1)
    assert float(separation(fov.ra, fov.dec, *NGC4993)) == pytest.approx(98.0, abs=0.2)
    assert fov.sees(*NGC4993) is True
    assert fov.sees(297.957, -3.897) is False


@pytest.mark.parametrize("hours", [0.0, 1.3, 13.0, 40.0])
def test_frames_agree_with_astropy(hours: float) -> None:
    """SGP4 brought to the sky and to the ground must agree with astropy's frames, without Earth orientation tables."""
    import astropy.units as u
    from astropy.coordinates import GCRS, ITRS, TEME, CartesianRepresentation
    from astropy.time import Time
    from astropy.utils import iers
    from sgp4.api import Satrec

    time = GRB_170817A + timedelta(hours=hours)
    found = propagate(FERMI_2017, time)
    with iers.conf.set_temp("auto_download", False):
        t = Time(time)
        _, r, _ = Satrec.twoline2rv(FERMI_2017.line1, FERMI_2017.line2).sgp4(t.jd1, t.jd2)
        teme = TEME(CartesianRepresentation(np.array(r) * u.km), obstime=t)
        gcrs = teme.transform_to(GCRS(obstime=t))
        ground = teme.transform_to(ITRS(obstime=t)).cartesian.xyz.to_value(u.km)
    np.testing.assert_allclose(found.gcrs, gcrs.cartesian.xyz.to_value(u.km), atol=0.5)
    assert found.latitude == pytest.approx(np.degrees(np.arcsin(ground[2] / np.linalg.norm(ground))), abs=0.005)
    assert found.longitude == pytest.approx(np.degrees(np.arctan2(ground[1], ground[0])), abs=0.01)


def test_epoch_and_bad_elements() -> None:
    """The epoch is read from the line; lines that are no elements give an error, not a position."""
    assert abs(FERMI_2017.epoch - datetime(2017, 8, 17, 13, 30, 58, tzinfo=UTC)) < timedelta(seconds=2)
    falling = FERMI_2017.line1.replace("+12437-4", "+99999+2")
    with pytest.raises(OrbitError, match="cannot be propagated"):
        propagate(ElementSet(falling, FERMI_2017.line2), GRB_170817A + timedelta(days=300))
    with pytest.raises(OrbitError):
        propagate(ElementSet(FERMI_2017.line1, "2 33053"), GRB_170817A)


@settings(max_examples=15, deadline=None)
@given(ra=st.floats(0, 360), dec=st.floats(-90, 90), radius=st.floats(5, 120))
def test_moc_is_a_true_spherical_cap(ra: float, dec: float, radius: float) -> None:
    """Area and edge of the MOC are those of a spherical cap anywhere, over poles and the meridian too."""
    import astropy.units as u
    from mocpy import MOC

    cells = _cells(_cap(ra, dec, radius))
    assert max(map(int, cells)) <= 9
    smallest, largest = (2 * np.pi * (1 - np.cos(np.radians(r))) for r in (radius, radius + 0.15))
    assert smallest <= _area(cells) <= largest, "every cell that the cap touches, 0.11 deg wide, and no other"
    moc = MOC.from_json(cells)
    rng = np.random.default_rng(0)
    lon, lat = rng.uniform(0, 360, 400), np.degrees(np.arcsin(rng.uniform(-1, 1, 400)))
    angle = separation(lon, lat, ra, dec)
    clear = np.abs(angle - radius) > 0.2
    found = moc.contains_lonlat(lon[clear] * u.deg, lat[clear] * u.deg)
    np.testing.assert_array_equal(found, angle[clear] < radius)
    complement = _cells(_cap(ra, dec, radius, "unocculted"))
    assert _area(complement) + _area(cells) == pytest.approx(4 * np.pi, rel=1e-9)


@settings(max_examples=15, deadline=None)
@given(ra=st.floats(0, 360), dec=st.floats(-90, 90), radius=st.floats(1, 179))
def test_probability_of_a_uniform_map_is_the_area(ra: float, dec: float, radius: float) -> None:
    """A uniform map has in a cap the cap's share of the sphere, and outside the rest."""
    share = (1 - np.cos(np.radians(radius))) / 2
    assert _cap(ra, dec, radius).probability(_uniform()) == pytest.approx(share, abs=1e-3)
    assert _cap(ra, dec, radius, "unocculted").probability(_uniform()) == pytest.approx(1 - share, abs=1e-3)


def test_probability_of_a_gaussian_map_in_closed_form() -> None:
    """A cap around the centre of a Fisher map of width σ holds 1 - exp(-θ²/2σ²), also where pixels are coarse."""
    uniq, density = gaussian_map(359.9, 1.0, 3.0, order=8)
    sky = decode_skymap(table_bytes({"UNIQ": uniq, "PROBDENSITY": density}, ORDERING="NUNIQ"))
    for theta in (1.0, 3.0, 6.0):
        expected = 1 - np.exp(-(theta**2) / 18)
        assert _cap(359.9, 1.0, theta).probability(sky) == pytest.approx(expected, abs=3e-3)


@pytest.mark.skipif(not real_maps(), reason=MISSING)
def test_gw170817_was_seen_by_gbm() -> None:
    """Nearly all of the real GW170817 map was above GBM's horizon."""
    sky = decode_skymap(real_maps()["GW170817_bayestar_flat_nside128"])
    seen = field_of_view(FERMI_GBM, GRB_170817A, elements=FERMI_2017).probability(sky)
    assert seen == pytest.approx(1.0, abs=0.01)


def test_unknown_is_never_the_whole_sky() -> None:
    """Without elements, with elements too old, without pointing: no region, no probability, a reason."""
    late = GRB_170817A + timedelta(days=40)
    for fov in (
        field_of_view(FERMI_GBM, GRB_170817A),
        field_of_view(FERMI_GBM, late, elements=FERMI_2017),
        field_of_view(FERMI_LAT, GRB_170817A),
        field_of_view(FERMI_LAT, GRB_170817A, elements=FERMI_2017),
    ):
        assert fov.state is State.UNKNOWN
        assert fov.moc_json() is None
        assert fov.probability(_uniform()) is None
        assert fov.sees(0, 0) is None
        assert fov.reason
    assert "40 days" in field_of_view(FERMI_GBM, late, elements=FERMI_2017).reason


def _first_in_saa() -> datetime:
    for minute in range(200):
        time = GRB_170817A + timedelta(minutes=minute)
        where = propagate(FERMI_2017, time)
        if in_gbm_saa(where.latitude, where.longitude, time):
            return time
    raise AssertionError("Fermi crosses the anomaly every few orbits")


def test_off_in_the_south_atlantic_anomaly() -> None:
    """Inside the anomaly GBM is off: it sees nothing, and the file holds no cell instead of the whole sky."""
    fov = field_of_view(FERMI_GBM, _first_in_saa(), elements=FERMI_2017)
    assert fov.state is State.OFF
    assert _area(_cells(fov)) == 0
    assert fov.probability(_uniform()) == 0
    assert fov.sees(*NGC4993) is False
    assert "South Atlantic" in fov.reason


def test_saa_polygons() -> None:
    """Brazil is inside, Europe and the Pacific are not, and the polygon is the one in use at the time."""
    now = datetime(2025, 1, 1, tzinfo=UTC)
    assert in_gbm_saa(-25, -50, now)
    assert in_gbm_saa(-25, 310, now)
    assert not in_gbm_saa(25, 10, now)
    assert not in_gbm_saa(-10, 170, now)
    # 0.5 deg south, 28 deg west was inside the original polygon only.
    assert in_gbm_saa(-0.5, -28, datetime(2009, 1, 1, tzinfo=UTC))
    assert not in_gbm_saa(-0.5, -28, now)
    assert in_gbm_saa(-0.5, -40, datetime(2023, 1, 1, tzinfo=UTC))
    assert not in_gbm_saa(-0.5, -40, datetime(2022, 6, 8, tzinfo=UTC))
    assert inside(((0, 0), (0, 10), (10, 10), (10, 0)), 5, 5)


def _pointing(ra: list[float], dec: list[float], step: float = 60.0) -> Pointing:
    start = GRB_170817A.timestamp() + step * np.arange(len(ra))
    saa = np.zeros(len(ra), bool)
    saa[-1] = True
    return Pointing(start, start + step, np.array(ra), np.array(dec), saa, "file")


def test_lat_boresight_follows_the_great_circle() -> None:
    """Between samples the boresight moves along the great circle, across RA 0 too; then the cap is 65 deg around it."""
    pointing = _pointing([359.0, 1.0, 3.0], [0.0, 0.0, 0.0])
    fov = field_of_view(FERMI_LAT, GRB_170817A + timedelta(seconds=30), pointing=pointing)
    assert fov.state is State.KNOWN
    assert fov.ra == pytest.approx(0.0, abs=1e-6) or fov.ra == pytest.approx(360.0, abs=1e-6)
    assert fov.radius == 65.0
    assert fov.sees(64.9, 0) is True
    assert fov.sees(65.1, 0) is False
    off = field_of_view(FERMI_LAT, GRB_170817A + timedelta(seconds=150), pointing=pointing)
    assert off.state is State.OFF


def test_pointing_that_does_not_say_is_unknown() -> None:
    """Times outside the file, gaps, and turns faster than the spacecraft can make are unknown."""
    pointing = _pointing([10.0, 10.0, 10.0, 10.0], [0.0, 0.0, 80.0, 80.0])
    for seconds in (-10, 70, 500):
        fov = field_of_view(FERMI_LAT, GRB_170817A + timedelta(seconds=seconds), pointing=pointing)
        assert fov.state is State.UNKNOWN
        assert fov.moc_json() is None


def test_instruments_are_configuration() -> None:
    """A new satellite is a line of JSON; mistakes are refused with the name of the instrument."""
    text = '[{"name": "SVOM-GRM", "file": "SVOM", "norad_id": 60086, "view": "unocculted"}]'
    (svom,) = instruments_from_json(text)
    fov = field_of_view(svom, GRB_170817A, elements=FERMI_2017)
    assert fov.state is State.KNOWN
    assert {i.file for i in DEFAULT_INSTRUMENTS} == {"Fermi", "LAT"}


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "{}",
        "[1]",
        '[{"name": "x"}]',
        '[{"name": "x", "file": "x", "norad_id": 1, "view": "square"}]',
        '[{"name": "x", "file": "x", "norad_id": 1, "view": "cap"}]',
        '[{"name": "x", "file": "../x", "norad_id": 1, "view": "unocculted"}]',
        '[{"name": "x", "file": "x", "norad_id": 1, "view": "unocculted", "saa": "mine"}]',
        '[{"name": "x", "file": "x", "norad_id": 1, "view": "unocculted", "colour": 1}]',
        '[{"name": "x", "file": "x", "norad_id": 1, "view": "unocculted"},'
        ' {"name": "y", "file": "x", "norad_id": 2, "view": "unocculted"}]',
    ],
)
def test_bad_instruments_are_refused(text: str) -> None:
    """Configuration that makes no sense gives one clear error."""
    with pytest.raises(InstrumentError):
        instruments_from_json(text)
