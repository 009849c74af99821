"""A MOC as FITS to sorted ranges of HEALPix cells, for regions that come from outside: bounded, and nothing is expanded.

A table of NUNIQ cells, as in IVOA MOC 1.1, or of ranges of the deepest order, as in MOC 2.0, section 4.3.1.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np

from mma_pipeline.science.arrays import IntArray
from mma_pipeline.science.healpix import MAX_ORDER, pixel_range29
from mma_pipeline.science.regions.moc_text import MOST_RANGES, merged
from mma_pipeline.science.skymaps.fits import SkyMapError


class MocError(ValueError):
    """A file is no MOC; the message says why."""


def ranges_of_fits(data: bytes) -> tuple[IntArray, IntArray]:
    """Sorted, disjoint half-open ranges of order-29 NESTED indices, begin and end, shape (M,) each.

    Raises MocError (a ValueError) for what is no MOC of the sky, or has more than 200,000 cells and ranges.
    """
    from astropy.io import fits

    # Compressed files are not unpacked: a small one may hold any number of bytes.
    if not data.startswith(b"SIMPLE"):
        raise MocError("the region is no FITS file")
    try:
        with fits.open(io.BytesIO(data), memmap=False) as hdus:
            header, values = _column(hdus, len(data))
    except MocError:
        raise
    except Exception as error:  # the reader raises whatever its parsers do
        raise MocError("the FITS file cannot be read") from error
    ordering = str(header.get("ORDERING", "NUNIQ")).strip()
    if str(header.get("MOCDIM", "SPACE")).strip() != "SPACE" or str(header.get("COORDSYS", "C")).strip() != "C":
        raise MocError("the MOC is not one of the sky in equatorial coordinates")
    return merged(_ranges(ordering, values))


def _column(hdus: Any, size: int) -> tuple[Mapping[str, Any], Any]:
    """Header and first column of the first plain table of a file with so many bytes."""
    from astropy.io import fits

    table = next((hdu for hdu in hdus[1:] if type(hdu) is fits.BinTableHDU), None)
    if table is None:
        raise MocError("the FITS file has no table")
    if table.header["NAXIS1"] * table.header["NAXIS2"] > size:
        raise MocError("the FITS file is cut short")
    return dict(table.header), np.asarray(table.data.field(0))


def _ranges(ordering: str, values: Any) -> IntArray:
    if values.dtype.kind not in "iu" or values.ndim != 1 or values.size > 2 * MOST_RANGES:
        raise MocError(f"a MOC is one column of at most {MOST_RANGES} cells or ranges")
    whole: IntArray = values.astype(np.int64)
    if ordering == "RANGE":
        found = whole[: whole.size // 2 * 2].reshape(-1, 2)
        if whole.size % 2 or (found[:, 0] < 0).any() or (found[:, 1] > 12 << (2 * MAX_ORDER)).any():
            raise MocError("the MOC has ranges that are none of the sky")
        if (found[:, 1] <= found[:, 0]).any():
            raise MocError("the MOC has ranges that end before they begin")
        return found
    if ordering != "NUNIQ" or whole.size > MOST_RANGES:
        raise MocError(f"a MOC of at most {MOST_RANGES} cells is ordered NUNIQ or RANGE, not {ordering[:20]!r}")
    try:
        return np.stack(pixel_range29(whole), axis=1)
    except SkyMapError as error:
        raise MocError("the MOC has cells that are none of the sky") from error
