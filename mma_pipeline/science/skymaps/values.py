"""Reads density and distance of a map's rows from a file's columns, and checks them row by row.

A row without a number for its density makes the map unusable. A pixel that was not observed (UNSEEN) holds nothing. A row
whose distance no source can have counts as a row without distance; so does every row where the unit is none of length.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from mma_pipeline.science.arrays import FloatArray, IntArray
from mma_pipeline.science.healpix import pixel_area
from mma_pipeline.science.skymaps.fits import SkyMapError

#: DISTMU, DISTSIGMA, DISTNORM of a direction without distance information, as BAYESTAR writes it.
NO_DISTANCE = (np.inf, 1.0, 0.0)
#: What HEALPix writes for a pixel that was not observed (Górski et al. 2005; healpy.UNSEEN), in single precision too.
UNSEEN = -1.6375e30
DENSITY_COLUMNS = ("PROBDENSITY", "PROB", "PROBABILITY")
DISTANCE_COLUMNS = {"DISTMU": 1, "DISTSIGMA": 1, "DISTNORM": -2}
"""Column to its power of length."""
#: Luminosity distance of redshift 20, Mpc: what no detector reaches. Real rows end at 25,000.
MAX_DISTANCE_MPC = 2.5e5
#: Real rows have μ > -18 σ; beyond -38 σ their norm would be larger than any number.
_MIN_RATIO = -40.0
#: DISTNORM is one over the integral of r² N(r; μ, σ), in real maps to 1e-8; beyond this factor it is something else.
_NORM_FACTOR = 100.0
_LENGTHS = frozenset(("mpc", "megaparsec"))
_INVERSE_SQUARES = frozenset(("mpc-2", "mpc^-2", "mpc**-2", "mpc^(-2)", "mpc**(-2)", "1/mpc^2", "1/mpc2", "1/mpc**2"))


class RowValues:
    """Reads a map's columns, whole or a part of the rows at a time, and counts what is wrong with rows."""

    def __init__(self, columns: Mapping[str, npt.NDArray[Any]], units: Mapping[str, str]) -> None:
        """Look at names and units.

        Raises SkyMapError if there is no density, or not all of the distance columns.
        """
        names = [name for name in DENSITY_COLUMNS if name in columns]
        if not names:
            raise SkyMapError("sky map has no PROBDENSITY or PROB column")
        self.density_column = names[0]
        present = [name for name in DISTANCE_COLUMNS if name in columns]
        if present and len(present) < len(DISTANCE_COLUMNS):
            missing = next(name for name in DISTANCE_COLUMNS if name not in columns)
            raise SkyMapError(f"sky map has distance columns but no {missing}")
        self.rows = self.unseen = 0
        self._notes: list[str] = []
        self._counts = {"no finite": 0, "an infinite": 0, "a negative": 0}
        self._far = 0
        self._scales = self._scales_of(units) if present else None

    @property
    def wanted(self) -> frozenset[str]:
        """Names of the columns that are read."""
        return frozenset((self.density_column, *(DISTANCE_COLUMNS if self._scales is not None else ())))

    @property
    def flawless(self) -> bool:
        """Whether nothing was wrong with the rows read so far, nor were any of them unobserved."""
        return not (self.unseen or self._far or any(self._counts.values()))

    def read(self, columns: Mapping[str, npt.NDArray[Any]], uniq: IntArray) -> list[FloatArray]:
        """Density in sr⁻¹ and, where there is distance, μ and σ in Mpc and the norm in Mpc⁻² of some rows.

        Raises SkyMapError for columns of another length.
        """
        self.rows += len(uniq)
        return [self._density(columns, uniq), *self._distances(columns, len(uniq))]

    def finish(self) -> tuple[str, ...]:
        """What was left out, in sentences; raises SkyMapError if rows have no usable density."""
        for kind, count in self._counts.items():
            if count:
                reason = " (NaN)" if kind == "no finite" else ""
                raise SkyMapError(f"{self._rows(count)} {kind} {self.density_column}{reason}")
        if self._far:
            self._notes.append(f"{self._rows(self._far)} a distance that no source can have: it is left out")
        return tuple(self._notes)

    def _rows(self, count: int) -> str:
        return f"{count} of {self.rows} rows {'has' if count == 1 else 'have'}"

    def _density(self, columns: Mapping[str, npt.NDArray[Any]], uniq: IntArray) -> FloatArray:
        name = self.density_column
        density = columns[name].astype(np.float64)
        if density.shape != uniq.shape:
            raise SkyMapError(f"{name} column has {len(density)} values for {len(uniq)} pixels")
        unseen = _unseen(density)
        self.unseen += int(unseen.sum())
        wrong = {
            "no finite": np.isnan(density),
            "an infinite": np.isinf(density),
            "a negative": (density < 0) & ~unseen,
        }
        for kind, rows in wrong.items():
            self._counts[kind] += int(rows.sum())
        density[unseen] = 0.0
        return density if name == "PROBDENSITY" else np.asarray(density / pixel_area(uniq))

    def _distances(self, columns: Mapping[str, npt.NDArray[Any]], rows: int) -> list[FloatArray]:
        if self._scales is None:
            return []
        layers = [columns[name].astype(np.float64) for name in DISTANCE_COLUMNS]
        for name, layer in zip(DISTANCE_COLUMNS, layers, strict=True):
            if layer.shape != (rows,):
                raise SkyMapError(f"{name} column has {len(layer)} values for {rows} pixels")
        unseen = np.any([_unseen(layer) for layer in layers], axis=0)
        mu, sigma, norm = (layer * scale for layer, scale in zip(layers, self._scales, strict=True))
        present = np.isfinite(mu) & np.isfinite(sigma) & np.isfinite(norm) & (sigma > 0) & (norm >= 0) & ~unseen
        far = present & ~_possible(mu, sigma, norm, present)
        self._far += int(far.sum())
        absent = ~present | far
        return [np.where(absent, fill, layer) for layer, fill in zip((mu, sigma, norm), NO_DISTANCE, strict=True)]

    def _scales_of(self, units: Mapping[str, str]) -> list[float] | None:
        """Factors that turn the three columns into Mpc and Mpc⁻²; None, with a note, where a unit is no length."""
        scales: list[float] = []
        for name, power in DISTANCE_COLUMNS.items():
            text = units.get(name)
            # A norm whose unit is not stated goes with its column of distances.
            scale = scales[0] ** power if text is None and scales else _scale(text, power)
            if scale is None:
                self._notes.append(f"{name} is in {text!r:.40}, not a distance in Mpc: distances are left out")
                return None
            scales.append(scale)
        return scales


