"""When sites can observe a map: beside astropy and astroplan, closed forms, and a survey's own plans of three nights."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime, timedelta
from io import BytesIO

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import (
    GCRS,
    AltAz,
    CartesianRepresentation,
    EarthLocation,
    GeocentricTrueEcliptic,
    SkyCoord,
    get_body,
)
from astropy.io.votable import parse_single_table
from astropy.time import Time

from mma_pipeline.adapters.earth_orientation import orientation_at, use_packaged_tables
from mma_pipeline.science.observing.ephemeris import altitude, illumination, sky, unit
from mma_pipeline.science.observing.sites import Limits, Site, SiteError, named, shipped_sites, sites_from_json
from mma_pipeline.science.observing.targets import HALF_HOURS, Target, best_order, observable
from mma_pipeline.science.observing.windows import windows
from mma_pipeline.science.observing.windows_table import document, first_targets, short, site_table
from mma_pipeline.science.plots.windows import draw_windows
from mma_pipeline.science.skymaps.model import SkyMap, decode_skymap
from mma_pipeline.science.sphere import unit_vectors
from mma_pipeline.science.tables import ecsv, votable
from tests.alerts import REAL_FOLDER

use_packaged_tables()
PLANS = REAL_FOLDER.parent / "plans"
FIRST = datetime(2005, 1, 1, tzinfo=UTC)
#: S230922g was alerted at about this time.
EVENING = datetime(2023, 9, 22, 3, 0, tzinfo=UTC)


def uniform(order: int = 3) -> SkyMap:
    """The same density everywhere, in rows of one order."""
    count = 12 * 4**order
    return SkyMap(4 * 4**order + np.arange(count), np.full(count, 1 / (4 * np.pi)))


def random_places(count: int, seed: int) -> tuple[list[datetime], np.ndarray, np.ndarray, np.ndarray]:
    """Times of forty years, latitudes and longitudes (deg) evenly over the Earth, heights (m)."""
    rng = np.random.default_rng(seed)
    times = [FIRST + timedelta(seconds=round(float(s))) for s in rng.uniform(0, 40 * 365.25 * 86400, count)]
    return (
        times,
        np.degrees(np.arcsin(rng.uniform(-1, 1, count))),
        rng.uniform(-180, 180, count),
        rng.uniform(0, 5000, count),
    )


def astropy_of(
    times: list[datetime], lat: np.ndarray, lon: np.ndarray, height: np.ndarray
) -> tuple[Time, EarthLocation]:
    """The same for astropy."""
    where = EarthLocation.from_geodetic(lon * u.deg, lat * u.deg, height * u.m)
    return Time([t.replace(tzinfo=None) for t in times], scale="utc"), where


@pytest.mark.filterwarnings("ignore")
def test_altitudes_are_those_of_astropy() -> None:
    """Stars within 0.01 deg, Sun and Moon within 0.05 deg of astropy's full transformation, at 1,000 times and places."""
    times, lat, lon, height = random_places(1000, 1)
    rng = np.random.default_rng(2)
    ra, dec = rng.uniform(0, 360, 1000), np.degrees(np.arcsin(rng.uniform(-1, 1, 1000)))
    offsets = rng.uniform(0, 86400, 1000)
    star, sun, moon = np.empty(1000), np.empty(1000), np.empty(1000)
    for i, time in enumerate(times):
        earth = orientation_at(time)
        found = sky(time, [0.0, offsets[i], 86400.0], ut1_utc=earth.ut1_utc, pole=earth.pole)
        overhead = found.zenith(lat[i], lon[i])[1]
        place = found.observer(lat[i], lon[i], height[i])[1]
        star[i] = altitude(found.apparent(unit_vectors(ra[i : i + 1], dec[i : i + 1])), overhead)[0]
        sun[i] = altitude(unit(found.sun[1] - place), overhead)
        moon[i] = altitude(unit(found.moon[1] - place), overhead)
    begins, where = astropy_of(times, lat, lon, height)
    then = begins + offsets * u.s
    frame = AltAz(obstime=then, location=where)
    assert np.abs(star - SkyCoord(ra * u.deg, dec * u.deg).transform_to(frame).alt.deg).max() < 0.01
    assert np.abs(sun - get_body("sun", then, where).transform_to(frame).alt.deg).max() < 0.01
    assert np.abs(moon - get_body("moon", then, where).transform_to(frame).alt.deg).max() < 0.05


