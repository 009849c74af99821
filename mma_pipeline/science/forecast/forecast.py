"""From distances and masses to quantiles of the apparent magnitude, and the depth that shows a share of the models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mma_pipeline.science.arrays import FloatArray
from mma_pipeline.science.forecast import afterglow
from mma_pipeline.science.forecast.bands import BANDS, WAVELENGTH_UM
from mma_pipeline.science.forecast.ejecta import EjectaMasses, draw_ejecta
from mma_pipeline.science.forecast.models import apparent, light, redshifts
from mma_pipeline.science.forecast.outlook import ChirpMasses

#: Hours after the merger at which the forecast is given.
HOURS: FloatArray = np.array(
    [0.5, 1, 2, 3, 4, 6, 8, 10, 12, 15, 18, 21, 24, 30, 36, 42, 48, 60, 72, 84, 96, 120, 144, 168, 192, 216, 240, 288, 336],
    dtype=float,
)  # fmt: skip
#: Hours at which depths are given.
DEPTH_HOURS: tuple[int, ...] = (1, 6, 12, 24, 48)
#: Shares of the models that are brighter than a quantile: edges of the 90 and 50 % bands, the median, and 0.9 for depths.
LEVELS: tuple[float, ...] = (0.05, 0.25, 0.5, 0.75, 0.9, 0.95)
MODELS = 1500
_SEED = 20170817


@dataclass(frozen=True, eq=False)
class LightCurves:
    """Quantiles of the apparent AB magnitude of simulated sources, without dust."""

    quantiles: FloatArray
    """Magnitude than which the share LEVELS of the sources is brighter, shape (6, B, T): the brightest first."""

    def at(self, band: str, hours: float) -> FloatArray:
        """The six quantiles in a band (of BANDS) at some hours after the merger, linear between HOURS; shape (6,)."""
        k = BANDS.index(band)
        return np.array([np.interp(hours, HOURS, q[k]) for q in self.quantiles])

    def depth(self, seen: float, hours: float) -> dict[str, float]:
        """Depth (mag) at which a share of the sources (one of LEVELS) is seen at some hours, by band."""
        k = LEVELS.index(seen)
        return {band: float(self.at(band, hours)[k]) for band in BANDS}


@dataclass(frozen=True, eq=False)
class Forecast:
    """What is expected of an event."""

    kilonova: LightCurves
    afterglow: LightCurves | None
    """Of a jet seen on axis; None where none was asked for."""
    distance_mpc: FloatArray
    """5, 50 and 95 % quantiles of the luminosity distance, Mpc."""
    masses: EjectaMasses | None
    """The masses drawn; None where the families' own ranges were used."""
    models: int


def forecast(
    distance_mpc: FloatArray,
    *,
    chirp: ChirpMasses | None = None,
    classes: Mapping[str, float] | None = None,
    burst: bool = False,
    models: int = MODELS,
    redshifted: bool = True,
) -> Forecast:
    """Forecast for an event at luminosity distances (Mpc) of equal weight, shape (N,), spread evenly over the models.

    `chirp` and `classes` (odds of BNS and NSBH) give masses of the ejecta where both are known and the fits cover them.
    `burst` adds the afterglow. The same input always gives the same forecast. `redshifted` may leave out the redshift,
    which dims and reddens beyond the distance modulus.
    """
    rng = np.random.default_rng(_SEED)
    masses = draw_ejecta(rng, models, chirp, classes) if chirp is not None and classes else None
    picked = rng.permutation(np.resize(distance_mpc, models))
    z = redshifts(picked) if redshifted else np.zeros(models)
    kilonovae = apparent(light(rng, models, HOURS, WAVELENGTH_UM, z, masses), picked)
    jets = afterglow.magnitudes(rng, HOURS, WAVELENGTH_UM, picked, z) if burst else None
    return Forecast(
        kilonova=LightCurves(np.quantile(kilonovae, LEVELS, axis=0)),
        afterglow=None if jets is None else LightCurves(np.quantile(jets, LEVELS, axis=0)),
        distance_mpc=np.quantile(distance_mpc, [0.05, 0.5, 0.95]),
        masses=masses,
        models=models,
    )


def even_shares() -> FloatArray:
    """Shares (0 to 1, a fraction) of a distance posterior at which `forecast` wants its distances: one for each model."""
    return np.asarray((np.arange(MODELS) + 0.5) / MODELS)
