"""From the photometric probability to the probability of being this event's kilonova: position, prior, posterior.

Nothing here is learned. All three ingredients are published beside the posterior, so that a reader can replace one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from mma_pipeline.notices.times import YEAR_DAYS
from mma_pipeline.science.arrays import FloatArray, IntArray
from mma_pipeline.science.healpix import DEG2_PER_SR, MAX_ORDER, SKY_DEG2
from mma_pipeline.science.kilonova.calibration import REFERENCE
from mma_pipeline.science.kilonova.simulation.radiation import luminosity_distance
from mma_pipeline.science.skymaps.model import SkyMap

#: The whole sky, deg².
#: Core-collapse and thermonuclear supernovae together, per Mpc³ and year (Li et al. 2011, MNRAS 412 1473: 1.0e-4).
SUPERNOVA_RATE = 1.0e-4
#: A typical supernova's absolute magnitude in r, and the days during which it is within a magnitude of that.
_SUPERNOVA_MAG, _SUPERNOVA_DAYS = -17.5, 40.0
#: Peculiar velocity of a host along the line of sight, km/s: 307 ± 230 for NGC 4993, the host of GW170817
#: (Hjorth et al. 2017, ApJL 848 L31). Over H0 = 70 km/s/Mpc it is the error of a distance by redshift, 4.3 Mpc.
PECULIAR_VELOCITY = 300.0
_H0 = 70.0
#: The same as an error of a distance, Mpc.
PECULIAR_MPC = PECULIAR_VELOCITY / _H0


class SkyFactorError(ValueError):
    """The position or the map does not allow a sky factor; the message says why."""


@dataclass(frozen=True)
class SkyFactor:
    """Ratio of the probabilities of a position for the event's counterpart and for an unrelated transient."""

    value: float
    """Likelihood ratio, dimensionless, 0 or more."""
    dimensions: int
    """2 (position) or 3 (position and the host's distance)."""
    density: float
    """Probability per deg² (2-D) or per Mpc³ (3-D) at the candidate."""
    search: float
    """Searched area in deg² (2-D) or volume in Mpc³ (3-D)."""


@dataclass(frozen=True)
class Prior:
    """Probability, before any photometry, that a transient of the searched area is the event's kilonova."""

    value: float
    source: float
    """Probability that the event made a kilonova: (1 - P(terrestrial)) × P(HasRemnant)."""
    contaminants: float
    """Unrelated transients expected in the searched area."""


@dataclass(frozen=True)
class Posterior:
    """The four probabilities that are published for a candidate."""

    p_phot: float
    """Probability of a kilonova from the light curve alone, at the reference shares of the classes."""
    sky_factor: float
    prior: float
    posterior: float


def search_distance_mpc(depth_mag: float = 21.5) -> float:
    """Distance in Mpc at which a supernova of -17.5 mag has r = depth_mag, up to which contaminants are counted."""
    return float(10 ** ((depth_mag - _SUPERNOVA_MAG - 25) / 5))


def contaminants_per_deg2(depth_mag: float = 21.5) -> float:
    """Number of supernovae per deg² visible at a time down to r = depth_mag.

    Rate × Euclidean volume per deg² out to `search_distance_mpc` × 40 days. At 21.5 mag: 0.28 per deg². Other classes
    add to it; p_phot accounts for most of them through their light curves.
    """
    volume = search_distance_mpc(depth_mag) ** 3 / 3 / DEG2_PER_SR
    return SUPERNOVA_RATE * volume * _SUPERNOVA_DAYS / YEAR_DAYS


def row_at(skymap: SkyMap, ra_deg: float, dec_deg: float) -> int:
    """Row of the map that holds a position (ICRS, degrees); raises SkyFactorError for an impossible position."""
    return int(rows_at(skymap, np.array([ra_deg]), np.array([dec_deg]))[0])


def rows_at(skymap: SkyMap, ra_deg: FloatArray, dec_deg: FloatArray) -> IntArray:
    """`row_at` of several positions, shape (N,)."""
    possible = np.isfinite(ra_deg) & np.isfinite(dec_deg) & (np.abs(dec_deg) <= 90)
    if not possible.all():
        wrong = int(np.flatnonzero(~possible)[0])
        raise SkyFactorError(f"({ra_deg[wrong]}, {dec_deg[wrong]}) is not a position in degrees")
    import healpy

    index = healpy.ang2pix(2**MAX_ORDER, ra_deg % 360.0, dec_deg, nest=True, lonlat=True)
    return np.asarray(skymap.row_of(np.asarray(index, dtype=np.int64)))


@lru_cache(maxsize=4096)
def host_distance(redshift: float) -> tuple[float, float]:
    """Luminosity distance of a host and its error, Mpc; flat, H0 = 70 km/s/Mpc, Omega_m = 0.3, redshift 0 to 10.

    The error is a peculiar velocity of 300 km/s. The redshift is taken as it is, heliocentric.
    """
    return float(luminosity_distance(np.array(redshift))), PECULIAR_VELOCITY / _H0


