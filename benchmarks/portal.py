"""The portal with 10,000 events: lists, pages and files over HTTP, and its memory, beside reading the archive for each list.

One JSON line for each kind of request: median and 95th percentile in milliseconds. `naive_ratio` says how much longer it takes
to draw the same list up from the archive each time.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psutil
import sqlalchemy as sa

from mma_pipeline.adapters.archive import Archive, schema, writing
from mma_pipeline.adapters.store import Store
from mma_pipeline.portal.events import EventList

LABELS = ("Preliminary", "Initial", "Update", "Update-ExtCoinc")
FILES = ("alert", "skymap", "flat_skymap", "contours", "coverage_90_fits", "picture")


def fill(archive: Archive, store: Store, events: int) -> list[str]:
    """Archive so many events of four versions with seven files each; returns their ids."""
    rng = random.Random(1)
    begin = datetime(2020, 1, 1, tzinfo=UTC)
    ids = []
    for start in range(0, events, 500):
        messages, versions, products = [], [], []
        for n in range(start, min(start + 500, events)):
            time_ = begin + timedelta(hours=4 * n)
            letters = "".join(chr(97 + d) for d in (n // 676 % 26, n // 26 % 26, n % 26))
            event = f"S{time_:%y%m%d}{letters}"
            ids.append(event)
            for v, label in enumerate(LABELS):
                created = time_ + timedelta(minutes=5 + 30 * v)
                key = f"{event}-{label}-{created:%Y%m%dT%H%M%S}-{n:010x}"
                number = 4 * n + v + 1
                digest = f"{number:064x}"
                messages.append(
                    {
                        "id": number, "stream": "gcn-gwalert", "topic": "igwn.gwalert", "partition": 0, "offset": number,
                        "headers": [], "sha256": digest, "received": created, "event_id": event,
                    }
                )  # fmt: skip
                p = rng.random()
                facts = {
                    "alert_type": label, "time_created": created.isoformat(), "time": time_.isoformat(),
                    "urls": {"gracedb": f"https://example.org/superevents/{event}/view/"}, "skymap_sha256": digest,
                    "far_hz": 10 ** rng.uniform(-12, -5), "significant": rng.random() < 0.1,
                    "instruments": ["H1", "L1", "V1"], "group": "CBC", "pipeline": "gstlal", "search": "AllSky",
                    "classification": {"BNS": p, "NSBH": 0.0, "BBH": 1 - p, "Terrestrial": 0.0},
                    "properties": {"HasNS": p, "HasRemnant": p / 2, "HasMassGap": 0.0},
                    "duration_s": None, "central_frequency_hz": None,
                    "chirp_mass": {"bin_edges_msun": list(range(12)), "probabilities": [0.1] * 11},
                }  # fmt: skip
                versions.append(
                    {
                        "partition_key": key, "event_id": event, "label": label, "number": 0, "created": created,
                        "role": "observation", "message_id": number, "facts": facts,
                    }
                )  # fmt: skip
                figures = {
                    "area_50_deg2": 100.0 * p, "area_90_deg2": 400.0 * p, "distance_mean_mpc": 1000 * p,
                    "distance_std_mpc": 100 * p, **{f"figure_{i}": p * i for i in range(15)},
                }  # fmt: skip
                products += [
                    {
                        "partition_key": key, "name": name, "asset": name, "store_key": f"mma/{event}/{key}/{name}",
                        "sha256": digest, "size": 1000, "content_type": "application/json", "code_version": "1",
                        "address": digest, "statistics": figures if name == "statistics" else {}, "written": created,
                    }
                    for name in ("statistics", *FILES)
                ]  # fmt: skip
        with writing(archive.engine) as connection:
            bodies = [{"sha256": row["sha256"], "data": b""} for row in messages]
            for table, rows in (
                (schema.body, bodies),
                (schema.message, messages),
                (schema.version, versions),
                (schema.product, products),
            ):
                connection.execute(sa.insert(table), rows)
    for event in ids[-50:]:
        store.put(f"mma/{event}/index.html", b"<p>page</p>" * 8000, content_type="text/html; charset=utf-8")
    return ids


@contextlib.contextmanager
def served(folder: Path) -> Iterator[tuple[str, psutil.Process, float]]:
    """`mma serve` on the filled archive: its address, its process, and the seconds until its first list."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = {**os.environ, "DAGSTER_HOME": str(folder)}
    started = time.perf_counter()
    command = [sys.executable, "-c", "from mma_pipeline.cli import app; app()", "serve", "--port", str(port)]
    with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL) as process:
        try:
            address = f"http://127.0.0.1:{port}"
            while True:
                with contextlib.suppress(httpx.TransportError):
                    httpx.get(f"{address}/api/v1/events?size=1", timeout=60).raise_for_status()
                    break
                time.sleep(0.1)
            yield address, psutil.Process(process.pid), time.perf_counter() - started
        finally:
            process.terminate()


def measure(client: httpx.Client, targets: list[str]) -> dict[str, Any]:
    """Median and 95th percentile of the requests, milliseconds."""
    spent = []
    for target in targets:
        started = time.perf_counter()
        client.get(target, follow_redirects=True).raise_for_status()
        spent.append(1e3 * (time.perf_counter() - started))
    return {
        "requests": len(spent),
        "median_ms": statistics.median(spent),
        "p95_ms": statistics.quantiles(spent, n=20)[-1],
    }


def main() -> None:
    """Fill, serve, measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--requests", type=int, default=200)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mma-portal-") as name:
        folder = Path(name)
        archive = Archive(f"sqlite:///{folder / 'archive.db'}", create=True)
        store = Store.open((folder / "products").as_uri())
        ids = fill(archive, store, given.events)
        started = time.perf_counter()
        EventList(archive).current()
        naive_ms = 1e3 * (time.perf_counter() - started)
        rng = random.Random(2)
        queries = (
            "", "significant=true", "source_class=BNS&min_probability=0.9", "max_area_deg2=50", "max_distance_mpc=200",
            "since=2022-01-01&before=2022-06-01", "coincidence=true", "kind=Update", "retracted=false", "text=S21",
        )  # fmt: skip
        kinds = {
            "list": [f"/?{rng.choice(queries)}&start={50 * rng.randrange(5)}" for _ in range(given.requests)],
            "list of the API, 100 events": [f"/api/v1/events?{rng.choice(queries)}" for _ in range(given.requests)],
            "page of an event": [f"/events/{rng.choice(ids[-50:])}" for _ in range(given.requests)],
            "files of an event": [f"/events/{rng.choice(ids)}/files" for _ in range(given.requests)],
            "products of an event": [f"/api/v1/events/{rng.choice(ids)}/products" for _ in range(given.requests)],
        }
        with served(folder) as (address, process, first_s), httpx.Client(base_url=address, timeout=60) as client:
            for kind, targets in kinds.items():
                found = measure(client, targets)
                if kind == "list":
                    found["naive_ratio"] = naive_ms / found["median_ms"]
                sys.stdout.write(json.dumps({"request": kind, "events": given.events, **found}) + "\n")
            memory = process.memory_info().rss / 1e6
        sys.stdout.write(
            json.dumps({"request": "start", "events": given.events, "s": first_s, "memory_mb": memory}) + "\n"
        )


if __name__ == "__main__":
    main()
