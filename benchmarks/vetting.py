"""Vetting 1,000 candidates against 2 million galaxies and 10 million stars on disk, beside a k-d tree of astropy in memory.

Prints one JSON line each: CPU seconds (process time) and the peak of resident memory. Each way runs in a process of its own;
tables are invented, uniform on the sky but for a crowded tenth, and made once.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from mma_pipeline.adapters.catalogs.index import CatalogIndex, build_index
from mma_pipeline.adapters.catalogs.positions import PositionTable, build_table

GALAXIES, STARS, NUCLEI, CANDIDATES = 2_000_000, 10_000_000, 900_000, 1_000
_BATCH = 1_000_000


def sky(rng: np.random.Generator, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions in degrees: nine tenths uniform, one tenth in a band of a degree, as stars crowd."""
    ra = rng.uniform(0, 360, number)
    dec = np.degrees(np.arcsin(rng.uniform(-1, 1, number)))
    crowded = number // 10
    dec[:crowded] = rng.normal(10.0, 0.5, crowded)
    return ra, dec


def make(folder: Path) -> None:
    """Write sources and build the tables."""
    import pandas as pd

    rng = np.random.default_rng(1)
    ra, dec = sky(rng, GALAXIES)
    mass, distance = 10 ** rng.normal(10, 0.7, GALAXIES), 1000 * rng.uniform(0, 1, GALAXIES) ** (1 / 3)
    names = [f"G{i}" for i in range(GALAXIES)]
    frame = pd.DataFrame({"objname": names, "ra": ra, "dec": dec, "DistMpc": distance, "Mstar": mass})
    frame.to_parquet(folder / "galaxies.parquet")
    build_index(folder / "galaxies.parquet", folder / "galaxies")
    for part in range(STARS // _BATCH):
        ra, dec = sky(rng, _BATCH)
        columns = {"source_id": np.arange(_BATCH) + part * _BATCH, "ra": ra, "dec": dec}
        for name in ("parallax", "pmra", "pmdec"):
            columns |= {name: rng.normal(0, 10, _BATCH), f"{name}_error": rng.uniform(0.02, 1, _BATCH)}
        columns["phot_g_mean_mag"] = rng.uniform(10, 21, _BATCH)
        pd.DataFrame(columns).to_parquet(folder / f"stars{part}.parquet")
    ra, dec = sky(rng, NUCLEI)
    nuclei = pd.DataFrame(
        {"NAME": np.arange(NUCLEI), "RA": ra, "DEC": dec, "TYPE": "Q", "Z": rng.uniform(0, 3, NUCLEI)}
    )
    nuclei.to_parquet(folder / "agn.parquet")
    build_table([folder / "agn.parquet"], folder / "agn", "agn")


def stars(folder: Path) -> None:
    """Import the stars, in a process that did nothing before."""
    started = time.process_time()
    build_table(sorted(folder.glob("stars*.parquet")), folder / "stars", "stars")
    report("import of 10 million stars", time.process_time() - started)


def candidates() -> tuple[np.ndarray, np.ndarray]:
    """Positions of the candidates."""
    return sky(np.random.default_rng(2), CANDIDATES)


def here(folder: Path) -> None:
    """Vet them."""
    from mma_pipeline.notices.photometry.measurement import Candidate, Measurement
    from mma_pipeline.science.vetting.vet import Limits, Subject, Tables, vet_many

    ra, dec = candidates()
    who = Candidate("X", 0.0, 0.0)
    points = [Measurement(who, 60000.0 + 0.5 * k, "ztfr", 20.5, None, upper_limit=True) for k in range(20)]
    subjects = [Subject(a, d, 60012.0, points) for a, d in zip(ra, dec, strict=True)]
    for turn in ("first", "again"):
        started = time.process_time()
        tables = Tables(
            CatalogIndex.open(folder / "galaxies"),
            PositionTable.open(folder / "stars", "stars"),
            PositionTable.open(folder / "agn", "agn"),
        )
        found = vet_many(subjects, 60010.0, tables, Limits())
        report(f"vetting, {turn}", time.process_time() - started, hosts=sum(v.is_host for v in found))


def plain(folder: Path) -> None:
    """Read the positions, and ask astropy for the nearest galaxy and the nearest star."""
    import pandas as pd
    from astropy.coordinates import SkyCoord, match_coordinates_sky

    ra, dec = candidates()
    asked = SkyCoord(ra, dec, unit="deg")
    started = time.process_time()
    for pattern in ("galaxies.parquet", "stars*.parquet", "agn.parquet"):
        frames = [pd.read_parquet(path).rename(columns=str.lower)[["ra", "dec"]] for path in folder.glob(pattern)]
        table = pd.concat(frames)
        match_coordinates_sky(asked, SkyCoord(table["ra"].to_numpy(), table["dec"].to_numpy(), unit="deg"))
    report("plain way: nearest of each table with astropy", time.process_time() - started)


def peak_mb() -> float:
    """Peak of resident memory, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def report(what: str, seconds: float, **more: float) -> None:
    """One JSON line."""
    print(json.dumps({"what": what, "cpu_seconds": round(seconds, 3), "peak_mb": round(peak_mb()), **more}), flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        {"make": make, "stars": stars, "here": here, "plain": plain}[sys.argv[1]](Path(sys.argv[2]))
    else:
        with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as scratch:
            for way in ("make", "stars", "here", "plain"):
                subprocess.run([sys.executable, __file__, way, scratch], check=True)
