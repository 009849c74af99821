"""Seconds from a message in Kafka to the durable alert, the first product and all products, with the waterfall.

Real Apache Kafka, separate processes, one alert at a time: the laptop's settings (SQLite, a fresh process per run) or
with --warm the warm lane (PostgreSQL, resident worker). Beside it the same products made one after the other in a bare
warm process, which is the share that is not Dagster's. One JSON line per figure.

    PYTHONPATH=. python benchmarks/latency.py [--warm] [--alerts 50]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg

from mma_pipeline.adapters.producer import ConfirmedProducer
from mma_pipeline.notices import lvk
from mma_pipeline.science.simulation import simulate_event
from tests.delivery.stack import Stack
from tests.services.kafka import KafkaBroker
from tests.services.postgres import PostgresServer

TOPIC = "igwn.gwalert"
PATIENCE_S = 120.0


def notices(count: int) -> list[tuple[bytes, str]]:
    """Preliminary alerts of different events with different maps, and their partition keys."""
    found = []
    for number in range(count):
        name = f"S230518{chr(97 + number // 26)}{chr(97 + number % 26)}"
        notice = simulate_event(name, time=datetime(2023, 5, 18, 12, tzinfo=UTC), seed=number, max_order=10)[1]
        (version,) = lvk.versions_of(notice)
        found.append((json.dumps(lvk.to_record(notice)).encode(), version.partition_key))
    return found


def one_alert(stack: Stack, producer: ConfirmedProducer, body: bytes, key: str) -> dict[str, float]:
    """Send one alert; seconds from the broker's confirmation until each thing happened, by their own clocks."""
    from mma_pipeline.adapters.errors import NotFoundError
    from mma_pipeline.defs.products import expected_files

    archive = stack.archive()
    _, _, sent = producer.send(TOPIC, body)
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        time.sleep(0.1)
        try:
            record = archive.version(key)
        except NotFoundError:
            continue
        products = archive.products(key)
        if expected_files(record) <= {product.name for product in products}:
            break
    else:
        raise TimeoutError(f"{key}: not complete within {PATIENCE_S} s")
    received = archive.origin(record.message_id).received
    written = sorted(product.written for product in products)
    with stack.instance() as instance:
        (run,) = instance.get_run_records(dg.RunsFilter(tags={"dagster/partition": key}))
    start = run.start_time or run.create_timestamp.timestamp()
    return {
        "poll: message taken from the broker": (received - sent).total_seconds(),
        "tick: run created": run.create_timestamp.timestamp() - sent.timestamp(),
        "launch and import: run started": start - sent.timestamp(),
        "first product": (written[0] - sent).total_seconds(),
        "all products": (written[-1] - sent).total_seconds(),
    }


def bare(bodies: list[tuple[bytes, str]], folder: Path) -> list[float]:
    """Seconds for the same products in one warm process, without runs, sensor or daemon; the first warms up."""
    from mma_pipeline.adapters.archive import Archive
    from mma_pipeline.adapters.message import StreamMessage
    from mma_pipeline.adapters.store import Store
    from mma_pipeline.defs.ingest import ingest, parse_alert
    from mma_pipeline.defs.product import _make
    from mma_pipeline.defs.products import PRODUCTS
    from mma_pipeline.defs.source import Source

    archive = Archive(f"sqlite:///{folder / 'bare.db'}", create=True)
    store = Store.open((folder / "bare").as_uri())
    seconds = []
    for offset, (body, key) in enumerate(bodies):
        began = time.perf_counter()
        ingest(archive, StreamMessage("s", "t", 0, offset, body, None, (), None, datetime.now(UTC)), parse_alert)
        source = Source(archive, store, key)
        for product in PRODUCTS:
            if product.need.met(source.record):
                for record in _make(product, source, f"{key}-{product.name}")[1]:
                    archive.record_product(record)
        seconds.append(time.perf_counter() - began)
    return seconds[1:]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--warm", action="store_true")
    parser.add_argument("--alerts", type=int, default=50)
    options = parser.parse_args()
    bodies = notices(options.alerts + 1)
    lane = "warm lane" if options.warm else "laptop default"
    with contextlib.ExitStack() as stack_:
        folder = Path(stack_.enter_context(tempfile.TemporaryDirectory(prefix="mma-latency-")))
        kafka = stack_.enter_context(KafkaBroker.running())
        kafka.create_topic(TOPIC)
        postgres = stack_.enter_context(PostgresServer.running()) if options.warm else None
        deployment = Stack(folder / "stack", kafka, postgres, warm=options.warm)
        producer = stack_.enter_context(ConfirmedProducer(kafka.client()))
        stack_.enter_context(deployment.running())
        rows = []
        for body, key in bodies:
            rows.append(one_alert(deployment, producer, body, key))
            time.sleep(6)  # one look of the daemon at its sensors: alerts that come one by one
        rows = rows[1:]
        alone = bare(bodies, folder)
    total = statistics.median(row["all products"] for row in rows)
    share = statistics.median(alone)
    for name in rows[0]:
        values = sorted(row[name] for row in rows)
        figures = {
            "benchmark": f"latency, {lane}",
            "figure": name,
            "p50_s": round(statistics.median(values), 3),
            "p95_s": round(values[min(len(values) - 1, int(0.95 * len(values)))], 3),
            "alerts": len(values),
            "load": os.getloadavg()[0],
        }
        sys.stdout.write(json.dumps(figures) + "\n")
    sys.stdout.write(
        json.dumps(
            {
                "benchmark": f"latency, {lane}",
                "figure": "all products in a bare warm process",
                "p50_s": round(share, 3),
                "ratio": round(total / share, 2),
                "dagster_share_s": round(total - share, 3),
            }
        )
        + "\n"
    )


if __name__ == "__main__":
    main()
