"""Credible regions as outlines: closed curves on the sphere, and the GeoJSON file that the GWTM site reads.

An outline is smooth where the map allows it. The density is interpolated over the row centres (`outline_mesh.py`), and
its level is set so that the map's own probability inside equals the credible level. Where a smooth outline is too
large, as around fringes that are two rows wide, it follows the rows more closely, and at last exactly
(`pixel_outlines.py`): the first that keeps the tolerances is taken. What it encloses is counted in the end
(`outline_check.py`) and is part of the result.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mma_pipeline.science.healpix import SKY_DEG2
from mma_pipeline.science.regions.outline_check import enclosed_probability
from mma_pipeline.science.regions.outline_mesh import Mesh, border_density, outlines_at, surface, triangulate
from mma_pipeline.science.regions.outlines import Outline, closed_lines, densify, enclosed_area, simplify
from mma_pipeline.science.regions.pixel_outlines import exact_outlines
from mma_pipeline.science.skymaps.credible import credible_areas
from mma_pipeline.science.skymaps.model import SkyMap

#: An outline's area may differ from that of the smallest region by this fraction …
AREA_TOLERANCE = 0.03
#: … and its probability from the level by this one. Outlines are chosen to keep a little less.
PROBABILITY_TOLERANCE = 0.005
_MARGIN = 0.85
#: How closely outlines follow the rows, in the order in which they are tried.
_SHARPNESS = (0.0, 0.4, 0.7)
#: Where a smooth outline's area is off by more than this, one that follows the rows a little better is not tried.
_HOPELESS = 0.08
#: An outline may leave its exact course by this fraction of the square root of the region's area, but …
_TOLERANCE = 0.0008
#: … never by more than this, degrees, nor by this part of the side of its smallest row.
_TOLERANCE_MAX_DEG, _TOLERANCE_PIXELS = 0.1, 0.2
#: A region of more points than the first is thinned further as far as the tolerances allow; of more than the second,
#: until there are fewer. The file has 20 bytes for each.
_MANY_POINTS, MOST_POINTS = 12_000, 30_000


@dataclass(frozen=True, eq=False)
class CredibleRegion:
    """A region of the sky that holds a given probability."""

    level: float
    """Probability that the region should hold, 0 to 1."""
    outlines: tuple[Outline, ...]
    """Closed curves as unit vectors (K, 3), first point not repeated; the region lies to their left seen from outside."""
    area: float
    """Area inside the outlines, deg²."""
    probability: float
    """Probability of the map inside the outlines."""
    smallest_area: float
    """Area of the smallest region of this level, deg²."""
    pixel: float
    """Side of the smallest row in the region, deg."""

    @property
    def is_sound(self) -> bool:
        """Whether area and probability are within the tolerances."""
        return self._within(1.0)

    def _within(self, part: float) -> bool:
        return (
            abs(self.probability / self.level - 1) <= part * PROBABILITY_TOLERANCE
            and abs(self.area / self.smallest_area - 1) <= part * AREA_TOLERANCE
        )


def credible_regions(skymap: SkyMap, levels: Sequence[float] = (0.5, 0.9)) -> list[CredibleRegion]:
    """Outlined regions that hold each level (0 to 1, exclusive) of the probability.

    The enclosed probability is within 0.5 % of the level and the area within 3 % of that of the smallest such region,
    or `is_sound` says that they are not.
    """
    # Through a row that holds the level no interpolation leads.
    mesh = None if float(skymap.prob.max()) >= min(levels) else triangulate(skymap, levels)
    areas = credible_areas(skymap, tuple(levels))
    return [_region(skymap, mesh, level, area) for level, area in zip(levels, areas, strict=True)]


def _region(skymap: SkyMap, mesh: Mesh | None, level: float, smallest: float) -> CredibleRegion:
    inside = skymap.probdensity >= border_density(skymap, level)
    pixel = 58.6 / 2.0 ** float(skymap.order[inside].max())
    tolerance = np.radians(min(_TOLERANCE * smallest**0.5, _TOLERANCE_MAX_DEG, _TOLERANCE_PIXELS * pixel))
    best: CredibleRegion | None = None
    for curves in _candidates(skymap, mesh, level, smallest):
        region = _measured(skymap, curves, level, smallest, pixel, tolerance)
        if best is None or _error(region) < _error(best):
            best, exact = region, curves
        if region._within(_MARGIN):
            break
    assert best is not None
    return _thinned(skymap, exact, best, tolerance)


def _candidates(skymap: SkyMap, mesh: Mesh | None, level: float, smallest: float) -> Iterator[list[Outline]]:
    """Outlines from smooth to exact; those whose area alone rules them out are left out."""
    if mesh is not None:
        ground = surface(skymap, mesh, border_density(skymap, level))
        for sharpness in _SHARPNESS:
            curves = outlines_at(ground, level, sharpness)
            excess = abs(_area(curves, smallest) / smallest - 1)
            if excess > _HOPELESS:
                break
            if excess < AREA_TOLERANCE:
                yield curves
    yield exact_outlines(skymap, level)


def _measured(
    skymap: SkyMap, curves: list[Outline], level: float, smallest: float, pixel: float, tolerance: float
) -> CredibleRegion:
    """The region inside simplified curves, with what it encloses."""
    outlines = tuple(simplify(curves, tolerance))
    if not outlines:
        return CredibleRegion(level, (), 0.0, 0.0, smallest, pixel)
    area = _area(outlines, smallest)
    probability = enclosed_probability(skymap, _lines(outlines, pixel), area)
    return CredibleRegion(level, outlines, area, probability, smallest, pixel)


def _area(outlines: Sequence[Outline], expected: float) -> float:
    """Area (deg²) to the left of outlines, near the expected one: an outline has two sides."""
    area = sum(enclosed_area(outline) for outline in outlines)
    return area + SKY_DEG2 * round((expected - area) / SKY_DEG2)


def _error(region: CredibleRegion) -> float:
    """The larger of both deviations in units of their tolerances."""
    return max(
        abs(region.probability / region.level - 1) / PROBABILITY_TOLERANCE,
        abs(region.area / region.smallest_area - 1) / AREA_TOLERANCE,
    )


def _thinned(skymap: SkyMap, curves: list[Outline], region: CredibleRegion, tolerance: float) -> CredibleRegion:
    """The region with fewer points, where it has many."""
    while _points(region) > _MANY_POINTS:
        tolerance *= 1.6
        coarser = _measured(skymap, curves, region.level, region.smallest_area, region.pixel, tolerance)
        if _points(region) <= MOST_POINTS and (_error(coarser) > 1.0 or not coarser.outlines):
            break
        region = coarser
    return region


def _points(region: CredibleRegion) -> int:
    return sum(len(outline) for outline in region.outlines)


def _lines(outlines: Sequence[Outline], pixel: float) -> list[list[list[float]]]:
    """Lines with enough decimals for rows of this side (deg)."""
    decimals = int(np.clip(np.ceil(2.5 - np.log10(pixel)), 4, 13))
    return closed_lines(densify(outlines), decimals)


def regions_geojson(regions: Sequence[CredibleRegion]) -> bytes:
    """GeoJSON (RFC 7946) as the GWTM site reads it: one feature per region, the level in per cent as `credible_level`.

    Geometry is MultiLineString, degrees, RA from 0 to below 360. Each line is a whole outline and ends where it
    begins, also across RA 0, where RA jumps: the site draws every line as a polygon on the sphere, and would close a
    part of one with a chord. Steps are short enough that it does not matter whether a reader joins points by great
    circles or by straight lines in RA and Dec. `area` is in deg². The same regions give the same bytes.
    """
    features = []
    for region in regions:
        properties = {
            "credible_level": _number(100 * region.level),
            "area": float(f"{region.area:.8g}"),
            "probability": round(region.probability, 5),
            "within_tolerance": region.is_sound,
        }
        geometry = {"type": "MultiLineString", "coordinates": _lines(region.outlines, region.pixel)}
        features.append({"type": "Feature", "properties": properties, "geometry": geometry})
    document = {"type": "FeatureCollection", "features": features}
    return json.dumps(document, separators=(",", ":"), sort_keys=True).encode()


def _number(value: float) -> int | float:
    """50 rather than 50.0: the site compares with whole numbers."""
    return round(value) if abs(value - round(value)) < 1e-9 else value
