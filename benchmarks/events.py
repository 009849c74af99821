"""What galaxies, cross-matches, large maps and whole alerts cost, beside what a user would run instead.

One JSON line per figure: CPU seconds and peak memory of our code and of the other way on the same input in the same
run, and the ratios. Each is measured in a process of its own after imports and one call on a small map; ours is the
least of three calls, none of which finds anything worked out by the one before. The catalog has 1.9 million galaxies.

    PYTHONPATH=. python benchmarks/events.py [--quick] [--only FIGURE]      --quick leaves out the other way where it takes minutes
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.event_inputs import MAPS, about, inputs
from benchmarks.measured import Figures, in_a_process, peak_mb, ratios

POSITIONS = 10_000
LISTED = 10_000
LIMIT_S = 900
Work = Callable[[], object]


# -- galaxies --------------------------------------------------------------------------------------------------------


def _galaxies(body: bytes, folder: Path) -> Work:
    from mma_pipeline.adapters.catalogs.index import CatalogIndex
    from mma_pipeline.science.galaxies.ranking import Choice, rank_galaxies
    from mma_pipeline.science.skymaps.model import SkyMap, decode_skymap

    catalog, m = CatalogIndex.open(folder / "index"), decode_skymap(body)

    def run() -> object:
        fresh = SkyMap(m.uniq, m.probdensity, m.distmu, m.distsigma, m.distnorm)
        return rank_galaxies(fresh, catalog, Choice(limit=LISTED))

    return run


def _flat(body: bytes) -> tuple[Any, ...]:
    """PROB, DISTMU, DISTSIGMA, DISTNORM at the map's finest NSIDE, by ligo.skymap."""
    from ligo.skymap.io import read_sky_map

    with tempfile.NamedTemporaryFile(suffix=".fits") as file:
        file.write(body)
        file.flush()
        return tuple(read_sky_map(file.name, nest=True, distances=True)[0])


def _scan(flat: tuple[Any, ...], path: Path) -> object:
    """Every row of the catalog against the flat map, with healpy and scipy."""
    import healpy
    import numpy as np
    from astropy.table import Table
    from scipy.stats import norm

    prob, mu, sigma, scale = flat
    galaxies = Table.read(path)
    nside = healpy.npix2nside(len(prob))
    ipix = healpy.ang2pix(nside, np.asarray(galaxies["ra"]), np.asarray(galaxies["dec"]), nest=True, lonlat=True)
    distance = np.asarray(galaxies["DistMpc"])
    ordered = np.sort(prob)[::-1]
    inside = prob[ipix] >= ordered[np.searchsorted(np.cumsum(ordered), 0.99)]
    density = prob[ipix] * norm(mu[ipix], sigma[ipix]).pdf(distance) * scale[ipix]
    score = np.where(inside, density * np.asarray(galaxies["Mstar"]), 0)
    best = np.argsort(score)[::-1][:LISTED]
    return galaxies["objname"][best], score[best]


def _galaxies_other(body: bytes, folder: Path) -> Work:
    return lambda: _scan(_flat(body), folder / "catalog.fits")


# -- cross-match -----------------------------------------------------------------------------------------------------


def _positions() -> tuple[Any, Any, Any]:
    import numpy as np

    rng = np.random.default_rng(1)
    ra, dec = rng.uniform(0, 360, POSITIONS), np.degrees(np.arcsin(rng.uniform(-1, 1, POSITIONS)))
    return ra, dec, rng.uniform(20, 600, POSITIONS)


def _crossmatch(body: bytes, folder: Path) -> Work:  # noqa: ARG001
    from mma_pipeline.science.skymaps.crossmatch import crossmatch
    from mma_pipeline.science.skymaps.model import SkyMap, decode_skymap

    m, where = decode_skymap(body), _positions()
    return lambda: crossmatch(SkyMap(m.uniq, m.probdensity, m.distmu, m.distsigma, m.distnorm), *where)


def _crossmatch_other(body: bytes, folder: Path) -> Work:  # noqa: ARG001
    from astropy.coordinates import SkyCoord
    from astropy.table import Table
    from ligo.skymap.postprocess.crossmatch import crossmatch

    from mma_pipeline.science.skymaps.model import decode_skymap

    m, where = decode_skymap(body), SkyCoord(*_positions(), unit=("deg", "deg", "Mpc"))
    columns = {"UNIQ": m.uniq, "PROBDENSITY": m.probdensity, "DISTMU": m.distmu, "DISTSIGMA": m.distsigma}
    table = Table({**columns, "DISTNORM": m.distnorm})
    return lambda: crossmatch(table, where)


# -- a whole alert ---------------------------------------------------------------------------------------------------


def _alert_of(body: bytes, event: str, created: str) -> bytes:
    event_part = {
        "time": "2026-01-01T00:00:00.000Z", "far": 1e-9, "significant": True, "instruments": ["H1", "L1"],
        "group": "CBC", "pipeline": "gstlal", "search": "AllSky", "classification": {"BNS": 1.0},
        "properties": {"HasNS": 1.0}, "duration": None, "central_frequency": None,
        "skymap": base64.b64encode(body).decode(),
    }  # fmt: skip
    record = {
        "alert_type": "PRELIMINARY", "time_created": created, "superevent_id": event, "urls": {},
        "event": event_part, "external_coinc": None,
    }  # fmt: skip
    return json.dumps(record).encode()


