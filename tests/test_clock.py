"""Nothing ages: what depends on the clock, tested again two years ahead and at the time of an old event."""

from __future__ import annotations

import sys

import pytest

from tests.services.faketime import run_at
from tests.services.fixtures import needs

#: Visibility, element sets, mission time and other conversions, credentials' ages, an event of the day to its products, and
#: windows: nights beside astroplan, whose tables age, the days after a notice, and the command that begins with now.
AGES = [
    "tests/science/test_visibility.py",
    "tests/adapters/test_orbits_and_pointing.py",
    "tests/notices/test_photometry.py",
    "tests/cli/test_event_of_today.py",
    "tests/science/test_windows.py::test_the_night_is_that_of_astroplan",
    "tests/science/test_windows.py::test_tables_and_picture_say_the_same_each_time",
    "tests/defs/test_observability.py::test_days_are_counted_from_the_notice",
    "tests/defs/test_observability.py::test_a_replay_gives_the_first_day",
    "tests/defs/test_observability.py::test_the_command_answers_for_any_night",
]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("clock", ["+730d", "@2017-08-17 12:45:00"])
def test_at_another_time(clock: str) -> None:
    """Every test of what can age passes, and none is skipped that is not skipped today, whatever the clock says."""
    # Plug-ins that no file of these needs, some of which take seconds to import.
    without = [word for name in ("cacheprovider", "xdist", "schemathesis", "zarr") for word in ("-p", f"no:{name}")]
    with needs("faketime"):
        done = run_at(
            clock,
            [sys.executable, "-m", "pytest", "-q", *without, *AGES],
        )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
