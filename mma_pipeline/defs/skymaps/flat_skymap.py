"""The sky map as a flat HEALPix file, for readers that do not support multi-order maps.

The file that the Treasure Map (GWTM) reads as `{graceid}-{Type}{n}.fits.gz`, made from the version's own map. Layout of GraceDB's
flat maps: PROB and, where the event has a distance, DISTMU, DISTSIGMA (Mpc), DISTNORM (Mpc⁻²), NESTED. NSIDE is that of
the map's finest rows between 128 and 1024, because the site's coverage calculator counts whole pixels; a region that is
too small for that gets up to 2048 (4096 without distance).
"""

from __future__ import annotations

from mma_pipeline.products.declaration import CheckSpec, Product, ProductFiles, of_the_map, treasure_map_file
from mma_pipeline.products.inputs import ProductInput


def _make(source: ProductInput) -> ProductFiles:
    from mma_pipeline.science.skymaps.credible import credible_areas
    from mma_pipeline.science.skymaps.flat import encode_flat, flat_area, flat_order, probability_in_file

    order = flat_order(source.skymap)
    body = encode_flat(source.skymap, order)
    statistics = {
        "flat_nside": 1 << order,
        "flat_bytes": len(body),
        "flat_probability_sum": probability_in_file(body),
        "flat_area_90_deg2": flat_area(source.skymap, order),
        "map_area_90_deg2": credible_areas(source.skymap, (0.9,))[0],
    }
    return ProductFiles({"flat_skymap": body}, statistics)


flat_skymap = Product(
    name="flat_skymap",
    about=__doc__ or "",
    code_version="3",
    priority=-20,  # large, for programs that read nothing else: after all that a telescope needs
    kinds=frozenset({"fits", "gzip"}),
    deps=("skymap",),
    files=(treasure_map_file("flat_skymap", ".fits.gz", "application/gzip"),),
    inputs=of_the_map,
    make=_make,
    checks=(
        CheckSpec(
            "flat_sums_to_one",
            "The file written, read again, sums to one within 1e-6.",
            lambda statistics: abs(statistics["flat_probability_sum"] - 1) < 1e-6,
            shows=("flat_probability_sum",),
        ),
        CheckSpec(
            "flat_area_agrees",
            "The 90 % area of the flat map is that of the alert's own map within 5 %.",
            lambda statistics: abs(statistics["flat_area_90_deg2"] / statistics["map_area_90_deg2"] - 1) < 0.05,
            shows=("flat_area_90_deg2", "map_area_90_deg2", "flat_nside"),
        ),
    ),
)
