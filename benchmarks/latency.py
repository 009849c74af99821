"""Seconds from a message in Kafka to the durable alert, the first product and all products, with the waterfall.

Real Apache Kafka, separate processes, one alert at a time, in two lanes one after the other: the warm lane (PostgreSQL,
resident worker) and the laptop's settings (SQLite, a fresh process per run). Beside each the same products made in a
bare warm process, which is the share that is not Dagster's, and the CPU seconds that an alert costs all processes
together, which depend less on what else the machine does. One JSON line per figure. 50 alerts take some 10 minutes a
lane; the seconds mean something on an idle machine only (`load` is printed with them).

    PYTHONPATH=. python benchmarks/latency.py [--lane warm|laptop] [--alerts 50]
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
import psutil

from mma_pipeline.adapters.kafka.producer import ConfirmedProducer
from mma_pipeline.notices import lvk
from mma_pipeline.science.simulation.alerts import simulate_event
from mma_pipeline.settings import current
from tests.delivery.stack import Stack
from tests.services.kafka import KafkaBroker
from tests.services.postgres import PostgresServer

TOPIC = "igwn.gwalert"
PATIENCE_S = 180.0
#: Seconds over which the idle deployment's CPU use is taken.
IDLE_S = 20.0
#: Goals of the figures that have one: 95th percentile, seconds, on an idle machine with two cores.
GOALS = {
    "warm": {"alert durable": 1.0, "first product": 3.0, "all products": 5.0},
    "laptop": {"all products": 12.0},
}


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
    """Send one alert; seconds from the broker's confirmation until each thing happened, by their own clocks.

    `alert durable` is when another connection first saw it in the archive, looked for every 20 ms.
    """
    from mma_pipeline.adapters.errors import NotFoundError
    from mma_pipeline.defs.all_products import expected_files

    archive = stack.archive()
    _, _, sent = producer.send(TOPIC, body)
    deadline = time.monotonic() + PATIENCE_S
    record, durable = None, None
    while time.monotonic() < deadline:
        time.sleep(0.02 if record is None else 0.1)
        if record is None:
            with contextlib.suppress(NotFoundError):
                record, durable = archive.version(key), datetime.now(UTC)
            continue
        products = archive.products(key)
        if expected_files(record, current()) <= {product.name for product in products}:
            break
    else:
        raise TimeoutError(f"{key}: not complete within {PATIENCE_S} s")
    received = archive.origin(record.message_id).received
    written: dict[str, datetime] = {}
    for product in products:
        written[product.asset] = max(product.written, written.get(product.asset, product.written))
    with stack.instance() as instance:
        (run,) = instance.get_run_records(dg.RunsFilter(tags={"dagster/partition": key}, job_name="alert_products"))
    start = run.start_time or run.create_timestamp.timestamp()
    order = sorted(written.items(), key=lambda item: item[1])
    assert durable is not None
    return {
        "taken from the broker": (received - sent).total_seconds(),
        "alert durable": (durable - sent).total_seconds(),
        "run created": run.create_timestamp.timestamp() - sent.timestamp(),
        "run started": start - sent.timestamp(),
        "first product": (order[0][1] - sent).total_seconds(),
        **{f"product {name}": (at - sent).total_seconds() for name, at in order},
        "all products": (order[-1][1] - sent).total_seconds(),
    }


def cpu_seconds() -> float:
    """CPU seconds of every process that this benchmark started, those that have ended included."""
    total = 0.0
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            # What its own children used is counted when they have ended and been waited for.
            total += times.user + times.system + times.children_user + times.children_system
    return total


def bare(bodies: list[tuple[bytes, str]], folder: Path) -> list[float]:
    """Seconds for the same products in one warm process, without runs, sensor or daemon; the first warms up."""
    from mma_pipeline.adapters.archive import Archive
    from mma_pipeline.adapters.kafka.message import StreamMessage
    from mma_pipeline.adapters.store import Store
    from mma_pipeline.defs.all_products import PRODUCTS
    from mma_pipeline.products.ingest import ingest, parse_alert
    from mma_pipeline.products.inputs import ProductInput
    from mma_pipeline.products.materialize import make

    archive = Archive(f"sqlite:///{folder / 'bare.db'}", create=True)
    store = Store.open((folder / "bare").as_uri())
    seconds = []
    for offset, (body, key) in enumerate(bodies):
        began = time.perf_counter()
        ingest(archive, StreamMessage("s", "t", 0, offset, body, None, (), None, datetime.now(UTC)), parse_alert)
        source = ProductInput(archive, store, key, current())
        for product in PRODUCTS:
            if product.need.met(source.record) and product.unconfigured(current()) is None:
                for record in make(product, source, f"{key}-{product.name}")[1]:
                    archive.record_product(record)
        seconds.append(time.perf_counter() - began)
    return seconds[1:]


def lane(name: str, bodies: list[tuple[bytes, str]]) -> None:
    """Measure one lane and print its figures."""
    with contextlib.ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="mma-latency-")))
        kafka = held.enter_context(KafkaBroker.running())
        kafka.create_topic(TOPIC)
        postgres = held.enter_context(PostgresServer.running()) if name == "warm" else None
        deployment = Stack(folder / "stack", kafka, postgres, warm=name == "warm")
        producer = held.enter_context(ConfirmedProducer(kafka.client()))
        held.enter_context(deployment.running())
        rows = []
        for number, (body, key) in enumerate(bodies):
            if number == 1:  # the first alert warms up
                before, began = cpu_seconds(), time.monotonic()
            rows.append(one_alert(deployment, producer, body, key))
            time.sleep(6)  # one look of the daemon at its sensors: alerts that come one by one
        rows = rows[1:]
        spent, elapsed = cpu_seconds() - before, time.monotonic() - began
        before = cpu_seconds()
        time.sleep(IDLE_S)
        idle = (cpu_seconds() - before) / IDLE_S
        alone = bare(bodies, folder)
    for figure in rows[0]:
        values = sorted(row[figure] for row in rows if figure in row)
        p95 = values[min(len(values) - 1, int(0.95 * len(values)))]
        goal = GOALS[name].get(figure)
        met = {} if goal is None else {"goal_p95_s": goal, "met": p95 < goal}
        line(name, figure, p50_s=round(statistics.median(values), 3), p95_s=round(p95, 3), **met, alerts=len(values))
    total, share = statistics.median(row["all products"] for row in rows), statistics.median(alone)
    line(
        name,
        "all products in a bare warm process",
        p50_s=round(share, 3),
        ratio=round(total / share, 2),
        dagster_share_s=round(total - share, 3),
    )
    line(
        name,
        "CPU of all processes per alert",
        cpu_s=round((spent - idle * elapsed) / len(rows), 2),
        idle_cpu_share=round(idle, 3),
        alerts=len(rows),
    )


def line(name: str, figure: str, **values: object) -> None:
    """Print one figure."""
    found = {"benchmark": f"latency, {name} lane", "figure": figure, **values, "load": round(os.getloadavg()[0], 1)}
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lane", choices=["warm", "laptop"], help="one of them; by default both")
    parser.add_argument("--alerts", type=int, default=50)
    options = parser.parse_args()
    bodies = notices(options.alerts + 1)
    for name in [options.lane] if options.lane else ["warm", "laptop"]:
        lane(name, bodies)


if __name__ == "__main__":
    main()