def test_the_moon_is_that_of_the_book() -> None:
    """Meeus, Astronomical Algorithms, examples 47.a and 48.a: place, distance and lit part on 1992 April 12.0 TD."""
    time = Time("1992-04-12 00:00:00", scale="tt")
    found = sky(time.utc.to_datetime(timezone=UTC), [0.0])
    place = SkyCoord(CartesianRepresentation(*(found.moon[0] * u.au)), frame=GCRS(obstime=time))
    ecliptic = place.transform_to(GeocentricTrueEcliptic(equinox=time, obstime=time))
    assert ecliptic.lon.deg == pytest.approx(133.167265, abs=0.01)
    assert ecliptic.lat.deg == pytest.approx(-3.229127, abs=0.01)
    assert np.linalg.norm(found.moon[0]) * u.au.to(u.km) == pytest.approx(368_409.7, abs=20)
    assert illumination(found.sun, found.moon)[0] == pytest.approx(0.6786, abs=0.001)


@pytest.mark.filterwarnings("ignore")
def test_twilight_is_within_ten_seconds_of_astropy() -> None:
    """At 150 times and places astropy's Sun passes -18 deg and the horizon within 10 s of dusk, dawn, sunset and sunrise."""
    times, lat, lon, height = random_places(150, 3)
    passages: list[tuple[datetime, int, float]] = []
    for i, time in enumerate(times):
        earth = orientation_at(time)
        site = Site("here", float(lat[i]), float(lon[i]), float(height[i]))
        night = windows(uniform(0), [site], time, ut1_utc=earth.ut1_utc, pole=earth.pole).sites[0].night
        levels = ((night.sunset, -0.833), (night.dusk, -18.0), (night.dawn, -18.0), (night.sunrise, -0.833))
        passages += [(when, i, level) for when, level in levels if when is not None]
    assert len(passages) > 350
    which = [i for _, i, _ in passages]
    level = np.array([one for _, _, one in passages])
    sides = []
    for seconds in (-10, 10):
        moments = [when + timedelta(seconds=seconds) for when, _, _ in passages]
        then, where = astropy_of(moments, lat[which], lon[which], height[which])
        sides.append(get_body("sun", then, where).transform_to(AltAz(obstime=then, location=where)).alt.deg - level)
    # Where the Sun all but grazes the level, seconds mean nothing: it moves by less than 1" in each of them.
    steep = np.abs(sides[1] - sides[0]) > 20 / 3600
    assert steep.sum() > 345
    assert (sides[0] * sides[1] < 0)[steep].all()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["DECam", "ZTF", "GOTO South"])
def test_the_night_is_that_of_astroplan(name: str) -> None:
    """Astronomical twilight by astroplan, an independent search over astropy's altitudes, within 10 s."""
    from astroplan import Observer

    site = named(shipped_sites(), name)
    night = windows(uniform(0), [site], EVENING).sites[0].night
    where = EarthLocation.from_geodetic(site.longitude_deg, site.latitude_deg, site.altitude_m)
    observer = Observer(location=where)
    assert night.dusk is not None
    assert night.dawn is not None
    # astroplan joins its samples by straight lines: from one every six seconds nothing is lost.
    for ours, search in (
        (night.dusk, observer.twilight_evening_astronomical),
        (night.dawn, observer.twilight_morning_astronomical),
    ):
        near = Time(ours - timedelta(hours=3))
        theirs = search(near, which="next", n_grid_points=1500).to_datetime(timezone=UTC)
        assert abs((theirs - ours).total_seconds()) < 10


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["DECam", "SALT", "Keck"])
def test_every_row_is_judged_as_astropy_judges_it(name: str) -> None:
    """Probability at each time, row by row with astropy's altitudes, Sun and Moon; only rows at a limit may differ."""
    m, site, usual = uniform(), named(shipped_sites(), name), Limits(airmass_max=2.0, moon_min_deg=50.0)
    earth = orientation_at(EVENING)
    w = windows(m, [site], EVENING, limits=usual, ut1_utc=earth.ut1_utc, pole=earth.pole, step_minutes=60)
    one = w.sites[0]
    where = EarthLocation.from_geodetic(site.longitude_deg, site.latitude_deg, site.altitude_m)
    import healpy

    ra, dec = healpy.pix2ang(8, np.arange(m.uniq.size), nest=True, lonlat=True)
    stars = SkyCoord(ra * u.deg, dec * u.deg)
    low, high = site.altitudes(usual)
    seen = np.zeros(m.uniq.size, dtype=bool)
    unsure_ever = np.zeros(m.uniq.size, dtype=bool)
    for i in range(w.minutes.size):
        frame = AltAz(obstime=Time(w.time(i).replace(tzinfo=None), scale="utc"), location=where)
        here = stars.transform_to(frame)
        sun, moon = (get_body(body, frame.obstime, where).transform_to(frame) for body in ("sun", "moon"))
        away, up = here.separation(moon).deg, moon.alt.deg > 0
        inside = (here.alt.deg >= low) & (here.alt.deg <= high) & ((away >= 50.0) | (not up)) & (sun.alt.deg < -18)
        unsure = np.min(np.abs([here.alt.deg - low, here.alt.deg - high, away - 50.0]), axis=0) < 0.05
        assert abs(m.prob[inside].sum() - one.curve[i]) <= m.prob[unsure].sum() + 1e-9
        seen |= inside
        unsure_ever |= unsure
    assert ((seen == one.rows) | unsure_ever).all()
    assert one.probability == pytest.approx(m.prob[one.rows].sum())
    assert w.probability == one.probability


