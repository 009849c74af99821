"""Flat HEALPix maps for readers that know no multi-order maps, among them the GWTM site.

The layout is that of GraceDB's `*.fits.gz`: PROB and, with distance, DISTMU, DISTSIGMA, DISTNORM, NESTED, one row per
pixel, gzipped. The site's coverage calculator counts whole pixels, so pixels are as small as the map's rows as far as
a reader's memory allows. The file is written a part of the sky at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
from isal import isal_zlib

from mma_pipeline.science.arrays import FloatArray, IntArray
from mma_pipeline.science.healpix import order_ipix_to_uniq
from mma_pipeline.science.skymaps.credible import credible_areas
from mma_pipeline.science.skymaps.fits import write_table
from mma_pipeline.science.skymaps.model import SkyMap
from mma_pipeline.science.skymaps.values import NO_DISTANCE

#: HEALPix orders: never coarser than the first (NSIDE 128); as fine as the map's rows up to the second (NSIDE 1024); for
#: the sake of a tiny region up to the third with distance (NSIDE 2048), the fourth without (NSIDE 4096). Beyond NSIDE
#: 1024 values are 32-bit floats, so that no table is larger than 805 MB.
_ORDER_MIN, _ORDER_OWN, _ORDER_MAX_3D, _ORDER_MAX_2D = 7, 10, 11, 12
#: The 90 % area of the flat map should be that of the map within this.
AREA_TOLERANCE = 0.05
#: Where the finest flat map is off by more than this, its size buys nothing.
_USEFUL = 0.25
#: A part of the sky holds 4^this pixels, 262,144.
_PART_ORDER = 9
_PIXEL_CARDS = frozenset(("PIXTYPE", "ORDERING", "COORDSYS", "NSIDE", "INDXSCHM", "MOCORDER", "FIRSTPIX", "LASTPIX"))
_UNITS = {"PROB": "pix-1", "DISTMU": "Mpc", "DISTSIGMA": "Mpc", "DISTNORM": "Mpc-2"}


def flat_order(skymap: SkyMap) -> int:
    """HEALPix order for the flat map: that of the map's finest rows between 7 and 10 (NSIDE 128 to 1024).

    Where the 90 % area of such a flat map is off by 5 %, the next that keeps it, up to 11 with and 12 without distance; where none comes near, the first.
    """
    own = int(np.clip(skymap.order.max(), _ORDER_MIN, _ORDER_OWN))
    (area,) = credible_areas(skymap, (0.9,))
    last = _ORDER_MAX_3D if skymap.is_3d else _ORDER_MAX_2D
    off = 0.0
    for order in range(own, last + 1):
        off = abs(flat_area(skymap, order) / area - 1)
        if off < 0.9 * AREA_TOLERANCE:
            return order
    return last if off < _USEFUL else own


def flat_area(skymap: SkyMap, order: int, level: float = 0.9) -> float:
    """Area (deg²) of the smallest region of a level on the flat map of this order, without making that map."""
    fine = skymap.order > order
    parent, group = np.unique(skymap.start29[fine] >> (2 * (29 - order)), return_inverse=True)
    merged = np.bincount(group, skymap.prob[fine], minlength=len(parent)) / (np.pi / 3 / 4.0**order)
    uniq = np.concatenate([skymap.uniq[~fine], order_ipix_to_uniq(order, parent)])
    density = np.concatenate([skymap.probdensity[~fine], merged])
    flat = replace(skymap, uniq=uniq, probdensity=density, distmu=None, distsigma=None, distnorm=None)
    return credible_areas(flat, (level,))[0]


def flatten(skymap: SkyMap, order: int) -> dict[str, FloatArray]:
    """Column name to values (12 · 4^order,) in NESTED order: PROB, and DISTMU, DISTSIGMA (Mpc), DISTNORM (Mpc⁻²).

    Probability is conserved exactly. Where rows are finer than the pixels, the distance of a pixel has the mean and
    the variance of the probability-weighted mixture of its rows (Singer et al. 2016, ApJS 226 10).
    """
    parts = list(_parts(skymap, order))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _parts(skymap: SkyMap, order: int) -> Iterator[dict[str, FloatArray]]:
    """The columns of the flat map, a part of the sky after the other."""
    shift = 2 * (29 - order)
    fine = skymap.order > order
    layers = [layer for layer in (skymap.distmu, skymap.distsigma, skymap.distnorm) if layer is not None]
    parent = skymap.start29[fine] >> shift
    merged = _merge_distances(parent, skymap.prob[fine], layers[0][fine], layers[1][fine]) if layers else None
    fine_prob = skymap.prob[fine]
    coarse = np.flatnonzero(~fine)
    begin = skymap.start29[coarse] >> shift
    end = begin + (np.int64(1) << (2 * (order - skymap.order[coarse])))
    size = 1 << (2 * min(order, _PART_ORDER))
    for first in range(0, 12 << (2 * order), size):
        some = slice(*np.searchsorted(parent, [first, first + size]))
        prob = np.bincount(parent[some] - first, fine_prob[some], minlength=size).astype(float)
        here = slice(int(np.searchsorted(end, first, side="right")), int(np.searchsorted(begin, first + size)))
        low, high = np.maximum(begin[here], first), np.minimum(end[here], first + size)
        row: IntArray | int
        target: IntArray | slice
        if len(low) == 1 and high[0] - low[0] == size:  # one row fills the part
            row, target = int(coarse[here][0]), slice(None)
        else:
            row, target = np.repeat(coarse[here], high - low), _runs(low - first, high - low)
        prob[target] = skymap.probdensity[row] * (np.pi / 3 / 4.0**order)
        columns = {"PROB": prob}
        if merged is not None:
            inside = slice(*np.searchsorted(merged[0], [first, first + size]))
            for name, layer, values, empty in zip(_LAYERS, layers, merged[1:], NO_DISTANCE, strict=True):
                column = np.full(size, empty)
                column[target] = layer[row]
                column[merged[0][inside] - first] = values[inside]
                columns[name] = column
        yield columns


_LAYERS = ("DISTMU", "DISTSIGMA", "DISTNORM")


def encode_flat(skymap: SkyMap, order: int | None = None) -> bytes:
    """Gzipped FITS bytes of the flat map (order as flat_order says unless given); the same map gives the same bytes on the
    same kind of processor.

    Values are 64-bit floats up to NSIDE 1024, 32-bit beyond. Memory does not grow with the order.
    """
    order = flat_order(skymap) if order is None else order
    pixels = 12 << (2 * order)
    names = ["PROB", *(_LAYERS if skymap.is_3d else ())]
    kind: np.dtype[Any] = np.dtype(np.float64 if order <= _ORDER_OWN else np.float32)
    cards = {k: v for k, v in skymap.meta.items() if k not in _PIXEL_CARDS}
    cards |= {"PIXTYPE": "HEALPIX", "ORDERING": "NESTED", "COORDSYS": "C", "INDXSCHM": "IMPLICIT"}
    cards |= {"NSIDE": 1 << order, "FIRSTPIX": 0, "LASTPIX": pixels - 1}
    # Runs of equal rows deflate as well at a low level as at the highest. ISA-L takes an eighth of zlib's time at its lowest.
    stream = isal_zlib.compressobj(1, isal_zlib.DEFLATED, isal_zlib.MAX_WBITS | 16)
    out = [stream.compress(_header(names, kind, pixels, cards))]
    layout = np.dtype([(name, kind.newbyteorder(">")) for name in names])
    written = 0
    for columns in _parts(skymap, order):
        table = np.empty(len(columns["PROB"]), layout)
        for name in names:
            table[name] = columns[name]
        out.append(stream.compress(table.data))
        written += table.nbytes
    out.append(stream.compress(bytes(-written % 2880)))
    return b"".join([*out, stream.flush()])


def _header(names: list[str], kind: np.dtype[Any], pixels: int, cards: dict[str, object]) -> bytes:
    """The file up to the table's first row: that of a table of one row, with the number of rows put right."""
    body = write_table([(name, np.zeros(1, kind), _UNITS[name]) for name in names], cards)
    head = body[:-2880]  # one row is one block
    card = b"NAXIS2  = " + b"1".rjust(20)
    if head.count(card) != 1:
        raise ValueError("the header of a table of one row has no such NAXIS2 card")
    return head.replace(card, b"NAXIS2  = " + str(pixels).encode().rjust(20))


