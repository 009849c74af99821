"""Flat HEALPix maps to rows: NESTED or RING, pixels implicit or listed; siblings with equal values become one row.

A map of NSIDE 2048 has 50 million pixels, nearly all of them copies of a coarser pixel's value. Where most pixels of
a whole-sky map are alike (zero outside an annulus), only the others are read, and the rest is covered by the largest
pixels that fit. Other maps are read and compacted a part of the sky at a time. Both ways give the same rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mma_pipeline.science.arrays import FloatArray, IntArray
from mma_pipeline.science.healpix import MAX_ORDER, order_ipix_to_uniq, rest_of_sky, uniq_to_order_ipix
from mma_pipeline.science.skymaps.fits import Columns, SkyMapError
from mma_pipeline.science.skymaps.values import RowValues

#: A part of the sky holds 4^this pixels, 262,144.
PART_ORDER = 9
#: At most this share of the pixels may differ from the commonest value for the short way.
_FEW = 1 / 16
_SAMPLES = 1023


def read_flat(columns: Columns, meta: Mapping[str, Any], reader: RowValues) -> tuple[IntArray, list[FloatArray]]:
    """UNIQ and values (density in sr⁻¹, distance layers if any) of a flat map's rows, compacted, in no order.

    Raises SkyMapError for columns and cards that are no flat map.
    """
    ordering = str(meta.get("ORDERING", "")).strip().upper()
    if ordering not in ("RING", "NESTED", "NEST"):
        raise SkyMapError("sky map has neither a UNIQ column nor an ORDERING of RING or NESTED")
    pixel = next((columns[name] for name in ("PIXEL", "PIX", "IPIX") if name in columns), None)
    length = columns.length(next(iter(columns))) if columns else 0
    nside = meta.get("NSIDE")
    if not isinstance(nside, int):
        nside = 0 if pixel is not None else round((length / 12) ** 0.5)
    order = nside.bit_length() - 1
    if nside < 1 or nside != 1 << order or order > MAX_ORDER:
        raise SkyMapError("NSIDE of the sky map is not a power of two between 1 and 2^29")
    ring = ordering == "RING"
    if pixel is None:
        if length != 12 * nside**2:
            raise SkyMapError(f"sky map of NSIDE {nside} must have {12 * nside**2} pixels, not {length}")
        return _whole_sky(columns, order, reader, ring=ring)
    if pixel.dtype != np.int64 or pixel.min() < 0 or pixel.max() >= 12 * nside**2:
        raise SkyMapError(f"sky map has pixel numbers outside NSIDE {nside}")
    if ring:
        import healpy

        pixel = np.asarray(healpy.ring2nest(nside, pixel), dtype=np.int64)
    uniq = order_ipix_to_uniq(order, pixel)
    return compact(uniq, reader.read(columns, uniq))


def _whole_sky(columns: Columns, order: int, reader: RowValues, *, ring: bool) -> tuple[IntArray, list[FloatArray]]:
    npix = 12 << (2 * order)
    wanted = [name for name in columns if name in reader.wanted]
    short = next((name for name in wanted if columns.length(name) != npix), None)
    if short is not None:
        raise SkyMapError(f"{short} column has {columns.length(short)} values for {npix} pixels")
    common = _common(columns, wanted, order)
    unlike = None if common is None else _unlike(columns, wanted, common[0], npix)
    if common is None or unlike is None:
        return _in_parts(columns, wanted, order, reader, ring=ring)
    reader.rows += npix - len(unlike)
    uniq, values = _in_parts(columns, wanted, order, reader, ring=ring, only=unlike)
    # Other bits may be the same value: -0, or another way to write that there is no distance.
    differs = np.any([value != same for value, same in zip(values, common[1], strict=True)], axis=0)
    uniq, values = uniq[differs], [value[differs] for value in values]
    rest = rest_of_sky(uniq)
    return _joined([(uniq, values), (rest, [np.full(len(rest), same[0]) for same in common[1]])])


def _common(columns: Columns, wanted: list[str], order: int) -> tuple[int, list[FloatArray]] | None:
    """A place that holds what most pixels hold, and what that reads as; None where it is not sound, or none is common."""
    npix = 12 << (2 * order)
    samples = np.linspace(0, npix - 1, min(_SAMPLES, npix)).astype(np.int64)
    sampled = np.stack([columns.some(name, samples) for name in wanted])
    _, where, counts = np.unique(sampled, axis=1, return_index=True, return_counts=True)
    common = int(samples[where[np.argmax(counts)]])
    trial = RowValues(columns, columns.units)
    here, finest = np.asarray([common]), order_ipix_to_uniq(order, np.zeros(1, dtype=np.int64))
    alike = trial.read({name: columns.some(name, here) for name in wanted}, finest)
    return (common, alike) if counts.max() >= (1 - 2 * _FEW) * len(samples) and trial.flawless else None


def _unlike(columns: Columns, wanted: list[str], common: int, npix: int) -> IntArray | None:
    """Places, in the file's order, of the pixels that hold something else; None if they are not few."""
    found = [columns.unlike(name, common) for name in wanted]
    if max(len(places) for places in found) > _FEW * npix:
        return None
    return found[0] if len(found) == 1 else np.unique(np.concatenate(found))


