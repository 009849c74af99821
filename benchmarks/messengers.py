"""Pairs of messengers: seconds from the second notice in Kafka to the pair's product, and what a year of all messengers costs.

`pair`: real Apache Kafka, PostgreSQL, the warm worker, separate processes. A merger is sent and waited for; then its burst,
and the seconds count until the burst's version has its coincidences with the pair in them, beside the same products made in
one bare warm process. The broker has two topics: those of all other observatories are missing, as they may be.

`year`: 40,000 versions of superevents and of every other stream at an even pace over a year: the sensors' ticks, the page,
the queries of Dagster's UI through its web server. SQLite; each figure beside that of 1,000 versions. Materialisations are
reported for the newest versions of one asset only: reporting those of all would take an hour.

One JSON line per figure (`load` is printed with them: the seconds mean something on an idle machine only).

    PYTHONPATH=. python benchmarks/messengers.py [pair|year] [--pairs 20] [--partitions 40000]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import dagster as dg
import httpx

from benchmarks.latency import TOPIC
from benchmarks.scale import DESTINATION, fill, ticker, timed
from mma_pipeline.adapters.archive import Archive, ProductRecord
from mma_pipeline.adapters.archive.coincidences import PairRecord, PairState, record_pairs
from mma_pipeline.adapters.errors import NotFoundError
from mma_pipeline.adapters.kafka.message import StreamMessage
from mma_pipeline.adapters.kafka.producer import ConfirmedProducer
from mma_pipeline.adapters.store import Store
from mma_pipeline.notices import lvk
from mma_pipeline.notices.gcn.streams import CORE_STREAMS, stream_named
from mma_pipeline.notices.key import EventVersion
from mma_pipeline.products.ingest import Parser, ingest, parse_alert
from mma_pipeline.products.inputs import ProductInput
from mma_pipeline.products.materialize import make
from mma_pipeline.products.notices import core_parser
from mma_pipeline.science.simulation.alerts import simulate_event
from mma_pipeline.settings import current

PATIENCE_S = 180.0
#: Pairs of which the other event's product is waited for: its sensor ticks every 30 s.
OTHERS = 5
GRB_STREAM = "fermi_gbm"
GRB_TOPIC = "gcn.notices.fermi.gbm.trigger"
#: Goal of the 95th percentile, seconds, on an idle machine with two cores.
GOAL_S = 5.0
#: Seconds after the merger at which its burst is seen.
DELAY_S = 1.7
SMALL = 1000
YEAR_S = 365.25 * 86400.0
#: Pairs within the year, and runs in Dagster's list.
PAIRS, RUNS = 300, 600
#: Newest versions of which a materialisation is reported.
REPORTED = 300
#: The queries of Dagster's UI that grow with the partitions and runs: those of its pages of assets, of one asset's
#: partitions, and of runs (dagster-webserver's GraphQL).
UI = {
    "UI: asset graph": "{ assetNodes { assetKey { path } groupName partitionStats { numMaterialized numPartitions } } }",
    "UI: partitions of an asset": '{ assetNodeOrError(assetKey: {path: ["skymap"]}) { ... on AssetNode { partitionKeys '
    "assetPartitionStatuses { __typename ... on DefaultPartitionStatuses { materializedPartitions } } } } }",
    "UI: list of runs": "{ runsOrError(limit: 25) { ... on Runs { results { runId status tags { key value } } } } }",
}


def line(benchmark: str, figure: str, **values: object) -> None:
    """Print one figure."""
    found = {"benchmark": f"messengers, {benchmark}", "figure": figure, **values, "load": round(os.getloadavg()[0], 1)}
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()


def pair_notices(count: int) -> Iterator[tuple[tuple[bytes, str], tuple[bytes, str]]]:
    """Mergers a day apart until an hour ago and the burst of each: message and partition key of both."""
    stream = stream_named(GRB_STREAM)
    assert stream is not None
    for number in range(count):
        at = (datetime.now(UTC) - timedelta(hours=1, days=count - 1 - number)).replace(microsecond=0)
        notice = simulate_event(f"S{at:%y%m%d}a", time=at, seed=number, max_order=10)[1]
        (version,) = lvk.versions_of(notice)
        assert notice.event is not None
        seen = at + timedelta(seconds=DELAY_S)
        record = {
            "$schema": "https://gcn.nasa.gov/schema/main/gcn/notices/fermi/gbm/trigger.schema.json",
            "mission": "Fermi",
            "instrument": "GBM",
            "alert_tense": "current",
            "alert_type": "initial",
            "alert_datetime": (seen + timedelta(seconds=30)).isoformat(),
            "trigger_time": seen.isoformat(),
            "id": [str(800_000_000 + number)],
            "subtype": "GROUND_POSITION",
            "ra": 150.0,
            "dec": 20.0,
            "ra_dec_error": 5.0,
            "containment_probability": 0.68,
        }
        burst = json.dumps(record).encode()
        ((other, _),) = core_parser(stream)(burst)
        yield (json.dumps(lvk.to_record(notice)).encode(), version.partition_key), (burst, other.partition_key)


def shown(archive: Archive, key: str, pairs: int) -> ProductRecord | None:
    """The coincidences of a version once they hold so many pairs."""
    with contextlib.suppress(NotFoundError):
        product = archive.product(key, "coincidences")
        if product is not None and product.statistics["pairs_found"] >= pairs:
            return product
    return None


def wait_for(archive: Archive, key: str, pairs: int, patience_s: float = PATIENCE_S) -> ProductRecord | None:
    """The same, waited for; None if it does not come."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        if (product := shown(archive, key, pairs)) is not None:
            return product
        time.sleep(0.05)
    return None


