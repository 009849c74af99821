"""Outlines of the 50 and 90 % regions as GeoJSON, the file that the GWTM site draws.

A FeatureCollection of two features with `credible_level` 50 and 90, each a MultiLineString in degrees, split at right
ascension 0/360. A region encloses its credible level of the probability within 0.5 %.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mma_pipeline.defs.product import CheckSpec, Made, Product, of_the_map, site_file
from mma_pipeline.defs.source import Source

LEVELS = (50, 90)
#: Outline and MOC may differ by this much: the MOC ends at pixel borders, the outline runs through them. A region of a
#: few pixels has a border that is most of it, so the tolerance grows as the map's own resolution gets coarse.
#: Real maps: up to 3.3 % (GW170817 at NSIDE 128), 3.0 % for a narrow arc (MS230425l), under 2 % otherwise.
AREA_TOLERANCE = 0.04


def _make(source: Source) -> Made:
    from mma_pipeline.science.contours import credible_regions, regions_geojson
    from mma_pipeline.science.coverage import credible_coverage

    regions = credible_regions(source.skymap, [level / 100 for level in LEVELS])
    figures: dict[str, Any] = {}
    for level, region in zip(LEVELS, regions, strict=True):
        moc = credible_coverage(source.skymap, level / 100)
        figures[f"contour_area_{level}_deg2"] = region.area
        figures[f"contour_moc_area_{level}_deg2"] = moc.area_deg2
        figures[f"contour_largest_cell_{level}_deg2"] = 41252.96 / 12 / 4.0 ** int(moc.order.min())
        figures[f"outlines_{level}"] = len(region.outlines)
    return Made({"contours": regions_geojson(regions)}, figures)


def _areas_agree(figures: Mapping[str, Any]) -> bool:
    for level in LEVELS:
        moc = figures[f"contour_moc_area_{level}_deg2"]
        allowed = AREA_TOLERANCE * moc + figures[f"contour_largest_cell_{level}_deg2"]
        if abs(figures[f"contour_area_{level}_deg2"] - moc) > allowed:
            return False
    return True


contours = Product(
    name="contours",
    about=__doc__ or "",
    code_version="1",
    kinds=frozenset({"geojson"}),
    deps=("skymap",),
    files=(site_file("contours", "-contours-smooth.json", "application/geo+json"),),
    inputs=of_the_map,
    make=_make,
    checks=(
        CheckSpec(
            "area_agrees_with_moc",
            "Each outline's area is that of the MOC within 4 % and one of its largest cells.",
            _areas_agree,
            shows=(
                "contour_area_50_deg2",
                "contour_moc_area_50_deg2",
                "contour_area_90_deg2",
                "contour_moc_area_90_deg2",
            ),
        ),
    ),
)
