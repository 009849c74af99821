"""Seconds from a message in Kafka to the durable alert, the first product and all products, with the waterfall.

Real Apache Kafka, separate processes, one alert at a time, in two lanes one after the other: the warm lane (PostgreSQL,
resident worker) and the laptop's settings (SQLite, a fresh process per run). Beside each the same products made in a
bare warm process, which is the share that is not Dagster's and the measure of the goals, and the CPU seconds that an alert costs
all processes together, which depend less on what else the machine does. Then a burst of alerts at once, and in the warm lane
a second deployment, which publishes: seconds from a version's last product to its post at the GWTM stand-in and to its message on
a topic. One JSON line per figure. 50 alerts take some 10 minutes a lane; the seconds mean something on an idle machine only
(`load` is printed with them).

    PYTHONPATH=. python benchmarks/latency.py [--lane warm|laptop] [--alerts 50] [--burst 20] [--posted 10]
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

from benchmarks.waterfall import waterfall
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
#: Goal of the 95th percentile, seconds, on an idle machine with two cores.
GOALS = {"alert durable": 1.0}
#: What a telescope needs first: areas, peak, distance; outlines.
NEEDED = ("skymap_statistics", "contours")
TELESCOPE = "areas, contours, peak, distance"
#: Goals of the warm lane's 95th percentiles, as multiples of the median of the same products in a bare warm process.
MULTIPLES = {"first product": 1.3, TELESCOPE: 1.8, "all products": 2.5, "posted, after the last product": 1.5}
#: Goal of the last alert of a burst: CPU seconds of all on two cores, and so many more.
BURST_S = 3.0


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
        wanted = dg.RunsFilter(tags={"dagster/partition": key}, job_name="alert_products")
        # Its last events come after its last product.
        while not (run := instance.get_run_records(wanted)[0]).dagster_run.is_finished and time.monotonic() < deadline:
            time.sleep(0.05)
        parts = waterfall(instance.all_logs(run.dagster_run.run_id), run.create_timestamp.timestamp())
    start = run.start_time or run.create_timestamp.timestamp()
    order = sorted(written.items(), key=lambda item: item[1])
    assert durable is not None
    return {
        "taken from the broker": (received - sent).total_seconds(),
        "alert durable": (durable - sent).total_seconds(),
        "run created": run.create_timestamp.timestamp() - sent.timestamp(),
        "run started": start - sent.timestamp(),
        "first product": (order[0][1] - sent).total_seconds(),
        TELESCOPE: (max(written[name] for name in NEEDED) - sent).total_seconds(),
        **{f"product {name}": (at - sent).total_seconds() for name, at in order},
        "all products": (order[-1][1] - sent).total_seconds(),
        **{f"part: {name}": seconds for name, seconds in parts.items()},
    }


def one_by_one(
    stack: Stack, producer: ConfirmedProducer, bodies: list[tuple[bytes, str]]
) -> tuple[list[dict[str, float]], float, float]:
    """Figures of each alert, sent when the one before is done; CPU seconds of all processes, and seconds that passed."""
    before, began = cpu_seconds(), time.monotonic()
    rows = []
    for body, key in bodies:
        rows.append(one_alert(stack, producer, body, key))
        time.sleep(6)  # one look of the daemon at its sensors: alerts that come one by one
    return rows, cpu_seconds() - before, time.monotonic() - began


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


def lane(name: str, bodies: list[tuple[bytes, str]], crowd: list[tuple[bytes, str]]) -> float:
    """Measure one lane and print its figures; the median of the products in a bare warm process, seconds.

    `bodies` are sent one by one, `crowd` at once.
    """
    with contextlib.ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="mma-latency-")))
        kafka = held.enter_context(KafkaBroker.running())
        kafka.create_topic(TOPIC)
        postgres = held.enter_context(PostgresServer.running()) if name == "warm" else None
        deployment = Stack(folder / "stack", kafka, postgres, warm=name == "warm")
        producer = held.enter_context(ConfirmedProducer(kafka.client()))
        held.enter_context(deployment.running())
        one_by_one(deployment, producer, bodies[:1])  # warms up
        before = cpu_seconds()
        time.sleep(IDLE_S)
        idle = (cpu_seconds() - before) / IDLE_S
        # The burst in the middle: a machine that grows slower or faster does so for both.
        middle = len(bodies) // 2 + 1
        rows, spent, elapsed = one_by_one(deployment, producer, bodies[1:middle])
        together = all_at_once(deployment, producer, crowd) if crowd else None
        more = one_by_one(deployment, producer, bodies[middle:])
        rows, spent, elapsed = rows + more[0], spent + more[1], elapsed + more[2]
        alone = bare(bodies, folder)
    share = statistics.median(alone)
    for figure in rows[0]:
        spread(name, figure, [row[figure] for row in rows if figure in row], share)
    total = statistics.median(row["all products"] for row in rows)
    line(
        name,
        "all products in a bare warm process",
        p50_s=round(share, 3),
        ratio=round(total / share, 2),
        dagster_share_s=round(total - share, 3),
    )
    cost = (spent - idle * elapsed) / len(rows)
    line(
        name,
        "CPU of all processes per alert",
        cpu_s=round(cost, 2),
        multiple=round(cost / share, 2),
        idle_cpu_share=round(idle, 3),
        alerts=len(rows),
    )
    if together is not None:
        goal = len(crowd) * cost / 2 + BURST_S
        line(name, f"burst of {len(crowd)}, last one complete", s=round(together, 2), goal_s=round(goal, 2))
    return share


def spread(name: str, figure: str, values: list[float], share: float) -> None:
    """Print median and 95th percentile, in seconds and as multiples of the bare products, beside their goal."""
    values = sorted(values)
    p50, p95 = statistics.median(values), values[min(len(values) - 1, int(0.95 * len(values)))]
    goal, most = GOALS.get(figure), MULTIPLES.get(figure) if name == "warm" else None
    met: dict[str, object] = {} if goal is None else {"goal_p95_s": goal, "met": p95 < goal}
    if most is not None:
        met = {"goal_multiple": most, "met": p95 < most * share}
    multiples = {"p50_multiple": round(p50 / share, 2), "p95_multiple": round(p95 / share, 2)}
    line(name, figure, p50_s=round(p50, 3), p95_s=round(p95, 3), **multiples, **met, alerts=len(values))


def all_at_once(stack: Stack, producer: ConfirmedProducer, bodies: list[tuple[bytes, str]]) -> float:
    """Send alerts of different events at once; seconds until the last one has all its products."""
    from mma_pipeline.defs.all_products import expected_files

    archive = stack.archive()
    sent, *_ = [producer.send(TOPIC, body)[2] for body, _ in bodies]
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        # The products say when they were written: looking often would only take CPU from those who make them.
        time.sleep(2)
        records = archive.versions_at([key for _, key in bodies])
        made = archive.products_of(list(records))
        if len(records) == len(bodies) and all(
            expected_files(record, current()) <= {product.name for product in made[key]}
            for key, record in records.items()
        ):
            return (max(product.written for some in made.values() for product in some) - sent).total_seconds()
    raise TimeoutError(f"a burst of {len(bodies)} was not complete within {PATIENCE_S} s")


def posted(bodies: list[tuple[bytes, str]], share: float) -> None:
    """Seconds from a version's last product until site and topic have it, in a warm lane that publishes."""
    from mma_pipeline.adapters.archive import outbox, reading
    from mma_pipeline.adapters.archive.publications import State
    from tests.delivery.storm import publishing
    from tests.services.gwtm_standin import GwtmStandIn

    found = []
    with contextlib.ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="mma-posted-")))
        kafka = held.enter_context(KafkaBroker.running())
        kafka.create_topic(TOPIC)
        postgres, site = held.enter_context(PostgresServer.running()), held.enter_context(GwtmStandIn())
        deployment = Stack(folder / "stack", kafka, postgres, warm=True, env=publishing(folder, site, kafka))
        producer = held.enter_context(ConfirmedProducer(kafka.client()))
        held.enter_context(deployment.running())
        archive = deployment.archive()
        for body, key in bodies:
            one_alert(deployment, producer, body, key)
            complete = max(product.written for product in archive.products(key))
            deadline = time.monotonic() + PATIENCE_S
            while time.monotonic() < deadline:
                time.sleep(0.1)
                with reading(archive.engine) as connection:
                    items = outbox.publications(connection, partition_key=key)
                if items and all(item.state is State.DONE for item in items):
                    break
            else:
                raise TimeoutError(f"{key}: not posted within {PATIENCE_S} s")
            found.append(max((item.finished - complete).total_seconds() for item in items if item.finished))
            time.sleep(6)
    spread("warm", "posted, after the last product", found[1:], share)  # the first warms up


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
    parser.add_argument("--burst", type=int, default=20, help="alerts sent at once; 0 for none")
    parser.add_argument("--posted", type=int, default=10, help="alerts that are published too; 0 for none")
    options = parser.parse_args()
    alone = options.alerts + 1
    bodies = notices(max(alone + options.burst, options.posted + 1))
    for name in [options.lane] if options.lane else ["warm", "laptop"]:
        share = lane(name, bodies[:alone], bodies[alone : alone + options.burst])
        if name == "warm" and options.posted:
            posted(bodies[: options.posted + 1], share)


if __name__ == "__main__":
    main()