def measure_pairs(count: int) -> None:
    """Seconds from the second notice to the pair's product in the warm lane, and in one bare process."""
    from tests.delivery.stack import Stack
    from tests.services.kafka import KafkaBroker
    from tests.services.postgres import PostgresServer

    notices = list(pair_notices(count + 1))  # the first warms up
    rows: list[dict[str, float]] = []
    with contextlib.ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="mma-pairs-")))
        kafka = held.enter_context(KafkaBroker.running())
        for topic in (TOPIC, GRB_TOPIC):
            kafka.create_topic(topic)
        postgres = held.enter_context(PostgresServer.running())
        deployment = Stack(folder / "stack", kafka, postgres, warm=True)
        producer = held.enter_context(ConfirmedProducer(kafka.client()))
        held.enter_context(deployment.running())
        archive = deployment.archive()
        for number, ((merger, first), (burst, second)) in enumerate(notices):
            producer.send(TOPIC, merger)
            if wait_for(archive, first, 0) is None:
                raise TimeoutError(f"{first}: no product within {PATIENCE_S} s")
            time.sleep(6)  # one look of the daemon at its sensors: notices that come one by one
            _, _, sent = producer.send(GRB_TOPIC, burst)
            product = wait_for(archive, second, 1)
            if product is None:
                raise TimeoutError(f"{second}: no pair within {PATIENCE_S} s")
            row = {"second notice to the pair's product": (product.written - sent).total_seconds()}
            if 0 < number <= OTHERS and (other := wait_for(archive, first, 1)) is not None:
                row["second notice to the other event's product"] = (other.written - sent).total_seconds()
            rows.append(row)
        alone = bare(notices, folder)
    rows = rows[1:]
    name = "pair in the warm lane"
    for figure in dict.fromkeys(name for row in rows for name in row):
        values = sorted(row[figure] for row in rows if figure in row)
        p95 = values[min(len(values) - 1, int(0.95 * len(values)))]
        met = {"goal_p95_s": GOAL_S, "met": p95 < GOAL_S} if figure.endswith("pair's product") else {}
        line(name, figure, p50_s=round(statistics.median(values), 3), p95_s=round(p95, 3), **met, pairs=len(values))
    whole = statistics.median(row["second notice to the pair's product"] for row in rows)
    for figure, found in alone.items():
        share = statistics.median(found)
        line(name, f"{figure} in a bare warm process", p50_s=round(share, 3), ratio=round(whole / share, 2))


def bare(notices: list[tuple[tuple[bytes, str], tuple[bytes, str]]], folder: Path) -> dict[str, list[float]]:
    """Seconds in one warm process: the pair alone, and all that the burst's run makes up to it; the first warms up."""
    from mma_pipeline.defs.all_products import PRODUCTS
    from mma_pipeline.defs.coincidences.assets import coincidences

    archive = Archive(f"sqlite:///{folder / 'bare.db'}", create=True)
    store = Store.open((folder / "bare").as_uri())
    stream = stream_named(GRB_STREAM)
    assert stream is not None
    found: dict[str, list[float]] = {"the pair alone": [], "the burst's products up to the pair": []}

    def take(number: int, parse: Parser, body: bytes) -> None:
        ingest(archive, StreamMessage("s", "t", 0, number, body, None, (), None, datetime.now(UTC)), parse)

    for number, ((merger, _), (burst, key)) in enumerate(notices):
        take(2 * number, parse_alert, merger)
        began = time.perf_counter()
        take(2 * number + 1, core_parser(stream), burst)
        source = ProductInput(archive, store, key, current())
        for product in PRODUCTS:
            if product.priority >= 0 and product.need.met(source.record) and product.unconfigured(current()) is None:
                started = time.perf_counter()
                for record in make(product, source, f"{key}-{product.name}")[1]:
                    archive.record_product(record)
                if product is coincidences:
                    found["the pair alone"].append(time.perf_counter() - started)
        found["the burst's products up to the pair"].append(time.perf_counter() - began)
    return {figure: seconds[1:] for figure, seconds in found.items()}


