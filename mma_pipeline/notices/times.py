"""Times as sources write them, to MJD, and the units of time that all code shares."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.fields import finite

#: Seconds in a day; days and seconds in a year of 365.25 days.
DAY_S = 86400.0
YEAR_DAYS = 365.25
YEAR_S = YEAR_DAYS * DAY_S
#: Julian date at which MJD is zero.
JD_OF_MJD_ZERO = 2400000.5
_MJD_EPOCH = datetime(1858, 11, 17, tzinfo=UTC)
#: TAI - UTC in seconds since 1 January 2017, MJD 57754 (IERS Bulletin C 52). None has been announced since,
#: and leap seconds end by 2035 (CGPM 2022, resolution 4).
_TAI_S, _TAI_SINCE_MJD = 37.0, 57754.0


def mjd_of(value: object) -> float:
    """MJD in days (UTC) of an MJD, a JD or an ISO 8601 time, as number or text; raises NoticeError otherwise."""
    if isinstance(value, str):
        text = value.strip()
        try:
            value = float(text)
        except ValueError:
            try:
                moment = datetime.fromisoformat(text)
            except ValueError as error:
                raise NoticeError(f"{text[:40]!r} is not a time: MJD, JD or ISO 8601") from error
            return mjd_of_datetime(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    number = finite(value, "time")
    return number - JD_OF_MJD_ZERO if number > 2_000_000 else number


def mjd_of_tai(value: object) -> float:
    """MJD in days (UTC) of an MJD or JD in TAI, as Rubin's `midpointMjdTai`; raises NoticeError before 2017."""
    mjd = mjd_of(value) - _TAI_S / DAY_S
    if mjd < _TAI_SINCE_MJD:
        raise NoticeError(f"a time in TAI is read from MJD {_TAI_SINCE_MJD:.0f} on (37 s ahead of UTC), not {mjd:g}")
    return mjd


def mjd_of_datetime(moment: datetime) -> float:
    """MJD in days (UTC) of a time with a zone, to a microsecond."""
    past = moment.astimezone(UTC) - _MJD_EPOCH
    return past.days + (past.seconds + past.microseconds / 1e6) / DAY_S


def datetime_of_mjd(mjd: float) -> datetime:
    """UTC time of an MJD in days."""
    return _MJD_EPOCH + timedelta(days=mjd)
