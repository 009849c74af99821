"""A simulated kilonova for a simulated event, drawn from its map, after Villar et al. 2017; always labelled simulated."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mma_pipeline.notices.model import LvkNotice
from mma_pipeline.notices.photometry.measurement import Candidate, Measurement
from mma_pipeline.notices.times import mjd_of_datetime
from mma_pipeline.science.arrays import FloatArray, IntArray
from mma_pipeline.science.kilonova.bands import BANDS, EXTINCTION, WAVELENGTH_UM
from mma_pipeline.science.kilonova.simulation import villar
from mma_pipeline.science.kilonova.simulation.radiation import lnu_to_absolute, modulus, redshift_at
from mma_pipeline.science.skymaps.model import SkyMap, decode_skymap

#: 5-sigma depth of the simulated telescope in griz, mag.
DEPTH = np.array([23.3, 23.2, 22.9, 22.4])
_TELESCOPE = "simulated"


def place_in(skymap: SkyMap, rng: np.random.Generator) -> tuple[float, float, float | None]:
    """Position (ICRS, degrees) and distance (Mpc, None without layers) drawn from a map."""
    import healpy

    row = int(rng.choice(len(skymap.prob), p=skymap.prob / skymap.prob.sum()))
    ra, dec = healpy.pix2ang(2 ** int(skymap.order[row]), int(skymap.ipix[row]), nest=True, lonlat=True)
    if skymap.distmu is None or skymap.distsigma is None:
        return float(ra), float(dec), None
    mu, sigma = float(skymap.distmu[row]), float(skymap.distsigma[row])
    if not (math.isfinite(mu) and sigma > 0):
        return float(ra), float(dec), None
    # The ansatz is d² · N(mu, sigma): sampled on a grid.
    grid = np.linspace(max(mu - 4 * sigma, 1.0), max(mu + 4 * sigma, 2.0), 400)
    weight = grid**2 * np.exp(-0.5 * ((grid - mu) / sigma) ** 2)
    return float(ra), float(dec), float(rng.choice(grid, p=weight / weight.sum()))


@dataclass(frozen=True, eq=False)
class SimulatedKilonova:
    """A kilonova as it is, before anybody measures it."""

    ra: float
    """ICRS, deg."""
    dec: float
    distance_mpc: float
    ebv: float
    """Galactic E(B-V), mag."""
    components: tuple[villar.Component, ...]

    def magnitudes(self, t_day: FloatArray, band: IntArray) -> FloatArray:
        """AB magnitudes as seen at times (days since the merger, shape (E,)) in bands (index in BANDS, shape (E,)).

        DARK_MAG plus the distance modulus before the merger.
        """
        light = villar.lnu(self.components, t_day[None, :], WAVELENGTH_UM[band][None, :])
        return np.asarray(
            lnu_to_absolute(light)[0] + modulus(np.array(self.distance_mpc)) + EXTINCTION[band] * self.ebv
        )


def draw_kilonova(skymap: SkyMap, rng: np.random.Generator, distance_mpc: float | None = None) -> SimulatedKilonova:
    """A kilonova where a map says: AT2017gfo's components with masses and velocities scattered by a fifth and a tenth.

    `distance_mpc` overrides the map's; 100 Mpc where neither says.
    """
    ra, dec, drawn = place_in(skymap, rng)
    components = tuple(
        replace(
            c,
            mass_msun=c.mass_msun * np.exp(rng.normal(0, 0.2, 1)),
            velocity_c=np.clip(c.velocity_c * np.exp(rng.normal(0, 0.1, 1)), 0.05, 0.35),
        )
        for c in villar.AT2017GFO
    )
    ebv = round(float(min(rng.exponential(0.05), 0.3)), 3)
    return SimulatedKilonova(ra, dec, distance_mpc or drawn or 100.0, ebv, components)


def counterpart_of(
    notices: Sequence[LvkNotice], *, name: str, seed: int, nights: int = 6, distance_mpc: float | None = None
) -> list[Measurement]:
    """`simulate_counterpart` in the last map of an event's notices, or in the combined map of a coincidence if there is one.

    Raises ValueError if no notice has a map.
    """
    merger, data = None, None
    for notice in notices:
        if notice.event is not None:
            combined = notice.external.combined_skymap if notice.external is not None else None
            merger, data = notice.event.time or merger, combined or notice.event.skymap or data
    if merger is None or data is None:
        raise ValueError("no notice has a map to place a counterpart in")
    return simulate_counterpart(
        decode_skymap(data), mjd_of_datetime(merger), name=name, seed=seed, nights=nights, distance_mpc=distance_mpc
    )


def simulate_counterpart(
    skymap: SkyMap, merger_mjd: float, *, name: str, seed: int, nights: int = 6, distance_mpc: float | None = None
) -> list[Measurement]:
    """Photometry of a kilonova in griz, first 12 hours after the merger (MJD, days), then nightly.

    AT2017gfo's published components with masses and velocities scattered by a fifth, and noise of the simulated depth;
    values below 5 sigma become upper limits. `distance_mpc` overrides the map's distance; without either it is 100 Mpc.
    The candidate's redshift corresponds to that distance. The same arguments give the same measurements.
    """
    rng = np.random.default_rng(seed)
    kilonova = draw_kilonova(skymap, rng, distance_mpc)
    ebv, distance = kilonova.ebv, kilonova.distance_mpc
    t = np.sort((0.5 + np.arange(nights) + rng.normal(0, 0.04, nights))[:, None] + 0.003 * np.arange(4), axis=0).ravel()
    band = np.tile(np.arange(4), nights)
    truth = kilonova.magnitudes(t, band)
    flux = 10 ** (-0.4 * (truth - DEPTH[band]))
    noise = np.hypot(0.2, 0.02 * flux)
    seen = flux + noise * rng.normal(0, 1, len(t))
    redshift = round(float(redshift_at(np.array(distance))), 5)
    candidate = Candidate(name, round(kilonova.ra, 6), round(kilonova.dec, 6), ebv, redshift)
    found = []
    for when, k, value, sigma in zip(t, band, seen, noise, strict=True):
        detected = bool(value > 5 * 0.2)
        magnitude = DEPTH[k] - 2.5 * math.log10(value) if detected else DEPTH[k]
        found.append(
            Measurement(
                candidate=candidate,
                mjd=round(merger_mjd + float(when), 6),
                band=BANDS[k],
                magnitude=round(float(magnitude), 4),
                error=round(float(1.0857 * sigma / value), 4) if detected else None,
                upper_limit=not detected,
                telescope=_TELESCOPE,
            )
        )
    return found
