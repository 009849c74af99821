"""Makes astropy use the packaged tables of the Earth's orientation and of leap seconds, whatever their age.

astropy refuses times once the packaged predictions are a month old, or fetches new ones: an old installation fails, or
an alert waits for a server. With the packaged tables UT1 is off by less than a second some years after the last one,
which turns the sky by less than 0.005 deg. Every module that takes times or coordinates from astropy calls this first.
"""

from __future__ import annotations


def use_packaged_tables() -> None:
    """Let astropy download nothing and refuse no table for its age; beyond its end the last value holds."""
    from astropy.utils import iers

    iers.conf.auto_download = False
    iers.conf.auto_max_age = None
    iers.conf.iers_degraded_accuracy = "warn"
