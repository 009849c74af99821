"""Nothing ages in the TOM: the Moon, airmass, and a request's way, tested again under other clocks."""

from __future__ import annotations

import sys

import pytest

from tests.services.faketime import run_at
from tests.services.fixtures import needs

#: What computes with the time of day: plots of the Moon and of airmass, and the window of a request.
AGES = [
    "tests/tom/test_moon.py",
    "tests/tom/test_airmass.py",
    "tests/tom/test_withdrawal.py::test_alert_to_request",
    "tests/tom/test_withdrawal.py::test_what_the_portal_refuses_is_shown",
]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("clock", ["+730d", "@2023-05-18 13:40:00"])
def test_at_another_time(clock: str) -> None:
    """Pages and requests work two years ahead, and at the time of an old event."""
    with needs("faketime"):
        done = run_at(clock, [sys.executable, "-m", "pytest", "-c", "tests/tom/pytest.ini", "-q", *AGES])
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