def trigger(number: int) -> tuple[str, dict[str, Any]]:
    """The event of a version, of superevents and of every stream in turn, and what its notice says."""
    from benchmarks.scale import event

    kinds = (None, *CORE_STREAMS)
    stream = kinds[number % len(kinds)]
    if stream is None:
        return event(number), {"group": "CBC", "search": "AllSky", "far_hz": 1e-7}
    sample = {
        "Fermi": f"{700_000_000 + number}",
        "FermiTarget": f"{700_000_000 + number}",
        "Swift": f"{700_000_000 + number}",
        "IceCube": f"{140_000 + number // 10_000}_{number}",
        "EP": f"{1_700_000_000 + number}",
        "CHIME": f"{400_000_000 + number}",
        "DSA110": f"{240_000 + number // 26**2 % 10_000:06d}{chr(97 + number // 26 % 26)}{chr(97 + number % 26)}",
        "SuperK": f"SN_{90_000 + number}_000001",
        "MAXI": f"{9_990_000_000 + number}",
        "KM3NeT": f"{number}",
        "SVOM": f"sb{24_000_000 + number}",
        "BurstCube": f"{240_000_000 + number}",
        "Glowbug": f"BUG{230_000 + number // 1000}_{number % 1000}",
    }[stream.observatory]
    facts = {
        "stream": stream.name,
        "messenger": stream.messenger,
        "triggers": [sample],
        "instruments": [stream.instrument],
    }
    return f"T{stream.observatory}_{sample}", facts


def measure_year(count: int, folder: Path) -> dict[str, float]:
    """Seconds of each operation with so many versions in a year."""
    from benchmarks.scale import key_of
    from mma_pipeline.defs.alerts.notice_maps import notice_maps_sensor
    from mma_pipeline.defs.alerts.unfinished import unfinished_versions_sensor
    from mma_pipeline.defs.coincidences.assets import coincidences
    from mma_pipeline.defs.coincidences.sensors import coincidence_sensor
    from mma_pipeline.defs.events.page.write import write_event_page
    from mma_pipeline.defs.events.sensors import event_page_sensor
    from mma_pipeline.defs.operations.health import health
    from mma_pipeline.defs.partitions import alert_versions
    from mma_pipeline.defs.publication.sensors import publication_sensor
    from tests.homes import ROOT

    url, home = f"sqlite:///{folder / 'archive.db'}", folder / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    config = folder / "publication.toml"
    config.write_text(f"[destinations.{DESTINATION}]\nkind = 'webhook'\nurl_env = 'MMA_SCALE_HOOK'\n")
    os.environ |= {
        "MMA_ARCHIVE_URL": url,
        "MMA_STORE_URL": (folder / "products").as_uri(),
        "MMA_PUBLICATION_CONFIG": str(config),
        "MMA_SCALE_HOOK": "http://127.0.0.1:1/never-called",
        "DAGSTER_HOME": str(home),
        "PYTHONPATH": str(ROOT),
    }
    archive = Archive(url, create=True)
    store = Store.open((folder / "products").as_uri())
    with dg.DagsterInstance.from_config(str(home)) as instance:
        began = time.perf_counter()
        fill(
            archive,
            instance,
            count,
            event=lambda n: trigger(n)[0],
            label="Initial",
            facts=lambda n: trigger(n)[1],
            pace=YEAR_S / count,
        )
        keys = [key_of(trigger(n)[0], n, "Initial") for n in range(count)]
        remember_pairs(archive, keys)
        report(instance, keys[-REPORTED:])
        filled = time.perf_counter() - began
        tick = ticker(instance, url)
        pages, name = tick(event_page_sensor).cursor, alert_versions.name or ""
        merger = a_merger(archive, store)
        found = {
            "filling (not a figure of the pipeline)": filled,
            "add a partition, as each tick does": timed(lambda: instance.add_dynamic_partitions(name, ["new"])),
            "tick of the coincidence sensor": timed(lambda: tick(coincidence_sensor)),
            "tick of the sensor of maps by address": timed(lambda: tick(notice_maps_sensor)),
            "tick of the unfinished-versions sensor": timed(lambda: tick(unfinished_versions_sensor)),
            "tick of the page sensor": timed(lambda: tick(event_page_sensor, pages)),
            "tick of the publication sensor": timed(lambda: tick(publication_sensor)),
            "comparison of a merger with all events": timed(
                lambda: make(coincidences, ProductInput(archive, store, merger.partition_key, current()), "again")
            ),
            "page of the merger": timed(lambda: write_event_page(archive, store, merger.event_id)),
            "health": timed(
                lambda: health(instance, archive, datetime.now(UTC), destinations=(DESTINATION,), settings=current())
            ),
        }
    return found | ui(folder / "web.log", ROOT)


