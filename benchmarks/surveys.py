"""Survey alerts against live events, beside the plain way: a full decode of every packet, and every event's region asked for it.

One JSON line per figure, each measured in a process of its own on one thread, after imports and a warm-up:

    index         20 live events (one of 24,000 deg²) made into one index, and asked for a position
    decision      packet bytes to decision, a second of CPU: ZTF's with images, Rubin's real one, and the same with 40 earlier detections
    new_map       a new map against a million kept rows: a region of 24,000 deg² and one of 30 deg²

The plain way of `decision` is fastavro's decode of the whole packet, healpy's pixel of its position looked up in a flat mask of
each event, and the same criteria; `mocpy` asks mocpy's region of each event instead. That of `new_map` reads all rows with
pandas and asks mocpy for all of them at once.

    PYTHONPATH=. python benchmarks/surveys.py [--packets 3000] [--rows 1000000]
"""

from __future__ import annotations

import argparse
import io
import json
import math
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measured import ROOT, Figures, in_a_process, peak_mb

LSST = ROOT.parent / "shared" / "data" / "surveys" / "lsst"
#: 90 % areas, deg²: the 99 % region of the first is 23,900 deg².
AREAS = (20_000.0, *np.geomspace(20, 2000, 19).tolist())
MERGER = 60_080.3
DAYS = 14.0
LIMIT_S = 900
#: Order of the flat masks of the plain way: NSIDE 512.
FLAT_ORDER = 9
_BATCH = 500


def _maps(count: int = len(AREAS)) -> list[Any]:
    from mma_pipeline.science.simulation.alerts import MapSpec, simulate_skymap

    draw = np.random.default_rng(7)
    found = []
    for number, area in enumerate(AREAS[:count]):
        dec = float(np.degrees(np.arcsin(draw.uniform(-0.4, 0.9))))
        spec = MapSpec(ra=float(draw.uniform(0, 360)), dec=dec, area_90=area, max_order=7 if area > 5000 else 9)
        found.append(simulate_skymap(spec, name=f"MS2300{number:02d}a", time=datetime(2023, 5, 16, tzinfo=UTC)))
    return found


def _regions(maps: list[Any]) -> list[Any]:
    from mma_pipeline.science.surveys.regions import live_region

    return [live_region(f"S{n}", "v", m, MERGER - 0.2 * n, days=DAYS) for n, m in enumerate(maps)]


def _mocs(regions: list[Any]) -> list[Any]:
    from mocpy import MOC

    return [
        MOC.from_depth29_ranges(29, np.stack([region.begin, region.end], axis=1).astype(np.uint64))
        for region in regions
    ]


def _masks(regions: list[Any]) -> list[Any]:
    pixels = np.arange(12 * 4**FLAT_ORDER) << (2 * (29 - FLAT_ORDER))
    return [region.holds(pixels) for region in regions]


# -- packets ---------------------------------------------------------------------------------------------------------


def _ztf_packets(count: int) -> list[bytes]:
    from mma_pipeline.cli.survey_night import Region, packets

    region = Region("S230518h", MERGER, _maps(1)[0], 100.0)
    return [packet.body for packet in packets(region, nights_after=1, alerts=count, seed=3, images=True)]


def _lsst_schema() -> dict[str, Any]:
    import fastavro

    reader = fastavro.reader(io.BytesIO((LSST / "fakeAlert_10_0.avro").read_bytes()))
    return {key: value for key, value in dict(reader.writer_schema).items() if not key.startswith("__")}


