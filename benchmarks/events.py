"""What galaxies, cross-matches, large maps and whole alerts cost, beside what a user would run instead.

One JSON line per figure: CPU seconds and peak memory of our code and of the other way on the same input in the same
run, and the ratios. Each is measured in a process of its own after imports and one call on a small map; ours is the
least of three calls, none of which finds anything worked out by the one before. The catalog has 1.9 million galaxies.

    python benchmarks/events.py [--quick] [--only FIGURE]      --quick leaves out the other way where it takes minutes
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
ALERTS = ROOT.parent / "shared" / "data" / "gw_alerts"
GALAXIES = 1_900_000
POSITIONS = 10_000
LISTED = 10_000
LIMIT_S = 900
Work = Callable[[], object]


# -- inputs ----------------------------------------------------------------------------------------------------------


def _bayestar_like(
    rounds: int, split: int, *, narrow: float = 2.0, wide: float | None = None, share: float = 1.0
) -> Any:
    """A map of distance layers whose rows are refined as BAYESTAR does: each round splits the most probable in four.

    A Gaussian of `narrow` deg, and with `wide` a Fisher distribution of that concentration that ripples, in which the
    Gaussian's peak is `share` times as high.
    """
    import healpy
    import numpy as np

    from mma_pipeline.science.skymap import SkyMap, order_ipix_to_uniq

    def unit(ra: float, dec: float) -> Any:
        a, b = np.radians([ra, dec])
        return np.array([np.cos(b) * np.cos(a), np.cos(b) * np.sin(a), np.sin(b)])

    def density(order: Any, ipix: Any) -> Any:
        v = np.stack(healpy.pix2vec(1 << order, ipix, nest=True), -1)
        found = share * np.exp((v @ unit(120.0, 30.0) - 1) / np.radians(narrow) ** 2)
        if wide is not None:
            found += np.exp(wide * (v @ unit(150.0, -20.0) - 1)) * (1 + 0.4 * np.sin(9 * v[:, 2] + 4 * v[:, 0]))
        return found

    order, ipix = np.full(12 * 4**4, 4), np.arange(12 * 4**4)
    values = density(order, ipix)
    for _ in range(rounds):
        top = np.argsort(-values / 4.0**order, kind="stable")[:split]
        kept = np.ones(len(values), bool)
        kept[top] = False
        finer, children = np.repeat(order[top] + 1, 4), (4 * ipix[top][:, None] + np.arange(4)).ravel()
        order, ipix = np.concatenate([order[kept], finer]), np.concatenate([ipix[kept], children])
        values = np.concatenate([values[kept], density(finer, children)])
    by = np.argsort(ipix << (2 * (29 - order)))
    order, ipix, values = order[by], ipix[by], values[by]
    values = values / np.sum(values * np.pi / 3 / 4.0**order)
    mu = 150 * (1 + 0.15 * np.stack(healpy.pix2vec(1 << order, ipix, nest=True), -1)[:, 2])
    sigma = 0.25 * mu
    return SkyMap(order_ipix_to_uniq(order, ipix), values, mu, sigma, 1 / (mu**2 + sigma**2))


def _order_11() -> Any:
    return _bayestar_like(7, 768, narrow=0.85)


def _wide() -> Any:
    return _bayestar_like(7, 768, wide=1.75, share=8.0)


def _flat_2048() -> bytes:
    """The order-11 map as a flat map of NSIDE 2048, NESTED, double precision, without distance."""
    import numpy as np

    from mma_pipeline.science.fitstable import write_table

    m = _order_11()
    # Order-29 starts of the flat pixels fall into rows one after the other.
    count = (np.int64(1) << (2 * (11 - m.order))).astype(np.int64)
    prob = np.repeat(m.probdensity * np.pi / 3 / 4.0**11, count)
    cards = {"PIXTYPE": "HEALPIX", "ORDERING": "NESTED", "COORDSYS": "C", "NSIDE": 2048, "INDXSCHM": "IMPLICIT"}
    return write_table([("PROB", prob, "pix-1")], cards, row_width=1024)


def _real_or(file: str, otherwise: Callable[[], Any]) -> bytes:
    from mma_pipeline.science.skymap import encode_skymap

    path = ALERTS / file
    if path.is_file():
        return base64.b64decode(json.loads(path.read_text())["event"]["skymap"])
    return encode_skymap(otherwise())


def _encoded(make: Callable[[], Any]) -> Callable[[], bytes]:
    def run() -> bytes:
        from mma_pipeline.science.skymap import encode_skymap

        return encode_skymap(make())

    return run


MAPS: dict[str, Callable[[], bytes]] = {
    "order 11": _encoded(_order_11),
    "wide": _encoded(_wide),
    "real order 11": lambda: _real_or("MS230425k-preliminary.json", _order_11),
    "real order 9": lambda: _real_or("S230518h-PRELIMINARY-2023-05-18T133818Z.json", lambda: _bayestar_like(5, 768)),
    "order 6": _encoded(lambda: _bayestar_like(2, 768, narrow=9.0)),
    "19,200 rows": _encoded(_order_11),
    "90,000 rows": _encoded(lambda: _bayestar_like(7, 4317, narrow=2.0)),
    "322,000 rows": _encoded(lambda: _bayestar_like(7, 18190, narrow=4.0)),
    "flat NSIDE 2048": _flat_2048,
}


def _catalog(folder: Path) -> None:
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
    build_index(folder / "catalog.fits", folder / "index")


# -- galaxies --------------------------------------------------------------------------------------------------------


def _galaxies(body: bytes, folder: Path) -> Work:
    from mma_pipeline.adapters.catalog import CatalogIndex
    from mma_pipeline.science.galaxies import Choice, rank_galaxies
    from mma_pipeline.science.skymap import SkyMap, decode_skymap

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
    from mma_pipeline.science.crossmatch import crossmatch
    from mma_pipeline.science.skymap import SkyMap, decode_skymap

    m, where = decode_skymap(body), _positions()
    return lambda: crossmatch(SkyMap(m.uniq, m.probdensity, m.distmu, m.distsigma, m.distnorm), *where)


def _crossmatch_other(body: bytes, folder: Path) -> Work:  # noqa: ARG001
    from astropy.coordinates import SkyCoord
    from astropy.table import Table
    from ligo.skymap.postprocess.crossmatch import crossmatch

    from mma_pipeline.science.skymap import decode_skymap

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
    from mma_pipeline.adapters.message import StreamMessage
    from mma_pipeline.adapters.store import Store
    from mma_pipeline.defs.ingest import ingest, parse_alert
    from mma_pipeline.defs.page.write import write_event_page
    from mma_pipeline.defs.product import made_again
    from mma_pipeline.defs.products import PRODUCTS
    from mma_pipeline.defs.source import Source
    from mma_pipeline.science.skymap import decode_skymap, encode_skymap

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
            if product.need.met(record) and product.unconfigured() is None:
                made_again(product, Source(archive, store, record.partition_key))
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
    "large maps": (_large, None, ("19,200 rows", "90,000 rows", "322,000 rows", "flat NSIDE 2048")),
}
NEED_CATALOG = {"galaxies", "all products of one alert"}
#: The other way takes minutes and gigabytes there.
SLOW = {"order 11", "real order 11"}


def _peak_mb() -> float:
    """Peak of this program's own memory, MB: what getrusage says is never less than the parent's was."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


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
    print(json.dumps({"cpu_s": round(min(seconds), 4), "peak_mb": round(_peak_mb())}))


