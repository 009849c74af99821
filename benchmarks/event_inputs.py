"""Maps and a galaxy catalog to measure with, made by formula or taken from real alerts where there are any."""

from __future__ import annotations

import base64
import contextlib
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.measured import ROOT

ALERTS = ROOT.parent / "shared" / "data" / "gw_alerts"
GALAXIES = 1_900_000


def _bayestar_like(
    rounds: int, split: int, *, narrow: float = 2.0, wide: float | None = None, share: float = 1.0
) -> Any:
    """A map of distance layers whose rows are refined as BAYESTAR does: each round splits the most probable in four.

    A Gaussian of `narrow` deg, and with `wide` a Fisher distribution of that concentration that ripples, in which the
    Gaussian's peak is `share` times as high.
    """
    import healpy
    import numpy as np

    from mma_pipeline.science.healpix import order_ipix_to_uniq
    from mma_pipeline.science.skymaps.model import SkyMap

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

    from mma_pipeline.science.skymaps.fits import write_table

    m = _order_11()
    # Order-29 starts of the flat pixels fall into rows one after the other.
    count = (np.int64(1) << (2 * (11 - m.order))).astype(np.int64)
    prob = np.repeat(m.probdensity * np.pi / 3 / 4.0**11, count)
    cards = {"PIXTYPE": "HEALPIX", "ORDERING": "NESTED", "COORDSYS": "C", "NSIDE": 2048, "INDXSCHM": "IMPLICIT"}
    return write_table([("PROB", prob, "pix-1")], cards, row_width=1024)


def _real_or(file: str, otherwise: Callable[[], Any]) -> bytes:
    from mma_pipeline.science.skymaps.model import encode_skymap

    path = ALERTS / file
    if path.is_file():
        return base64.b64decode(json.loads(path.read_text())["event"]["skymap"])
    return encode_skymap(otherwise())


def _encoded(make: Callable[[], Any]) -> Callable[[], bytes]:
    def run() -> bytes:
        from mma_pipeline.science.skymaps.model import encode_skymap

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
#: A real flat map of NSIDE 2048, gzipped: the annuli of GRB 220617A.
IPN = ROOT.parent / "shared" / "data" / "gw_maps" / "GRB220617A_IPN_map_hpx.fits.gz"
if IPN.is_file():
    MAPS["IPN"] = IPN.read_bytes


def _catalog(folder: Path) -> None:
    import numpy as np
    from astropy.table import Table

    from mma_pipeline.adapters.catalogs.index import build_index

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


@contextlib.contextmanager
def inputs(names: set[str], *, catalog: bool) -> Iterator[tuple[Path, dict[str, Path]]]:
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


def about(path: Path) -> dict[str, Any]:
    """Rows, orders and the 90 % area of a map."""
    from mma_pipeline.science.skymaps.credible import credible_areas
    from mma_pipeline.science.skymaps.model import decode_skymap

    m = decode_skymap(path.read_bytes())
    return {
        "rows": len(m.uniq),
        "orders": f"{m.order.min()} to {m.order.max()}",
        "area_90_deg2": round(credible_areas(m, (0.9,))[0], 1),
    }
