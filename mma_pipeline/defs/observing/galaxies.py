"""Galaxies that may host the source, best first, after Arcavi et al. 2017 (ApJL 848 L33).

Score = position × distance × stellar mass (or luminosity) × detectability, from the map's own rows and distance
layers, for the galaxies inside the credible volume; their scores sum to one. Without distance layers, galaxies are ranked
by position. Needs a catalog: `mma catalog import FILE` or `mma catalog download`; without one the asset says so.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from mma_pipeline.adapters.errors import ConfigurationError
from mma_pipeline.defs.observing.configuration import galaxy_catalog, galaxy_settings, has_catalog, wrong_ranking
from mma_pipeline.products.declaration import (
    ROUNDING,
    CheckSpec,
    Product,
    ProductFiles,
    is_share,
    needs_map_for,
    of_the_map,
    own_file,
)
from mma_pipeline.products.inputs import ProductInput
from mma_pipeline.settings import Settings


def _no_catalog(settings: Settings) -> str | None:
    try:
        named = has_catalog(settings)
    except ConfigurationError as error:
        return str(error)
    if named:
        return wrong_ranking(settings)
    return (
        "no galaxy catalog is configured: `mma catalog import FILE` or `mma catalog download`, then materialise again"
    )


def _inputs(source: ProductInput) -> Sequence[str]:
    catalog = galaxy_catalog(source.settings)
    return [*of_the_map(source), "" if catalog is None else galaxy_settings(source.settings).identity(catalog)]


def _make(source: ProductInput) -> ProductFiles:
    from mma_pipeline.science.galaxies.depth import catalog_depth, probability_beyond
    from mma_pipeline.science.galaxies.ranking import rank_galaxies
    from mma_pipeline.science.galaxies.tables import galaxies_markdown, galaxies_table, galaxy_entries
    from mma_pipeline.science.tables import ecsv, votable

    catalog, wanted = galaxy_catalog(source.settings), galaxy_settings(source.settings)
    if catalog is None:
        raise ValueError("the galaxy catalog disappeared while the list was made: import it again")
    found = rank_galaxies(source.skymap, catalog, wanted.choice)
    entries = galaxy_entries(found, wanted.published)
    about = {"catalog": catalog.label, "level": wanted.choice.level, "method": "Arcavi et al. 2017, ApJL 848 L33"}
    depth = catalog_depth(catalog.distance)
    statistics = {
        "galaxies_considered": found.considered,
        "galaxies_listed": len(found),
        "galaxies_without_weight": found.without_weight,
        "score_listed": float(found.score.sum()),
        "credible_level": wanted.choice.level,
        "catalog": catalog.label,
        "catalog_rows": len(catalog),
        "catalog_depth_mpc": depth,
        "probability_beyond_catalog": None if depth is None else probability_beyond(source.skymap, depth),
        "best": galaxies_markdown(found) if len(found) else None,
        "best_names": [entry["name"] for entry in entries[:20]],
    }
    listed = json.dumps(entries, separators=(",", ":"), allow_nan=False).encode()
    table = galaxies_table(found, **about)
    files = {"galaxies": listed, "galaxy_table": ecsv(table), "galaxy_votable": votable(table)}
    return ProductFiles(files, statistics)


galaxies = Product(
    name="galaxies",
    about=__doc__ or "",
    code_version="4",
    group="observing",
    kinds=frozenset({"numpy", "json"}),
    deps=("skymap",),
    need=needs_map_for("galaxies"),
    unconfigured=_no_catalog,
    files=(
        own_file("galaxies", "galaxies.json", "application/json"),
        own_file("galaxy_table", "galaxies.ecsv", "text/plain"),
        own_file("galaxy_votable", "galaxies.vot", "application/x-votable+xml"),
    ),
    inputs=_inputs,
    make=_make,
    checks=(
        CheckSpec(
            "scores_are_shares",
            "The scores of the list sum to at most one, and to one if every galaxy considered is listed.",
            lambda statistics: (
                is_share(statistics["score_listed"])
                and (
                    statistics["galaxies_listed"] < statistics["galaxies_considered"]
                    or _whole(statistics["score_listed"])
                )
            ),
            shows=("score_listed", "galaxies_listed", "galaxies_considered"),
        ),
    ),
)


def _whole(total: float) -> bool:
    return total == 0 or abs(total - 1) < ROUNDING
