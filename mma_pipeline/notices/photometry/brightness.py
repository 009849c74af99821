"""Brightness as sources write it: magnitudes with one or two errors, fluxes, and their magnitude systems.

One rule for all sources: from a signal-to-noise ratio of 3 a value is a detection, below it a limit of 5 times its noise.
ZTF's forced photometry is reported in this way (Masci et al. 2023, arXiv:2305.16279).
"""

from __future__ import annotations

import math
from typing import NamedTuple

from mma_pipeline.notices.errors import NoticeError

#: Smallest signal-to-noise ratio of a detection.
DETECTION_SNR = 3.0
#: Limit that replaces a weaker value, in units of its noise.
LIMIT_SNR = 5.0
#: Error of a magnitude times its signal-to-noise ratio, mag.
SNR_MAG = 2.5 / math.log(10)
#: AB magnitude of one unit of flux (Oke & Gunn 1983: 3631 Jy is magnitude zero).
ZERO_POINTS = {unit: 2.5 * math.log10(3631.0 / jansky) for unit, jansky in
               {"nJy": 1e-9, "uJy": 1e-6, "μJy": 1e-6, "µJy": 1e-6, "mJy": 1e-3, "Jy": 1.0}.items()}  # fmt: skip
#: Systems whose griz magnitudes are AB to 0.03 mag. SDSS's and Pan-STARRS1's own are AB by design.
_AB = {"", "ab", "abmag", "ab mag", "ab_mag", "sdss", "ps1", "pan-starrs", "panstarrs1", "ztf", "natural ab"}


class Brightness(NamedTuple):
    """A magnitude, or a limit."""

    magnitude: float
    """AB magnitude, or limiting magnitude."""
    error: float | None
    """One standard deviation, mag; None for a limit or where unknown."""
    upper_limit: bool


def is_weak(error: float | None, snr: float = DETECTION_SNR) -> bool:
    """Whether a magnitude with this error (mag, None if unknown) is below a signal-to-noise ratio."""
    return error is not None and error * snr > SNR_MAG


def of_flux(value: float, error: float | None, zero_point: float) -> Brightness:
    """Brightness of a flux with its standard deviation; `zero_point` is the AB magnitude of flux 1.

    A flux below DETECTION_SNR, a negative one too, becomes a limit. Raises NoticeError if that needs an error and
    there is none.
    """
    sigma = error if error is not None and error > 0 else None
    if sigma is not None and value < DETECTION_SNR * sigma:
        return Brightness(zero_point - 2.5 * math.log10(LIMIT_SNR * sigma), None, upper_limit=True)
    if value <= 0:
        raise NoticeError("a flux that is not positive has no magnitude, and without an error no limit")
    return Brightness(
        zero_point - 2.5 * math.log10(value), None if sigma is None else SNR_MAG * sigma / value, upper_limit=False
    )


def one_error(both: float | None, up: float | None, down: float | None) -> float | None:
    """One error from up to three (mag): the largest, so that no measurement is overrated; None without any.

    Zero and negative ones mean "unknown", except a lower error beside an upper one, to which some sources give its sign.
    """
    paired = up is not None and up > 0 and down is not None
    known = [e for e in (both, up, abs(down) if paired and down is not None else down) if e is not None and e > 0]
    return max(known, default=None)


def check_system(system: object) -> None:
    """Accept a magnitude system that is AB in griz, or None; raises NoticeError that names any other."""
    if system is None:
        return
    if not isinstance(system, str) or system.strip().lower() not in _AB:
        shown = str(system).strip()[:30]
        raise NoticeError(f"the magnitude is in the {shown} system, not AB")