def probability_in_file(body: bytes) -> float:
    """Sum of PROB in a flat map's file, read a part at a time."""
    stream = isal_zlib.decompressobj(isal_zlib.MAX_WBITS | 16)
    kept, total, layout, left = b"", 0.0, None, 0
    data = body
    while data or not stream.eof:
        part = stream.decompress(data, 1 << 20)
        data = stream.unconsumed_tail
        if not part:
            break
        kept += part
        if layout is None:
            # The table's header ends where the second one does.
            ends = (k for k in range(80, len(kept), 80) if kept[k : k + 80].rstrip() == b"END")
            start = (next(islice(ends, 1, None)) // 2880 + 1) * 2880
            cards = {kept[k : k + 8].strip(): kept[k + 10 : k + 30] for k in range(2880, start, 80)}
            width, left = int(cards[b"NAXIS1"]), int(cards[b"NAXIS2"])
            form = ">f8" if b"D" in cards[b"TFORM1"] else ">f4"
            layout = np.dtype({"names": ["PROB"], "formats": [form], "offsets": [0], "itemsize": width})
            kept = kept[start:]
        rows = min(len(kept) // layout.itemsize, left)
        total += float(np.frombuffer(kept, layout, count=rows)["PROB"].sum(dtype=np.float64))
        left -= rows
        kept = kept[rows * layout.itemsize :] if left else b""
    if left:
        raise ValueError(f"flat map ends {left} rows too early")
    return total


def _runs(begin: IntArray, count: npt.NDArray[np.int64]) -> IntArray:
    """begin, begin + 1, … for each row, count of them, one after the other."""
    first = np.cumsum(count) - count
    return np.asarray(np.arange(int(count.sum())) + np.repeat(begin - first, count))


def _merge_distances(
    parent: IntArray, prob: FloatArray, mu: FloatArray, sigma: FloatArray
) -> tuple[IntArray, FloatArray, FloatArray, FloatArray]:
    """Pixel, DISTMU, DISTSIGMA, DISTNORM of the mixtures of rows that share a pixel; pixels without distance left out."""
    known = np.isfinite(mu) & (prob > 0)
    pixel, group = np.unique(parent[known], return_inverse=True)
    if not len(pixel):
        return pixel, np.empty(0), np.empty(0), np.empty(0)
    from ligo.skymap.distance import moments_to_parameters, parameters_to_moments

    mean, std, _ = parameters_to_moments(mu[known], sigma[known])
    weight = prob[known]
    total = np.bincount(group, weight)
    first = np.bincount(group, weight * mean) / total
    second = np.bincount(group, weight * (mean**2 + std**2)) / total
    merged = moments_to_parameters(first, np.sqrt(np.maximum(second - first**2, 0.0)))
    mu_of, sigma_of, norm_of = (np.asarray(values, dtype=np.float64) for values in merged)
    return pixel, mu_of, sigma_of, norm_of
