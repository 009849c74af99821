"""What observers ask of a map: what pointings cover, beside the method of the Treasure Map's own client.

One JSON line per figure, each measured in a process of its own on one thread: CPU seconds and peak memory of ours and of the other
way on the same input, and the ratios. Coverage: ZTF's 597 pointings on GW190425 (46 % in two nights: Coughlin et al. 2019,
ApJL 885 L19) beside an exact sum of polygons and the method of gwtm-api 0.2.0 (`calculate_coverage`: healpy's query_polygon
for each CCD on the flat map); then 10,000 pointings of 60 CCDs on 24,000 deg².

    PYTHONPATH=. python benchmarks/observing.py [--quick]      --quick leaves out the exact sum of polygons (half a minute)
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import numpy as np

from benchmarks.measured import ROOT, in_a_process, peak_mb, ratios

DATA = ROOT.parent / "shared" / "data" / "coverage"
LIMIT_S = 900
#: GW190425's merger, UTC.
MERGER = "2019-04-25T08:18:05"


def _ztf() -> Any:
    from mma_pipeline.notices.footprints import parse_footprint
    from mma_pipeline.science.coverage.cells import Places
    from mma_pipeline.science.coverage.ledger import Visits

    with (DATA / "ZTF_Fields.csv").open() as lines:
        fields = {int(float(row["ID"])): (float(row["RA"]), float(row["Dec"])) for row in csv.DictReader(lines)}
    with (DATA / "ZTF_GW190425_observation_data.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    ra, dec = np.array([fields[int(row["field_id"])] for row in rows]).T
    merger, n = datetime.fromisoformat(MERGER), len(rows)
    hours = np.array([(datetime.fromisoformat(row["obstime"]) - merger).total_seconds() / 3600 for row in rows])
    places = Places(
        (parse_footprint((DATA / "ZTF_Region.reg").read_text()),), np.zeros(n, dtype=np.int64), ra, dec, np.zeros(n)
    )
    depth = np.array([float(row["limmag"]) for row in rows])
    return Visits(places, np.ones(n, dtype=bool), hours, depth, [row["filter"] for row in rows], ["ZTF"] * n)


def _gw190425() -> Any:
    from mma_pipeline.science.skymaps.model import decode_skymap

    return decode_skymap((DATA / "GW190425_bayestar.multiorder.fits").read_bytes())


def _two_nights(visits: Any) -> Any:
    from mma_pipeline.science.coverage.cells import Places

    p, chosen = visits.places, visits.hours <= 48
    return Places(p.footprints, p.footprint[chosen], p.ra[chosen], p.dec[chosen], p.angle[chosen])


# -- each returns what is measured: a function whose answer is the figures of the line ----------------------------------


def _coverage() -> Callable[[], dict[str, float]]:
    from mma_pipeline.science.coverage.ledger import probability_and_area

    skymap, places = _gw190425(), _two_nights(_ztf())

    def work() -> dict[str, float]:
        probability, area = probability_and_area(skymap, places)
        return {"probability": round(probability, 4), "area_deg2": round(area, 1)}

    return work


def _ledger() -> Callable[[], dict[str, float]]:
    from mma_pipeline.science.coverage.ledger import ledger

    skymap, visits = _gw190425(), _ztf()

    def work() -> dict[str, float]:
        found = ledger(skymap, visits)
        until = {row.value: round(row.probability, 4) for row in found.rows if row.by == "time"}
        figures = found.figures
        return {
            "night_1": until["12"], "nights_1_and_2": until["48"], "all": round(figures["probability_covered"], 4),
            "area_deg2": round(figures["area_covered_deg2"], 1), "order": figures["finest_order"],
        }  # fmt: skip

    return work


def _exact() -> Callable[[], dict[str, float]]:
    """The union of the polygons themselves, in the plane of longitude and sine of latitude, where areas are true."""
    import shapely

    from mma_pipeline.science.healpix import DEG2_PER_SR

    corners = _projected(_ztf().places)

    def work() -> dict[str, float]:
        found = []
        for ring in corners:
            # Edges are great circles: six points along each.
            steps = np.linspace(0, 1, 7)[:-1, np.newaxis]
            dense = np.concatenate(
                [a * (1 - steps) + b * steps for a, b in zip(ring, np.roll(ring, -1, axis=0), strict=True)]
            )
            dense /= np.linalg.norm(dense, axis=1, keepdims=True)
            lon = np.unwrap(np.arctan2(dense[:, 1], dense[:, 0]))
            for turn in (-2 * np.pi, 0.0, 2 * np.pi):
                if lon.max() + turn > 0 and lon.min() + turn < 2 * np.pi:
                    found.append(shapely.Polygon(np.stack([lon + turn, dense[:, 2]], axis=1)))
        sky = shapely.box(0, -1, 2 * np.pi, 1)
        return {"area_deg2": round(shapely.unary_union(found).intersection(sky).area * DEG2_PER_SR, 1)}

    return work


def _projected(places: Any) -> list[Any]:
    """Corners of every CCD of every pointing that is different, as unit vectors (4, 3), turned as the site does."""
    from mma_pipeline.science.sphere import unit_vectors

    rings = [unit_vectors(*np.array(ring).T) for ring in places.footprints[0].polygons]
    found = []
    for ra, dec in sorted({*zip(places.ra.tolist(), places.dec.tolist(), strict=True)}):
        a, d = np.radians([ra, dec])
        about_y = np.array([[np.cos(d), 0, np.sin(d)], [0, 1, 0], [-np.sin(d), 0, np.cos(d)]])
        about_z = np.array([[np.cos(a), np.sin(a), 0], [-np.sin(a), np.cos(a), 0], [0, 0, 1]])
        found += [ring @ about_y @ about_z for ring in rings]
    return found


def _query_polygon(*, as_written: bool) -> Callable[[], dict[str, float]]:
    """healpy's query_polygon for each CCD on the flat map at NSIDE 512.

    As gwtm-api writes it: every pointing, corner by corner, and each pixel that a CCD touches; only its making pixels unique
    after every CCD, which takes minutes, is done once at the end. Else at its best: each place once, corners in arrays, and
    the pixels whose centres are inside.
    """
    import healpy

    from mma_pipeline.science.skymaps.flat import flatten

    places = _two_nights(_ztf())
    nside = 512
    in_pixel = flatten(_gw190425(), 9)["PROB"]

    def work() -> dict[str, float]:
        rings = _corner_by_corner(places) if as_written else _projected(places)
        pixels = [healpy.query_polygon(nside, ring, inclusive=as_written, nest=True) for ring in rings]
        unique = np.unique(np.concatenate(pixels))
        area = len(unique) * healpy.nside2pixarea(nside, degrees=True)
        return {"probability": round(float(in_pixel[unique].sum()), 4), "area_deg2": round(float(area), 1)}

    return work


def _corner_by_corner(places: Any) -> list[Any]:
    """The same as `_projected` for every pointing, one corner at a time."""
    from mma_pipeline.science.sphere import unit_vectors

    found = []
    for ra, dec in zip(places.ra, places.dec, strict=True):
        for ring in places.footprints[0].polygons:
            corners = []
            for x, y in ring:
                a, d = np.radians([ra, dec])
                about_x = np.eye(3)
                about_y = np.array([[np.cos(d), 0, np.sin(d)], [0, 1, 0], [-np.sin(d), 0, np.cos(d)]])
                about_z = np.array([[np.cos(a), np.sin(a), 0], [-np.sin(a), np.cos(a), 0], [0, 0, 1]])
                corners.append(unit_vectors(x, y) @ about_x @ about_y @ about_z)
            found.append(np.array(corners))
    return found


def _many(*, whole: bool) -> Callable[[], dict[str, float]]:
    from mma_pipeline.notices.footprints import of_polygons
    from mma_pipeline.science.coverage.cells import Places
    from mma_pipeline.science.coverage.ledger import Visits, ledger, probability_and_area
    from mma_pipeline.science.healpix import centres
    from mma_pipeline.science.skymaps.model import SkyMap

    n, order = 10_000, 6
    number = np.arange(12 * 4**order)
    inside = centres(np.full(len(number), order), number)[:, 2] < 0.1635  # 24,000 deg²
    density = np.where(inside, 1.0, 1e-6)
    density /= density.sum() * np.pi / 3 / 4.0**order
    layers = (np.full(len(number), value) for value in (200.0, 40.0, 1 / (200.0**2 + 40.0**2)))
    skymap = SkyMap(4 * 4**order + number, density, *layers)
    steps = [(x, y) for x in np.arange(-1.06, 1.0, 0.265) for y in np.arange(-1.06, 1.0, 0.265)][:60]
    ccds = of_polygons([(x, y), (x + 0.25, y), (x + 0.25, y + 0.25), (x, y + 0.25)] for x, y in steps)
    rng = np.random.default_rng(18)
    dec = np.degrees(np.arcsin(rng.uniform(-1, 0.1635, n)))
    places = Places((ccds,), np.zeros(n, dtype=np.int64), rng.uniform(0, 360, n), dec, rng.uniform(0, 360, n))
    bands = [str(b) for b in rng.choice(list("griz"), n)]
    hours, depth = rng.uniform(0, 120, n), rng.uniform(20, 23, n)
    visits = Visits(places, np.ones(n, dtype=bool), hours, depth, bands, ["Camera"] * n)

    def work() -> dict[str, float]:
        if whole:
            f = ledger(skymap, visits).figures
            return {
                "probability": round(f["probability_covered"], 4), "area_deg2": round(f["area_covered_deg2"], 1),
                "reached": round(f["probability_reached"], 4),
            }  # fmt: skip
        probability, area = probability_and_area(skymap, places)
        return {"probability": round(probability, 4), "area_deg2": round(area, 1)}

    return work


WORK: dict[str, Callable[[], Callable[[], dict[str, float]]]] = {
    "coverage": _coverage,
    "ledger": _ledger,
    "exact": _exact,
    "gwtm-api": lambda: _query_polygon(as_written=True),
    "query_polygon": lambda: _query_polygon(as_written=False),
    "many": lambda: _many(whole=False),
    "many ledger": lambda: _many(whole=True),
}


def measure(name: str) -> None:
    """In a process of its own: print CPU seconds, memory (MB) and what was found."""
    work = WORK[name]()
    seconds = []
    for _ in range(1 if name in {"exact", "gwtm-api", "query_polygon"} else 3):
        begin = time.process_time()
        found = work()
        seconds.append(time.process_time() - begin)
    print(json.dumps({"cpu_s": round(min(seconds), 4), "peak_mb": round(peak_mb()), **found}))


def main() -> None:
    """Print every figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--measure", choices=WORK)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure)
        return

    def child(name: str) -> Any:
        return in_a_process(__file__, "--measure", name, limit_s=LIMIT_S)

    if DATA.is_dir():
        ours = child("coverage")
        for other in ("gwtm-api", "query_polygon"):
            theirs = child(other)
            line = {"figure": "coverage, ZTF on GW190425, two nights", "ours": ours, "other": theirs, "method": other}
            print(json.dumps(line | dict(ratios(ours, theirs))), flush=True)
        line = {"figure": "coverage, ledger of ZTF on GW190425", "ours": child("ledger")}
        if not options.quick:
            line["other"] = child("exact")
            line["method"] = "exact sum of polygons"
        print(json.dumps(line), flush=True)
    for name in ("many", "many ledger"):
        figure = "coverage, 10,000 pointings of 60 CCDs" + (", all rows" if name != "many" else "")
        print(json.dumps({"figure": figure, "ours": child(name)}), flush=True)


if __name__ == "__main__":
    main()
