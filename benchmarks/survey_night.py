"""Whole simulated nights of a survey with a hidden kilonova: what reading costs, how each night is scored, and at which rank the kilonova is.

First a night with 1,000 changed candidates, none of them a kilonova's: one run reads, scores, vets, ranks and writes. Then one JSON line per night: `read` is `mma survey replay` of the night's tar file (packets without images) until everything is
durable, `score` one run of the job `survey_scoring` from its request to the last plot, both in processes of their own.

    PYTHONPATH=. python benchmarks/survey_night.py [--alerts 30000] [--nights 3] [--folder FOLDER] [--catalogs FOLDER]
    PYTHONPATH=. python benchmarks/survey_night.py --map ../shared/data/coverage/GW190425_bayestar.multiorder.fits

With --catalogs the 1,000 candidates are vetted against the invented 2 million galaxies, 10 million stars and 0.9 million nuclei of
`benchmarks/vetting.py`; the folder keeps these tables (1.2 GB), and is filled where it is empty. --nights 0 leaves the nights out.
With --folder the nights that `mma simulate FOLDER --survey-night N --nights-after …` has written there are used.
With --map an event of these days has this map, and the kilonova is somewhere in it, at the distance that it says there.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.measured import in_a_process, peak_mb

LIMIT_S = 6 * 3600
#: Rank within which the kilonova should be.
BEST = 5


def environment(folder: Path, catalogs: Path | None = None) -> dict[str, str]:
    """A home of its own for the measurement, with the tables of a folder to vet against."""
    home = folder / "home"
    home.mkdir(parents=True, exist_ok=True)
    tables = {
        f"MMA_{name}_CATALOG": str(catalogs / kind)
        for name, kind in (("GALAXY", "galaxies"), ("STAR", "stars"), ("AGN", "agn"))
        if catalogs is not None
    }
    return tables | {
        "DAGSTER_HOME": str(home),
        "MMA_ARCHIVE_URL": f"sqlite:///{home / 'archive.db'}",
        "MMA_STORE_URL": (home / "products").as_uri(),
        "MMA_SURVEY_MOCKS": "true",
        "MMA_SURVEY_SCHEMA_REGISTRY": "",
    }


def make(folder: Path, alerts: int, nights: int, distance: float) -> None:
    """Simulate the event and its nights."""
    merger = datetime.now(UTC) - timedelta(days=nights + 1)
    line = [sys.executable, "-c", "from mma_pipeline.cli import app; app()", "simulate", str(folder)]
    line += [
        "--survey-night",
        str(alerts),
        "--distance",
        f"{distance:g}",
        "--time",
        f"{merger:%Y-%m-%dT%H:%M:%S}",
        "--no-images",
    ]
    for night in range(1, nights + 1):
        subprocess.run([*line, "--nights-after", str(night)], check=True, capture_output=True)


def make_in(folder: Path, skymap: Path, alerts: int, nights: int) -> None:
    """Archive an event with a given map, and simulate its nights."""
    from mma_pipeline.notices import lvk
    from mma_pipeline.science.simulation.alerts import simulate_event

    merger = (datetime.now(UTC) - timedelta(days=nights + 1)).replace(microsecond=0)
    event = f"MS{merger:%y%m%d}aa"
    notice = simulate_event(event, time=merger, seed=1, max_order=5)[-2]
    if notice.event is None:
        raise ValueError("the simulated notice has no event")
    notice = replace(notice, event=replace(notice.event, skymap=skymap.read_bytes()))
    (folder / f"{event}.json").write_text(json.dumps(lvk.to_record(notice)))
    receive(folder)
    line = [sys.executable, "-c", "from mma_pipeline.cli import app; app()", "simulate", str(folder)]
    line += ["--in-region-of", event, "--survey-night", str(alerts), "--no-images"]
    for night in range(1, nights + 1):
        subprocess.run([*line, "--nights-after", str(night)], check=True, capture_output=True)


def receive(folder: Path) -> None:
    """Archive the event's notices."""
    from mma_pipeline.adapters.archive import Archive
    from mma_pipeline.adapters.kafka.message import StreamMessage
    from mma_pipeline.products.ingest import ingest, parse_alert

    archive = Archive(os.environ["MMA_ARCHIVE_URL"], create=True)
    for offset, path in enumerate(sorted(folder.glob("MS*.json"))):
        if "-ext" not in path.name:
            now = datetime.now(UTC)
            message = StreamMessage("gcn-gwalert", "igwn.gwalert", 0, offset, path.read_bytes(), None, (), None, now)
            ingest(archive, message, parse_alert)


