"""Multi-order HEALPix sky maps: decoding, validation and the row-wise quantities that everything else uses.

Here: the `SkyMap` value and its conversion from FITS bytes. Not here: arithmetic of pixels (`science.healpix`), areas, contours, coverage, galaxies,
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

from mma_pipeline.science.arrays import FloatArray, IntArray
from mma_pipeline.science.healpix import MAX_ORDER, pixel_area, pixel_range29, rest_of_sky, uniq_to_order_ipix
from mma_pipeline.science.skymaps.fits import Columns, read_table, write_table
from mma_pipeline.science.skymaps.fits import SkyMapError as SkyMapError
from mma_pipeline.science.skymaps.flat_input import read_flat
from mma_pipeline.science.skymaps.values import NO_DISTANCE, RowValues

#: Total probability may differ from one by this much before the map is refused; it is renormalised within.
NORMALISATION_TOLERANCE = 0.05
#: Every real map seen lists the whole sky. Pixels that are left out count as zero only if the rest sums to one
#: this closely: then nothing was lost; otherwise rows are missing.
GAP_TOLERANCE = 1e-3
_MAX_GAP_PIXELS = 500_000


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
    """Header cards as written in the file (upper-case keyword to value), without those of the table's layout."""
    total: float = 1.0
    """Probability that the file summed to before it was normalised."""
    notes: tuple[str, ...] = ()
    """What the file holds and the map leaves out, in sentences."""

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


def decode_skymap(data: bytes) -> SkyMap:
    """Sky map from FITS bytes, plain or gzipped: multi-order (UNIQ), or flat in NESTED or RING order.

    The one way from bytes to a map: what one caller accepts, all do. Densities in sr⁻¹, distances in Mpc. Flat maps are
    compacted: siblings with equal values become one row. Pixels that were not observed (UNSEEN) hold nothing.
    Formats: IGWN Public Alerts User Guide, "Sky Maps"; HEALPix FITS conventions (Górski et al. 2005).
    Raises SkyMapError, with one sentence, when the bytes are no valid probability map of the sky.
    """
    columns, meta = read_table(data)
    if not _is_equatorial(meta.get("COORDSYS")):
        raise SkyMapError("sky map is not in equatorial coordinates (COORDSYS)")
    reader = RowValues(columns, columns.units)
    if "UNIQ" in columns:
        uniq = _read_uniq(columns)
        values = reader.read(columns, uniq)
    else:
        uniq, values = read_flat(columns, meta, reader)
    notes = reader.finish()
    uniq, values, end29 = _sort(uniq, values)
    start29 = pixel_range29(uniq)[0]
    if (start29[1:] < end29[:-1]).any():
        raise SkyMapError("sky map has pixels that overlap")

    total = float(np.sum(values[0] * pixel_area(uniq)))
    if total <= 0:
        raise SkyMapError("sky map holds no probability: its total is zero")
    whole = len(uniq) > 0 and start29[0] == 0 and end29[-1] == 12 << (2 * MAX_ORDER)
    whole = whole and bool((start29[1:] == end29[:-1]).all())
    gaps = np.empty(0, dtype=np.int64) if whole else rest_of_sky(uniq, _MAX_GAP_PIXELS)
    partial = len(gaps) > 0 or reader.unseen > 0
    if not abs(total - 1) <= (GAP_TOLERANCE if partial else NORMALISATION_TOLERANCE):
        hint = " and pixels are missing" if len(gaps) else " and pixels are not observed" if partial else ""
        raise SkyMapError(f"sky map does not sum to one: its total probability is {total:.6g}{hint}")
    if abs(total - 1) > 1e-12:  # closer, division would only stir the last digits and change the bytes
        values[0] = values[0] / total
    if len(gaps):
        fills = (0.0, *NO_DISTANCE)
        values = [np.concatenate([v, np.full(len(gaps), f)]) for v, f in zip(values, fills, strict=False)]
        uniq, values, _ = _sort(np.concatenate([uniq, gaps]), values)
    mu, sigma, norm = values[1:] if len(values) > 1 else (None, None, None)
    return SkyMap(uniq, values[0], mu, sigma, norm, meta=MappingProxyType(meta), total=total, notes=notes)


def encode_skymap(skymap: SkyMap) -> bytes:
    """Multi-order FITS bytes (not gzipped), rows by ascending UNIQ as LVK writes them; same map, same bytes."""
    rows = np.argsort(skymap.uniq, kind="stable")
    columns: list[tuple[str, npt.NDArray[Any], str]] = [
        ("UNIQ", skymap.uniq[rows], ""),
        ("PROBDENSITY", skymap.probdensity[rows], "sr-1"),
    ]
    layers = (skymap.distmu, skymap.distsigma, skymap.distnorm)
    for (name, unit), layer in zip(_DISTANCE_COLUMNS.items(), layers, strict=True):
        if layer is not None:
            columns.append((name, layer[rows], unit))
    cards = {k: v for k, v in skymap.meta.items() if k not in _PIXEL_CARDS}
    cards |= {"PIXTYPE": "HEALPIX", "ORDERING": "NUNIQ", "COORDSYS": "C", "INDXSCHM": "EXPLICIT"}
    return write_table(columns, cards | {"MOCORDER": int(skymap.order.max())})


#: COORDSYS of equatorial coordinates, ICRS or J2000, as senders spell it: whole, and how longer texts begin. E and G are
#: HEALPix's letters for ecliptic and galactic.
_EQUATORIAL = frozenset(("", "C", "Q", "EQ", "CEL", "RD"))
_EQUATORIAL_STEMS = ("EQU", "CELEST", "ICR", "RADEC", "J2000", "FK5", "GCRS")
_DISTANCE_COLUMNS = {"DISTMU": "Mpc", "DISTSIGMA": "Mpc", "DISTNORM": "Mpc-2"}
_PIXEL_CARDS = frozenset(("PIXTYPE", "ORDERING", "COORDSYS", "INDXSCHM", "MOCORDER", "NSIDE", "FIRSTPIX", "LASTPIX"))


def _is_equatorial(card: object) -> bool:
    text = "" if card is None else "".join(c for c in str(card).upper() if c.isalnum())
    return text in _EQUATORIAL or text.startswith(_EQUATORIAL_STEMS)


def _sort(uniq: IntArray, values: list[FloatArray]) -> tuple[IntArray, list[FloatArray], IntArray]:
    """Rows along the NESTED curve, and the end of each row's range."""
    start29, end29 = pixel_range29(uniq)
    rows = np.argsort(start29, kind="stable")
    return uniq[rows], [value[rows] for value in values], end29[rows]


def _read_uniq(columns: Columns) -> IntArray:
    """UNIQ of each row."""
    values = columns["UNIQ"]
    if values.dtype != np.int64:
        raise SkyMapError("UNIQ column is not an integer column")
    return values
