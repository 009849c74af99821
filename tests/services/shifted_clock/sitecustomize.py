"""Read by every Python that runs under libfaketime with this folder on PYTHONPATH.

libfaketime (0.9.10) moves the deadline that `time.sleep` gives the monotonic clock as if it were one of the wall
clock, and the system refuses the result (EINVAL). Waiting for nothing on no file is a relative sleep, which it lets be.
"""

import select
import time


def _sleep(seconds: float, /) -> None:
    if seconds < 0:
        raise ValueError("sleep length must be non-negative")
    select.select((), (), (), seconds)


time.sleep = _sleep