def read(packed: Path) -> dict[str, Any]:
    """Take a night's packets through the filter."""
    from mma_pipeline.cli import app

    begin, cpu, said = time.perf_counter(), time.process_time(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        app(["survey", "replay", str(packed), "--json"])
    used = time.process_time() - cpu
    counts = json.loads(said.getvalue())
    return {
        **counts,
        "cpu_s": round(used, 1),
        "wall_s": round(time.perf_counter() - begin, 1),
        "per_cpu_s": round(counts["seen"] / used),
        "peak_mb": round(peak_mb()),
    }


def fill(count: int) -> dict[str, Any]:
    """An event with so many candidates of one night, each with 21 points of three nights, none scored yet."""
    import numpy as np

    from mma_pipeline.adapters.archive import Archive
    from mma_pipeline.adapters.archive.surveys import Beat, Kept, Outcome, SurveyArchive
    from mma_pipeline.adapters.kafka.message import StreamMessage
    from mma_pipeline.notices import lvk
    from mma_pipeline.notices.photometry.measurement import Candidate, Measurement, PhotometryNotice
    from mma_pipeline.notices.times import mjd_of_datetime
    from mma_pipeline.products.ingest import ingest, parse_alert
    from mma_pipeline.science.kilonova.counterpart import place_in
    from mma_pipeline.science.simulation.alerts import simulate_event
    from mma_pipeline.science.skymaps.model import decode_skymap

    archive = Archive(os.environ["MMA_ARCHIVE_URL"], create=True)
    now, draw = datetime.now(UTC), np.random.default_rng(4)
    merger = (now - timedelta(days=5)).replace(hour=2, minute=0, second=0, microsecond=0)
    notice = simulate_event(f"MS{merger:%y%m%d}aa", time=merger, seed=3, max_order=9, area_90=1000.0)[-2]
    if notice.event is None or notice.event.skymap is None:
        raise ValueError("the simulated notice has no map")
    body = json.dumps(lvk.to_record(notice)).encode()
    ingest(archive, StreamMessage("gcn-gwalert", "igwn.gwalert", 0, 0, body, None, (), None, now), parse_alert)
    skymap, t0 = decode_skymap(notice.event.skymap), mjd_of_datetime(merger)
    night, kept = int(t0) + 3, []
    for number in range(count):
        ra, dec, _ = place_in(skymap, draw)
        # Places are pixels' centres: two in one pixel would be one object.
        ra, dec = ra + draw.uniform(-0.05, 0.05), dec + draw.uniform(-0.05, 0.05)
        here = Candidate(f"ZTF26{''.join(chr(97 + number // 26**n % 26) for n in range(7))}", float(ra), float(dec))
        peak, slope = draw.uniform(18, 21), draw.uniform(-0.1, 1.0)
        rows = tuple(
            Measurement(
                here,
                int(t0) + 1 + n + 0.1 + 0.05 * visit,
                f"ztf{band}",
                float(peak + slope * n + draw.normal(0, 0.1)),
                0.1,
                origin="previous",
            )
            for n in range(3)
            for visit, band in enumerate("grigrig")
        )
        message = StreamMessage("survey", "ztf", 0, number, b"%d" % number, None, (), None, now)
        kept.append(Kept(message, PhotometryNotice(rows, "ztf", simulated=True), ((notice.superevent_id, night),)))
    outcomes = [Outcome(("ztf", 0), n, inside=True, kept=True) for n in range(count)]
    SurveyArchive(archive).record("survey", kept, [], outcomes, Beat("benchmark", now))
    return {"night": night}


def score(night: int) -> dict[str, Any]:
    """Score a night as its run does, and find the hidden kilonova in its table."""
    import dagster as dg
    from astropy.table import Table

    from mma_pipeline.definitions import defs
    from mma_pipeline.defs.resources import ArchiveResource, SettingsResource, StoreResource
    from mma_pipeline.defs.surveys.sensors import survey_sensor
    from mma_pipeline.notices.photometry.event_night import EventNight

    with dg.DagsterInstance.ephemeral() as instance:
        asked = survey_sensor(
            dg.build_sensor_context(instance=instance),
            archive=ArchiveResource(),
            store=StoreResource(),
            settings=SettingsResource(),
        )
        requests = asked.run_requests if isinstance(asked, dg.SensorResult) else []
        (key,) = [r.partition_key for r in requests or [] if f"MJD{night}" in str(r.partition_key)]
        instance.add_dynamic_partitions("event_night", [str(key)])
        begin, cpu = time.perf_counter(), time.process_time()
        defs.resolve_job_def("survey_scoring").execute_in_process(
            instance=instance,
            partition_key=key,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
        used, wall = time.process_time() - cpu, time.perf_counter() - begin
    of = EventNight.from_partition_key(str(key))
    products = Path(os.environ["MMA_STORE_URL"].removeprefix("file://"))
    table = Table.read(
        products / "mma" / of.event_id / "nights" / str(of.night) / "candidates.ecsv", format="ascii.ecsv"
    )
    ranks = [int(row["rank"]) for row in table if "zzzz" in row["candidate"]]
    return {
        "candidates": len(table),
        "with_host": sum(bool(row["host"]) for row in table),
        "rank_of_kilonova": ranks[0] if ranks else None,
        "cpu_s": round(used, 2),
        "wall_s": round(wall, 2),
        "peak_mb": round(peak_mb()),
    }


def make_catalogs(folder: Path) -> None:
    """Build the tables of `benchmarks/vetting.py` in a folder that has none."""
    if not (folder / "stars").is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        for way in ("make", "stars"):
            subprocess.run([sys.executable, str(Path(__file__).with_name("vetting.py")), way, str(folder)], check=True)


def many(count: int, catalogs: Path | None) -> None:
    """One run that scores very many candidates."""
    if catalogs is not None:
        make_catalogs(catalogs)
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(environment(Path(folder), catalogs))
        made = in_a_process(__file__, "--task", "fill", "--candidates", str(count), limit_s=LIMIT_S)
        line: dict[str, Any] = {"figure": "changed candidates", "load": round(os.getloadavg()[0], 1), "made": made}
        if isinstance(made, dict):
            line["score"] = in_a_process(
                __file__, "--task", "score", "--night", str(int(made["night"])), limit_s=LIMIT_S
            )
        print(json.dumps(line), flush=True)


def main() -> None:
    """Print one JSON line per night."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--alerts", type=int, default=30_000)
    parser.add_argument("--nights", type=int, default=3)
    parser.add_argument("--distance", type=float, default=80.0, help="Mpc")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--map", type=Path, help="multi-order FITS file of the event")
    parser.add_argument("--catalogs", type=Path, help="folder of tables that the 1,000 candidates are vetted against")
    parser.add_argument("--candidates", type=int, default=1000, help="of a night that is scored alone")
    parser.add_argument("--task", choices=("read", "score", "fill"))
    parser.add_argument("--packed", type=Path)
    parser.add_argument("--night", type=int)
    options = parser.parse_args()
    if options.task:
        tasks: dict[str, Callable[[], dict[str, Any]]] = {
            "read": lambda: read(options.packed),
            "score": lambda: score(options.night),
            "fill": lambda: fill(options.candidates),
        }
        print(json.dumps(tasks[options.task]()))
        return
    many(options.candidates, options.catalogs)
    if not options.nights:
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        os.environ.update(environment(Path(temporary)))
        if options.map is not None:
            make_in(folder, options.map, options.alerts, options.nights)
        elif options.folder is None:
            make(folder, options.alerts, options.nights, options.distance)
        if options.map is None:
            receive(folder)
        for packed in sorted(folder.glob("ztf_*.tar")):
            night = int(packed.stem.rpartition("MJD")[2])
            line = {"figure": "night", "mjd": night, "load": round(os.getloadavg()[0], 1)}
            line["read"] = in_a_process(__file__, "--task", "read", "--packed", str(packed), limit_s=LIMIT_S)
            line["score"] = in_a_process(__file__, "--task", "score", "--night", str(night), limit_s=LIMIT_S)
            rank = line["score"].get("rank_of_kilonova") if isinstance(line["score"], dict) else None
            print(json.dumps({**line, "found": rank is not None and rank <= BEST}), flush=True)


if __name__ == "__main__":
    main()
