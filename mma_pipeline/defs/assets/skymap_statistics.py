"""Figures of the sky map: areas of the 50 and 90 % regions, peak, distance, volumes, information, where it lies.

Areas by interpolation of the cumulative probability (as ligo.skymap's crossmatch), distances from the map's own
layers (Singer et al. 2016, ApJL 829 L15). Units stand in the names.
"""

from __future__ import annotations

import json

from mma_pipeline.defs.product import CheckSpec, Made, Product, of_the_map, own_file
from mma_pipeline.defs.source import Source


def _make(source: Source) -> Made:
    from mma_pipeline.science.stats import describe

    found = describe(source.skymap)
    figures = {
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
    document = json.dumps(figures, sort_keys=True, indent=1, allow_nan=False)
    return Made({"statistics": document.encode()}, figures)


skymap_statistics = Product(
    name="skymap_statistics",
    about=__doc__ or "",
    code_version="1",
    kinds=frozenset({"numpy", "json"}),
    deps=("skymap",),
    files=(own_file("statistics", "statistics.json", "application/json"),),
    inputs=of_the_map,
    make=_make,
    checks=(
        CheckSpec(
            "regions_are_nested",
            "The 50 % region is smaller than the 90 % region.",
            lambda figures: figures["area_50_deg2"] < figures["area_90_deg2"],
            shows=("area_50_deg2", "area_90_deg2"),
        ),
    ),
)