def _alert(body: bytes, folder: Path) -> Work:
    """Archive an alert and make every product and the event's page, as a run does; each call is another event."""
    from mma_pipeline.adapters.archive import Archive
    from mma_pipeline.adapters.kafka.message import StreamMessage
    from mma_pipeline.adapters.store import Store
    from mma_pipeline.defs.all_products import PRODUCTS
    from mma_pipeline.defs.events.page.write import write_event_page
    from mma_pipeline.defs.metadata import materialize_directly
    from mma_pipeline.products.ingest import ingest, parse_alert
    from mma_pipeline.products.inputs import ProductInput
    from mma_pipeline.science.skymaps.model import decode_skymap, encode_skymap
    from mma_pipeline.settings import current

    home = Path(tempfile.mkdtemp())
    os.environ |= {"DAGSTER_HOME": str(home), "MMA_GALAXY_CATALOG": str(folder / "index")}
    archive, store = Archive(f"sqlite:///{home / 'archive.db'}", create=True), Store.open(home / "products")
    count = 0

    def run() -> None:
        nonlocal count
        count += 1
        # A last digit changed, so that nothing made for the event before it can be copied.
        m = decode_skymap(body)
        m.probdensity[0] *= 1 + 1e-9 * count
        data = _alert_of(encode_skymap(m), f"MS260101{'abcdefgh'[count]}", "2026-01-01T00:05:00Z")
        begin = time.process_time()
        message = StreamMessage("bench", "t", 0, count, data, None, (), None, datetime.now(UTC))
        (record,) = ingest(archive, message, parse_alert).versions  # type: ignore[union-attr]
        for product in PRODUCTS:
            if product.need.met(record) and product.unconfigured(current()) is None:
                materialize_directly(product, ProductInput(archive, store, record.partition_key, current()))
        write_event_page(archive, store, record.version.event_id)
        run.cpu = time.process_time() - begin  # type: ignore[attr-defined]

    return run


def _alert_other(body: bytes, folder: Path) -> Work:
    """The former listener: the map made flat, areas, contours of the interpolated map, the galaxy list; no pictures."""
    import numpy as np
    from ligo.skymap.healpix_tree import interpolate_nested
    from ligo.skymap.postprocess.contour import contour
    from ligo.skymap.postprocess.util import find_greedy_credible_levels

    def run() -> None:
        flat = _flat(body)
        total = np.cumsum(np.sort(flat[0])[::-1])
        np.searchsorted(total, (0.5, 0.9)) * 41252.96 / len(flat[0])
        levels = 100 * find_greedy_credible_levels(interpolate_nested(flat[0], nest=True))
        list(contour(levels, [50, 90], nest=True, degrees=True, simplify=True))
        _scan(flat, folder / "catalog.fits")

    return run


# -- large maps ------------------------------------------------------------------------------------------------------


def _large(body: bytes, folder: Path) -> Work:  # noqa: ARG001
    """Every product of the map itself, decoding included."""
    from benchmarks.skymaps import _alert as products_of_the_map

    return products_of_the_map(body)


Figure = tuple[Callable[[bytes, Path], Work], Callable[[bytes, Path], Work] | None, tuple[str, ...]]
FIGURES: dict[str, Figure] = {
    "galaxies": (_galaxies, _galaxies_other, ("order 11", "wide")),
    "cross-match": (_crossmatch, _crossmatch_other, ("real order 9",)),
    "all products of one alert": (_alert, _alert_other, ("real order 11", "real order 9", "order 6")),
    "large maps": (_large, None, ("19,200 rows", "90,000 rows", "322,000 rows", "flat NSIDE 2048", "IPN")),
}
NEED_CATALOG = {"galaxies", "all products of one alert"}
#: The other way takes minutes and gigabytes there.
SLOW = {"order 11", "real order 11"}


def measure(figure: str, other: bool, path: Path, folder: Path) -> None:
    """In a process of its own: print CPU seconds and memory (MB) of one figure."""
    ours, theirs, _ = FIGURES[figure]
    make = theirs if other else ours
    assert make is not None
    make((folder / "small.fits").read_bytes(), folder)()
    work = make(path.read_bytes(), folder)
    seconds = []
    for _ in range(1 if other or figure == "large maps" else 3):
        begin = time.process_time()
        work()
        seconds.append(getattr(work, "cpu", time.process_time() - begin))
    print(json.dumps({"cpu_s": round(min(seconds), 4), "peak_mb": round(peak_mb())}))


def _child(figure: str, other: bool, path: Path, folder: Path) -> Figures | str:
    options = ["--measure", figure, "--path", str(path), "--folder", str(folder), *(["--other"] if other else [])]
    return in_a_process(__file__, *options, limit_s=LIMIT_S)


def main() -> None:
    """Print every figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=FIGURES)
    parser.add_argument("--measure", choices=FIGURES)
    parser.add_argument("--other", action="store_true")
    parser.add_argument("--path", type=Path)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure, options.other, options.path, options.folder)
        return
    chosen = {name: figure for name, figure in FIGURES.items() if options.only in {None, name}}
    names = {name for _, _, maps in chosen.values() for name in maps if name in MAPS}
    with inputs(names, catalog=bool(NEED_CATALOG & set(chosen))) as (folder, paths):
        for figure, (_, other, maps) in chosen.items():
            for name in (name for name in maps if name in paths):
                ours = _child(figure, False, paths[name], folder)
                line: dict[str, Any] = {"figure": figure, "map": name, **about(paths[name]), "ours": ours}
                if other is not None and not (options.quick and name in SLOW):
                    line["other"] = theirs = _child(figure, True, paths[name], folder)
                    line |= ratios(ours, theirs)
                print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
