"""Multi-order HEALPix sky maps: decoding, validation and the row-wise quantities that everything else uses.

Here: the `SkyMap` value and its conversion from FITS bytes. Not here: areas, contours, coverage, galaxies,
each in a module of its own; no files, no network, no clock.

A multi-order map lists pixels of different sizes by UNIQ = 4 · 4^order + ipix with ipix in the NESTED scheme
(Górski et al. 2005, ApJ 622 759; Singer & Price 2016, PRD 93 024013; IVOA MOC 2.0).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

MAX_ORDER = 29
#: Total probability may differ from one by this much before the map is refused; it is renormalised within.
NORMALISATION_TOLERANCE = 0.05
#: A decompressed map larger than this is refused: the largest real ones (Swift BAT) are about 13 MB, a flat map
#: of NSIDE 2048 with distances 805 MB.
MAX_DECODED_BYTES = 1_000_000_000
_GZIP_MAGIC = b"\x1f\x8b"


class SkyMapError(ValueError):
    """The bytes are not a usable sky map; the message says why in one sentence."""


@dataclass(frozen=True, eq=False)
class SkyMap:
    """A probability map on the sphere as rows of HEALPix pixels that tile the sky without overlap.

    All arrays have shape (N,) and share their order: ascending by position along the NESTED curve.
    """

    uniq: IntArray
    """UNIQ identifiers, 4 · 4^order + ipix (NESTED)."""
    probdensity: FloatArray
    """Probability per solid angle, sr⁻¹; integrates to one."""
    distmu: FloatArray | None = None
    """Location parameter of the distance ansatz, Mpc; may be infinite where the row carries no distance."""
    distsigma: FloatArray | None = None
    """Scale parameter of the distance ansatz, Mpc."""
    distnorm: FloatArray | None = None
    """Normalisation of the distance ansatz, Mpc⁻²."""
    meta: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """Header cards as written in the file (upper-case keyword to value)."""

    @cached_property
    def order(self) -> IntArray:
        """HEALPix order of each row, shape (N,)."""
        return uniq_to_order_ipix(self.uniq)[0]

    @cached_property
    def ipix(self) -> IntArray:
        """NESTED pixel index of each row at its own order, shape (N,)."""
        return uniq_to_order_ipix(self.uniq)[1]

    @cached_property
    def start29(self) -> IntArray:
        """First order-29 NESTED index inside each row, ascending, shape (N,)."""
        return self.ipix << (2 * (MAX_ORDER - self.order))

    @cached_property
    def area(self) -> FloatArray:
        """Solid angle of each row, sr, shape (N,)."""
        return np.asarray(np.pi / 3.0 / 4.0**self.order)

    @cached_property
    def prob(self) -> FloatArray:
        """Probability in each row, shape (N,), sums to one."""
        return np.asarray(self.probdensity * self.area)

    @property
    def is_3d(self) -> bool:
        """Whether the map carries distance layers."""
        return self.distmu is not None

    def row_of(self, index29: npt.NDArray[np.int64]) -> IntArray:
        """Row that holds each order-29 NESTED index; shape follows the input."""
        return np.asarray(np.searchsorted(self.start29, index29, side="right") - 1, dtype=np.int64)


def uniq_to_order_ipix(uniq: npt.ArrayLike) -> tuple[IntArray, IntArray]:
    """Split UNIQ into order and NESTED index, both of the input's shape (IVOA MOC 2.0, section 4.3.1).

    Raises SkyMapError for values below 4 or beyond order 29.
    """
    values = np.asarray(uniq, dtype=np.int64)
    if values.size and (values.min() < 4 or values.max() >= 16 * 4**MAX_ORDER):
        raise SkyMapError("UNIQ column holds values outside HEALPix orders 0 to 29")
    # frexp of an int64 is exact only to 53 bits; the high half decides for the large orders.
    high = values >> 32
    bits = np.where(high > 0, np.frexp(high.astype(float))[1] + 32, np.frexp((values & 0xFFFFFFFF).astype(float))[1])
    order = (bits.astype(np.int64) - 1) // 2 - 1
    ipix = values - (np.int64(4) << (2 * order))
    if values.size and (ipix >= (np.int64(12) << (2 * order))).any():
        raise SkyMapError("UNIQ column holds indices beyond 12 · 4^order")
    return order, ipix


def order_ipix_to_uniq(order: npt.ArrayLike, ipix: npt.ArrayLike) -> IntArray:
    """UNIQ from order and NESTED index, broadcast shape."""
    order = np.asarray(order, dtype=np.int64)
    return np.asarray((np.int64(4) << (2 * order)) + np.asarray(ipix, dtype=np.int64))