def _lsst_packets(count: int, *, history: bool) -> list[bytes]:
    """The real packet, which has no history, with positions, times, identities, scores and ages drawn anew.

    With `history`, 40 earlier detections of each that is not new.
    """
    import fastavro

    schema = fastavro.parse_schema(_lsst_schema())
    body = (LSST / "7912941781254298_confluent.avro").read_bytes()
    record = fastavro.schemaless_reader(io.BytesIO(body[5:]), schema, None)
    draw = np.random.default_rng(5)
    made = []
    for number in range(count):
        mjd = MERGER + 0.9 + 0.3 * number / count
        first = mjd if draw.random() < 0.2 else mjd - float(draw.exponential(200))
        identity = 10**17 + number
        source = {
            "ra": float(draw.uniform(0, 360)),
            "dec": float(np.degrees(np.arcsin(draw.uniform(-1, 0.2)))),
            "midpointMjdTai": mjd,
            "diaSourceId": identity,
            "diaObjectId": identity,
            "reliability": float(draw.random()),
            "isNegative": bool(draw.random() < 0.4),
        }
        earlier = [{**record["diaSource"], **source, "midpointMjdTai": mjd - 1 - n} for n in range(40)]
        past = {"prvDiaSources": earlier} if history and first < mjd else {}
        new = {
            **record,
            **past,
            "diaSourceId": identity,
            "diaSource": {**record["diaSource"], **source},
            "diaObject": {**record["diaObject"], "diaObjectId": identity, "firstDiaSourceMjdTai": first},
        }
        buffer = io.BytesIO(body[:5])
        buffer.seek(5)
        fastavro.schemaless_writer(buffer, schema, new)
        made.append(buffer.getvalue())
    return made


def _bodies(survey: str, count: int) -> list[bytes]:
    return _ztf_packets(count) if survey == "ztf" else _lsst_packets(count, history=survey == "lsst_history")


def _ours(survey: str, count: int) -> Callable[[int], int]:
    """Judge the first packets; returns how many are candidates."""
    from mma_pipeline.adapters.kafka.message import StreamMessage
    from mma_pipeline.adapters.surveys.packets import Formats
    from mma_pipeline.adapters.surveys.schemas import Schemas
    from mma_pipeline.products.surveys.judging import judge
    from mma_pipeline.science.surveys.regions import RegionIndex
    from mma_pipeline.science.surveys.vetting import Thresholds

    folder = Path(tempfile.mkdtemp())
    if survey != "ztf":
        (folder / "900.avsc").write_text(json.dumps(_lsst_schema()))
    now = datetime.now(UTC)
    messages = [
        StreamMessage("survey", "topic", 0, n, body, None, (), None, now)
        for n, body in enumerate(_bodies(survey, count))
    ]
    formats, index, limits = Formats(Schemas(None, folder)), RegionIndex(_regions(_maps())), Thresholds()

    def run(number: int) -> int:
        kept = 0
        for at in range(0, number, _BATCH):
            kept += len(judge(messages[at : min(at + _BATCH, number)], formats, index, limits).kept)
        return kept

    return run


