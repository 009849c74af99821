"""Statistics of a sky map that observers use: credible areas and volumes, peak, distance, information, position.

Not here: regions as outlines or coverage maps (`science.regions`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mma_pipeline.science.arrays import IntArray
from mma_pipeline.science.healpix import DEG2_PER_SR, ICRS_TO_GALACTIC, SKY_DEG2, centres, vec_to_lonlat
from mma_pipeline.science.skymaps.credible import credible_areas
from mma_pipeline.science.skymaps.model import SkyMap
from mma_pipeline.science.skymaps.volume import NoDistanceError, credible_volume

#: Half-width of the band called the Galactic plane, degrees: extinction makes most optical searches leave it out.
PLANE_LATITUDE_DEG = 10.0


@dataclass(frozen=True)
class SkyStatistics:
    """Figures of one map. Areas in deg², angles in degrees (ICRS), distances in Mpc, volumes in Mpc³.

    None if the map says nothing: distances and volumes of a map without distance layers.
    """

    area50: float
    """Area of the 50 % credible region."""
    area90: float
    """Area of the 90 % credible region."""
    peak_ra: float
    """Right ascension of the centre of the densest pixel."""
    peak_dec: float
    """Declination of the centre of the densest pixel."""
    peak_density: float
    """Probability per deg² in the densest pixel."""
    distance_mean: float | None
    """Mean of the distance over the whole sky, from the layers."""
    distance_std: float | None
    """Standard deviation of the distance over the whole sky, from the layers."""
    header_distance_mean: float | None
    """DISTMEAN as the map's producer wrote it."""
    header_distance_std: float | None
    """DISTSTD as the map's producer wrote it."""
    volume50: float | None
    """Smallest volume that holds 50 % of the probability."""
    volume90: float | None
    """Smallest volume that holds 90 % of the probability."""
    information: float
    """Information over a uniform sky, bits (Kullback-Leibler divergence)."""
    effective_area: float
    """Area of a uniform patch of the same entropy."""
    prob_north: float
    """Probability north of the celestial equator."""
    prob_plane: float
    """Probability within 10° of the Galactic plane."""
    order_max: int
    """Finest HEALPix order among the rows; NSIDE is 2^order_max."""
    rows: int
    """Number of rows."""
    total: float
    """What the file summed to before normalisation."""


def describe(skymap: SkyMap) -> SkyStatistics:
    """All statistics of a map."""
    area50, area90 = credible_areas(skymap, (0.5, 0.9))
    peak_ra, peak_dec = peak(skymap)
    mean, std = distance_moments(skymap) or (None, None)
    volume50, volume90 = credible_volumes(skymap, (0.5, 0.9)) or (None, None)
    occupied = skymap.prob > 0
    nats = float(np.sum(skymap.prob[occupied] * np.log(skymap.probdensity[occupied] * 4 * np.pi)))
    # Rows can be larger than the plane is wide, so that they are split; what the rows left whole hold is < 1e-4.
    row, order, ipix = _split_rows(skymap, 6, least=1e-4 / len(skymap.uniq))
    where = centres(order, ipix)
    prob = skymap.probdensity[row] * (np.pi / 3 / 4.0**order)
    latitude = vec_to_lonlat(where @ ICRS_TO_GALACTIC.T)[1]
    return SkyStatistics(
        area50=area50,
        area90=area90,
        peak_ra=peak_ra,
        peak_dec=peak_dec,
        peak_density=float(skymap.probdensity.max()) / DEG2_PER_SR,
        distance_mean=mean,
        distance_std=std,
        header_distance_mean=_positive(skymap.meta.get("DISTMEAN")),
        header_distance_std=_positive(skymap.meta.get("DISTSTD")),
        volume50=volume50,
        volume90=volume90,
        information=max(nats / float(np.log(2)), 0.0),
        effective_area=SKY_DEG2 * float(np.exp(-max(nats, 0.0))),
        prob_north=float(prob[where[:, 2] > 0].sum() + 0.5 * prob[where[:, 2] == 0].sum()),
        prob_plane=float(prob[np.abs(latitude) < PLANE_LATITUDE_DEG].sum()),
        order_max=int(skymap.order.max()),
        rows=len(skymap.uniq),
        total=skymap.total,
    )


