"""Vetting of candidates: neighbours, chance coincidences, stars that move, verdicts and their factors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord, search_around_sky
from astropy.time import Time

from mma_pipeline.adapters.catalogs.index import build_index
from mma_pipeline.adapters.catalogs.positions import RECORDS
from mma_pipeline.notices.photometry.measurement import Candidate, Measurement
from mma_pipeline.notices.surveys import CatalogMatch, PacketFacts, SolarSystemMatch
from mma_pipeline.science.sphere import index29
from mma_pipeline.science.vetting.hosts import chance_coincidence, effective_radius, galaxies_per_arcsec2, hosts_of
from mma_pipeline.science.vetting.matches import stars_at
from mma_pipeline.science.vetting.places import counts_around, neighbours
from mma_pipeline.science.vetting.verdicts import Limits, Vetting
from mma_pipeline.science.vetting.vet import Subject, Tables, vet_many

MGC = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "galaxies" / "50MGC_catalog_short.fits"
#: AT2017gfo (Coulter et al. 2017, Science 358 1556) and GW170817 (Abbott et al. 2017, PRL 119 161101).
AT2017GFO, GW170817_MJD = (197.450374, -23.381495), 57982.528524


def _sorted(ra: Any, dec: Any, **columns: Any) -> dict[str, Any]:
    index = index29(ra, dec)
    order = np.argsort(index, kind="stable")
    given = {"ra": np.asarray(ra, float), "dec": np.asarray(dec, float), **columns}
    return {"index29": index[order]} | {name: np.asarray(values)[order] for name, values in given.items()}


class _Galaxies:
    """A catalog in memory."""

    label = "test galaxies"

    def __init__(self, ra: Any, dec: Any, **columns: Any) -> None:
        number = len(ra)
        nothing = np.full(number, np.nan, dtype=np.float32)
        names = np.array([f"G{k}".encode() for k in range(number)])
        table = _sorted(ra, dec, **{"distance": nothing, "name": names, **columns})
        self.index29, self.ra, self.dec = table["index29"], table["ra"], table["dec"]
        self.distance, self.name, self._table = table["distance"].astype(np.float32), table["name"], table

    def weight(self, kind: str) -> Any:
        return self._table.get(kind)

    def optional(self, name: str) -> Any:
        return self._table.get(name)


def _stars(rows: list[Mapping[str, Any]], kind: str = "stars", epoch: float = 2016.0) -> Any:
    records = np.zeros(len(rows), dtype=RECORDS[kind])  # type: ignore[index]
    for name in records.dtype.names or ():
        records[name] = b"" if records.dtype[name].kind == "S" else np.nan
    for record, row in zip(records, rows, strict=True):
        for name, value in row.items():
            record[name] = value
    index = index29(records["ra"], records["dec"])
    order = np.argsort(index)
    return SimpleNamespace(index29=index[order], rows=records[order], label=f"test {kind}", epoch=epoch)


def _one(subject: Subject, tables: Tables | None = None, limits: Limits | None = None) -> Vetting:
    return vet_many([subject], GW170817_MJD, tables or Tables(), limits or Limits())[0]


def _verdict(found: Vetting, check: str) -> Any:
    return next(v for v in found.verdicts if v.check == check)


@pytest.mark.parametrize("radius_deg", [1.5 / 3600, 30 / 3600, 10 / 60, 2.0])
def test_neighbours_are_astropys(radius_deg: float) -> None:
    """All pairs within a radius are those that astropy finds, at the poles, where RA wraps, and at corners of base pixels."""
    rng = np.random.default_rng(3)
    ra = np.concatenate([rng.uniform(0, 360, 40), [0.0, 359.9999, 12.0, 200.0, 0.0, 45.0, 90.0]])
    dec = np.concatenate(
        [np.degrees(np.arcsin(rng.uniform(-1, 1, 40))), [5.0, -5.0, 89.9999, -89.9999, 0.0, 41.8103, 0.0]]
    )
    apart, angle = radius_deg * np.sqrt(rng.uniform(0, 4, (47, 60))), rng.uniform(0, 360, (47, 60))
    around = SkyCoord(ra, dec, unit="deg")[:, np.newaxis].directional_offset_by(angle * u.deg, apart * u.deg)
    catalog = _sorted(around.ra.deg.ravel(), around.dec.deg.ravel())
    found = neighbours(catalog["index29"], ra, dec, radius_deg)
    asked, there, distance, _ = search_around_sky(
        SkyCoord(ra, dec, unit="deg"), SkyCoord(catalog["ra"], catalog["dec"], unit="deg"), radius_deg * u.deg
    )
    expected = set(zip(asked.tolist(), there.tolist(), strict=True))
    got = set(zip(found.position.tolist(), found.place.tolist(), strict=True))
    # On the circle itself a milliarcsecond may decide.
    edge = np.abs(distance.deg - radius_deg) < 1e-3 / 3600
    sure = expected - {(int(a), int(b)) for a, b in zip(asked[edge], there[edge], strict=True)}
    assert sure <= got
    assert len(expected) > 500
    assert len(got ^ expected) <= int(edge.sum()) + 2


def test_density_around() -> None:
    """The density around a position is that of uniform points, to their Poisson noise."""
    rng = np.random.default_rng(5)
    ra, dec = rng.uniform(0, 360, 400_000), np.degrees(np.arcsin(rng.uniform(-1, 1, 400_000)))
    found = counts_around(_sorted(ra, dec)["index29"], np.array([10.0, 200.0, 0.0]), np.array([0.0, 80.0, 41.8]), 3)
    np.testing.assert_allclose(found, 400_000 / 41252.96, rtol=0.03)


def test_counts_of_galaxies_are_the_papers() -> None:
    """The derivative of the cumulative counts is the paper's differential count, 10^(0.334 (R - 22.963) + 4.320) per mag and deg²."""
    for magnitude in (20.0, 22.963, 25.0):
        step = 1e-4
        upper, lower = galaxies_per_arcsec2([magnitude + step, magnitude - step])
        differential = (upper - lower) / (2 * step) * 3600**2
        assert differential == pytest.approx(10 ** (0.334 * (magnitude - 22.963) + 4.320), rel=1e-6)


