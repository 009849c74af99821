"""An invented galaxy catalog around a sky map: galaxies at places that the map gives, and others anywhere."""

from __future__ import annotations

import numpy as np

from mma_pipeline.science.skymaps.model import SkyMap
from mma_pipeline.science.sphere import pixel_centres

#: Columns of the table, as NED-LVS names them: name, deg, deg, Mpc, solar masses.
COLUMNS = ("objname", "ra", "dec", "DistMpc", "Mstar")


def simulate_galaxies(
    skymap: SkyMap, *, seed: int, near: int, elsewhere: int
) -> list[tuple[str, float, float, float, float]]:
    """Rows of an invented catalog in the order of `COLUMNS`; the same arguments give the same rows.

    Args:
        skymap: map with distances.
        seed: of the random numbers.
        near: galaxies drawn from the map, in direction and distance.
        elsewhere: galaxies anywhere on the sky, evenly in volume to twice the map's greatest mean distance.
    """
    if skymap.distmu is None or skymap.distsigma is None:
        raise ValueError("the map has no distances")
    rng = np.random.default_rng(seed)
    measured = np.isfinite(skymap.distmu) & np.isfinite(skymap.distsigma) & (skymap.distmu > 0)
    weights = np.where(measured, skymap.prob, 0.0)
    rows = rng.choice(weights.size, size=near, p=weights / weights.sum())
    ra, dec = pixel_centres(skymap.order[rows], skymap.ipix[rows])
    # Within its pixel a galaxy is anywhere, nearly.
    half = np.degrees(np.sqrt(skymap.area[rows])) / 2
    dec = np.clip(dec + rng.uniform(-half, half), -90, 90)
    ra = (ra + rng.uniform(-half, half) / np.maximum(np.cos(np.radians(dec)), 0.01)) % 360
    distance = np.abs(rng.normal(skymap.distmu[rows], skymap.distsigma[rows]))
    farthest = 2 * float(skymap.distmu[rows].max())
    ra = np.append(ra, rng.uniform(0, 360, elsewhere))
    dec = np.append(dec, np.degrees(np.arcsin(rng.uniform(-1, 1, elsewhere))))
    distance = np.append(distance, farthest * rng.uniform(0, 1, elsewhere) ** (1 / 3))
    mass = 10 ** rng.uniform(8.5, 11.3, near + elsewhere)
    return [
        (f"SIM J{n:05d}", float(a), float(d), max(1.0, float(r)), float(m))
        for n, (a, d, r, m) in enumerate(zip(ra, dec, distance, mass, strict=True))
    ]
