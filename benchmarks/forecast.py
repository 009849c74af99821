"""How good and how fast the kilonova forecast is, one JSON line for each figure with its goal.

Real kilonovae and maps come from ../shared/data; without it those lines say so. Seconds are of one version as the asset
makes it (distances, models, tables, plot) on one thread, after its imports and one call, and of a fresh process
with everything that is imported. The distances are measured beside ligo.skymap's `marginal_ppf`.

    PYTHONPATH=. python benchmarks/forecast.py
"""

from __future__ import annotations

import csv
import json
import sys
import time
from collections.abc import Callable

import numpy as np

from benchmarks.measured import ROOT, in_a_process, peak_mb, ratios

DATA = ROOT.parent / "shared" / "data"
MAP = DATA / "gw_maps" / "GW170817_bayestar_flat_nside128.fits.gz"
MERGER_MJD, EBV = 57982.5285236, 0.105
BURST, BURST_MPC, BURST_ERR_MPC = "2021-12-11T13:09:59", 348.0, 5.0
LIMIT_S = 120
Points = list[tuple[float, str, float]]


def at2017gfo() -> dict[str, Points]:
    """Hours, band and magnitude as observed, detections of 0.4 to 10.6 days, by file."""
    from astropy.time import Time

    with (DATA / "photometry" / "AT2017gfo_DECam_griz.csv").open() as file:
        decam = [((float(r["time"]) - MERGER_MJD) * 24, r["band"], float(r["magnitude"])) for r in csv.DictReader(file)]
    rows = [line.split() for line in (DATA / "photometry" / "AT2017gfo_ugrizyJHKs.dat").read_text().splitlines()[1:]]
    every = [((float(Time(t).mjd) - MERGER_MJD) * 24, band, float(m)) for t, band, m, error in rows if error != "inf"]
    return {name: [p for p in found if 9.6 < p[0] < 254.4] for name, found in (("DECam", decam), ("collected", every))}


def _quality() -> None:
    from astropy.time import Time

    from mma_pipeline.science.forecast.bands import BANDS, EXTINCTION
    from mma_pipeline.science.forecast.distance import distance_quantiles
    from mma_pipeline.science.forecast.forecast import even_shares, forecast
    from mma_pipeline.science.forecast.outlook import ChirpMasses
    from mma_pipeline.science.kilonova.bands import WAVELENGTH_UM
    from mma_pipeline.science.kilonova.simulation.radiation import lnu_to_absolute, modulus
    from mma_pipeline.science.skymaps.model import decode_skymap
    from mma_pipeline.training.data import kilonova_tables
    from mma_pipeline.training.simulation import kasen

    distance = distance_quantiles(decode_skymap(MAP.read_bytes()), even_shares())
    assert distance is not None
    gw170817 = ChirpMasses((1.1, 1.2, 1.3), (0.9, 0.1))
    kinds = {
        "map alone": forecast(distance),
        "map, chirp mass and class": forecast(distance, chirp=gw170817, classes={"BNS": 1.0}),
    }
    for kind, found in kinds.items():
        for name, points in at2017gfo().items():
            for bands in ("griz", "uyJHK") if name == "collected" else ("griz",):
                chosen = [p for p in points if p[1] in bands]
                q = np.array([found.kilonova.at(band, hours) for hours, band, _ in chosen])
                for ebv in (0.0, EBV):
                    m = np.array([mag - ebv * EXTINCTION[BANDS.index(band)] for _, band, mag in chosen])
                    _print(
                        f"AT2017gfo, {name}, {bands}, {kind}",
                        0.95,
                        float(np.mean((m >= q[:, 0]) & (m <= q[:, -1]))),
                        points=len(chosen),
                        corrected_ebv=ebv,
                        inside_50=round(float(np.mean((m >= q[:, 1]) & (m <= q[:, 3]))), 3),
                        mean_width_90_mag=round(float(np.mean(q[:, -1] - q[:, 0])), 2),
                        mean_fainter_than_median_mag=round(float(np.mean(m - q[:, 2])), 2),
                    )
        for hours in (12, 24, 48, 96, 168):
            q = found.kilonova.at("r", hours)
            _print(
                f"width of the 90 % band in r at {hours} h, {kind}",
                None,
                float(q[-1] - q[0]),
                width_50=float(q[3] - q[1]),
            )
    burst = forecast(np.random.default_rng(5).normal(BURST_MPC, BURST_ERR_MPC, 1500), burst=True)
    assert burst.afterglow is not None
    names = {"ps1::g": "g", "ps1::r": "r", "ps1::i": "i", "ps1::z": "z", "2massj": "J", "2massks": "K"}
    seen: dict[str, list[bool]] = {"kilonova after 36 h": [], "afterglow before": [], "kilonova before": []}
    for t, band, m, error in sorted(
        {tuple(line.split()) for line in (DATA / "photometry" / "GRB211211A.txt").read_text().splitlines()}
    ):
        if band in names and error != "inf":
            hours = float(Time(t).mjd - Time(BURST).mjd) * 24
            for part, curves in (("kilonova", burst.kilonova), ("afterglow", burst.afterglow)):
                q = curves.at(names[band], hours)
                when = "after 36 h" if hours > 36 else "before"
                seen.setdefault(f"{part} {when}", []).append(bool(q[0] <= float(m) <= q[-1]))
    for name, flags in sorted(seen.items()):
        goal = 0.9 if name in ("kilonova after 36 h", "afterglow before") else None
        _print(f"GRB 211211A at 348 Mpc, {name}", goal, float(np.mean(flags)), points=len(flags))
    data = kilonova_tables(DATA / "photometry")
    if data is not None:
        tables = kasen.read(data)
        near = forecast(np.array([40.0]), redshifted=False).kilonova
        n = len(tables.parameters)
        for hours in (24, 48, 96, 168):
            inside, widths = [], []
            for k, band in enumerate("griz"):
                light = kasen.lnu(tables, np.arange(n), np.full((n, 1), hours / 24), np.full((n, 1), WAVELENGTH_UM[k]))
                m = lnu_to_absolute(light)[:, 0] + modulus(np.array(40.0))
                q = near.at(band, hours)
                inside.append(float(np.mean((m >= q[0]) & (m <= q[-1]))))
                widths.append(float(np.ptp(np.quantile(m, [0.05, 0.95]))))
            _print(
                f"models of Kasen et al. 2017 in the 90 % band at {hours} h",
                None,
                float(np.mean(inside)),
                models=n,
                their_width_90_in_r=widths[1],
                ours=float(np.ptp(near.at("r", hours))),
            )