def test_chance_is_the_share_of_positions_with_a_galaxy() -> None:
    """Among random galaxies of the counts' density, the share of positions with one inside the radius is P."""
    rng = np.random.default_rng(7)
    side, radius, magnitude = 600.0, 2.0, 24.0
    number = rng.poisson(float(galaxies_per_arcsec2(magnitude)) * side**2)
    galaxies = rng.uniform(0, side, (number, 2))
    asked = rng.uniform(radius, side - radius, (20_000, 2))
    from scipy.spatial import cKDTree

    near = cKDTree(galaxies).query(asked)[0] < radius
    expected = float(chance_coincidence(magnitude, radius))
    assert near.mean() == pytest.approx(expected, abs=5 * np.sqrt(expected / 20_000) + 0.1 * expected)


def test_effective_radius() -> None:
    """2 R_half inside the light of a galaxy, √(R² + 4 R_half²) outside, 3 sigma where the position is bad."""
    assert effective_radius(0.0, 3.0, 0.1) == pytest.approx(6.0)
    assert effective_radius(8.0, 3.0, 0.1) == pytest.approx(10.0)
    assert effective_radius(1.0, 0.5, 4.0) == pytest.approx(12.0)
    assert effective_radius(5.0, np.nan, 0.1) == pytest.approx(5.0)


@pytest.mark.skipif(not MGC.exists(), reason=f"no real catalog: {MGC} is not there")
def test_host_of_at2017gfo(tmp_path: Path) -> None:
    """NGC 4993, 10.3 arcsec and 2 kpc away (Blanchard et al. 2017, ApJL 848 L22), is the host in 50MGC, with its chance probability."""
    catalog = build_index(MGC, tmp_path / "galaxies")
    found = _one(Subject(*AT2017GFO, GW170817_MJD + 1), Tables(galaxies=catalog))
    host = found.host
    assert host is not None
    assert (host.name, found.is_host) == ("NGC4993", True)
    assert host.separation_arcsec == pytest.approx(10.3, abs=0.3)
    assert host.offset_kpc == pytest.approx(2.0, abs=0.1)
    # The catalog's mass gives nearly the magnitude and the size that were measured: r = 12.2, 3.3 kpc or 17 arcsec.
    assert host.magnitude == pytest.approx(12.2, abs=0.4)
    assert host.half_light_arcsec == pytest.approx(17.0, abs=3.0)
    assert (host.magnitude_from, host.half_light_from) == ("mass", "mass")
    assert host.chance == pytest.approx(2e-3, abs=1e-3)
    verdict = _verdict(found, "host")
    assert "NGC4993" in verdict.words
    assert "chance coincidence 0.2" in verdict.words
    assert (verdict.factor, found.factor) == (1.0, 1.0)


