"""The first binary table of a FITS file held in memory, read with bounds for input that nobody vouches for.

Here: gunzip with a size limit, table columns as native float64/int64 arrays, scientific header cards, and writing
a table with the same bytes every time. Not here: what the columns mean (values.py, flat_input.py).
"""

from __future__ import annotations

import gzip
import io
import re
import warnings
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

#: A map larger than this, decompressed, is refused everywhere, at ingest as by the products: what a few kilobytes of gzip
#: can grow to must not take the memory of the stream's reader. The largest real multi-order maps (Swift BAT) are about
#: 13 MB, a flat map of NSIDE 2048 without distances 402 MB.
MAX_DECODED_BYTES = 500_000_000
#: Layers of gzip around a map that are taken off: some senders compress what already was.
_MAX_LAYERS = 4
#: Cards that change what a column's bytes mean.
_SCALED = ("TSCAL", "TZERO")
_GZIP_MAGIC = b"\x1f\x8b"
#: Bytes of gzip that are decompressed at once, bytes that come of it at once, and values that are compared at once: memory
#: is that of the decompressed map and of one such part.
_STEP, _PART, _AT_ONCE = 1 << 16, 1 << 20, 1 << 18
_STRUCTURAL = re.compile(
    r"XTENSION|SIMPLE|EXTEND|BITPIX|NAXIS\d*|PCOUNT|GCOUNT|TFIELDS|T(TYPE|FORM|UNIT|NULL|SCAL|ZERO|DISP|DIM|COMM)\d+"
    r"|CHECKSUM|DATASUM|COMMENT|HISTORY|END|"
)