def _positive(value: object) -> float | None:
    """A header value if it is a finite positive number."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < np.inf:
        return float(value)
    return None


def peak(skymap: SkyMap) -> tuple[float, float]:
    """Right ascension and declination (degrees) of the centre of the densest row, the first of several."""
    row = int(np.argmax(skymap.probdensity))
    ra, dec = vec_to_lonlat(centres(skymap.order[row : row + 1], skymap.ipix[row : row + 1]))
    return float(ra[0]), float(dec[0])


def distance_moments(skymap: SkyMap) -> tuple[float, float] | None:
    """Mean and standard deviation (Mpc) of the distance over the whole sky; None without distance layers.

    Moments of r² N(r; μ, σ) on r > 0 (Singer et al. 2016, ApJS 226 10), weighted by each row's probability; rows
    without distance information are left out.
    """
    if skymap.distmu is None or skymap.distsigma is None:
        return None
    from scipy.special import log_ndtr

    known = np.isfinite(skymap.distmu) & (skymap.prob > 0)
    prob, mu, sigma = skymap.prob[known], skymap.distmu[known], skymap.distsigma[known]
    if prob.sum() <= 0:
        return None
    x = np.maximum(mu / sigma, -20.0)  # further out the recurrence loses its digits, and r² exp(-|x| r/σ) is exact
    ratio = np.exp(-0.5 * x**2 - log_ndtr(x)) / np.sqrt(2 * np.pi)
    moments = [np.ones_like(x), x + ratio]  # of z = r/σ, in units of the zeroth
    for k in (2, 3, 4):
        moments.append(x * moments[-1] + (k - 1) * moments[-2])
    near = mu / sigma < -20.0
    mean = np.where(near, 3 * sigma**2 / np.abs(mu), sigma * moments[3] / moments[2])
    square = np.where(near, 12 * sigma**4 / mu**2, sigma**2 * moments[4] / moments[2])
    mean_all = float(np.average(mean, weights=prob))
    variance = float(np.average(square, weights=prob)) - mean_all**2
    return mean_all, float(np.sqrt(max(variance, 0.0)))


def map_distance(skymap: SkyMap) -> tuple[float, float] | None:
    """Mean and standard deviation (Mpc) of the distance of an event; None for a map without distance.

    As the map's producer states them (DISTMEAN, DISTSTD), else the moments of the layers. Of the whole map, not of a
    line of sight.
    """
    mean, deviation = _positive(skymap.meta.get("DISTMEAN")), _positive(skymap.meta.get("DISTSTD"))
    return (mean, deviation) if mean is not None and deviation is not None else distance_moments(skymap)


def credible_volumes(skymap: SkyMap, levels: Sequence[float]) -> list[float] | None:
    """Volumes (Mpc³) of the smallest regions in space that hold each level (0 to 1); None if distances cannot."""
    try:
        volume = credible_volume(skymap)
    except NoDistanceError:
        return None
    if float(skymap.prob[volume.row].sum()) <= max(levels):
        return None  # too much of the probability lies in rows without distance
    return [volume.volume(level) for level in levels]


def _split_rows(skymap: SkyMap, order: int, least: float = 0.0) -> tuple[IntArray, IntArray, IntArray]:
    """Row, order and ipix (M,) of the map's pixels with those coarser than order split down to it.

    Rows with a probability of at most least stay whole, which keeps M small where nothing is lost.
    """
    depth = np.where(skymap.prob > least, np.maximum(order - skymap.order, 0), 0)
    count = np.int64(1) << (2 * depth)
    row = np.repeat(np.arange(len(count)), count)
    child = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
    return row, (skymap.order + depth)[row], (skymap.ipix << (2 * depth))[row] + child