def test_hosts_compete_by_chance() -> None:
    """A bright galaxy further away beats a faint one nearby; sizes and magnitudes of the catalog are used where it has them."""
    catalog = _Galaxies(
        [150.0, 150.0], [2.0 + 20 / 3600, 2.0 - 4 / 3600], distance=[40.0, np.nan],
        magnitude=np.array([12.0, 23.0]), half_light=np.array([15.0, 0.5]),
        distance_error=np.array([3.0, np.nan]),
    )  # fmt: skip
    host = hosts_of(np.array([150.0]), np.array([2.0]), np.array([0.3]), catalog)[0]
    assert host is not None
    assert (host.name, host.others) == ("G0", 1)
    assert (host.magnitude_from, host.half_light_from) == ("catalog", "catalog")
    assert (host.distance_mpc, host.distance_error_mpc) == (40.0, 3.0)
    area = np.pi * (20.0**2 + 4 * 15.0**2)
    assert host.chance == pytest.approx(area * float(galaxies_per_arcsec2(12.0)), rel=0.01)


def test_hosts_without_brightness_are_ranked_by_distance() -> None:
    """Where nothing gives a chance probability, the nearest on the sky is named, and it does not count as host."""
    catalog = _Galaxies([150.0, 150.0], [2.0 + 20 / 3600, 2.0 - 4 / 3600], distance=[40.0, 60.0])
    found = _one(Subject(150.0, 2.0, GW170817_MJD + 1), Tables(galaxies=catalog))
    assert found.host is not None
    assert (found.host.name, found.host.chance, found.is_host) == ("G1", None, False)
    assert "host" not in found.as_values()
    assert _verdict(found, "host").outcome == "doubtful"


def test_near_galaxies_reach_far() -> None:
    """A galaxy at 3 Mpc is found 1.2 degrees (63 kpc) from its centre, which a circle of 10 arcmin would not hold."""
    catalog = _Galaxies([10.0], [41.0], distance=[3.0], mass=np.array([1e11]))
    host = hosts_of(np.array([10.0]), np.array([42.2]), np.array([0.3]), catalog)[0]
    assert host is not None
    assert host.offset_kpc == pytest.approx(np.radians(1.2) * 3000, rel=0.01)


def test_a_doubtful_host_gives_no_distance() -> None:
    """A faint galaxy far away is told and does not count; neither does any where the check is off."""
    far = _Galaxies([150.0], [2.0 + 30 / 3600], distance=[800.0], magnitude=np.array([22.0]))
    found = _one(Subject(150.0, 2.0, GW170817_MJD), Tables(galaxies=far))
    assert not found.is_host
    assert found.host is not None
    assert found.host.chance is not None
    assert found.host.chance > 0.5
    near = _Galaxies([150.0], [2.0], distance=[80.0], magnitude=np.array([15.0]))
    tables = Tables(galaxies=near)
    assert _one(Subject(150.0, 2.0, GW170817_MJD), tables).is_host
    assert not _one(Subject(150.0, 2.0, GW170817_MJD), tables, Limits(off=("host",))).is_host


def test_stars_move() -> None:
    """A star is found where it was at the candidate's time, as astropy moves it: 5 arcsec a decade from Gaia's place."""
    seen = Time("2026-01-01T00:00:00")
    star = SkyCoord(
        180.0 * u.deg, 60.0 * u.deg, pm_ra_cosdec=400 * u.mas / u.yr, pm_dec=-300 * u.mas / u.yr,
        distance=100 * u.pc, radial_velocity=0 * u.km / u.s, obstime=Time(2016.0, format="jyear"),
    )  # fmt: skip
    there = star.apply_space_motion(new_obstime=seen)
    motion = {"pmra": 400.0, "pmra_error": 0.1, "pmdec": -300.0, "pmdec_error": 0.1}
    table = _stars([{"ra": 180.0, "dec": 60.0, "name": b"S", "parallax": 10.0, "parallax_error": 0.1, **motion}])
    near = np.array([there.ra.deg]), np.array([there.dec.deg])
    found = stars_at(*near, np.array([seen.mjd]), np.array([1.5]), table)[0]
    assert found is not None
    assert found.separation_arcsec < 0.01
    assert found.motion_significance == pytest.approx(5000, rel=1e-5)
    old = stars_at(np.array([180.0]), np.array([60.0]), np.array([seen.mjd]), np.array([1.5]), table)[0]
    assert old is None, "ten years later it is no longer there"


