"""How often sensors tick: by the looks of Dagster's daemon, which come every five seconds."""

from __future__ import annotations

import pytest
from dagster._daemon.sensor import MIN_INTERVAL_LOOP_TIME

from mma_pipeline.definitions import defs
from mma_pipeline.defs.ticks import LOOK_S, every


def test_the_daemon_looks_as_often_as_we_believe() -> None:
    """The seconds between two looks are Dagster's own."""
    assert LOOK_S == MIN_INTERVAL_LOOP_TIME


def test_no_sensor_just_misses_a_look() -> None:
    """A sensor whose interval is a multiple of the daemon's ticks at every other look only: none has such a one below a minute."""
    found = {sensor.name: sensor.minimum_interval_seconds or 0 for sensor in defs.sensors or ()}
    assert len(found) >= 10
    assert {name: seconds for name, seconds in found.items() if 0 < seconds <= 60 and seconds % LOOK_S == 0} == {}


def test_an_interval_between_two_looks_is_refused() -> None:
    """What no daemon can keep is an error, and what it can is a second less."""
    assert every(30) == 29
    with pytest.raises(ValueError, match="no multiple"):
        every(12)
