"""The map of two localisations of one source: the product of their densities, brought back to one.

p(Ω) ∝ p₁(Ω) p₂(Ω) for a source that both saw independently under an isotropic prior (Ashton et al. 2018, ApJ 860 6). It
is exact on the common refinement of the two maps' rows. It holds if the two are one source, and says nothing of whether
they are.

The distance layers of the map that has them are carried along: the other map says nothing of distance, so along each line
of sight the distribution stays as it is, normalised to one (DISTNORM). What changes are its moments over the whole sky,
since the lines of sight weigh differently: DISTMEAN and DISTSTD are computed anew.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np

from mma_pipeline.science.coincidence.overlap import refinement
from mma_pipeline.science.healpix import MAX_ORDER, order_ipix_to_uniq
from mma_pipeline.science.skymaps.fits import SkyMapError
from mma_pipeline.science.skymaps.model import SkyMap
from mma_pipeline.science.skymaps.statistics import distance_moments

#: Cards of either map that no longer hold for the product.
_STALE = frozenset(
    ("DISTMEAN", "DISTSTD", "LOGBCI", "LOGBSN", "HISTORY", "COMMENT", "RUNTIME", "VCSVERS", "VCSREV", "DATE-BLD")
)


def combined_map(a: SkyMap, b: SkyMap, note: str = "") -> SkyMap | None:
    """The normalised product of two maps, with the cards and the distance layers of the one that has distances, else of `a`.

    None if the maps exclude each other: their product vanishes everywhere.
    `note` becomes HISTORY. Raises SkyMapError if both have distance layers: two distances of one source are no product of rows.
    """
    if a.is_3d and b.is_3d:
        raise SkyMapError("both sky maps have distance layers: their combination is not defined row by row")
    if b.is_3d:
        a, b = b, a
    cells = refinement(a, b)
    density = a.probdensity[cells.first] * b.probdensity[cells.second]
    total = float(np.sum(density * cells.area))
    if not total > 0:
        return None
    order = np.maximum(a.order[cells.first], b.order[cells.second])
    mu, sigma, norm = (None if layer is None else layer[cells.first] for layer in (a.distmu, a.distsigma, a.distnorm))
    found = SkyMap(
        order_ipix_to_uniq(order, cells.start29 >> (2 * (MAX_ORDER - order))),
        density / total,
        mu,
        sigma,
        norm,
        meta=MappingProxyType(_cards(a, note)),
    )
    moments = distance_moments(found)
    if moments is None:
        return found
    cards = {**found.meta, "DISTMEAN": moments[0], "DISTSTD": moments[1]}
    return replace(found, meta=MappingProxyType(cards))


def _cards(m: SkyMap, note: str) -> dict[str, Any]:
    cards = {name: value for name, value in m.meta.items() if name not in _STALE}
    return {**cards, "HISTORY": note} if note else cards