def test_star_verdicts() -> None:
    """A moving star counts with the probability of a chance match, a still source with a half, an empty place with nothing."""
    star = {"ra": 30.0, "dec": 0.0, "pmra": 50.0, "pmdec": 0.0, "pmra_error": 0.1, "pmdec_error": 0.1, "name": b"mover"}
    still = {"ra": 31.0, "dec": 0.0, "pmra": 0.1, "pmdec": 0.1, "pmra_error": 0.2, "pmdec_error": 0.2, "name": b"still"}
    crowd = [{"ra": 30.0 + 0.01 * k, "dec": 0.02, "name": b"other"} for k in range(-4, 5)]
    tables = Tables(stars=_stars([star, still, *crowd]))
    moving = _one(Subject(30.0, 0.0, 57388.0), tables)
    assert _verdict(moving, "star").outcome == "found"
    assert "proper motion" in _verdict(moving, "star").words
    assert 1e-3 <= moving.factor < 0.01
    assert _one(Subject(31.0, 0.0, 57388.0), tables).factor == 0.5
    empty = _one(Subject(31.0, 0.5, 57388.0), tables)
    assert (_verdict(empty, "star").outcome, empty.factor) == ("nothing", 1.0)
    off = _one(Subject(30.0, 0.0, 57388.0), tables, Limits(off=("star",)))
    assert off.factor == 1.0
    assert _verdict(off, "star").factor < 0.01, "what is switched off is still told"
    assert not _verdict(off, "star").counted


def test_active_nuclei() -> None:
    """A nucleus of the table is a reason with name, type and redshift."""
    table = _stars([{"ra": 5.0, "dec": 5.0, "name": b"Q1", "type": b"QR", "redshift": 1.2}], "agn")
    found = _one(Subject(5.0, 5.0 + 1 / 3600, 60000.0), Tables(agn=table))
    verdict = _verdict(found, "agn")
    assert (verdict.outcome, verdict.factor) == ("found", 0.01)
    assert "Q1" in verdict.words
    assert "redshift 1.200" in verdict.words


def test_what_packets_say() -> None:
    """Star score, minor planet, first detection and catalogs of the packet become reasons; a silent packet none."""
    silent = _one(Subject(5.0, 5.0, 60000.0, facts=PacketFacts()))
    assert silent.factor == 1.0
    facts = PacketFacts(star_score=0.95, star_distance_arcsec=0.3, solar_system=SolarSystemMatch("433 Eros", 1.0))
    found = _one(Subject(5.0, 5.0, 60000.0, facts=facts))
    assert _verdict(found, "star").factor == 0.1
    assert "433 Eros" in _verdict(found, "minor_planet").words
    assert found.factor == pytest.approx(0.1 * 1e-3)
    far = PacketFacts(star_score=0.95, star_distance_arcsec=9.0, solar_system=SolarSystemMatch("433 Eros", 30.0))
    assert _one(Subject(5.0, 5.0, 60000.0, facts=far)).factor == 1.0
    earlier = _one(Subject(5.0, 5.0, 60000.0, facts=PacketFacts(first_mjd=GW170817_MJD - 3)))
    assert "3.0 days before" in _verdict(earlier, "earlier").words
    named = PacketFacts(matches=(CatalogMatch("VSX type", "RRab", None), CatalogMatch("SIMBAD type", "QSO", None)))
    both = _one(Subject(5.0, 5.0, 60000.0, facts=named))
    assert both.factor == pytest.approx(0.1 * 0.01)


def _point(days: float, error: float | None, *, limit: bool = False) -> Measurement:
    return Measurement(Candidate("X", 1.0, 1.0), GW170817_MJD + days, "r", 20.5, error, upper_limit=limit)


def test_variability_before_the_event() -> None:
    """Two detections before the event speak against, one halves, limits are told with the deepest, nothing is unknown."""

    def verdict(*points: Measurement) -> Any:
        return _verdict(_one(Subject(1.0, 1.0, 60000.0, points)), "earlier")

    assert verdict(_point(-3, 0.1), _point(-9, 0.1)).factor == 1e-3
    assert verdict(_point(-3, 0.1), _point(-9, 0.3)).factor == 0.5
    assert verdict(_point(-3, None, limit=True)).outcome == "nothing"
    assert "20.5 mag" in verdict(_point(-3, None, limit=True)).words
    assert verdict(_point(2, 0.1)).outcome == "unknown"
    assert verdict(_point(-400, 0.1), _point(-401, 0.1)).outcome == "unknown"


def test_without_tables_everything_is_unknown() -> None:
    """Nothing imported is no verdict: each check says so, and the factor is one."""
    found = _one(Subject(5.0, 5.0, 60000.0))
    assert [v.outcome for v in found.verdicts] == ["unknown"] * 5
    assert found.factor == 1.0
    assert found.as_values()["factor"] == 1.0
    broken = _one(Subject(5.0, 5.0, 60000.0), Tables(problems={"agn": "the table is cut short"}))
    assert _verdict(broken, "agn").words == "the table is cut short"