def _plain(survey: str, count: int, *, mocpy: bool) -> Callable[[int], int]:
    import fastavro
    import healpy
    from astropy import units

    bodies, regions = _bodies(survey, count), _regions(_maps())
    windows = [(region.t0_mjd, region.until_mjd) for region in regions]
    masks, mocs = ([], _mocs(regions)) if mocpy else (_masks(regions), [])
    schema = fastavro.parse_schema(_lsst_schema()) if survey != "ztf" else None

    def inside(ra: float, dec: float, mjd: float) -> list[float]:
        live = [n for n, (first, last) in enumerate(windows) if first <= mjd <= last]
        if mocpy:
            place = ra * units.deg, dec * units.deg
            return [windows[n][0] for n in live if mocs[n].contains_lonlat(*place)[0]]
        pixel = healpy.ang2pix(1 << FLAT_ORDER, ra, dec, nest=True, lonlat=True)
        return [windows[n][0] for n in live if masks[n][pixel]]

    def ztf(body: bytes) -> int:
        record: Mapping[str, Any] = next(fastavro.reader(io.BytesIO(body)))
        c = record["candidate"]
        events = inside(c["ra"], c["dec"], c["jd"] - 2400000.5)
        if not events or c["isdiffpos"] in ("f", "0") or (c["drb"] or 1) < 0.3:
            return 0
        if 0 <= (c["ssdistnr"] or -1) <= 5 or ((c["sgscore1"] or 0) > 0.76 and c["distpsnr1"] <= 1.5):
            return 0
        points = [p for p in record["prv_candidates"] or () if p["magpsf"] and p["isdiffpos"] in ("t", "1")]
        first = min((p["jd"] - 2400000.5 for p in points if p["sigmapsf"] < 0.2), default=math.inf)
        first = min(first, (c["jdstarthist"] or math.inf) - 2400000.5)
        return int(any(first >= t0 - 0.01 for t0 in events))

    def lsst(body: bytes) -> int:
        record = fastavro.schemaless_reader(io.BytesIO(body[5:]), schema, None)
        s = record["diaSource"]
        events = inside(s["ra"], s["dec"], s["midpointMjdTai"] - 37 / 86400)
        if not events or s["isNegative"] or (s["reliability"] or 1) < 0.5 or s["ssObjectId"]:
            return 0
        points = [p for p in (*(record["prvDiaSources"] or ()), *(record["prvDiaForcedSources"] or ())) if p["psfFlux"]]
        first = min((p["midpointMjdTai"] for p in points if p["psfFlux"] >= 5 * p["psfFluxErr"]), default=math.inf)
        first = min(first, record["diaObject"]["firstDiaSourceMjdTai"]) - 37 / 86400
        return int(any(first >= t0 - 0.01 for t0 in events))

    decide = ztf if survey == "ztf" else lsst
    return lambda number: sum(map(decide, bodies[:number]))


def decision(survey: str, way: str, count: int) -> dict[str, Any]:
    """Seconds of CPU for the decisions upon `count` packets."""
    run = _ours(survey, count) if way == "ours" else _plain(survey, count, mocpy=way == "mocpy")
    run(min(100, count))
    begin = time.process_time()
    kept = run(count)
    cpu = time.process_time() - begin
    return {"cpu_s": round(cpu, 3), "per_s": round(count / cpu), "candidates": kept, "peak_mb": round(peak_mb())}


# -- index -----------------------------------------------------------------------------------------------------------


def index(way: str, count: int) -> dict[str, Any]:
    """Building from decoded maps, and the time for one position."""
    maps = _maps()
    draw = np.random.default_rng(1)
    ra, dec = draw.uniform(0, 360, count).tolist(), np.degrees(np.arcsin(draw.uniform(-1, 1, count))).tolist()
    before, begin = peak_mb(), time.process_time()
    regions = _regions(maps)
    if way == "ours":
        from mma_pipeline.science.surveys.regions import RegionIndex

        found = RegionIndex(regions)
        build = time.process_time() - begin
        found.at(1.0, 1.0, MERGER)
        begin = time.process_time()
        held = sum(len(found.at(*place, MERGER + 1)) for place in zip(ra, dec, strict=True))
    else:
        from astropy import units

        mocs = _mocs(regions)
        build = time.process_time() - begin
        begin = time.process_time()
        held = sum(
            bool(moc.contains_lonlat(a * units.deg, d * units.deg)[0])
            for a, d in zip(ra, dec, strict=True)
            for moc in mocs
        )
    each = (time.process_time() - begin) / count
    return {
        "build_s": round(build, 3),
        "us_per_position": round(each * 1e6, 2),
        "events_per_position": round(held / count, 3),
        "added_mb": round(peak_mb() - before, 1),
        "largest_deg2": round(max(region.area_deg2 for region in regions)),
    }


# -- kept rows -------------------------------------------------------------------------------------------------------