def test_polar_night_and_day() -> None:
    """At the pole the altitude is the declination: in June night all above the limit is observable, in December nothing."""
    pole, m = Site("South Pole", -90.0, 0.0, 2800.0), uniform(5)
    night, day = (
        windows(m, [pole], datetime(2026, month, 21, tzinfo=UTC), limits=Limits(2.0, 0.0)).sites[0] for month in (6, 12)
    )
    assert night.probability == pytest.approx(0.25, abs=0.01)  # altitude above 30 deg: (1 - sin 30°) / 2 of the sphere
    assert night.curve.min() == pytest.approx(night.curve.max(), abs=0.01)
    assert night.night.dark
    assert (night.night.dusk, night.night.dawn) == (None, None)
    assert (day.probability, day.window, day.best, day.night.dark) == (0.0, None, None, False)


def test_two_places_see_more_than_one() -> None:
    """All sites together observe at least what each does, and a site with a wider limit what one with a narrower does."""
    m = uniform()
    w = windows(m, shipped_sites(), EVENING)
    assert all(one.probability <= w.probability + 1e-9 for one in w.sites)
    wide, narrow = (
        windows(m, [named(shipped_sites(), "DECam")], EVENING, limits=Limits(a)).sites[0] for a in (3.0, 1.5)
    )
    assert (wide.rows | ~narrow.rows).all()
    assert wide.probability > narrow.probability > 0


def test_the_order_is_the_best_of_all_orders() -> None:
    """The sum of weight / airmass × 2^(-hours/12) over the chosen steps is the largest of all ways to assign them."""
    site = named(shipped_sites(), "DECam")
    w = windows(uniform(0), [site], EVENING, step_minutes=120)
    one = w.sites[0]
    targets = [
        Target("a", "galaxy", 338.0, -25.0, 1.0),
        Target("b", "galaxy", 30.0, 5.0, 0.9),
        Target("c", "galaxy", 60.0, -40.0, 2.0),
    ]
    inside, sine = observable(w, one, np.array([t.ra for t in targets]), np.array([t.dec for t in targets]))
    value = np.where(inside[:-1] & inside[1:], sine[:-1], 0) * [t.weight for t in targets]
    value *= np.exp2(-w.minutes[:-1] / 60 / HALF_HOURS)[:, None]
    assert one.window is not None
    value = value[one.window[0] : one.window[1]]
    best = max(
        sum(value[i, j] for j, i in enumerate(times))
        for times in itertools.permutations(range(len(value)), len(targets))
    )
    order = best_order(w, one, targets)
    assert [v.time for v in order] == sorted(v.time for v in order)
    found = sum(
        v.target.weight / v.airmass * 2 ** (-(v.time - EVENING).total_seconds() / 3600 / HALF_HOURS) for v in order
    )
    assert found == pytest.approx(best)
    assert all(v.begins <= v.time < v.ends for v in order)
    assert best_order(w, one, [Target("never", "galaxy", 0.0, 89.0, 1.0)]) == []


