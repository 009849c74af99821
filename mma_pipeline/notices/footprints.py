"""The footprint of an instrument: what one pointing of it sees of the sky, as sources write it.

Corners are degrees about a pointing at RA 0, Dec 0: the first grows to the east, the second to the north. Edges are great
circles. A footprint is turned about its pointing and carried to its place by rotation, so its area is the same anywhere.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.fields import finite

Corners = tuple[tuple[float, float], ...]
#: Farther from the pointing, degrees, no corner of a polygon may lie: its edges are drawn in the tangent plane.
MOST_CORNER_DEG = 75.0
#: Polygons that a footprint may have: the largest camera, Rubin's, has 189 CCDs.
MOST_POLYGONS = 2000
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_RING = re.compile(r"\(\s*((?:" + _NUMBER + r"\s+" + _NUMBER + r"\s*,?\s*)+)\)")
_DS9 = re.compile(r"^\s*(?:[a-z0-9]+\s*;\s*)?polygon\s*\(([^)]*)\)", re.IGNORECASE | re.MULTILINE)
_SHORT = re.compile(rf"\s*(circle|box|rectangle)\s+({_NUMBER})(?:\s+({_NUMBER}))?\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Footprint:
    """Polygons, such as one for each CCD, or a circle."""

    polygons: tuple[Corners, ...] = ()
    """Corners (east, north) in degrees; the last is not the first again."""
    radius: float | None = None
    """Radius of the circle in degrees; None for polygons."""

    @cached_property
    def text(self) -> str:
        """The same as JSON, as it is kept; equal footprints have equal texts."""
        if self.radius is not None:
            return json.dumps({"radius": self.radius})
        return json.dumps({"polygons": self.polygons}, separators=(",", ":"))

    @cached_property
    def sha256(self) -> str:
        """Digest of the text, by which it is kept."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def footprint_of_json(value: Any) -> Footprint:
    """A footprint as it was kept: the JSON of `Footprint.text`, parsed. Raises NoticeError."""
    if not isinstance(value, dict):
        raise NoticeError("a footprint is an object with radius or polygons")
    if value.get("radius") is not None:
        return circle(finite(value["radius"], "radius"))
    rings = value.get("polygons")
    if not isinstance(rings, list):
        raise NoticeError("a footprint is an object with radius or polygons")
    return of_polygons([(float(x), float(y)) for x, y in ring] for ring in rings)


def circle(radius: float) -> Footprint:
    """A circle of a radius in degrees; raises NoticeError where that is none."""
    if not 0 < radius <= 180:
        raise NoticeError(f"a circle's radius is above 0 and at most 180°, not {radius:g}")
    return Footprint(radius=radius)


def box(width: float, height: float) -> Footprint:
    """A rectangle of a width (east to west) and a height in degrees; raises NoticeError where that is none."""
    if not (width > 0 and height > 0):
        raise NoticeError(f"a rectangle has a width and a height above 0°, not {width:g} and {height:g}")
    x, y = width / 2, height / 2
    return of_polygons([[(-x, -y), (x, -y), (x, y), (-x, y)]])


def of_polygons(rings: Iterable[Iterable[tuple[float, float]]]) -> Footprint:
    """A footprint of polygons (corners in degrees; 359.5 is -0.5); raises NoticeError where one is none."""
    found: list[Corners] = []
    for ring in rings:
        corners = [(x - 360.0 if x > 180.0 else x, y) for x, y in ring]
        if len(corners) > 1 and corners[0] == corners[-1]:
            corners.pop()
        if len(set(corners)) < 3:
            raise NoticeError("a polygon of a footprint has fewer than three corners")
        if any(abs(x) > MOST_CORNER_DEG or abs(y) > MOST_CORNER_DEG for x, y in corners):
            raise NoticeError(f"a corner of a footprint lies more than {MOST_CORNER_DEG:g}° from its pointing")
        found.append(tuple(corners))
    if not 0 < len(found) <= MOST_POLYGONS:
        raise NoticeError(f"a footprint has 1 to {MOST_POLYGONS} polygons, not {len(found)}")
    return Footprint(tuple(found))


def parse_footprint(text: str) -> Footprint:
    """A footprint from text.

    `circle RADIUS` and `box WIDTH HEIGHT` in degrees; WKT (`POLYGON ((x y, …))`, `MULTIPOLYGON`, several of them), as the
    Treasure Map writes it; the polygons of a DS9 region file, in degrees about 0 0. Holes do not count.
    Raises NoticeError for anything else.
    """
    short = _SHORT.fullmatch(text)
    if short is not None:
        kind, first, second = short[1].lower(), float(short[2]), short[3]
        if (kind == "circle") != (second is None):
            raise NoticeError(f"a {kind} has {'one size' if kind == 'circle' else 'two sizes'}: {text.strip()[:60]!r}")
        return circle(first) if second is None else box(first, float(second))
    if "POLYGON" in text[:4000].upper() and "((" in text.replace(" ", "")[:4000]:
        return of_polygons(_corners(ring) for ring in _RING.findall(text))
    regions = [re.split(r"[\s,]+", ring.strip()) for ring in _DS9.findall(text)]
    if regions:
        try:
            numbers = [[float(word) for word in words] for words in regions]
        except ValueError as error:
            raise NoticeError("a polygon of the region file is not in degrees") from error
        if any(len(ring) % 2 for ring in numbers):
            raise NoticeError("a polygon of the region file has an odd number of coordinates")
        return of_polygons(zip(ring[::2], ring[1::2], strict=True) for ring in numbers)
    raise NoticeError(
        f"{text.strip()[:60]!r} is no footprint: circle RADIUS, box WIDTH HEIGHT (degrees), WKT polygons, or a DS9 file"
    )


def _corners(ring: str) -> list[tuple[float, float]]:
    pairs = (corner.split() for corner in ring.strip().strip(",").split(","))
    return [(float(x), float(y)) for x, y in pairs]
