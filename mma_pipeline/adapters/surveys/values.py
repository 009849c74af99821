"""Readers of single values in survey packets: what is absent, NaN or a survey's sentinel becomes None.

Magnitudes and fluxes: the AB magnitude of 1 nJy is 31.4 exactly (-2.5 log10 f - 48.6 in cgs units, Oke & Gunn 1983),
as Rubin's data products and the brokers take it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.fields import finite
from mma_pipeline.notices.photometry.brightness import LIMIT_SNR, SNR_MAG
from mma_pipeline.notices.photometry.survey_points import NJY_ZERO_POINT
from mma_pipeline.notices.surveys import AlertHead, FluxPoint, Survey
from mma_pipeline.notices.times import JD_OF_MJD_ZERO, mjd_of_tai

#: ZTF writes what it does not know as -999 or -99999.
_SENTINEL = -900.0
#: 1900 to 2132 as MJD, as for every measurement.
_YEARS = (15020.0, 100000.0)
#: Magnitudes and zero points lie between the Sun's, far off, and what no telescope sees.
_MAGNITUDES = (-40.0, 60.0)
#: Fluxes and errors between the same, nJy.
_FLUXES = (1e-9, 1e20)
_NO_NAMES = ("", "null", "none", "nan", "unknown", "fail")


def number(value: object) -> float | None:
    """A finite number; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # Integers beyond the floats are damage.
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def known(value: object) -> float | None:
    """A number that is no sentinel of ZTF's (-999, -99999)."""
    found = number(value)
    return None if found is None or found <= _SENTINEL else found


def name_of(value: object) -> str | None:
    """A name as text; None where it is absent or a word for that."""
    text = value.strip() if isinstance(value, str) else ""
    return None if text.lower() in _NO_NAMES else text[:100]


def identifier(value: object) -> str | None:
    """A numeric id as its digits; None where absent, zero or negative, which surveys write for "none"."""
    if isinstance(value, str) and value.strip().isdigit():
        value = int(value)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def head_of(survey: Survey, object_id: object, alert_id: str | None, ra: object, dec: object, mjd: float) -> AlertHead:
    """A checked head; raises NoticeError where it has no name, or its position or time is none."""
    if not isinstance(object_id, str) or not 0 < len(object_id) <= 64:
        raise NoticeError(f"the alert names no object (it has {str(object_id)[:30]!r})")
    if alert_id is None:
        raise NoticeError("the alert names no detection")
    longitude, latitude = finite(ra, "ra"), finite(dec, "dec")
    if not (0 <= longitude <= 360 and -90 <= latitude <= 90):
        raise NoticeError(f"the position {longitude:g}, {latitude:g} is not on the sky")
    # NaN is neither above nor below.
    if not _YEARS[0] <= mjd <= _YEARS[1]:
        raise NoticeError(f"the time is {mjd:g}, not an MJD in days")
    return AlertHead(survey, object_id, alert_id, longitude % 360.0, latitude, mjd)


def mjd_of_jd(value: object) -> float:
    """MJD of a JD, both UTC; raises NoticeError."""
    return finite(value, "jd") - JD_OF_MJD_ZERO


def row_mjd(value: object) -> float | None:
    """MJD of a light curve's JD, both UTC; None where it is none, which spoils that point alone."""
    jd = number(value)
    return None if jd is None or not _YEARS[0] <= jd - JD_OF_MJD_ZERO <= _YEARS[1] else jd - JD_OF_MJD_ZERO


def mjd_of_tai_or_none(value: object) -> float | None:
    """MJD (UTC) of an MJD or JD in TAI; None where absent or before 2017, where this alert cannot be from."""
    if number(value) is None:
        return None
    try:
        return mjd_of_tai(value)
    except NoticeError:
        return None


def magnitude(value: object) -> float | None:
    """An AB magnitude or zero point that can be one; None for sentinels and anything else."""
    found = number(value)
    return found if found is not None and _MAGNITUDES[0] < found < _MAGNITUDES[1] else None


def njy(magnitude: float) -> float:
    """Flux of an AB magnitude (one that `magnitude` lets pass), nJy."""
    return float(10.0 ** (0.4 * (NJY_ZERO_POINT - magnitude)))


def magnitude_of(flux_njy: float) -> float:
    """AB magnitude of a positive flux in nJy."""
    return NJY_ZERO_POINT - 2.5 * math.log10(flux_njy)


def limit_of_error(error_njy: float | None) -> float | None:
    """The 5 sigma limit of an error in nJy, AB mag."""
    return None if error_njy is None or error_njy <= 0 else magnitude_of(LIMIT_SNR * error_njy)


def flux_of_magnitude(magnitude: float, error: float | None, *, negative: bool) -> tuple[float, float | None]:
    """Difference flux and its error in nJy of a magnitude of the difference and its error."""
    flux = njy(magnitude)
    return -flux if negative else flux, None if error is None or error <= 0 else flux * error / SNR_MAG


def by_time(points: Iterable[FluxPoint]) -> tuple[FluxPoint, ...]:
    """Points sorted by time and band, without those whose values are beyond any telescope's: damage, or a failed fit."""
    sound = (point for point in points if _is_sound(point))
    return tuple(sorted(sound, key=lambda point: (point.mjd, point.band, point.origin)))


def _is_sound(point: FluxPoint) -> bool:
    flux, error, limit = point.flux_njy, point.flux_error_njy, point.limit_mag
    return (
        (flux is None or abs(flux) < _FLUXES[1])
        and (error is None or _FLUXES[0] < error < _FLUXES[1])
        and (limit is None or _MAGNITUDES[0] < limit < _MAGNITUDES[1])
    )


def details_of(record: Mapping[str, Any], names: Iterable[str], prefix: str = "") -> dict[str, float | str | bool]:
    """Facts of a record under their own names, those that it has; sentinels are left out."""
    found: dict[str, float | str | bool] = {}
    for name in names:
        value = record.get(name)
        if isinstance(value, bool):
            found[prefix + name] = value
        elif isinstance(value, str):
            text = name_of(value)
            if text is not None:
                found[prefix + name] = text
        else:
            measured = known(value)
            if measured is not None:
                found[prefix + name] = measured
    return found


def frozen(details: Mapping[str, float | str | bool]) -> Mapping[str, float | str | bool]:
    """The same facts, which nobody changes."""
    return MappingProxyType(dict(details))


def rows(value: object) -> list[Mapping[str, Any]]:
    """The records of a list; none where it is absent."""
    return [row for row in value if isinstance(row, Mapping)] if isinstance(value, list) else []


def section(record: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """The record at a key, empty where absent."""
    value = record.get(key)
    return value if isinstance(value, Mapping) else {}