class Columns(Mapping[str, npt.NDArray[Any]]):
    """Numeric columns of a table by upper-case name: views of the file's own bytes, converted when asked for.

    A column as a whole, or some of its values, comes as a 1-D int64 or float64 array; vector columns are unrolled.
    """

    def __init__(self, views: Mapping[str, npt.NDArray[Any]], units: Mapping[str, str] | None = None) -> None:
        self._views = dict(views)
        #: Unit of a column as written, by name; without those that state none.
        self.units: Mapping[str, str] = dict(units or {})

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        return _native(self._views[name].ravel())

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def __contains__(self, name: object) -> bool:
        return name in self._views  # the default would convert the column to find out

    def __len__(self) -> int:
        return len(self._views)

    def length(self, name: str) -> int:
        """Number of values in a column."""
        return int(self._views[name].size)

    def some(self, name: str, places: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """Values of a column at some places of the unrolled column, shape of `places`."""
        view = self._views[name]
        width = view.shape[1] if view.ndim > 1 else 1
        return _native(view[places] if view.ndim == 1 else view[places // width, places % width])

    def unlike(self, name: str, place: int) -> npt.NDArray[np.int64]:
        """Places (ascending) in the unrolled column whose value is not, bit for bit, the one at `place`."""
        bits = self._views[name].view(f"u{self._views[name].dtype.itemsize}")
        width = bits.shape[1] if bits.ndim > 1 else 1
        at = bits[place // width, place % width] if bits.ndim > 1 else bits[place]
        rows = max(_AT_ONCE // width, 1)
        found = [
            np.flatnonzero((bits[first : first + rows] != at).ravel()) + first * width
            for first in range(0, len(bits), rows)
        ]
        return np.concatenate(found).astype(np.int64)


def _native(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return values.astype(np.int64 if values.dtype.kind in "iu" else np.float64)


class SkyMapError(ValueError):
    """The bytes are not a usable sky map; the message says why in one sentence."""


def gunzip(data: bytes, limit: int = MAX_DECODED_BYTES) -> bytes:
    """Decompress gzip bytes (any number of members, up to four layers) to at most limit bytes; other bytes come back.

    Raises SkyMapError when a stream is damaged or truncated, or there are more bytes or layers.
    """
    for _ in range(_MAX_LAYERS):
        if not data.startswith(_GZIP_MAGIC):
            break
        data = _gunzip_once(data, limit)
    if data.startswith(_GZIP_MAGIC):
        raise SkyMapError(f"sky map is gzipped more than {_MAX_LAYERS} times")
    if len(data) > limit:
        raise SkyMapError(_too_large(limit))
    return data


def _gunzip_once(data: bytes, limit: int) -> bytes:
    out = io.BytesIO()  # grows in place and hands its bytes over: the map is never in memory twice
    while data.startswith(_GZIP_MAGIC):
        stream = zlib.decompressobj(wbits=31)
        read = 0
        while not stream.eof:
            if read >= len(data):
                raise SkyMapError("gzip data of the sky map is truncated")
            part, read = data[read : read + _STEP], read + _STEP
            while part and not stream.eof:
                try:
                    out.write(stream.decompress(part, _PART))
                except zlib.error as error:
                    raise SkyMapError("gzip data of the sky map is damaged") from error
                if out.tell() > limit:
                    raise SkyMapError(_too_large(limit))
                part = stream.unconsumed_tail
        data = stream.unused_data + data[read:]
    return out.getvalue()


def _too_large(limit: int) -> str:
    return f"sky map is larger than {limit / 1e6:.0f} MB when decompressed"


def gzip_bytes(data: bytes, level: int = 6) -> bytes:
    """Gzip with neither time nor name in its header, so that equal input gives equal bytes."""
    return gzip.compress(data, compresslevel=level, mtime=0)


def read_table(data: bytes) -> tuple[Columns, dict[str, Any]]:
    """First binary table of FITS bytes (plain or gzipped): upper-case column name to 1-D array, and header cards.

    Vector columns such as 1024E are unrolled. Integers come as int64, floating-point numbers as float64, when they are
    asked for; columns of other types are left out. Header cards leave out those that describe the table's layout.
    Raises SkyMapError when there is no such table or it is truncated.
    """
    from astropy.io import fits

    raw = gunzip(data)
    if not raw.startswith(b"SIMPLE  ="):
        raise SkyMapError("sky map is not FITS" if raw else "sky map is empty")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            # lazily: only the headers that are needed are parsed, and nothing is read beyond the first table
            with fits.open(io.BytesIO(raw), mode="readonly", memmap=False, lazy_load_hdus=True) as hdus:
                for index in range(64):
                    try:
                        hdu = hdus[index]
                    except IndexError:
                        break
                    if isinstance(hdu, fits.BinTableHDU):
                        return _columns(hdu, raw), _cards(hdu.header)
        except SkyMapError:
            raise
        except (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError, fits.VerifyError) as error:
            raise SkyMapError("sky map is damaged or truncated FITS") from error
    raise SkyMapError("sky map holds no binary table (damaged, truncated, or another kind of FITS file)")


def _columns(hdu: Any, raw: bytes) -> Columns:
    """Numeric columns of a BinTableHDU in a file of these bytes."""
    header, start = hdu.header, hdu.fileinfo()["datLoc"]
    if start + header["NAXIS1"] * header["NAXIS2"] > len(raw):
        raise SkyMapError("sky map is truncated: its table is shorter than the header says")
    if header["NAXIS2"] == 0:
        raise SkyMapError("sky map is empty: its table has no rows")
    layout = hdu.columns.dtype.newbyteorder(">")
    # Where the layout is not plain, the library's own reading decides.
    plain = layout.itemsize == header["NAXIS1"] and not any(f"{k}{i}" in header for k in _SCALED for i in range(1, 100))
    table = np.frombuffer(raw, layout, count=header["NAXIS2"], offset=start) if plain else hdu.data
    views: dict[str, npt.NDArray[Any]] = {}
    units: dict[str, str] = {}
    for definition in hdu.columns:
        if re.fullmatch(r"\d*([BIJKED])", definition.format.upper()) is not None:
            views[definition.name.upper()] = np.asarray(table[definition.name])
            if definition.unit:
                units[definition.name.upper()] = str(definition.unit)
    return Columns(views, units)


def _cards(header: Any) -> dict[str, Any]:
    """Header cards that say something about the source, keyword to plain value."""
    cards: dict[str, Any] = {}
    for card in header.cards:
        if not _STRUCTURAL.fullmatch(card.keyword) and isinstance(card.value, (bool, int, float, str)):
            cards[card.keyword.upper()] = card.value
    for keyword in ("COMMENT", "HISTORY"):
        if keyword in header:
            cards[keyword] = "\n".join(str(line) for line in header[keyword])
    return cards


def write_table(
    columns: Sequence[tuple[str, npt.NDArray[Any], str]], cards: Mapping[str, Any], row_width: int = 1
) -> bytes:
    """FITS bytes of one binary table from (name, values, unit) triples and header cards, the same every time.

    Columns are int64, float64 or float32 of equal length; row_width values share a table row (1024 is HEALPix custom).
    """
    from astropy.io import fits

    formats = {"i8": "K", "f8": "D", "f4": "E"}
    vector = str(row_width) if row_width > 1 else ""
    table = fits.BinTableHDU.from_columns(
        [
            fits.Column(
                name=name,
                array=values.reshape(-1, row_width) if row_width > 1 else values,
                format=vector + formats[values.dtype.str[1:]],
                unit=unit or None,
            )
            for name, values, unit in columns
        ]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # HIERARCH and CONTINUE cards of long source keywords and texts
        for keyword, value in cards.items():
            if keyword in ("COMMENT", "HISTORY"):
                for line in str(value).splitlines():
                    table.header.add_comment(line) if keyword == "COMMENT" else table.header.add_history(line)
            else:
                table.header[keyword] = value
        buffer = io.BytesIO()
        fits.HDUList([fits.PrimaryHDU(), table]).writeto(buffer)
    return buffer.getvalue()
