"""Where positions lie in a sky map: searched probability and area, credible levels in 2-D and 3-D, offset.

The quantities are those of `ligo.skymap.postprocess.crossmatch` (Singer et al. 2016, ApJS 226 10), computed from
the closed form of the distance ansatz (`volume`) instead of N × 1000 sorted voxels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mma_pipeline.science.arrays import FloatArray
from mma_pipeline.science.skymaps.credible import Ranking
from mma_pipeline.science.skymaps.model import SkyMap
from mma_pipeline.science.skymaps.volume import credible_volume, log_density_at
from mma_pipeline.science.sphere import PositionError, check_positions, index29, separation

#: Largest luminosity distance of a position, Mpc: beyond a redshift of 70, where there is no galaxy yet.
_FARTHEST_MPC = 1e6
#: Shells between the observer and six mean distances, as ligo.skymap has them.
_SHELLS = 1000


@dataclass(frozen=True, eq=False)
class Crossmatch:
    """What a map says of N positions; arrays of shape (N,), None if neither map nor caller gave a distance."""

    searched_prob: FloatArray
    """2-D credible level: probability of all that is denser than the position's pixel, that pixel included."""
    searched_area: FloatArray
    """Area of the same region, deg²."""
    offset: FloatArray
    """Angle to the centre of the densest pixel, deg."""
    probdensity: FloatArray
    """Probability per solid angle, sr⁻¹."""
    searched_prob_vol: FloatArray | None = None
    """3-D credible level; NaN for positions without a distance."""
    searched_vol: FloatArray | None = None
    """Volume of the same region, Mpc³, Euclidean in luminosity distance."""
    probdensity_vol: FloatArray | None = None
    """Probability per volume, Mpc⁻³."""

    def figures(self, place: int) -> dict[str, float | None]:
        """What is told of one position, by name with the unit; None where a value is unknown."""
        columns = {
            "searched_prob": self.searched_prob,
            "searched_area_deg2": self.searched_area,
            "offset_deg": self.offset,
            "probdensity_per_sr": self.probdensity,
            "searched_prob_vol": self.searched_prob_vol,
            "searched_vol_mpc3": self.searched_vol,
        }
        return {
            name: None if values is None or not np.isfinite(values[place]) else float(values[place])
            for name, values in columns.items()
        }


def crossmatch(
    m: SkyMap | Ranking, ra: npt.ArrayLike, dec: npt.ArrayLike, distance: npt.ArrayLike | None = None
) -> Crossmatch:
    """Cross-match positions (deg, ICRS) and optional luminosity distances (Mpc; NaN where unknown), shape (N,).

    The density in 3-D is taken at the inner edge of the shell, a thousandth of six mean distances thick, that
    holds the distance. That is the convention of `ligo.skymap.postprocess.crossmatch`, and both agree to 1e-3
    (`tests/science/test_crossmatch.py`); without it the two would differ by the shell's thickness.

    Raises PositionError for positions off the sphere and for distances that are not positive.
    """
    ranking = m if isinstance(m, Ranking) else Ranking(m)
    sky = ranking.map
    ra_deg, dec_deg = check_positions(ra, dec)
    row = sky.row_of(index29(ra_deg, dec_deg))
    mode_ra, mode_dec = ranking.mode
    result = Crossmatch(
        searched_prob=ranking.searched_prob[row],
        searched_area=ranking.searched_area[row],
        offset=separation(ra_deg, dec_deg, mode_ra, mode_dec),
        probdensity=sky.probdensity[row],
    )
    if distance is None or not sky.is_3d:
        return result
    mpc = np.broadcast_to(np.asarray(distance, dtype=np.float64), ra_deg.shape)
    if (mpc <= 0).any() or (mpc > _FARTHEST_MPC).any():
        raise PositionError(
            f"a distance is not above 0 and at most {_FARTHEST_MPC:,.0f} Mpc: leave it out where it is unknown"
        )
    shell = _shell(sky)
    inner = shell * np.maximum(np.floor(mpc / shell), 1.0)
    log_density = log_density_at(sky, row, inner)
    level, volume = ranking.volume.levels(log_density)
    unknown = np.isnan(mpc)
    for values in (level, volume, log_density):
        values[unknown] = np.nan
    return Crossmatch(
        searched_prob=result.searched_prob,
        searched_area=result.searched_area,
        offset=result.offset,
        probdensity=result.probdensity,
        searched_prob_vol=level,
        searched_vol=volume,
        probdensity_vol=np.exp(log_density),
    )


def _shell(m: SkyMap) -> float:
    """Thickness of a shell, Mpc: six mean distances over a thousand, the mean as Σ p_i ∫ r³ρ_i dr / ∫ r²ρ_i dr."""
    from scipy.special import ndtr

    volume = credible_volume(m)
    mu, sigma, x = volume.mu, volume.sigma, volume.mu / volume.sigma
    below, tail = ndtr(x), np.exp(-0.5 * x**2) / np.sqrt(2.0 * np.pi)
    second = (mu**2 + sigma**2) * below + mu * sigma * tail
    third = mu * (mu**2 + 3.0 * sigma**2) * below + sigma * (mu**2 + 2.0 * sigma**2) * tail
    usable = second > 0
    return float(6.0 / _SHELLS * np.sum(m.prob[volume.row][usable] * third[usable] / second[usable]))