def make_rows(folder: Path, rows: int) -> dict[str, Any]:
    """Three nights of rows, compacted as a reader leaves them; returns their size."""
    from mma_pipeline.adapters.store import Store
    from mma_pipeline.adapters.surveys.nights import RecentNights

    store = Store.open(folder)
    nights = RecentNights(store)
    begin = time.process_time()
    first = int(MERGER)
    for night in range(first, first + 3):
        for number, table in enumerate(_tables(night, rows // 3)):
            from mma_pipeline.adapters.surveys.kept_rows import encode

            store.put(f"mma/surveys/nights/{night}/new/{number}.parquet", encode(table))
        nights.compact(night, whole=True)
    for name, region in zip(("wide", "small"), _regions(_maps(2)), strict=True):
        times = np.array([region.t0_mjd, region.until_mjd])
        np.savez(folder / f"{name}.npz", begin=region.begin, end=region.end, times=times)
    size = sum(kept.size for kept in nights.nights())
    return {"bytes_per_row": round(size / (rows // 3 * 3), 1), "made_cpu_s": round(time.process_time() - begin, 1)}


def _tables(night: int, rows: int) -> Iterator[Any]:
    import pyarrow as pa

    from mma_pipeline.adapters.surveys.kept_rows import schema
    from mma_pipeline.science.sphere import index29

    draw = np.random.default_rng(night)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    for at in range(0, rows, 25_000):
        n = min(25_000, rows - at)
        ra, dec = draw.uniform(0, 360, n), np.degrees(np.arcsin(draw.uniform(-0.5, 1, n)))
        mjd = night + draw.uniform(0.1, 0.5, n)
        flux = 10 ** draw.uniform(3, 5, n) * draw.choice([1, -1], n, p=[0.7, 0.3])
        near = draw.random(n) < 0.1
        names = ["ZTF23" + "".join(row) for row in letters[draw.integers(0, 26, (n, 7))]]
        columns = {
            "index29": index29(ra, dec),
            "survey": ["ztf"] * n,
            "object_id": names,
            "alert_id": draw.integers(10**18, 3 * 10**18, n).astype(str).tolist(),
            "ra": ra,
            "dec": dec,
            "mjd": mjd,
            "band": draw.choice(["ztfg", "ztfr", "ztfi"], n).tolist(),
            "flux_njy": flux,
            "flux_error_njy": np.abs(flux) * draw.uniform(0.02, 0.2, n),
            "limit_mag": draw.normal(20.5, 0.3, n),
            "real_bogus": draw.random(n),
            "star_score": draw.random(n),
            "star_distance_arcsec": draw.uniform(0, 20, n),
            "solar_system": near,
            "solar_system_arcsec": pa.array(draw.uniform(0, 8, n), mask=~near),
            "is_negative": flux < 0,
            "first_mjd": np.where(draw.random(n) < 0.1, mjd, mjd - draw.exponential(300, n)),
            "redshift": pa.nulls(n),
            "topic": [f"ztf_{night}"] * n,
            "partition": draw.integers(0, 8, n),
            "offset": np.arange(at, at + n),
        }
        arrays = [pa.array(columns[field.name]).cast(field.type) for field in schema()]
        yield pa.Table.from_arrays(arrays, schema=schema())


def new_map(way: str, folder: Path, wide: bool) -> dict[str, Any]:
    """What a new map finds among the kept rows."""
    from mma_pipeline.science.surveys.regions import LiveRegion

    # The map itself was decoded elsewhere: what it took is no part of the figure.
    saved = np.load(folder / ("wide.npz" if wide else "small.npz"))
    region = LiveRegion("S1", "v", *saved["times"].tolist(), saved["begin"], saved["end"])
    small = LiveRegion("S0", "v", *saved["times"].tolist(), saved["begin"][:1], saved["begin"][:1] + 1)
    if way == "ours":
        from mma_pipeline.adapters.store import Store
        from mma_pipeline.adapters.surveys.nights import RecentNights
        from mma_pipeline.products.survey_regions import search_kept
        from mma_pipeline.science.surveys.vetting import Thresholds

        nights, limits = RecentNights(Store.open(folder)), Thresholds()
        search_kept(nights, small, limits)  # imports
        begin, cpu = time.perf_counter(), time.process_time()
        found = search_kept(nights, region, limits)
        counts = (found.inside, found.candidates.num_rows)
    else:
        import pandas as pd
        from astropy.coordinates import Latitude, Longitude

        (moc,) = _mocs([region])
        files = sorted(folder.glob("mma/surveys/nights/*/cells/*/*"))
        pd.read_parquet(files[0])
        begin, cpu = time.perf_counter(), time.process_time()
        rows = pd.concat([pd.read_parquet(path) for path in files])
        held = moc.contains_lonlat(Longitude(rows["ra"], unit="deg"), Latitude(rows["dec"], unit="deg"))
        rows = rows[held & (rows["mjd"] <= region.until_mjd)]
        detected = (rows["mjd"] < region.t0_mjd - 0.01) & (rows["flux_njy"] >= 5 * rows["flux_error_njy"])
        earlier = set(rows["object_id"][detected])
        since = rows[rows["mjd"] >= region.t0_mjd]
        good = (
            ~since["is_negative"]
            & ~(since["solar_system"] & ~(since["solar_system_arcsec"] > 5))
            & ~(since["real_bogus"] < 0.3)
            & ~((since["star_score"] > 0.76) & ~(since["star_distance_arcsec"] > 1.5))
            & ~(since["first_mjd"] < region.t0_mjd - 0.01)
            & ~since["object_id"].isin(earlier)
        )
        counts = (len(since), int(good.sum()))
    return {
        "wall_s": round(time.perf_counter() - begin, 2),
        "cpu_s": round(time.process_time() - cpu, 2),
        "peak_mb": round(peak_mb()),
        "region_deg2": round(region.area_deg2),
        "inside": counts[0],
        "candidates": counts[1],
    }


# -- all -------------------------------------------------------------------------------------------------------------


def _child(*options: object) -> Figures | str:
    return in_a_process(__file__, *map(str, options), limit_s=LIMIT_S)


def _line(figure: str, ours: Figures | str, others: Mapping[str, Figures | str], **more: Any) -> None:
    line: dict[str, Any] = {"figure": figure, **more, "ours": ours, **others}
    for name, other in others.items():
        if isinstance(ours, dict) and isinstance(other, dict):
            key = "us_per_position" if "us_per_position" in ours else "cpu_s"
            line[f"{name}_takes_times"] = round(other[key] / max(ours[key], 1e-6), 1)
    print(json.dumps(line), flush=True)


def main() -> None:
    """Print one JSON line per figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packets", type=int, default=3000)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--task", choices=("decision", "index", "new_map", "make_rows"))
    parser.add_argument("--way", default="ours", choices=("ours", "plain", "mocpy"))
    parser.add_argument("--survey", default="ztf", choices=("ztf", "lsst", "lsst_history"))
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--wide", action="store_true")
    options = parser.parse_args()
    if options.task:
        tasks: dict[str, Callable[[], dict[str, Any]]] = {
            "decision": lambda: decision(options.survey, options.way, options.packets),
            "index": lambda: index(options.way, options.packets),
            "new_map": lambda: new_map(options.way, options.folder, options.wide),
            "make_rows": lambda: make_rows(options.folder, options.rows),
        }
        print(json.dumps(tasks[options.task]()))
        return
    count = ("--packets", options.packets)
    _line("index", _child("--task", "index", *count), {"mocpy": _child("--task", "index", "--way", "mocpy", *count)})
    for survey in ("ztf", "lsst", "lsst_history") if LSST.is_dir() else ("ztf",):
        task = ("--task", "decision", "--survey", survey, *count)
        others = {way: _child(*task, "--way", way) for way in ("plain", "mocpy")}
        _line("decision", _child(*task), others, survey=survey, events=len(AREAS), packets=options.packets)
    with tempfile.TemporaryDirectory() as folder:
        made = _child("--task", "make_rows", "--folder", folder, "--rows", options.rows)
        for wide in (["--wide"], []):
            task = ("--task", "new_map", "--folder", folder, *wide)
            _line("new_map", _child(*task), {"plain": _child(*task, "--way", "plain")}, rows=options.rows, kept=made)


if __name__ == "__main__":
    main()
