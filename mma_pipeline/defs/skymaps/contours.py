"""Outlines of the 50 and 90 % regions as GeoJSON, the file that the Treasure Map (GWTM) draws.

A FeatureCollection of two features with `credible_level` 50 and 90, each a MultiLineString of closed lines in degrees. A
region encloses its credible level of the probability within 0.5 %, and its area is within 3 % of the smallest such
region's; where that fails, `within_tolerance` of the feature is false and the check fails.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mma_pipeline.products.declaration import CheckSpec, Product, ProductFiles, of_the_map, treasure_map_file
from mma_pipeline.products.inputs import ProductInput

LEVELS = (50, 90)


def _make(source: ProductInput) -> ProductFiles:
    from mma_pipeline.science.regions.contours import credible_regions, regions_geojson

    regions = credible_regions(source.skymap, [level / 100 for level in LEVELS])
    body = regions_geojson(regions)
    statistics: dict[str, Any] = {"contour_bytes": len(body)}
    for level, region in zip(LEVELS, regions, strict=True):
        statistics[f"contour_area_{level}_deg2"] = region.area
        statistics[f"contour_smallest_area_{level}_deg2"] = region.smallest_area
        statistics[f"contour_probability_{level}"] = region.probability
        statistics[f"contour_within_tolerance_{level}"] = region.is_sound
        statistics[f"outlines_{level}"] = len(region.outlines)
    return ProductFiles({"contours": body}, statistics)


def _are_sound(statistics: Mapping[str, Any]) -> bool:
    return all(statistics[f"contour_within_tolerance_{level}"] for level in LEVELS)


contours = Product(
    name="contours",
    about=__doc__ or "",
    code_version="2",
    priority=10,
    kinds=frozenset({"geojson"}),
    deps=("skymap",),
    files=(treasure_map_file("contours", "-contours-smooth.json", "application/geo+json"),),
    inputs=of_the_map,
    make=_make,
    checks=(
        CheckSpec(
            "outlines_are_sound",
            "Each outline, as written, holds its level of the probability within 0.5 % and is within 3 % of the smallest area.",
            _are_sound,
            shows=tuple(
                f"contour_{what}"
                for level in LEVELS
                for what in (f"area_{level}_deg2", f"smallest_area_{level}_deg2", f"probability_{level}")
            ),
        ),
    ),
)
