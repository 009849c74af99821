"""Photometric bands: accepted names, effective wavelengths and Galactic extinction coefficients.

Only griz enter the classifier, and J, H and K exclude an afterglow (`infrared`). The parsers accept other names and archive them as
sent, but the features leave them out, so a band that the model was not trained on changes nothing; `unused_bands` lists them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType

import numpy as np

from mma_pipeline.science.arrays import FloatArray

#: Bands of the classifier, in the order of every array axis called "band" in this package.
BANDS: tuple[str, ...] = ("g", "r", "i", "z")

#: Effective wavelengths in micrometres (Pan-STARRS1, Tonry et al. 2012, ApJ 750 99, table 4).
WAVELENGTH_UM: FloatArray = np.array([0.4866, 0.6215, 0.7545, 0.8679])

#: A_band / E(B-V) for R_V = 3.1 (Schlafly & Finkbeiner 2011, ApJ 737 103, table 6, Pan-STARRS1).
EXTINCTION: FloatArray = np.array([3.172, 2.271, 1.682, 1.322])

#: Names that accompany a band's letter (`ztfg`, `r_P1`, `swope2::r`, `g-Sloan`) -> whose spelling that is: sncosmo's
#: registry of bandpasses, TNS's list of filters, SVO's filter service (Facility/Instrument.band), or just the name of the
#: survey, telescope or camera. Only those whose griz are AB filters near the wavelengths above (DECam's z is 0.06 um
#: redder). Not here: ATLAS, GOTO, Gaia and BlackGEM, whose bands are wide; Bessell, Johnson and Cousins (Vega).
SURVEYS: Mapping[str, str] = MappingProxyType(
    {
        "ztf": "sncosmo (ztfg), TNS (g-ZTF)", "p48": "telescope (P48_R)", "p60": "telescope", "ptf": "survey",
        "iptf": "survey", "palomar": "SVO (Palomar/ZTF.g)", "sedm": "camera",
        "sdss": "sncosmo (sdssr)", "sloan": "TNS (g-Sloan), SVO (SLOAN/SDSS.r)",
        "ps1": "sncosmo (ps1::r), SVO (PAN-STARRS/PS1.r)", "p1": "Tonry et al. 2012 (r_P1)", "gpc1": "camera",
        "panstarrs": "survey", "pan": "survey, parted", "starrs": "survey, parted", "panstarrs1": "survey",
        "des": "sncosmo (desg)", "decam": "SVO (CTIO/DECam.r)", "ctio": "SVO", "blanco": "telescope",
        "lsst": "sncosmo (lsstr), SVO (LSST/LSST.r)", "rubin": "telescope", "lsstcam": "camera", "comcam": "camera",
        "lsstcomcam": "camera", "lco": "telescopes", "lcogt": "telescopes", "sinistro": "camera",
        "swope": "telescope", "swope2": "sncosmo (swope2::r)", "csp": "sncosmo (cspr)",
        "cfht": "SVO (CFHT/MegaCam.r)", "megacam": "SVO", "megacampsf": "sncosmo (megacampsf::r)",
        "hsc": "SVO (Subaru/HSC.r)", "subaru": "SVO", "skymapper": "SVO (SkyMapper/SkyMapper.r)",
        "keplercam": "sncosmo (keplercam::r)", "gmos": "camera", "gemini": "telescope", "grond": "camera",
        "lt": "telescope", "ioo": "camera", "alfosc": "camera", "efosc2": "camera", "ntt": "telescope",
        "nickel": "telescope", "thacher": "telescope", "ultracam": "camera", "hipercam": "camera", "muscat3": "camera",
    }
)  # fmt: skip

#: Names to which the rule above does not apply -> (band, origin of the name).
SPELLINGS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "gp": ("g", "LCO: SDSS g'"), "rp": ("r", "LCO: SDSS r'"), "ip": ("i", "LCO: SDSS i'"), "zp": ("z", "SDSS z'"),
        "zs": ("z", "LCO: Pan-STARRS z_s"), "zg": ("g", "ZTF at IPAC, filtercode"), "zr": ("r", "the same"),
        "zi": ("i", "the same"),
    }
)  # fmt: skip
#: Upper-case R and I are the Mould-like filters of PTF and ZTF's early releases; both lie within 0.02 um of r and i.
_MOULD = {"R": "r", "I": "i"}
_INFRARED = {"j": "J", "h": "H", "k": "K", "ks": "K"}
_PARTED = re.compile(r"[\s:_\-./|()]+")


@lru_cache(maxsize=4096)
def band_index(name: str) -> int:
    """Position of a band name in BANDS, or -1 where the classifier does not use it.

        A letter alone (`g`, `r'`, and PTF's `R`), one of SPELLINGS, or a letter beside names out of SURVEYS in any order,
    separated or joined: `ztfg`, `sdss_r`, `ps1::i`, `DECam-r`, `r_P1`, `SLOAN/SDSS.r`, `SDSSr'`, `P48_R`.
    """
    # A prime marks SDSS's filters, which makes no difference here.
    text = re.sub("['\"`´′’]", "", name).strip()
    if text in _MOULD:
        return BANDS.index(_MOULD[text])
    # A bare capital other than R and I is a Johnson, Gaia or infrared band (B, V, G, J, ...).
    if len(text) == 1 and text.isupper():
        return -1
    lowered = text.lower()
    if lowered in BANDS:
        return BANDS.index(lowered)
    if lowered in SPELLINGS:
        return BANDS.index(SPELLINGS[lowered][0])
    words = [word for word in _PARTED.split(lowered) if word]
    for place in (-1, 0) if words else ():
        others = words[:-1] if place else words[1:]
        letter = _letter(words[place], joined=not others)
        if letter is not None and all(word in SURVEYS for word in others):
            return BANDS.index(letter)
    return -1


def _letter(word: str, *, joined: bool) -> str | None:
    """The band that a lower-case word names: a letter, a spelling, or a survey and a letter."""
    if word in BANDS:
        return None if joined else word
    if word in SPELLINGS and not joined:
        return SPELLINGS[word][0]
    survey, last = (word[:-1], word[-1:]) if word[-1:] in BANDS else (word[:-2], SPELLINGS.get(word[-2:], ("",))[0])
    return last if survey in SURVEYS and last else None


def infrared_band(name: str) -> str | None:
    """J, H or K of a band's name, such as `Ks` or `2massj`; None for another. They are used beside i and z alone (`infrared`)."""
    return _INFRARED.get(name.strip().lower().removeprefix("2mass").lstrip(":_-. "))


def unused_bands(names: Iterable[str]) -> dict[str, int]:
    """Names that the score does not use, sorted, each with its number of measurements; J, H and K are used beside i or z."""
    counted = Counter(names)
    beside = any(band_index(name) >= BANDS.index("i") for name in counted)
    unused = (n for n in sorted(counted) if band_index(n) < 0 and not (beside and infrared_band(n)))
    return {name: counted[name] for name in unused}
