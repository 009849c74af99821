"""How often sensors tick."""

from __future__ import annotations

#: Seconds between two looks of Dagster's daemon for sensors that are due (`dagster._daemon.sensor.MIN_INTERVAL_LOOP_TIME`).
LOOK_S = 5


def every(seconds: int) -> int:
    """The `minimum_interval_seconds` of a sensor that ticks every so many seconds, a multiple of the daemon's 5 s.

    A second less: looks are 5 s apart but for some hundredths, and a sensor that was not quite due waits for the next look.
    With 5 s itself a sensor was seen to tick every 10 s.
    """
    if seconds % LOOK_S:
        raise ValueError(f"the daemon looks every {LOOK_S} s: {seconds} s is no multiple of that")
    return seconds - 1
