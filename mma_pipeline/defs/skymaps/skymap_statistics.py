"""Statistics of the sky map: areas of the 50 and 90 % regions, peak, distance, volumes, information,
and the probability in the northern sky and near the Galactic plane.

Areas by interpolation of the cumulative probability (as ligo.skymap's crossmatch), distances from the map's own
layers (Singer et al. 2016, ApJL 829 L15). Units are part of the names.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mma_pipeline.products.declaration import ROUNDING, CheckSpec, Product, ProductFiles, Severity, of_the_map, own_file
from mma_pipeline.products.inputs import ProductInput

#: The whole sky in deg², rounded up.
_SKY_DEG2 = 41_253.0


def _make(source: ProductInput) -> ProductFiles:
    from mma_pipeline.science.skymaps.statistics import describe

    found = describe(source.skymap)
    statistics = {
        "area_50_deg2": found.area50,
        "area_90_deg2": found.area90,
        "peak_ra_deg": found.peak_ra,
        "peak_dec_deg": found.peak_dec,
        "peak_density_per_deg2": found.peak_density,
        "distance_mean_mpc": found.distance_mean,
        "distance_std_mpc": found.distance_std,
        "header_distance_mean_mpc": found.header_distance_mean,
        "header_distance_std_mpc": found.header_distance_std,
        "volume_50_mpc3": found.volume50,
        "volume_90_mpc3": found.volume90,
        "information_bits": found.information,
        "effective_area_deg2": found.effective_area,
        "probability_north": found.prob_north,
        "probability_galactic_plane": found.prob_plane,
        "order_max": found.order_max,
        "rows": found.rows,
    }
    document = json.dumps(statistics, sort_keys=True, indent=1, allow_nan=False)
    return ProductFiles({"statistics": document.encode()}, statistics)


def _regions_are_nested(statistics: Mapping[str, Any]) -> bool:
    # Interpolated within one pixel, both regions of a very small map may have the same area except for rounding.
    small, large = float(statistics["area_50_deg2"]), float(statistics["area_90_deg2"])
    return 0 <= small <= large * (1 + ROUNDING) <= _SKY_DEG2


skymap_statistics = Product(
    name="skymap_statistics",
    about=__doc__ or "",
    code_version="1",
    priority=20,
    kinds=frozenset({"numpy", "json"}),
    deps=("skymap",),
    files=(own_file("statistics", "statistics.json", "application/json"),),
    inputs=of_the_map,
    make=_make,
    checks=(
        CheckSpec(
            "regions_are_nested",
            "The 50 % region is no larger than the 90 % region, and neither is larger than the sky.",
            _regions_are_nested,
            shows=("area_50_deg2", "area_90_deg2"),
            severity=Severity.ERROR,
        ),
    ),
)
