"""Observing runs of LIGO, Virgo and KAGRA: when they began and ended.

Sources: for O1 to O4b the data releases of the Gravitational Wave Open Science Center, which give both moments in GPS
seconds (https://gwosc.org/O4/O4a, https://gwosc.org/O4/O4b and the pages of the earlier runs); O4c began with the end of
O4b and ended on 2025-11-18 at 16:00 UTC (https://blog.gravityspy.org, November 2025; the end planned in
https://ligo.org/?p=4062). Engineering runs belong to none. What begins after O4 is on https://observing.docs.ligo.org/plan/.
"""

from __future__ import annotations

from datetime import UTC, datetime

from mma_pipeline.notices.errors import NoticeError

#: Name -> first and last moment, UTC; None if the run had not ended when this was written.
OBSERVING_RUNS: dict[str, tuple[datetime, datetime | None]] = {
    "O1": (datetime(2015, 9, 12, tzinfo=UTC), datetime(2016, 1, 19, 16, tzinfo=UTC)),
    "O2": (datetime(2016, 11, 30, 16, tzinfo=UTC), datetime(2017, 8, 25, 22, tzinfo=UTC)),
    "O3a": (datetime(2019, 4, 1, 15, tzinfo=UTC), datetime(2019, 10, 1, 15, tzinfo=UTC)),
    "O3b": (datetime(2019, 11, 1, 15, tzinfo=UTC), datetime(2020, 3, 27, 17, tzinfo=UTC)),
    "O4a": (datetime(2023, 5, 24, 15, tzinfo=UTC), datetime(2024, 1, 16, 16, tzinfo=UTC)),
    "O4b": (datetime(2024, 4, 10, 15, tzinfo=UTC), datetime(2025, 1, 28, 17, tzinfo=UTC)),
    "O4c": (datetime(2025, 1, 28, 17, tzinfo=UTC), datetime(2025, 11, 18, 16, tzinfo=UTC)),
}


def observing_run(name: str) -> tuple[datetime, datetime | None]:
    """First and last moment (UTC) of a run, or of its parts together (`O4`); raises NoticeError for an unknown name."""
    wanted = name.strip().casefold()
    parts = [times for run, times in OBSERVING_RUNS.items() if run.casefold().rstrip("abc") == wanted.rstrip("abc")]
    exact = [times for run, times in OBSERVING_RUNS.items() if run.casefold() == wanted]
    chosen = exact or (parts if wanted.rstrip("abc") == wanted else [])
    if not chosen:
        raise NoticeError(f"{name!r} is not an observing run: give one of {', '.join(OBSERVING_RUNS)}, or times")
    return chosen[0][0], chosen[-1][1]
