"""Versions compared: regions by the closed form of two caps, distances by their moments, real pairs by mocpy."""

import base64
import json

import numpy as np
import pytest
from mocpy import MOC

from mma_pipeline.science.galaxies.ranking import GalaxyList
from mma_pipeline.science.skymaps.comparison import compare_galaxies, compare_maps, compare_shares
from mma_pipeline.science.skymaps.model import SkyMap, decode_skymap

from .maps import MISSING, SHARED, gaussian_map, table_bytes

DEG2_PER_SR = (180 / np.pi) ** 2


def _map(ra: float, dec: float, sigma: float, distance: tuple[float, float] | None = None) -> SkyMap:
    uniq, density = gaussian_map(ra, dec, sigma, order=9)
    columns = {"UNIQ": uniq, "PROBDENSITY": density}
    if distance is not None:
        mean, width = (np.full(len(uniq), value) for value in distance)
        columns |= {"DISTMU": mean, "DISTSIGMA": width, "DISTNORM": 1 / (mean**2 + width**2)}
    return decode_skymap(table_bytes(columns, ORDERING="NUNIQ"))


def _radius(sigma: float) -> float:
    """Radius (rad) of the 90 % region of a Fisher distribution of width sigma (deg): 1 - cos θ = ln(10)/κ."""
    return float(np.arccos(1 - np.log(10) * np.radians(sigma) ** 2))


def _shared_by_caps(r1: float, r2: float, apart: float) -> float:
    """Solid angle (sr) that two caps share (angles in rad, neither inside the other, overlapping).

    Girard's theorem on the lens of two arcs; for hemispheres it is the lune 2 (π - apart).
    """
    c1, s1, c2, s2, c, s = np.cos(r1), np.sin(r1), np.cos(r2), np.sin(r2), np.cos(apart), np.sin(apart)
    corners = np.arccos((c - c1 * c2) / (s1 * s2))
    return float(
        2 * np.pi
        - 2 * corners
        - 2 * c1 * np.arccos((c2 - c * c1) / (s * s1))
        - 2 * c2 * np.arccos((c1 - c * c2) / (s * s2))
    )


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((150.0, 20.0, 3.0), (155.0, 20.0, 3.0)),
        ((150.0, 20.0, 4.0), (150.0, 28.0, 2.0)),
        ((359.0, -5.0, 3.0), (3.0, -5.0, 3.0)),
        ((0.0, 87.0, 3.0), (180.0, 88.0, 3.0)),
    ],
)
def test_shifted_regions(first: tuple[float, float, float], second: tuple[float, float, float]) -> None:
    """The overlap of two shifted Gaussians' 90 % regions is that of two caps, also across RA 0 and over a pole."""
    found = compare_maps(_map(*first), _map(*second))
    lon, lat = np.radians([first[0], second[0]]), np.radians([first[1], second[1]])
    apart = float(
        np.arccos(np.sin(lat[0]) * np.sin(lat[1]) + np.cos(lat[0]) * np.cos(lat[1]) * np.cos(lon[0] - lon[1]))
    )
    radii = _radius(first[2]), _radius(second[2])
    shared = _shared_by_caps(*radii, apart) * DEG2_PER_SR
    areas = [2 * np.pi * (1 - np.cos(radius)) * DEG2_PER_SR for radius in radii]
    assert found.overlap_90 == pytest.approx(shared, rel=0.02)
    assert found.area_90 == pytest.approx(areas, rel=0.01)
    assert found.overlap_90_earlier == pytest.approx(shared / areas[0], rel=0.02)
    assert found.overlap_90_later == pytest.approx(shared / areas[1], rel=0.02)
    assert found.peak_shift == pytest.approx(np.degrees(apart), abs=0.25)  # two pixels of order 9


def test_the_same_map_again() -> None:
    """A second notice with the identical map has the whole region in common, and what the level says inside it."""
    skymap = _map(10.0, 5.0, 2.0, (100.0, 20.0))
    found = compare_maps(skymap, skymap)
    assert found.overlap_90_earlier == found.overlap_90_later == 1.0
    assert found.peak_shift == 0.0
    assert found.distance_shift == 0.0
    assert found.probability_in_earlier_90 == pytest.approx(0.9, abs=2e-3)


def test_regions_apart() -> None:
    """Regions on opposite sides of the sky share nothing, and the peaks are half a circle apart."""
    found = compare_maps(_map(10.0, 5.0, 2.0), _map(190.0, -5.0, 2.0))
    assert (found.overlap_90, found.overlap_90_earlier, found.overlap_90_later) == (0.0, 0.0, 0.0)
    assert found.probability_in_earlier_90 == pytest.approx(0.0, abs=1e-6)
    assert found.peak_shift == pytest.approx(180.0, abs=0.3)