def _scale(text: str | None, power: int) -> float | None:
    """What a column in a unit is multiplied with for Mpc to a power; None if the unit is of another kind."""
    plain = "" if text is None else "".join(text.lower().split())
    if not plain or plain in (_LENGTHS if power == 1 else _INVERSE_SQUARES):
        return 1.0  # LVK's own
    from astropy import units

    try:
        return float(units.Unit(text).to(units.Mpc**power))
    except (ValueError, TypeError):
        return None


def _unseen(values: FloatArray) -> npt.NDArray[np.bool_]:
    return np.asarray(np.abs(values - UNSEEN) <= 1e-5 * -UNSEEN)


def _possible(
    mu: FloatArray, sigma: FloatArray, norm: FloatArray, present: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Which rows have a distance that a source can have, and the norm that belongs to it."""
    from scipy.special import erfcx

    possible = present & (mu <= MAX_DISTANCE_MPC) & (sigma <= MAX_DISTANCE_MPC) & (mu >= _MIN_RATIO * sigma)
    rows = np.flatnonzero(possible & (norm > 0))
    x, scale = mu[rows] / sigma[rows], sigma[rows]
    # ∫ r² N(r; μ, σ) dr over r > 0, over σ² and the normal density φ(x) at r = 0, in logarithms: φ underflows.
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        tail = (x**2 + 1) * np.sqrt(np.pi / 2) * erfcx(-x / np.sqrt(2)) + x
        log_moment = np.where(
            x > 20, np.log(x**2 + 1), np.log(tail) - 0.5 * x**2 - 0.5 * np.log(2 * np.pi)
        ) + 2 * np.log(scale)
        fits = np.abs(np.log(norm[rows]) + log_moment) <= np.log(_NORM_FACTOR)
    possible[rows] = fits | ~np.isfinite(log_moment)
    return np.asarray(possible)
