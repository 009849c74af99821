"""Times as sources write them, to MJD."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from .errors import NoticeError
from .fields import finite

_MJD_EPOCH = datetime(1858, 11, 17, tzinfo=UTC)
_JD_OF_MJD_ZERO = 2400000.5


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
    return number - _JD_OF_MJD_ZERO if number > 2_000_000 else number


def mjd_of_datetime(moment: datetime) -> float:
    """MJD in days (UTC) of a time with a zone, to a microsecond."""
    past = moment.astimezone(UTC) - _MJD_EPOCH
    return past.days + (past.seconds + past.microseconds / 1e6) / 86400.0


def datetime_of_mjd(mjd: float) -> datetime:
    """UTC time of an MJD in days."""
    return _MJD_EPOCH + timedelta(days=mjd)
