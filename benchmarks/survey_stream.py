"""A survey's stream on a real Kafka: how fast a reader makes alerts durable, whether its memory stays flat, and how soon a candidate is scored.

One JSON line per figure, with the machine's load; CPU seconds depend on it least.

    durable   packets of 70 kB that wait at the broker, until archive, kept rows and offsets are durable (SQLite, local folder, one live event)
    flat      the same for some minutes at a rate; resident memory of the reader after a fifth of them and at the end
    scored    warm lane (PostgreSQL, resident worker): seconds from the broker's confirmation of an alert until its score is in the
              archive, a new event each time; the first warms up
    beside    warm lane: seconds from the broker's confirmation of an LVK alert until all its products exist, by turns without the
              survey's stream and while a reader takes it at a rate

    PYTHONPATH=. python benchmarks/survey_stream.py [--figure durable] [--packets 6000] [--minutes 30] [--rate 300] [--alerts 20]
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import multiprocessing
import os
import pickle
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import psutil
from confluent_kafka import Producer

from benchmarks.latency import notices, one_alert
from mma_pipeline.adapters.archive.surveys import SurveyArchive
from mma_pipeline.adapters.kafka.producer import ConfirmedProducer
from mma_pipeline.cli.survey_night import Region, packets
from mma_pipeline.notices import lvk
from mma_pipeline.notices.times import mjd_of_datetime
from mma_pipeline.science.simulation.alerts import simulate_event
from mma_pipeline.science.skymaps.model import decode_skymap
from tests.delivery.stack import Stack
from tests.delivery.survey_storm import environment, seen, started, watching
from tests.services.kafka import KafkaBroker
from tests.services.postgres import PostgresServer

TOPIC = "ztf_storm"
PATIENCE_S = 1800.0
DIFFERENT = 3000


def _until(ready: Any, meanwhile: Any = None) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not ready():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {PATIENCE_S:.0f} s")
        if meanwhile is not None:
            meanwhile()
        time.sleep(0.05)


def _line(figure: str, **values: object) -> None:
    print(json.dumps({"figure": figure, **values, "load": round(os.getloadavg()[0], 1)}), flush=True)


@contextlib.contextmanager
def _reading(partitions: int) -> Iterator[tuple[KafkaBroker, SurveyArchive, dict[str, str], Region, Path]]:
    with tempfile.TemporaryDirectory(prefix="mma-stream-") as folder, KafkaBroker.running() as kafka:
        home, region = watching(Path(folder))
        # Long runs must not fill the disk.
        kafka.create_topic(TOPIC, partitions, retention_bytes="1500000000", segment_bytes="100000000")
        env = environment(home, kafka) | {"OMP_NUM_THREADS": "1"}
        yield kafka, SurveyArchive(home.archive), env, region, Path(folder) / "reader.log"


def _send(producer: Producer, body: bytes) -> None:
    while True:
        try:
            producer.produce(TOPIC, body)
        except BufferError:
            producer.poll(0.5)
        else:
            return


def _ended(reader: subprocess.Popen[bytes]) -> None:
    reader.send_signal(signal.SIGTERM)
    reader.wait(120)


def durable(count: int) -> None:
    """Packets that wait at the broker."""
    with _reading(1) as (kafka, archive, env, region, log):
        producer = Producer(kafka.client(**{"linger.ms": 20}))
        size = 0
        for packet in packets(region, nights_after=1, alerts=count, seed=3, images=True):
            _send(producer, packet.body)
            producer.poll(0)
            size += len(packet.body)
        producer.flush(120)
        reader = started(env, log)
        process = psutil.Process(reader.pid)
        _until(lambda: archive.partitions())
        begin, before = time.perf_counter(), sum(process.cpu_times()[:2])
        _until(lambda: seen(archive) >= count)
        wall, cpu = time.perf_counter() - begin, sum(process.cpu_times()[:2]) - before
        peak = max(0, *(int(line.split()[1]) for line in _status(reader.pid) if line.startswith("VmHWM")))
        _ended(reader)
        _line(
            "durable",
            packets=count,
            kb_each=round(size / count / 1000),
            per_s=round(count / wall),
            per_cpu_s=round(count / cpu),
            peak_mb=round(peak / 1024),
        )


def _status(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/status").read_text().splitlines()


def flat(minutes: float, rate: float) -> None:
    """Packets at a rate, the same ones again and again: the reader does all its work for each but recording anew."""
    with _reading(1) as (kafka, archive, env, region, log):
        bodies = [p.body for p in packets(region, nights_after=1, alerts=DIFFERENT, seed=3, images=True)]
        reader = started(env, log)
        process = psutil.Process(reader.pid)
        producer = Producer(kafka.client(**{"linger.ms": 20, "queue.buffering.max.kbytes": 65536}))
        begin, sent, held = time.monotonic(), 0, []
        for body in itertools.cycle(bodies):
            elapsed = time.monotonic() - begin
            if elapsed > minutes * 60:
                break
            time.sleep(max(0.0, sent / rate - elapsed))
            _send(producer, body)
            producer.poll(0)
            sent += 1
            if sent % max(1, int(rate * 5)) == 0:
                held.append((elapsed, process.memory_info().rss / 1e6))
        producer.flush(120)
        # Where the reader was slower than the rate for long, the broker has dropped messages: these are counted, too.
        _until(lambda: seen(archive) + sum(one.lost for one in archive.partitions()) >= sent)
        (counts,) = archive.partitions()
        cpu = sum(process.cpu_times()[:2])
        _ended(reader)
        early = [mb for at, mb in held if minutes * 12 < at < minutes * 24]
        late = [mb for at, mb in held if at > minutes * 48]
        _line(
            "flat",
            packets=sent,
            minutes=round(minutes, 1),
            per_s=round(sent / (minutes * 60)),
            cpu_s=round(cpu, 1),
            lost=counts.lost,
            mb_second_fifth=round(statistics.median(early)),
            mb_last_fifth=round(statistics.median(late)),
            mb_most=round(max(mb for _, mb in held)),
        )


def scored(alerts: int) -> None:
    """From an alert on Kafka to its score, each of an event of its own."""
    merger = (datetime.now(UTC) - timedelta(days=2)).replace(hour=2, minute=0, second=0, microsecond=0)
    with contextlib.ExitStack() as held:
        stack, kafka = _deployment(held)
        trials = []
        for number in range(alerts + 1):
            name = f"S{merger:%y%m%d}{chr(97 + number // 26)}{chr(97 + number % 26)}"
            # Small maps of their own, so that an alert is a candidate of one event alone.
            notice = simulate_event(name, time=merger, seed=100 + number, max_order=7, area_90=5.0)[1]
            assert notice.event is not None
            assert notice.event.skymap is not None
            region = Region(name, mjd_of_datetime(merger), decode_skymap(notice.event.skymap), 60.0)
            night = packets(region, nights_after=1, alerts=60, seed=number, images=True)
            hidden = [p for p in night if "zzzz" in p.object_id]
            trials.append((notice, hidden[-1] if hidden else None))
        held.enter_context(stack.running())
        archive = stack.archive()
        producer = Producer(kafka.client())
        for notice, _ in trials:
            producer.produce("igwn.gwalert", json.dumps(lvk.to_record(notice)).encode())
        producer.flush(60)
        _until(lambda: len(archive.versions()) >= len(trials), stack.supervise)
        keys = [version.partition_key for version in archive.versions()]
        _until(lambda: all(len(found) > 3 for found in archive.products_of(keys).values()), stack.supervise)
        surveys = SurveyArchive(archive)
        _reader(held, stack)
        time.sleep(30)  # maps are looked up in the kept nights, workers are idle
        seconds = []
        for number, (_, packet) in enumerate(trials):
            if packet is None:
                continue
            producer.produce(TOPIC, packet.body)
            producer.flush(60)
            begin = time.monotonic()
            found = partial(surveys.candidates, name=packet.object_id)
            _until(lambda found=found: any(one.scored for one in found()), stack.supervise)
            if number:
                seconds.append(time.monotonic() - begin)
            time.sleep(6)
        seconds.sort()
        p95 = seconds[min(len(seconds) - 1, int(0.95 * len(seconds)))]
        _line("scored", alerts=len(seconds), p50_s=round(statistics.median(seconds), 2), p95_s=round(p95, 2))


def _deployment(held: contextlib.ExitStack, surveys: KafkaBroker | None = None) -> tuple[Stack, KafkaBroker]:
    """The warm lane, not yet running, that also scores what a survey's reader finds; the survey may have a broker of its own."""
    folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="mma-surveys-")))
    kafka, postgres = held.enter_context(KafkaBroker.running()), held.enter_context(PostgresServer.running())
    kafka.create_topic("igwn.gwalert")
    if surveys is None:
        kafka.create_topic(TOPIC)
    more = {
        "MMA_SURVEY_BROKER": (surveys or kafka).bootstrap,
        "MMA_SURVEY_TOPICS": TOPIC,
        "MMA_SURVEY_OFFSET_RESET": "earliest",
        "MMA_SURVEY_MOCKS": "true",
        "MMA_SURVEY_SCHEMA_REGISTRY": "",
    }
    return Stack(folder / "stack", kafka, postgres, warm=True, env=more), kafka