def distance_at(skymap: SkyMap, row: int) -> tuple[float, float, float] | None:
    """distmu, distsigma (Mpc) and distnorm (Mpc⁻²) of a row; None if the map has no distance there."""
    if skymap.distmu is None or skymap.distsigma is None or skymap.distnorm is None:
        return None
    mu, sigma, norm = (float(column[row]) for column in (skymap.distmu, skymap.distsigma, skymap.distnorm))
    return (mu, sigma, norm) if math.isfinite(mu) and math.isfinite(norm) and 0 < sigma < math.inf else None


def sky_factor(
    skymap: SkyMap,
    ra_deg: float,
    dec_deg: float,
    *,
    area_deg2: float = SKY_DEG2,
    host_distance_mpc: float | None = None,
    host_sigma_mpc: float = 0.0,
    search_distance_mpc: float | None = None,
    row: int | None = None,
) -> SkyFactor:
    """Likelihood ratio of a position (ICRS, degrees), and of the host's distance where one is given.

    2-D: p_GW × A, the map's density at the candidate times the searched area: an unrelated transient is equally
    likely anywhere in A. 3-D: dP/dV × V with dP/dV = p_GW · distnorm · N(d; distmu, distsigma) (Singer et al. 2016,
    ApJL 829 L15, eq. 4, divided by d²) and V = A · d_max³ / 3: an unrelated one is equally likely in any volume. Both
    are exact. A host distance with an error is the Gaussian convolution, distsigma² + host_sigma², of that density:
    valid if the error is small compared to the distance. `search_distance_mpc` is d_max; A and V cancel in the posterior
    against contaminants counted in the same area and to the same distance. For a host beyond d_max the ratio assumes the
    same density of contaminants; fewer of them are seen there, so its posterior is somewhat too low. `row` saves the search for
    the map's row at the position where the caller knows it.

    Raises SkyFactorError for an impossible position, or a host distance without a search distance or map distances.
    """
    row = row_at(skymap, ra_deg, dec_deg) if row is None else row
    per_sr = float(skymap.probdensity[row])
    if host_distance_mpc is None:
        density = per_sr / DEG2_PER_SR
        return SkyFactor(density * area_deg2, 2, density, area_deg2)
    if skymap.distmu is None or skymap.distsigma is None or skymap.distnorm is None:
        raise SkyFactorError("the map has no distances: leave the host's distance out")
    if search_distance_mpc is None or search_distance_mpc <= 0 or host_distance_mpc <= 0:
        raise SkyFactorError("a host distance must be positive, and needs a positive search distance")
    here = distance_at(skymap, row)
    if here is None:
        # A row without a distance has almost no probability; such a host is excluded.
        per_mpc3 = 0.0
    else:
        mu, sigma, norm = here
        width = math.hypot(sigma, host_sigma_mpc)
        normal = math.exp(-0.5 * ((host_distance_mpc - mu) / width) ** 2) / (math.sqrt(2 * math.pi) * width)
        per_mpc3 = per_sr * norm * normal
    volume = area_deg2 / DEG2_PER_SR * search_distance_mpc**3 / 3
    return SkyFactor(per_mpc3 * volume, 3, per_mpc3, volume)


def prior(
    *,
    has_remnant: float | None,
    terrestrial: float | None,
    area_deg2: float,
    contaminants: float | None = None,
    detectable: float = 1.0,
) -> Prior | None:
    """Prior probability of a kilonova among the contaminants expected in area_deg2.

    source / (source + contaminants · area), source = (1 - terrestrial) · has_remnant · detectable. `contaminants` is
    per deg² (default `contaminants_per_deg2()`), `detectable` the share of kilonovae bright enough for the search.
    None if the notice states no HasRemnant (a burst): then no prior can be stated.
    """
    if has_remnant is None:
        return None
    source = (1.0 - (terrestrial or 0.0)) * has_remnant * detectable
    expected = (contaminants_per_deg2() if contaminants is None else contaminants) * area_deg2
    total = source + expected
    return Prior(source / total if total > 0 else 0.0, source, expected)


def posterior(p_phot: float, factor: float, prior_value: float) -> Posterior:
    """Bayes: odds = p_phot/(1-p_phot) ÷ reference odds × sky factor × prior odds; all arguments dimensionless."""
    if prior_value <= 0 or factor <= 0:
        return Posterior(p_phot, factor, prior_value, 0.0)
    if prior_value >= 1:
        return Posterior(p_phot, factor, prior_value, 1.0)
    reference = REFERENCE[0] / (1 - REFERENCE[0])
    odds = p_phot / (1 - p_phot) / reference * factor * prior_value / (1 - prior_value)
    return Posterior(p_phot, factor, prior_value, odds / (1 + odds))
