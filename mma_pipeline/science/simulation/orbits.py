"""Invented orbital elements of Fermi: its inclination and height, at a phase that the seed decides."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np

#: Catalog number of Fermi, under which its elements are looked for.
NORAD_ID = 33053
_INCLINATION_DEG, _REVOLUTIONS_A_DAY = 25.58, 15.17


def simulate_elements(epoch: datetime, *, seed: int) -> str:
    """A two-line element set of an epoch (UTC), with checksums; the same arguments give the same lines.

    Format: NORAD two-line elements as in Hoots & Roehrich 1980 (Spacetrack Report 3).
    """
    rng = np.random.default_rng(seed)
    node, perigee, anomaly = rng.uniform(0, 360, 3)
    day = 1 + (epoch - datetime(epoch.year, 1, 1, tzinfo=UTC)).total_seconds() / 86_400
    first = f"1 {NORAD_ID}U 08029A   {epoch:%y}{day:012.8f}  .00003000  00000-0  14000-3 0  999"
    second = (
        f"2 {NORAD_ID} {_INCLINATION_DEG:8.4f} {node:8.4f} 0010000 {perigee:8.4f} {anomaly:8.4f} "
        f"{_REVOLUTIONS_A_DAY:11.8f}{1:5d}"
    )
    return "".join(f"{line}{_checksum(line)}\n" for line in (first, second))


def _checksum(line: str) -> int:
    """Digits summed, a minus sign counting one, modulo ten."""
    return sum(int(c) if c.isdigit() else c == "-" for c in line) % 10
