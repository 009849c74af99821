"""What cross-matches and galaxy lists cost, beside ligo.skymap and a full scan of the catalog on the flat map.

One JSON line per figure: CPU seconds after one warm-up, peak memory of the process, and the ratio to what a user would
run instead on the same input in the same run. Maps are simulated; the catalog has 1.9 million galaxies.

    python benchmarks/events.py [--quick]       --quick leaves out the full scan on the order-11 map
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
GALAXIES = 1_900_000
POSITIONS = 10_000


def _map(area: float, order: int) -> Any:
    from mma_pipeline.science.simulation import MapSpec, simulate_skymap

    spec = MapSpec(ra=150.0, dec=-20.0, area_90=area, max_order=order)
    return simulate_skymap(spec, name="MS000000a", time=datetime(2026, 1, 1, tzinfo=UTC))


def _cpu(work: Callable[[], Any], repeat: int = 3) -> float:
    """Least CPU time of several calls, s."""
    best = float("inf")
    for _ in range(repeat):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _say(**figures: Any) -> None:
    print(json.dumps(figures), flush=True)


def _fresh(m: Any) -> Any:
    """The same map without what earlier calls worked out."""
    from mma_pipeline.science.skymap import SkyMap

    return SkyMap(m.uniq, m.probdensity, m.distmu, m.distsigma, m.distnorm)


def _catalog(folder: Path) -> Any:
    import numpy as np
    from astropy.table import Table

    from mma_pipeline.adapters.catalog import build_index

    rng = np.random.default_rng(0)
    table = Table(
        {
            "objname": np.char.add("WISEA J", np.arange(GALAXIES).astype("U9")),
            "ra": rng.uniform(0, 360, GALAXIES),
            "dec": np.degrees(np.arcsin(rng.uniform(-1, 1, GALAXIES))),
            "DistMpc": 1000 * rng.uniform(0, 1, GALAXIES) ** (1 / 3),
            "Mstar": 10 ** rng.normal(10.3, 0.6, GALAXIES),
        }
    )
    table.write(folder / "catalog.fits")
    return build_index(folder / "catalog.fits", folder / "index")


def _scan(flat: Any, path: Path) -> None:
    """The full scan: every row of the catalog against the flat map at its NSIDE, with healpy."""
    import healpy as hp
    import numpy as np
    from astropy.table import Table
    from scipy.stats import norm

    prob, mu, sigma, scale = flat
    galaxies = Table.read(path)
    ipix = hp.ang2pix(
        hp.npix2nside(len(prob)), np.asarray(galaxies["ra"]), np.asarray(galaxies["dec"]), nest=True, lonlat=True
    )
    distance = np.asarray(galaxies["DistMpc"])
    ordered = np.sort(prob)[::-1]
    inside = prob[ipix] >= ordered[np.searchsorted(np.cumsum(ordered), 0.99)]
    density = prob[ipix] * norm(mu[ipix], sigma[ipix]).pdf(distance) * scale[ipix]
    score = np.where(inside, density * np.asarray(galaxies["Mstar"]), 0)
    np.argsort(score)[::-1][:10_000]


def _galaxies(folder: Path, quick: bool) -> None:
    import numpy as np
    from ligo.skymap import moc

    from mma_pipeline.science.galaxies import rank_galaxies

    catalog = _catalog(folder)
    for name, area, order in (("19,900 deg2", 19_900.0, 7), ("order 11", 10.0, 11)):
        m = _map(area, order)
        rank_galaxies(_fresh(m), catalog)
        seconds = _cpu(lambda m=m: rank_galaxies(_fresh(m), catalog))
        figures = {"figure": f"galaxies, {name}", "cpu_s": round(seconds, 4), "peak_mb": round(_peak_mb())}
        if order < 11 or not quick:
            table = np.rec.fromarrays(
                (m.uniq, m.probdensity, m.distmu, m.distsigma, m.distnorm),
                names=("UNIQ", "PROBDENSITY", "DISTMU", "DISTSIGMA", "DISTNORM"),
            )

            def old(table: Any = table) -> None:
                flat = moc.rasterize(table)
                columns = ("PROBDENSITY", "DISTMU", "DISTSIGMA", "DISTNORM")
                prob, *layers = (np.ascontiguousarray(flat[c]) for c in columns)
                _scan((prob / prob.sum(), *layers), folder / "catalog.fits")

            beside = _cpu(old, repeat=1)
            figures |= {"full_scan_cpu_s": round(beside, 2), "ratio": round(beside / seconds)}
        _say(**figures)


def _crossmatch() -> None:
    import numpy as np
    from astropy.coordinates import SkyCoord
    from astropy.table import Table
    from ligo.skymap.postprocess.crossmatch import crossmatch as reference

    from mma_pipeline.science.crossmatch import crossmatch

    m = _map(1000.0, 9)
    rng = np.random.default_rng(1)
    ra, dec = rng.uniform(0, 360, POSITIONS), np.degrees(np.arcsin(rng.uniform(-1, 1, POSITIONS)))
    distance = rng.uniform(20, 600, POSITIONS)
    crossmatch(_fresh(m), ra, dec, distance)
    seconds = _cpu(lambda: crossmatch(_fresh(m), ra, dec, distance))
    table = Table(
        {
            "UNIQ": m.uniq,
            "PROBDENSITY": m.probdensity,
            "DISTMU": m.distmu,
            "DISTSIGMA": m.distsigma,
            "DISTNORM": m.distnorm,
        }
    )
    where = SkyCoord(ra, dec, distance, unit=("deg", "deg", "Mpc"))
    beside = _cpu(lambda: reference(table, where), repeat=1)
    _say(
        figure=f"cross-match of {POSITIONS} positions",
        rows=len(m.uniq),
        cpu_s=round(seconds, 4),
        ligo_skymap_cpu_s=round(beside, 2),
        ratio=round(beside / seconds),
    )


def main() -> None:
    """Print every figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory() as folder:
        _galaxies(Path(folder), quick)
    _crossmatch()


if __name__ == "__main__":
    main()
