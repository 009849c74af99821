"""What a pair of events costs, beside the same quantities as observers get them today.

One JSON line per figure, CPU milliseconds on one thread, the least of ten: the overlap of two multi-order maps of 20,000
rows beside the sum over both maps written out at the finest order, the chance of background, and the combined map.

    PYTHONPATH=. python benchmarks/coincidences.py
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np

from mma_pipeline.science.coincidence.chance import background_overlaps
from mma_pipeline.science.coincidence.combined import combined_map
from mma_pipeline.science.coincidence.overlap import overlap_integral
from mma_pipeline.science.simulation.alerts import MapSpec, simulate_skymap
from mma_pipeline.science.skymaps.model import SkyMap


def _cpu_ms(work: Callable[[], object], times: int = 10) -> float:
    work()
    found = []
    for _ in range(times):
        started = time.process_time()
        work()
        found.append(time.process_time() - started)
    return 1e3 * min(found)


def _flat(m: SkyMap, order: int) -> np.ndarray:
    """The map's density at every pixel of an order."""
    return np.repeat(m.probdensity, 4 ** (order - m.order))


def main() -> None:
    """Print the figures."""
    when = datetime(2026, 1, 1, tzinfo=UTC)
    a = simulate_skymap(MapSpec(ra=150.0, dec=-20.0, area_90=300.0, max_order=9), name="MS000000a", time=when)
    b = simulate_skymap(MapSpec(ra=153.0, dec=-17.0, area_90=80.0, max_order=9), name="MS000000b", time=when)
    order = int(max(a.order.max(), b.order.max()))
    ours = overlap_integral(a, b)

    def brute() -> float:
        return float(4 * np.pi * np.sum(_flat(a, order) * _flat(b, order)) * (np.pi / 3 / 4**order))

    figures = {
        "overlap": _cpu_ms(lambda: overlap_integral(a, b)),
        "overlap, maps written out": _cpu_ms(brute, 3),
        "chance of background": _cpu_ms(lambda: background_overlaps(a, b), 3),
        "combined map": _cpu_ms(lambda: combined_map(a, SkyMap(b.uniq, b.probdensity))),
    }
    print(json.dumps({"rows": [len(a.uniq), len(b.uniq)], "relative_difference": abs(ours / brute() - 1)}))
    for name, value in figures.items():
        print(json.dumps({"what": name, "cpu_ms": round(value, 2)}))
    print(json.dumps({"overlap_ratio": round(figures["overlap, maps written out"] / figures["overlap"], 1)}))


if __name__ == "__main__":
    main()
