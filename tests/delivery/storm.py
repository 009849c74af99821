"""The kill test: notices arrive in bursts while processes, connections and the broker die at seeded random moments.

Afterwards every message must be archived once, every version have one partition, one successful run and all its
files, every malformed message be in quarantine once, and nothing be left over. `make soak` runs it for an hour:
`python -m tests.delivery.storm --minutes 60`.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import sqlalchemy as sa
from confluent_kafka import Producer

from mma_pipeline.adapters.archive import reading
from mma_pipeline.adapters.archive.schema import message as message_table
from mma_pipeline.defs.products import expected_files
from mma_pipeline.notices import lvk
from mma_pipeline.science.simulation import simulate_event
from tests.delivery.stack import Stack
from tests.services.kafka import KafkaBroker
from tests.services.postgres import PostgresServer

TOPIC = "igwn.gwalert"
TOPICS = (TOPIC, "mma.photometry")
PARTITIONS = "alert_version"


@dataclass
class Sent:
    """What was written to Kafka and what must come of it."""

    messages: int = 0
    keys: set[str] = field(default_factory=set)
    malformed: int = 0


@dataclass
class Report:
    """What a storm did."""

    sent: Sent
    faults: Counter[str]
    seconds: float
    problems: list[str]

    def __str__(self) -> str:
        blows = ", ".join(f"{count} x {name}" for name, count in sorted(self.faults.items()))
        found = "\n".join(self.problems) or "nothing missing, nothing twice"
        return (
            f"{self.sent.messages} messages, {len(self.sent.keys)} versions, {self.sent.malformed} malformed; "
            f"{sum(self.faults.values())} faults ({blows}) in {self.seconds:.0f} s: {found}"
        )


def bodies(chance: random.Random, day: datetime) -> Iterator[tuple[bytes, tuple[str, ...]]]:
    """An endless stream of notices, with what each must lead to: versions, none for what is malformed.

    A tenth of them repeat an earlier message byte for byte, as Kafka producers may, and a twentieth is malformed.
    Real and mock events are mixed. The maps of all events are alike: this is about delivery, not about maps.
    """
    template = [lvk.to_record(n) for n in simulate_event("MS230101a", time=day, seed=7, max_order=4)]
    sent: list[tuple[bytes, tuple[str, ...]]] = []
    number = 0
    while True:
        number += 1
        if chance.random() < 0.05:
            yield f'{{"superevent_id": "S230101a", "broken": {number}'.encode(), ()
            continue
        if sent and chance.random() < 0.1:
            yield chance.choice(sent)
            continue
        record = json.loads(json.dumps(chance.choice(template)))
        letters = "".join(chr(97 + (number // 26**power) % 26) for power in (2, 1, 0))
        record["superevent_id"] = f"{chance.choice(('S', 'MS'))}{day:%y%m%d}{letters}"
        record["time_created"] = f"{day + timedelta(seconds=number):%Y-%m-%dT%H:%M:%SZ}"
        body = json.dumps(record).encode()
        keys = tuple(version.partition_key for version in lvk.versions_of(lvk.parse_json(body)))
        sent.append((body, keys))
        yield body, keys


class Storm:
    """Send, break, wait, compare."""

    def __init__(self, stack: Stack, kafka: KafkaBroker, postgres: PostgresServer, seed: int) -> None:
        """Everything that is random comes from `seed`."""
        self.stack, self.kafka, self.postgres = stack, kafka, postgres
        self.chance = random.Random(seed)
        self.sent = Sent()
        self.faults: Counter[str] = Counter()
        self._bodies = bodies(self.chance, datetime(2023, 5, 18, tzinfo=UTC) + timedelta(days=seed % 300))
        self._producer = Producer(kafka.client(**{"enable.idempotence": True, "linger.ms": 0}))
        self._down_until: float | None = None
        self._blows: dict[str, Callable[[], object]] = {
            "daemon killed": lambda: stack.kill("daemon"),
            "code server killed": lambda: stack.kill("code-server"),
            "run killed": stack.kill_run,
            "connections cut": lambda: postgres.cut_connections(stack.database),
            "database killed": lambda: postgres.restart(kill=True),
            "broker killed": self._kill_broker,
        }
        if stack.warm:
            self._blows["worker killed"] = lambda: stack.kill("worker")

    def rage(self, notices: int, *, blows: int, every_s: tuple[float, float], settle_s: float) -> Report:
        """Send `notices` in bursts with a fault every so many seconds, wait up to `settle_s`, compare.

        Faults go on until all is sent and there were `blows` of them: the last ones hit runs under way.
        """
        began = time.monotonic()
        next_blow = began + self.chance.uniform(*every_s)
        next_burst = began
        left = notices
        while left or self._down_until is not None or sum(self.faults.values()) < blows:
            now = time.monotonic()
            if left and now >= next_burst:
                burst = min(left, self.chance.choice((1, 1, 2, 5, 10, 25)))
                left -= burst
                self._send(burst)
                next_burst = now + self.chance.uniform(0.5, 6)
            if now >= next_blow:
                self._strike()
                next_blow = time.monotonic() + self.chance.uniform(*every_s)
            self._keep_up()
        if self._producer.flush(60):
            raise RuntimeError("the test's own producer could not deliver")
        problems = self._settle(settle_s)
        return Report(self.sent, self.faults, time.monotonic() - began, problems)

    def _send(self, count: int) -> None:
        for _ in range(count):
            body, keys = next(self._bodies)
            self._producer.produce(TOPIC, body)
            self.sent.messages += 1
            self.sent.keys |= set(keys)
            self.sent.malformed += not keys
        self._producer.poll(0)

    def _strike(self) -> None:
        name = self.chance.choice(sorted(self._blows))
        if name == "broker killed" and self._down_until is not None:
            return
        if self._blows[name]() is not False:
            self.faults[name] += 1

    def _kill_broker(self) -> None:
        self.kafka.kill()
        self._down_until = time.monotonic() + self.chance.uniform(0.5, 8)

    def _keep_up(self) -> None:
        if self._down_until is not None and time.monotonic() >= self._down_until:
            self._down_until = None
            self.kafka.start()
        self.stack.supervise()
        self._producer.poll(0.1)

    def _settle(self, settle_s: float) -> list[str]:
        deadline = time.monotonic() + settle_s
        problems = ["never looked"]
        while problems and time.monotonic() < deadline:
            self._keep_up()
            time.sleep(2)
            problems = compare(self.stack, self.sent)
        return problems


def compare(stack: Stack, sent: Sent) -> list[str]:
    """What is missing, twice or left over; empty where all is well."""
    archive = stack.archive()
    problems = []
    with reading(archive.engine) as connection:
        columns = (message_table.c.topic, message_table.c.partition, message_table.c.offset)
        places = Counter(tuple(row) for row in connection.execute(sa.select(*columns)))
    problems += [f"message {place} archived {count} times" for place, count in places.items() if count > 1]
    if len(places) != sent.messages:
        problems.append(f"{len(places)} of {sent.messages} messages archived")
    quarantined = archive.counts()["quarantined"]
    if quarantined != sent.malformed:
        problems.append(f"{quarantined} of {sent.malformed} malformed messages in quarantine")
    records = {record.partition_key: record for record in archive.versions()}
    problems += _differences("versions", set(records), sent.keys)
    for key in sorted(sent.keys & set(records)):
        missing = expected_files(records[key]) - {product.name for product in archive.products(key)}
        if missing:
            problems.append(f"{key} lacks {', '.join(sorted(missing))}")
    with stack.instance() as instance:
        partitions = instance.get_dynamic_partitions(PARTITIONS)
        problems += _differences("partitions", set(partitions), sent.keys)
        if len(partitions) != len(set(partitions)):
            problems.append("a partition is there twice")
        runs = instance.get_runs()
    succeeded = Counter(run.tags["dagster/partition"] for run in runs if run.status is dg.DagsterRunStatus.SUCCESS)
    problems += _differences("successful runs", set(succeeded), sent.keys)
    problems += [f"{key} succeeded {count} times" for key, count in succeeded.items() if count > 1]
    unfinished = [run for run in runs if not run.is_finished]
    if unfinished:
        problems.append(f"{len(unfinished)} runs are not finished: {Counter(run.status.value for run in unfinished)}")
    return problems


def _differences(what: str, found: set[str], wanted: set[str]) -> list[str]:
    problems = []
    if wanted - found:
        problems.append(f"{len(wanted - found)} {what} missing, such as {min(wanted - found)}")
    if found - wanted:
        problems.append(f"{len(found - wanted)} {what} that nobody sent, such as {min(found - wanted)}")
    return problems


def main() -> None:
    """Storm after storm until the time is up; exit code 1 at the first difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--notices", type=int, default=200, help="per storm")
    parser.add_argument("--seed", type=int, default=int(time.time()) % 100_000)
    parser.add_argument("--laptop", action="store_true", help="the plain launcher in place of the warm worker")
    options = parser.parse_args()
    end = time.monotonic() + options.minutes * 60
    seed = options.seed
    while time.monotonic() < end:
        folder = Path(tempfile.mkdtemp(prefix=f"mma-storm-{seed}-"))
        with KafkaBroker.running() as kafka, PostgresServer.running() as postgres:
            for topic in TOPICS:
                kafka.create_topic(topic)
            stack = Stack(folder, kafka, postgres, warm=not options.laptop)
            with stack.running():
                report = Storm(stack, kafka, postgres, seed).rage(
                    options.notices, blows=25, every_s=(3, 12), settle_s=1200
                )
        sys.stdout.write(f"{datetime.now(UTC):%H:%M:%S} seed {seed}: {report}\n")
        sys.stdout.flush()
        if report.problems:
            sys.exit(f"kept for you to look at: {folder}")
        seed += 1


if __name__ == "__main__":
    main()
