"""Makes astropy use the packaged tables of the Earth's orientation and of leap seconds, whatever their age.

astropy refuses times once the packaged predictions are a month old, or fetches new ones: an old installation would fail, or
an alert would wait for a server. Some years after the end of the packaged tables, UT1 is wrong by less than a second, which
rotates the sky by less than 0.005 deg. Every module that uses astropy's times or coordinates calls this first.
"""

from __future__ import annotations


def use_packaged_tables() -> None:
    """Make astropy download nothing, and accept tables of any age; beyond their end the last value is used."""
    from astropy.utils import iers

    iers.conf.auto_download = False
    iers.conf.auto_max_age = None
    iers.conf.iers_degraded_accuracy = "warn"
