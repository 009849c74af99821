"""What rankings and vetting need of a galaxy catalog."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from mma_pipeline.science.arrays import FloatArray, IntArray


class Catalog(Protocol):
    """A galaxy catalog in order of its HEALPix index: arrays of shape (G,), memory-mapped or not; NaN where absent."""

    @property
    def index29(self) -> IntArray:
        """Order-29 NESTED index, ascending."""

    @property
    def ra(self) -> FloatArray:
        """Right ascension, deg."""

    @property
    def dec(self) -> FloatArray:
        """Declination, deg."""

    @property
    def distance(self) -> npt.NDArray[np.floating]:
        """Luminosity distance, Mpc."""

    @property
    def name(self) -> npt.NDArray[np.bytes_]:
        """Name, UTF-8."""

    def weight(self, kind: str) -> npt.NDArray[np.floating] | None:
        """Column `mass` (M☉) or `luminosity` (L☉); None if the catalog has none."""


class DescribedCatalog(Catalog, Protocol):
    """The same with what a host is described by."""

    @property
    def label(self) -> str:
        """Name of the catalog."""

    def optional(self, name: str) -> npt.NDArray[np.floating] | None:
        """Column `distance_error` (Mpc), `magnitude` (R or r) or `half_light` (arcsec), None if the catalog has none."""
