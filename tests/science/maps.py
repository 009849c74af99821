"""Sky maps for tests: real ones from ../shared, and closed-form ones of any order built without the code under test."""

from __future__ import annotations

import base64
import gzip
import io
import json
from functools import cache
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy_healpix import HEALPix

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
MISSING = f"no real maps: {SHARED / 'data'} is not there"


@cache
def real_maps() -> dict[str, bytes]:
    """FITS bytes of every distinct real map, by name; combined maps end in +ext. Empty when ../shared is missing."""
    maps: dict[str, bytes] = {}
    for path in sorted((SHARED / "data" / "gw_alerts").glob("*.json")):
        alert = json.loads(path.read_text())
        event, coincidence = alert.get("event") or {}, alert.get("external_coinc") or {}
        name = path.stem.split("Z")[0]
        if event.get("skymap"):
            maps[name] = base64.b64decode(event["skymap"])
        if coincidence.get("combined_skymap"):
            maps[name + "+ext"] = base64.b64decode(coincidence["combined_skymap"])
    for path in sorted((SHARED / "data" / "gw_maps").glob("*.fits*")):
        maps[path.name.split(".")[0]] = path.read_bytes()
    distinct = {body: name for name, body in reversed(maps.items())}
    return {name: body for name, body in maps.items() if distinct[body] == name}


#: Real maps that differ in kind: combined and of finest order 11, order 9, from samples, cWB without distance, coarse, flat.
#: What costs seconds a map (files of 12 million pixels) is asked of these.
KINDS = (
    "MS181101ab-ext-update+ext",
    "MS230425l-initial",
    "S230518h-INITIAL-2023-05-18T160718",
    "S240112e-PRELIMINARY-2024-01-12T010901",
    "S240114aj-PRELIMINARY-2024-01-14T230524",
    "GW170817_bayestar_flat_nside128",
)
#: 50 million pixels, which other tools take half a minute for. That every one of them is read rightly is tested once
#: (`test_skymap.py`); other tests compare with what tools make of the same map as rows.
LARGE = "GRB220617A_IPN_map_hpx"


@cache
def rows_for_tools(name: str) -> bytes:
    """Bytes of a real map, not gzipped, for the field's tools: as sent, but for the largest, which comes as rows."""
    from mma_pipeline.science.skymaps.model import decode_skymap, encode_skymap

    body = real_maps()[name]
    if name == LARGE:
        return encode_skymap(decode_skymap(body))
    return gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body


def table_bytes(columns: dict[str, np.ndarray], **cards: object) -> bytes:
    """FITS bytes of one binary table; columns of shape (rows, k) become vector columns."""
    formats = {"i": "K", "u": "K", "f": "D"}
    definitions = [
        fits.Column(
            name=name,
            array=values,
            format=(str(values.shape[1]) if values.ndim == 2 else "") + formats[values.dtype.kind],
        )
        for name, values in columns.items()
    ]
    hdu = fits.BinTableHDU.from_columns(definitions)
    for keyword, value in cards.items():
        hdu.header[keyword] = value
    buffer = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(buffer)
    return buffer.getvalue()


def gaussian_map(
    ra: float, dec: float, sigma: float, *, order: int = 11, coarse: int = 4, reach: float = 6.0
) -> tuple[np.ndarray, np.ndarray]:
    """UNIQ and PROBDENSITY (sr⁻¹) of a Fisher distribution of width sigma (deg) around ra, dec (deg).

    Pixels within reach·sigma of the centre are split down to order, all others stay as coarse as they can; the
    density is exact at pixel centres. For small sigma the p credible area is -2πσ² ln(1-p).
    """
    concentration = np.radians(sigma) ** -2
    axis = _unit(np.radians(ra), np.radians(dec))
    pixels = np.arange(12 * 4**coarse)
    uniq, density = [], []
    for level in range(coarse, order + 1):
        centre = HEALPix(2**level, "nested").healpix_to_lonlat(pixels)
        chord2 = ((_unit(centre[0].rad, centre[1].rad) - axis[:, None]) ** 2).sum(axis=0)
        near = np.sqrt(chord2) < np.radians(reach * sigma) + 2.0 * np.radians(60 / 2**level)
        split = near if level < order else np.zeros(len(pixels), bool)
        uniq.append(4 * 4**level + pixels[~split])
        density.append(np.exp(-0.5 * concentration * chord2[~split]))
        pixels = (4 * pixels[split][:, None] + np.arange(4)).ravel()
    u, d = np.concatenate(uniq), np.concatenate(density)
    area = np.pi / 3 / 4.0 ** np.floor(np.log2(u // 4) / 2)
    return u, d / np.sum(d * area)


def _unit(lon: np.ndarray | float, lat: np.ndarray | float) -> np.ndarray:
    return np.asarray([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