def _child(figure: str, other: bool, path: Path, folder: Path) -> dict[str, float] | str:
    command = [sys.executable, __file__, "--measure", figure, "--path", str(path), "--folder", str(folder)]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            [*command, *(["--other"] if other else [])],
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=True,
            env=env,
        )
    except subprocess.TimeoutExpired:
        return f"no end within {LIMIT_S} s"
    except subprocess.CalledProcessError as error:
        return (error.stderr.strip().splitlines() or ["killed"])[-1][:200]
    return dict(json.loads(io.StringIO(done.stdout).readlines()[-1]))


@contextlib.contextmanager
def _inputs(names: set[str], *, catalog: bool) -> Iterator[tuple[Path, dict[str, Path]]]:
    """Maps and catalog as files, made in a process that is not measured."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        paths = {}
        for name in sorted(names):
            paths[name] = folder / f"{name.replace(' ', '-').replace(',', '')}.fits"
            paths[name].write_bytes(MAPS[name]())
        (folder / "small.fits").write_bytes(MAPS["order 6"]())
        if catalog:
            _catalog(folder)
        yield folder, paths


def _about(path: Path) -> dict[str, Any]:
    from mma_pipeline.science.skymap import decode_skymap
    from mma_pipeline.science.stats import credible_areas

    m = decode_skymap(path.read_bytes())
    return {
        "rows": len(m.uniq),
        "orders": f"{m.order.min()} to {m.order.max()}",
        "area_90_deg2": round(credible_areas(m, (0.9,))[0], 1),
    }


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
    names = {name for _, _, maps in chosen.values() for name in maps}
    with _inputs(names, catalog=bool(NEED_CATALOG & set(chosen))) as (folder, paths):
        for figure, (_, other, maps) in chosen.items():
            for name in maps:
                ours = _child(figure, False, paths[name], folder)
                line: dict[str, Any] = {"figure": figure, "map": name, **_about(paths[name]), "ours": ours}
                if other is not None and not (options.quick and name in SLOW):
                    line["other"] = theirs = _child(figure, True, paths[name], folder)
                    if isinstance(ours, dict) and isinstance(theirs, dict):
                        line["cpu_ratio"] = round(theirs["cpu_s"] / max(ours["cpu_s"], 1e-4), 1)
                        line["memory_ratio"] = round(theirs["peak_mb"] / ours["peak_mb"], 1)
                print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