def test_targets_lie_in_the_spell_that_is_shown() -> None:
    """Every visit lies within its site's window, by astropy's altitudes too, though an earlier hour would be worth more."""
    # From the middle of its night: the rest of that, and the begin of the next.
    begins = datetime(2026, 11, 29, 12, tzinfo=UTC)
    sites = [named(shipped_sites(), "ATLAS Haleakala"), named(shipped_sites(), "ZTF")]
    w = windows(uniform(2), sites, begins)
    rng = np.random.default_rng(5)
    targets = [
        Target(f"t{i}", "galaxy", ra, dec, weight)
        for i, (ra, dec, weight) in enumerate(
            zip(rng.uniform(0, 360, 40), rng.uniform(-30, 60, 40), rng.uniform(0.01, 1, 40), strict=True)
        )
    ]
    for one in w.sites:
        assert one.window is not None
        assert len(one.spells) > 1, "with one spell there is nothing to choose"
        first, last = (w.time(i) for i in one.window)
        order = best_order(w, one, targets)
        assert order
        assert all(first <= visit.time < last for visit in order)
        place = EarthLocation(one.site.longitude_deg, one.site.latitude_deg, one.site.altitude_m)
        there = SkyCoord([v.target.ra for v in order], [v.target.dec for v in order], unit="deg")
        frame = AltAz(obstime=Time([v.time for v in order]), location=place)
        assert (there.transform_to(frame).alt.deg >= one.lowest - 0.01).all()


def test_first_targets_are_the_likeliest() -> None:
    """Of what a site can observe in its window, the three with the most weight are named, whenever their hours come."""
    site = named(shipped_sites(), "DECam")
    w = windows(uniform(0), [site], EVENING)
    targets = [Target(str(i), "galaxy", 100.0 - 5 * i, -30.0, 1.0 / (i + 1)) for i in range(18)]
    order = best_order(w, w.sites[0], targets)
    named_first = short(w, {site.name: order})[0]["first_targets"]
    assert named_first == [v.target.name for v in sorted(order, key=lambda v: int(v.target.name))[:3]]
    assert named_first != [v.target.name for v in order[:3]], "the order goes by time"
    assert first_targets(document(w, {site.name: order})["sites"][0]["order"]) == named_first
    assert first_targets([]) == []


@pytest.mark.skipif(not PLANS.exists(), reason=f"no observing plans: {PLANS} is not there")
@pytest.mark.parametrize(("date", "visits"), [("2023-09-22", 146), ("2023-09-23", 344), ("2023-10-03", 329)])
def test_a_survey_s_own_plan_lies_in_the_windows(date: str, visits: int) -> None:
    """Every visit of DECam's plans on S230922g lies in the window of its night, for more than two hours; none breaks a limit."""
    plan = np.genfromtxt(
        PLANS / f"S230922g-{date}-obsplan.csv", delimiter=",", names=True, dtype=None, encoding="utf-8"
    )
    assert plan.size == visits
    m = decode_skymap((PLANS / "S230922g_4_Bilby.multiorder.fits").read_bytes())
    site = named(shipped_sites(), "DECam")
    noon = datetime.fromisoformat(date).replace(tzinfo=UTC) + timedelta(hours=12 - site.longitude_deg / 15)
    w = windows(m, [site], noon)
    one = w.sites[0]
    assert one.window is not None
    first, last = one.window
    inside, _ = observable(w, one, plan["ra"], plan["dec"])
    hours = inside[first : last + 1].sum(axis=0) * 5 / 60
    outside = [f"{v['Object']} {v['ra']:.3f} {v['dec']:+.3f}" for v in plan[hours <= 2]]
    assert outside == []


