"""Makes astropy use the packaged tables of the Earth's orientation and of leap seconds, whatever their age; reads them.

astropy refuses times once the packaged predictions are a month old, or fetches new ones: an old installation would fail, or
an alert would wait for a server. Some years after the end of the packaged tables, UT1 is wrong by less than a second, which
rotates the sky by less than 0.005 deg. Every module that uses astropy's times or coordinates calls this first.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

_MJD_EPOCH = date(1858, 11, 17)


@dataclass(frozen=True, slots=True)
class EarthOrientation:
    """How the Earth is turned at one time, and how old the table is that says so."""

    ut1_utc: float
    """UT1 - UTC, s."""
    pole: tuple[float, float]
    """Coordinates of the pole, arcsec."""
    measured_until: date
    """Last day that was measured; what comes after is predicted."""
    predicted_until: date
    """Last day of the table: beyond it the last value holds."""


def use_packaged_tables() -> None:
    """Make astropy download nothing, and accept tables of any age; beyond their end the last value is used."""
    from astropy.utils import iers

    iers.conf.auto_download = False
    iers.conf.auto_max_age = None
    iers.conf.iers_degraded_accuracy = "warn"


def orientation_at(time: datetime) -> EarthOrientation:
    """The Earth's orientation at a time (timezone-aware), from the packaged table of the IERS (finals2000A)."""
    use_packaged_tables()
    from astropy.utils import iers

    table = iers.IERS_Auto.open()
    utc = time.astimezone(UTC)
    mjd = (utc.date() - _MJD_EPOCH).days + (utc - utc.replace(hour=0, minute=0, second=0, microsecond=0)) / timedelta(
        days=1
    )
    # With a status asked for, a time outside the table gets the value at its edge in place of an error.
    ut1_utc, _ = table.ut1_utc(2400000.5, mjd, return_status=True)
    x, y, _ = table.pm_xy(2400000.5, mjd, return_status=True)
    return EarthOrientation(
        float(ut1_utc.to_value("s")),
        (float(x.to_value("arcsec")), float(y.to_value("arcsec"))),
        _MJD_EPOCH + timedelta(days=int(table.meta["predictive_mjd"]) - 1),
        _MJD_EPOCH + timedelta(days=int(table["MJD"][-1].value)),
    )