def _print(figure: str, goal: float | None, value: float, **more: float) -> None:
    met = {} if goal is None else {"goal": goal, "met": value >= goal}
    extra = {name: round(v, 3) if isinstance(v, float) else v for name, v in more.items()}
    print(json.dumps({"figure": figure, "value": round(value, 3), **met, **extra}), flush=True)


# -- speed: each returns a function to be measured -------------------------------------------------------------------


def _version() -> Callable[[], object]:
    """As the asset makes it, for a version with chirp mass, classes and a burst."""
    from mma_pipeline.science.forecast.distance import distance_quantiles
    from mma_pipeline.science.forecast.forecast import even_shares, forecast
    from mma_pipeline.science.forecast.outlook import ChirpMasses, outlook
    from mma_pipeline.science.forecast.plot import forecast_png
    from mma_pipeline.science.forecast.tables import document, table
    from mma_pipeline.science.skymaps.model import decode_skymap
    from mma_pipeline.science.tables import ecsv, votable

    skymap = decode_skymap(MAP.read_bytes())
    expected = outlook({"BNS": 0.9, "Terrestrial": 0.1}, {"HasNS": 1.0, "HasRemnant": 0.9})
    chirp = ChirpMasses((1.1, 1.2, 1.3), (0.9, 0.1))

    def run() -> object:
        distance = distance_quantiles(skymap, even_shares())
        assert distance is not None
        found = forecast(distance, chirp=chirp, classes=expected.classes, burst=True)
        made = table(found)
        parts = ecsv(made), votable(made), forecast_png(found, title="GW170817", words=expected.words)
        return json.dumps(document(found, expected)), parts

    return run


def _distance() -> Callable[[], object]:
    from mma_pipeline.science.forecast.distance import distance_quantiles
    from mma_pipeline.science.forecast.forecast import even_shares
    from mma_pipeline.science.skymaps.model import decode_skymap

    skymap = decode_skymap(MAP.read_bytes())
    return lambda: distance_quantiles(skymap, even_shares())


def _ligo() -> Callable[[], object]:
    from ligo.skymap.distance import marginal_ppf

    from mma_pipeline.science.forecast.forecast import even_shares
    from mma_pipeline.science.skymaps.model import decode_skymap

    m = decode_skymap(MAP.read_bytes())
    assert m.distmu is not None
    assert m.distsigma is not None
    assert m.distnorm is not None
    rows = np.isfinite(m.distmu) & (m.prob > 0)
    layers = [np.asarray(v[rows]) for v in (m.prob, m.distmu, m.distsigma, m.distnorm)]
    return lambda: [marginal_ppf(p, *layers) for p in even_shares()]


_WORK = {"version": _version, "distance": _distance, "ligo": _ligo}


def _measure(name: str) -> None:
    started = time.perf_counter()
    work = _WORK[name]()
    if name != "ligo":
        work()
    first = time.perf_counter() - started
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    figures = {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall, "fresh_wall_s": first}
    print(json.dumps(figures | {"peak_mb": peak_mb()}))


def _speed() -> None:
    mine = in_a_process(__file__, "--measure", "version", limit_s=LIMIT_S)
    met = {} if isinstance(mine, str) else {"met": mine["cpu_s"] < 2}
    print(json.dumps({"figure": "one version", "goal_cpu_s": 2, **met, "ours": mine}), flush=True)
    ours, other = (in_a_process(__file__, "--measure", name, limit_s=LIMIT_S) for name in ("distance", "ligo"))
    print(
        json.dumps(
            {
                "figure": "1,500 distances of a map",
                "ours": ours,
                "ligo.skymap marginal_ppf": other,
                **ratios(ours, other),
            }
        ),
        flush=True,
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        _measure(sys.argv[2])
    elif not MAP.exists():
        print(json.dumps({"figure": "forecast", "missing": f"no real map: {MAP} is not there"}))
    else:
        _quality()
        _speed()