def a_merger(archive: Archive, store: Store) -> EventVersion:
    """A merger of an hour ago with its first products, among all the others."""
    from mma_pipeline.defs.all_products import PRODUCTS

    at = (datetime.now(UTC) - timedelta(hours=1)).replace(microsecond=0)
    notice = simulate_event(f"MS{at:%y%m%d}zzzz", time=at, seed=1, max_order=10)[1]
    (version,) = lvk.versions_of(notice)
    body = json.dumps(lvk.to_record(notice)).encode()
    ingest(archive, StreamMessage("s", "one", 0, 0, body, None, (), None, datetime.now(UTC)), parse_alert)
    source = ProductInput(archive, store, version.partition_key, current())
    for product in PRODUCTS:
        if product.priority >= 0 and product.need.met(source.record) and product.unconfigured(current()) is None:
            for record in make(product, source, f"{version.partition_key}-{product.name}")[1]:
                archive.record_product(record)
    return version


def remember_pairs(archive: Archive, keys: list[str]) -> None:
    """Pairs of the year's newest superevents, each with the trigger that came before it."""
    versions = [EventVersion.from_partition_key(key) for key in keys]
    waves = [n for n, version in enumerate(versions) if n and version.is_gravitational_wave][-PAIRS:]
    for n in waves:
        record = PairRecord(
            gw_event=versions[n].event_id,
            other_event=versions[n - 1].event_id,
            role="test",
            gw_time=datetime.now(UTC) - timedelta(days=1),
            state=PairState.CHANCE,
            gw_partition=keys[n],
            other_partition=keys[n - 1],
            identity="0" * 64,
            figures={"far_hz": 1e-6},
        )
        record_pairs(archive, versions[n].event_id, [record], datetime.now(UTC))


def report(instance: dg.DagsterInstance, keys: list[str]) -> None:
    """Materialisations of the newest versions, and runs."""
    for key in keys:
        instance.report_runless_asset_event(dg.AssetMaterialization(asset_key="skymap", partition=key))
    for number, key in enumerate(islice(cycle(keys), min(RUNS, 2 * len(keys)))):
        instance.add_run(
            dg.DagsterRun(
                job_name="alert_products",
                run_id=f"00000000-0000-4000-8000-{number:012d}",
                status=dg.DagsterRunStatus.SUCCESS,
                tags={"dagster/partition": key, "mma/lane": "live"},
            )
        )


def ui(log: Path, root: Path) -> dict[str, float]:
    """Seconds of the UI's queries through the web server, each asked twice: the first time loads what is kept."""
    from tests.services.process import Child, free_ports

    (port,) = free_ports(1)
    options = ["-m", "mma_pipeline.definitions", "-h", "127.0.0.1", "-p", str(port)]
    child = Child("web server", [sys.executable, "-m", "dagster_webserver", *options], log, cwd=root)
    address = f"http://127.0.0.1:{port}/graphql"

    def ask(query: str) -> Any:
        answer = httpx.post(address, json={"query": query}, timeout=300.0).raise_for_status().json()
        if answer.get("errors"):
            raise RuntimeError(str(answer["errors"])[:300])
        return answer

    def ready() -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return bool(ask("{ assetNodes { assetKey { path } } }")["data"]["assetNodes"])
        return False

    try:
        child.wait_ready(ready, timeout=300)
        found = {}
        for figure, query in UI.items():
            ask(query)
            found[figure] = timed(lambda query=query: ask(query))  # type: ignore[misc]
        return found
    finally:
        child.end()


def measure_sizes(measure: Callable[[int, Path], dict[str, float]], count: int) -> None:
    """Measure a year of so many versions beside one of a thousand, and print both with their ratio."""
    found = []
    for size in (SMALL, count):
        with tempfile.TemporaryDirectory(prefix="mma-year-") as folder:
            found.append(measure(size, Path(folder)))
    small, large = found
    for figure, seconds in large.items():
        sizes = {"s": round(seconds, 4), f"s_with_{SMALL}": round(small[figure], 4)}
        line(f"{count} versions in a year", figure, **sizes, ratio=round(seconds / small[figure], 2))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", nargs="?", choices=["pair", "year"], help="one of them; by default both")
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--partitions", type=int, default=40_000)
    options = parser.parse_args()
    logging.disable(logging.INFO)
    if options.part != "year":
        measure_pairs(options.pairs)
    if options.part != "pair":
        measure_sizes(measure_year, options.partitions)


if __name__ == "__main__":
    main()
