"""The distance of an event, marginal over its whole map."""

from __future__ import annotations

import numpy as np

from mma_pipeline.science.arrays import FloatArray
from mma_pipeline.science.skymaps.model import SkyMap

#: Rows of a map that are summed: more are represented by so many, taken at equal steps of the cumulative probability.
_ROWS = 4000
_GRID = 1500


def distance_quantiles(skymap: SkyMap, shares: FloatArray) -> FloatArray | None:
    """Luminosity distances (Mpc) below which the map puts each share (0 to 1) of its probability; shape of `shares`.

    The posterior is the mixture of all rows' distance ansatz, r² Σ p_i N_i exp(-(r - μ_i)² / 2σ_i²) (Singer et al. 2016,
    ApJL 829 L15, eq. 1), on a grid. Rows without distance are left out. None where no row has one.
    """
    if skymap.distmu is None or skymap.distsigma is None or skymap.distnorm is None:
        return None
    prob, mu, sigma, norm = skymap.prob, skymap.distmu, skymap.distsigma, skymap.distnorm
    usable = (prob > 0) & np.isfinite(mu) & np.isfinite(sigma) & np.isfinite(norm) & (sigma > 0) & (norm > 0)
    rows = np.flatnonzero(usable)
    if not rows.size:
        return None
    weight = prob[rows]
    if rows.size > _ROWS:
        cumulative = np.cumsum(weight)
        steps = (np.arange(_ROWS) + 0.5) / _ROWS * cumulative[-1]
        rows = rows[np.minimum(np.searchsorted(cumulative, steps), rows.size - 1)]
        weight = np.ones(_ROWS)
    mu, sigma, norm = mu[rows], sigma[rows], norm[rows]
    reach = np.maximum(mu, 0.0) + 6 * sigma
    by = np.argsort(reach)
    most = np.searchsorted(np.cumsum(weight[by]), 0.9999 * weight.sum())
    end = float(reach[by[min(int(most), len(by) - 1)]])
    grid = np.linspace(0.0, end, _GRID + 1)
    density = np.zeros(len(grid))
    for part in np.array_split(np.arange(len(rows)), max(1, len(rows) // 500)):
        x = (grid[None, :] - mu[part, None]) / sigma[part, None]
        density += (weight[part] * norm[part] / sigma[part]) @ np.exp(-0.5 * x**2)
    density *= grid**2
    below = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
    if not below[-1] > 0:
        return None
    rising = np.concatenate([[True], np.diff(below) > 0])
    return np.asarray(np.interp(shares, below[rising] / below[-1], grid[rising]))
