"""MOCs as FITS against mocpy's own ranges."""

from __future__ import annotations

import io

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import Latitude, Longitude
from astropy.io import fits
from mocpy import MOC

from mma_pipeline.science.regions.moc_fits import MocError, ranges_of_fits


def packed(column: np.ndarray, **cards: object) -> bytes:
    """A FITS file with one column of numbers."""
    table = fits.BinTableHDU.from_columns([fits.Column("UNIQ", "K", array=column)])
    table.header.update(cards)
    buffer = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("text", ["cone", "0/11 1/0 29/3170534137668829183", "0/0-11"])
def test_ranges_are_those_of_mocpy(text: str) -> None:
    """The ranges of a MOC as mocpy writes it, by NUNIQ and by RANGE, are those that mocpy has."""
    if text == "cone":
        moc = MOC.from_cone(Longitude(120 * u.deg), Latitude(10 * u.deg), radius=20 * u.deg, max_depth=9)
    else:
        moc = MOC.from_string(text)
    ranges = moc.to_depth29_ranges.astype(np.int64)
    by_range = io.BytesIO()
    moc.serialize("fits").writeto(by_range)
    by_cell = packed(moc.uniq_hpx.astype(np.int64), ORDERING="NUNIQ", COORDSYS="C")
    for data in (by_range.getvalue(), by_cell, packed(ranges.ravel(), ORDERING="RANGE", MOCDIM="SPACE")):
        begin, end = ranges_of_fits(data)
        assert np.array_equal(np.stack([begin, end], axis=1), ranges)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x1f\x8b\x08",
        b"SIMPLE  =                    T",
        packed(np.array([1]), ORDERING="NUNIQ"),
        packed(np.array([0, 5, 9]), ORDERING="RANGE"),
        packed(np.array([5, 5]), ORDERING="RANGE"),
        packed(np.array([0, 1 << 62]), ORDERING="RANGE"),
        packed(np.array([4]), ORDERING="NUNIQ", COORDSYS="G"),
        packed(np.array([4]), MOCDIM="TIME"),
        packed(np.array([4]), ORDERING="RING"),
    ],
)
def test_what_is_no_moc_is_refused(data: bytes) -> None:
    """What is no MOC of the sky is one error."""
    with pytest.raises(MocError):
        ranges_of_fits(data)
