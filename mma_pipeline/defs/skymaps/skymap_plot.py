"""Plot of the sky map: the whole sky, and a close-up of the region with contours and peak.

Left: Mollweide projection, right ascension to the left, 12 h in the middle. Right: azimuthal equal-area projection about
the region. Colours follow the square root of the probability density.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from mma_pipeline.notices.words import area, distance
from mma_pipeline.products.declaration import Product, ProductFiles, of_the_map, own_file
from mma_pipeline.products.inputs import ProductInput


def _inputs(source: ProductInput) -> Sequence[str]:
    # The title names the event, not the version, so that the second preliminary's plot is a copy of the first's.
    return [*of_the_map(source), source.product("contours").sha256, source.record.version.event_id]


def _make(source: ProductInput) -> ProductFiles:
    from mma_pipeline.science.plots.skymap import sky_plot

    collection = json.loads(source.store.get(source.product("contours").store_key))
    lines = {
        int(feature["properties"]["credible_level"]): feature["geometry"]["coordinates"]
        for feature in collection["features"]
    }
    statistics = source.statistics("statistics")
    words = [f"{level} %: {area(statistics[f'area_{level}_deg2'])} deg²" for level in (50, 90)]
    if statistics.get("distance_mean_mpc") is not None:
        words.append(f"distance {distance(statistics['distance_mean_mpc'], statistics['distance_std_mpc'])} Mpc")
    suffix = " (combined map)" if source.record.version.is_external else ""
    plot = sky_plot(source.skymap, lines, title=f"{source.record.version.event_id}{suffix}", note="    ".join(words))
    return ProductFiles({"picture": plot}, {"picture_bytes": len(plot)})


skymap_plot = Product(
    name="skymap_plot",
    about=__doc__ or "",
    code_version="4",
    priority=-20,  # for people, who take longer to look
    kinds=frozenset({"matplotlib", "png"}),
    deps=("skymap", "skymap_statistics", "contours"),
    files=(own_file("picture", "skymap.png", "image/png", plot=True),),
    inputs=_inputs,
    make=_make,
)
