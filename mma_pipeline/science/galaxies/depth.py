"""How far a galaxy catalog reaches, and how much of a map lies beyond: there the list names only the foreground."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mma_pipeline.science.coverage.reach import share_within
from mma_pipeline.science.skymaps.model import SkyMap

#: Share of a catalog's galaxies that are nearer than its depth: a few that are far make no deep catalog.
_SHARE = 0.99
#: Galaxies that are looked at, spread over the sky as the catalog is.
_SAMPLE = 100_000


def catalog_depth(distance: npt.NDArray[np.floating]) -> float | None:
    """Luminosity distance (Mpc) within which 99 % of a catalog's galaxies lie, shape (G,); None if it has no distances."""
    sample = np.asarray(distance[:: max(1, distance.size // _SAMPLE)], dtype=np.float64)
    known = sample[np.isfinite(sample) & (sample > 0)]
    return float(np.quantile(known, _SHARE)) if known.size else None


def probability_beyond(skymap: SkyMap, depth_mpc: float) -> float | None:
    """Probability (0 to 1) that the source of a map lies farther than a distance; None for a map without distances."""
    if skymap.distmu is None or skymap.distsigma is None:
        return None
    known = np.isfinite(skymap.distmu) & (skymap.distsigma > 0)
    prob = skymap.prob[known]
    total = float(prob.sum())
    if total <= 0:
        return None
    within = share_within(np.full(prob.size, depth_mpc), skymap.distmu[known], skymap.distsigma[known])
    return float(np.clip(1.0 - float((prob * within).sum()) / total, 0.0, 1.0))
