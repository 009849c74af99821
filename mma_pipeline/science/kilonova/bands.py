"""Photometric bands: accepted names, effective wavelengths and Galactic extinction coefficients.

Only griz enter the classifier. Other names are accepted by the parsers, archived as they came and left out of
the features, so a band that the model never saw changes nothing.
"""

from __future__ import annotations

import numpy as np

from mma_pipeline.science.skymap import FloatArray

#: Bands of the classifier, in the order of every array axis called "band" in this package.
BANDS: tuple[str, ...] = ("g", "r", "i", "z")

#: Effective wavelengths in micrometres (Pan-STARRS1, Tonry et al. 2012, ApJ 750 99, table 4).
WAVELENGTH_UM: FloatArray = np.array([0.4866, 0.6215, 0.7545, 0.8679])

#: A_band / E(B-V) for R_V = 3.1 (Schlafly & Finkbeiner 2011, ApJ 737 103, table 6, Pan-STARRS1).
EXTINCTION: FloatArray = np.array([3.172, 2.271, 1.682, 1.322])

_PREFIXES = ("ztf", "sdss", "ps1", "panstarrs", "des", "decam", "lsst", "lco", "atlas", "goto", "cfht", "skymapper")
#: Upper-case R and I are the Mould-like filters of PTF and ZTF's early releases; both lie within 0.02 um of r and i.
_ALIASES = {"R": "r", "I": "i"}


def band_index(name: str) -> int:
    """Position of a band name in BANDS, or -1 where the classifier does not use it.

    Accepts survey prefixes and primes: `g`, `g'`, `ztfg`, `sdss_r`, `ps1::i`, `DECam-z`, `SDSSr'`, `R`, `zp`.
    """
    text = name.strip()
    if text in _ALIASES:
        return BANDS.index(_ALIASES[text])
    lowered = text.lower().replace("'", "").replace('"', "")
    for prefix in _PREFIXES:
        if lowered.startswith(prefix) and len(lowered) > len(prefix):
            lowered = lowered[len(prefix) :].lstrip(":_- .")
            break
    if text and text[-1] in _ALIASES and lowered == text[-1].lower():
        return BANDS.index(lowered)
    if len(lowered) == 2 and lowered[1] == "p":
        lowered = lowered[0]
    # A bare capital other than R and I is a Johnson or infrared band (B, V, J, ...), not griz.
    if len(text) == 1 and text.isupper():
        return -1
    return BANDS.index(lowered) if lowered in BANDS else -1