def test_tables_and_picture_say_the_same_each_time() -> None:
    """JSON without NaN, ECSV that astropy reads, a PNG; the same arguments give the same bytes; absent is null."""
    from astropy.table import Table

    m = uniform()
    sites = (*shipped_sites()[:3], Site("Svalbard", 78.2, 15.6))
    start = datetime(2026, 6, 21, tzinfo=UTC)
    one, two = (windows(m, sites, start) for _ in range(2))
    whole = json.dumps(document(one, {}), allow_nan=False)
    assert whole == json.dumps(document(two, {}), allow_nan=False)
    assert draw_windows(one, "x") == draw_windows(two, "x")
    assert draw_windows(one, "x").startswith(b"\x89PNG")
    table = Table.read(ecsv(site_table(one)).decode(), format="ascii.ecsv")
    same = parse_single_table(BytesIO(votable(site_table(one)))).to_table()
    assert same.colnames == table.colnames
    assert [str(site) for site in same["site"]] == list(table["site"])
    assert same["begins"].mask.tolist()[:3] == [False, False, False]
    units = [str(table[name].unit).replace("mag(AB)", "mag") for name in table.colnames]
    assert [str(same[name].unit) for name in same.colnames] == units
    assert list(table["site"]) == [site.name for site in sites]
    assert table["dark"].tolist() == [True, True, True, False]
    assert table["begins"].mask.tolist() == [False, False, False, True]
    assert [row["site"] for row in short(one, {})].count("Svalbard") == 0
    assert document(one, {})["sites"][3]["begins"] is None


def test_shipped_sites_are_places_with_sources() -> None:
    """The telescopes that follow up most are listed, each with the source of its figures."""
    names = " ".join(site.name for site in shipped_sites())
    for wanted in (
        *("Rubin", "DECam", "ZTF", "Pan-STARRS", "ATLAS", "GOTO", "BlackGEM", "LCO"),
        *("Gemini", "VLT", "SALT", "Keck", "HCT"),
    ):
        assert wanted in names
    assert all(site.source and site.field_deg2 for site in shipped_sites())
    assert all(0 < site.altitude_m < 6000 for site in shipped_sites())
    assert named(shipped_sites(), "SALT").altitudes(Limits()) == (47.0, 59.0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not JSON"),
        ("{}", "a JSON list"),
        ("[]", "empty"),
        ('[{"name": "a", "latitude_deg": 0}]', "longitude_deg"),
        ('[{"name": "a", "latitude_deg": 0, "longitude_deg": 0, "fov": 1}]', "fov"),
        ('[{"name": "a", "latitude_deg": "x", "longitude_deg": 0}]', "latitude_deg"),
        ('[{"name": "a", "latitude_deg": null, "longitude_deg": 0}]', "latitude_deg"),
        ('[{"name": "a", "latitude_deg": NaN, "longitude_deg": 0}]', "latitude_deg"),
        ('[{"name": "a", "latitude_deg": 91, "longitude_deg": 0}]', "no place"),
        (
            '[{"name": "a", "latitude_deg": 1, "longitude_deg": 0}, {"name": "a", "latitude_deg": 1, "longitude_deg": 0}]',
            "two",
        ),
        (
            '[{"name": "a", "latitude_deg": 1, "longitude_deg": 0, "altitude_min_deg": 60, "altitude_max_deg": 50}]',
            "altitude",
        ),
        ('[{"name": "", "latitude_deg": 1, "longitude_deg": 0}]', "name"),
        ('[{"name": "a", "latitude_deg": 1}]', "site a lacks longitude_deg$"),
        ('[{"name": "a", "latitude_deg": 1, "longitude_deg": 0, "lat": 2}]', "site a has lat, which no site has"),
    ],
)
def test_a_wrong_list_of_sites_says_what_is_wrong(text: str, words: str) -> None:
    """One clear error, which names the place of the mistake."""
    with pytest.raises(SiteError, match=words):
        sites_from_json(text)


@pytest.mark.parametrize("limits", [{"airmass_max": 1.0}, {"moon_min_deg": 180.0}, {"sun_max_deg": 1.0}])
def test_limits_that_no_sky_meets_are_refused(limits: dict[str, float]) -> None:
    """An airmass of one, the Moon opposite, darkness by day."""
    with pytest.raises(SiteError):
        Limits(**limits)


def test_a_site_is_found_by_its_name() -> None:
    """Case does not matter, a beginning is enough where it is the only one; else the names are said."""
    assert named(shipped_sites(), "decam").name == "DECam"
    with pytest.raises(SiteError, match="several"):
        named(shipped_sites(), "ATLAS")
    with pytest.raises(SiteError, match="no site"):
        named(shipped_sites(), "Hubble")