def test_probability_inside_the_earlier_region() -> None:
    """A map inside the earlier region has its closed-form share there: 1 - exp(-κ(1 - cos r)) for a concentric cap."""
    found = compare_maps(_map(40.0, 0.0, 2.0), _map(40.0, 0.0, 3.0))
    share = 1 - np.exp(-(np.radians(3.0) ** -2) * (1 - np.cos(_radius(2.0))))
    assert found.probability_in_earlier_90 == pytest.approx(share, rel=0.01)


def test_distances() -> None:
    """Means are those of r² N(r; μ, σ): (μ³ + 3μσ²)/(μ² + σ²); a map without layers has none, nor a shift."""
    near, far, flat = (_map(40.0, 0.0, 3.0, d) for d in ((100.0, 10.0), (200.0, 20.0), None))
    mean = (100.0**3 + 3 * 100.0 * 10.0**2) / (100.0**2 + 10.0**2)
    found = compare_maps(near, far)
    assert found.distance[0] is not None
    assert found.distance[0][0] == pytest.approx(mean, rel=1e-6)
    assert found.distance_shift == pytest.approx(mean, rel=1e-6)  # everything is twice as far
    assert compare_maps(near, flat).distance_shift is None
    assert compare_maps(flat, near).distance == (None, found.distance[0])


def test_shares() -> None:
    """Classes with another probability are told with both; equal ones are not; an absent one is None, not zero."""
    found = compare_shares({"BNS": 0.9, "NSBH": 0.1, "BBH": 0.0}, {"BNS": 0.5, "NSBH": 0.1, "HasSSM": 0.5})
    assert found == {"BNS": (0.9, 0.5), "BBH": (0.0, None), "HasSSM": (None, 0.5)}


def _galaxies(*names: str) -> GalaxyList:
    n = len(names)
    absent = np.full(n, np.nan)
    ra = np.array([float(sum(map(ord, name)) % 360) for name in names])
    return GalaxyList(
        rank=np.arange(1, n + 1), name=names, ra=ra, dec=np.zeros(n), distance=absent,
        score=np.linspace(0.5, 0.1, n), position=absent, distance_density=absent, weight=absent,
        detectability=absent, level_2d=absent, level_3d=absent, weight_kind=None, considered=n, without_weight=0,
    )  # fmt: skip


def test_galaxies_that_came_and_went() -> None:
    """Lists are compared by galaxy, not by place: who is new, who is gone, with rank and score where they stand."""
    found = compare_galaxies(_galaxies("A", "B", "C"), _galaxies("D", "A", "B"), 3)
    assert [(g.name, g.rank) for g in found.came] == [("D", 1)]
    assert [(g.name, g.rank) for g in found.went] == [("C", 3)]
    assert found.stayed == 2
    assert found.score_kept == pytest.approx(0.3 + 0.1)
    shorter = compare_galaxies(_galaxies("A", "B", "C"), _galaxies("D", "A", "B"), 1)
    assert [g.name for g in shorter.came + shorter.went] == ["D", "A"]
    empty = compare_galaxies(_galaxies(), _galaxies("A"), 5)
    assert ([g.name for g in empty.came], empty.went, empty.stayed, empty.score_kept) == (["A"], (), 0, 0.0)


def test_namesakes_are_told_apart() -> None:
    """Galaxies without a name, or of one name, are told apart by where they lie."""
    first, second = _galaxies("", "X"), _galaxies("", "X")
    moved = GalaxyList(**{**{k: getattr(second, k) for k in GalaxyList.__dataclass_fields__}, "ra": second.ra + 1})
    found = compare_galaxies(first, moved, 10)
    assert (len(found.came), len(found.went), found.stayed) == (2, 2, 0)


PAIR = [
    SHARED / "data" / "gw_alerts" / f"S230518h-{name}.json"
    for name in ("PRELIMINARY-2023-05-18T133818Z", "UPDATE-2023-05-18T165232Z")
]


@pytest.mark.skipif(not PAIR[0].exists(), reason=MISSING)
def test_a_real_update() -> None:
    """S230518h from Preliminary to Update: areas as published, and the overlap that mocpy finds in its own way."""
    maps = [decode_skymap(base64.b64decode(json.loads(path.read_text())["event"]["skymap"])) for path in PAIR]
    found = compare_maps(*maps)
    assert found.area_90 == pytest.approx((1002.05, 665.97), rel=1e-3)
    assert found.area_50 == pytest.approx((265.81, 179.68), rel=1e-3)
    old, new = (
        MOC.from_valued_healpix_cells(m.uniq.astype(np.uint64), m.prob, int(m.order.max()), cumul_from=0, cumul_to=0.9)
        for m in maps
    )
    sky = 4 * np.pi * DEG2_PER_SR
    shared = old.intersection(new).sky_fraction * sky
    assert found.overlap_90 == pytest.approx(shared, rel=5e-3)
    assert found.overlap_90_later == pytest.approx(shared / (new.sky_fraction * sky), rel=5e-3)
    assert 0.5 < found.probability_in_earlier_90 <= 1