def _in_parts(
    columns: Columns, wanted: list[str], order: int, reader: RowValues, *, ring: bool, only: IntArray | None = None
) -> tuple[IntArray, list[FloatArray]]:
    """Rows of the whole sky, or of the pixels at some places of the columns, a part of the sky after the other."""
    nside, npix = 1 << order, 12 << (2 * order)
    places = pixels = only
    if only is not None and ring:
        import healpy

        pixels = np.asarray(healpy.ring2nest(nside, only), dtype=np.int64)
        by = np.argsort(pixels, kind="stable")
        pixels, places = pixels[by], only[by]
    # Parts are whole pixels of a coarser order, so that no sibling is in another part.
    size = 1 << (2 * min(order, PART_ORDER))
    parts: list[tuple[IntArray, list[FloatArray]]] = []
    for first in range(0, npix, size):
        if pixels is None or places is None:
            pixel = place = np.arange(first, first + size)
            if ring:
                import healpy

                place = np.asarray(healpy.nest2ring(nside, pixel), dtype=np.int64)
        else:
            some = slice(*np.searchsorted(pixels, [first, first + size]))
            pixel, place = pixels[some], places[some]
        uniq = order_ipix_to_uniq(order, pixel)
        if len(uniq) or not parts:
            parts.append(compact(uniq, reader.read({name: columns.some(name, place) for name in wanted}, uniq)))
    uniq, values = _joined(parts)
    # Parts that became one pixel each may be siblings in their turn.
    whole = uniq_to_order_ipix(uniq)[0] == order - min(order, PART_ORDER)
    if not whole.any() or order <= PART_ORDER:
        return uniq, values
    merged = compact(uniq[whole], [value[whole] for value in values])
    return _joined([(uniq[~whole], [value[~whole] for value in values]), merged])


def _joined(parts: list[tuple[IntArray, list[FloatArray]]]) -> tuple[IntArray, list[FloatArray]]:
    columns = zip(*(values for _, values in parts), strict=True)
    return np.concatenate([uniq for uniq, _ in parts]), [np.concatenate(column) for column in columns]


def compact(uniq: IntArray, values: list[FloatArray]) -> tuple[IntArray, list[FloatArray]]:
    """Merge four siblings with equal values into their parent, as often as possible; pixels of one order, shape (N,)."""
    order, ipix = uniq_to_order_ipix(uniq)
    if (ipix[1:] < ipix[:-1]).any():
        by = np.argsort(ipix, kind="stable")
        ipix, values = ipix[by], [value[by] for value in values]
    done: list[tuple[IntArray, list[FloatArray]]] = []
    level = int(order[0]) if len(order) else 0
    while level > 0 and len(ipix) >= 4:
        first = np.flatnonzero(ipix[:-3] % 4 == 0)
        first = first[ipix[first + 3] == ipix[first] + 3]
        for value in values:
            equal = (value[first] == value[first + 1]) & (value[first] == value[first + 2])
            first = first[equal & (value[first] == value[first + 3])]
        keep = np.ones(len(ipix), dtype=bool)
        for child in range(4):
            keep[first + child] = False
        done.append((order_ipix_to_uniq(level, ipix[keep]), [value[keep] for value in values]))
        ipix, values, level = ipix[first] // 4, [value[first] for value in values], level - 1
    done.append((order_ipix_to_uniq(level, ipix), values))
    merged = [np.concatenate([part[1][k] for part in done]) for k in range(len(values))]
    return np.concatenate([part[0] for part in done]), merged
