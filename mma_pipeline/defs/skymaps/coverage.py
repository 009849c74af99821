"""Coverage of the 50 and 90 % regions as IVOA MOC, FITS and JSON.

Multi-Order Coverage maps (IVOA Recommendation MOC 2.0) open in Aladin, TOPCAT and mocpy. They hold the map's own pixels:
the densest ones whose probability reaches the level.
"""

from __future__ import annotations

from mma_pipeline.products.declaration import ROUNDING, CheckSpec, Product, ProductFiles, of_the_map, own_file
from mma_pipeline.products.inputs import ProductInput

LEVELS = (50, 90)


def _make(source: ProductInput) -> ProductFiles:
    from mma_pipeline.science.regions.coverage import credible_coverage, moc_fits, moc_json

    files: dict[str, bytes] = {}
    statistics: dict[str, float | int] = {}
    for level in LEVELS:
        found = credible_coverage(source.skymap, level / 100)
        files[f"coverage_{level}_fits"] = moc_fits(found)
        files[f"coverage_{level}_json"] = moc_json(found)
        statistics[f"moc_area_{level}_deg2"] = found.area_deg2
        statistics[f"moc_probability_{level}"] = found.probability
        statistics[f"moc_cells_{level}"] = len(found.ipix)
    return ProductFiles(files, statistics)


coverage = Product(
    name="coverage",
    about=__doc__ or "",
    code_version="2",
    kinds=frozenset({"moc", "fits"}),
    deps=("skymap",),
    files=tuple(
        own_file(f"coverage_{level}_{form}", f"coverage-{level}.moc.{form}", kind)
        for level in LEVELS
        for form, kind in (("fits", "application/fits"), ("json", "application/json"))
    ),
    inputs=of_the_map,
    make=_make,
    checks=(
        CheckSpec(
            "regions_hold_their_level",
            "The cells of each region hold at least its credible level.",
            lambda statistics: all(
                statistics[f"moc_probability_{level}"] >= level / 100 - ROUNDING for level in LEVELS
            ),
            shows=("moc_probability_50", "moc_probability_90"),
        ),
    ),
)