def _reader(held: contextlib.ExitStack, stack: Stack) -> None:
    """A survey's reader of a deployment, until it has its partition."""
    reader = started(
        {k: v for k, v in stack.env.items() if k.startswith(("MMA_", "DAGSTER_"))}, stack.folder / "reader.log"
    )
    held.callback(reader.kill)
    _until(SurveyArchive(stack.archive()).partitions)


def _stream(client: dict[str, Any], kept: Path, rate: float, streaming: Any, ended: Any) -> None:
    """Send a file's packets at a rate while it is wanted, in a process of its own."""
    os.nice(19)
    bodies = itertools.cycle(pickle.loads(kept.read_bytes()))
    producer = Producer({**client, "linger.ms": 20, "queue.buffering.max.kbytes": 65536})
    while not ended.is_set():
        streaming.wait(1.0)
        begin, sent = time.monotonic(), 0
        while streaming.is_set() and not ended.is_set():
            _send(producer, next(bodies))
            producer.poll(0)
            sent += 1
            time.sleep(max(0.0, sent / rate - (time.monotonic() - begin)))


def beside(alerts: int, rate: float) -> None:
    """LVK alerts one by one, in blocks of five without the survey's stream and of five with it.

    The survey's broker and sender, which elsewhere have machines of their own, run with the lowest priority.
    """
    merger = (datetime.now(UTC) - timedelta(days=2)).replace(hour=2, minute=0, second=0, microsecond=0)
    notice = simulate_event(f"S{merger:%y%m%d}a", time=merger, seed=3, max_order=7)[1]
    assert notice.event is not None
    assert notice.event.skymap is not None
    region = Region(notice.superevent_id, mjd_of_datetime(merger), decode_skymap(notice.event.skymap), 120.0)
    found: dict[bool, list[float]] = {False: [], True: []}
    spawned = multiprocessing.get_context("spawn")
    with contextlib.ExitStack() as held:
        surveys = held.enter_context(KafkaBroker.running())
        surveys.create_topic(TOPIC, 1, retention_bytes="1500000000", segment_bytes="100000000")
        surveys.give_way()
        stack, kafka = _deployment(held, surveys)
        held.enter_context(stack.running())
        archive, producer = stack.archive(), held.enter_context(ConfirmedProducer(kafka.client()))
        producer.send("igwn.gwalert", json.dumps(lvk.to_record(notice)).encode())
        _until(archive.versions, stack.supervise)
        _reader(held, stack)
        streaming, ended = spawned.Event(), spawned.Event()
        kept = stack.folder / "packets"
        kept.write_bytes(
            pickle.dumps([p.body for p in packets(region, nights_after=1, alerts=DIFFERENT, seed=3, images=True)])
        )
        sender = spawned.Process(target=_stream, args=(surveys.client(), kept, rate, streaming, ended), daemon=True)
        sender.start()
        held.callback(ended.set)
        for number, (body, key) in enumerate(notices(2 * alerts + 2)):
            on = bool(number // 5 % 2)
            if on and not streaming.is_set():
                streaming.set()
                time.sleep(15)  # the candidates of the first packets are scored
            elif not on:
                streaming.clear()
            row = one_alert(stack, producer, body, key)
            if number > 1:  # the first warm up
                found[on].append(row["all products"])
            time.sleep(6)
        taken = seen(SurveyArchive(archive))
    figures = {}
    for on, name in ((False, "without"), (True, "with")):
        values = sorted(found[on])
        figures[f"p50_{name}_s"] = round(statistics.median(values), 2)
        figures[f"p95_{name}_s"] = round(values[min(len(values) - 1, int(0.95 * len(values)))], 2)
    ratio = figures["p95_with_s"] / figures["p95_without_s"]
    _line("beside", alerts=alerts, rate=rate, read=taken, **figures, ratio_p95=round(ratio, 3))


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--figure", choices=("durable", "flat", "scored", "beside"), help="one of them; by default all")
    parser.add_argument("--packets", type=int, default=6000)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--rate", type=float, default=300.0, help="packets a second")
    parser.add_argument("--alerts", type=int, default=20)
    options = parser.parse_args()
    # Servers end with the benchmark, also where it is asked to end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    figures = {
        "durable": lambda: durable(options.packets),
        "scored": lambda: scored(options.alerts),
        "beside": lambda: beside(options.alerts, options.rate),
        "flat": lambda: flat(options.minutes, options.rate),
    }
    for name, measure in figures.items():
        if options.figure in {None, name}:
            measure()


if __name__ == "__main__":
    sys.exit(main())
