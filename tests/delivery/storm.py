"""The kill test: notices arrive in bursts while processes, connections and the broker die at seeded random moments.

Afterwards every message must be archived once, every version have one partition, one successful run, all its files, one
row at the GWTM stand-in and one message on the Hopskotch topic, every malformed message be in quarantine once, and
nothing be left over. `make soak` runs it for an hour: `python -m tests.delivery.storm --minutes 60`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from confluent_kafka import Producer

from mma_pipeline.notices import lvk
from mma_pipeline.science.simulation.alerts import simulate_event
from tests.delivery.comparison import DERIVED, Sent, compare, compare_published
from tests.delivery.stack import Stack
from tests.services.gwtm_schemas import ADMIN
from tests.services.gwtm_standin import GwtmStandIn
from tests.services.kafka import KafkaBroker
from tests.services.postgres import PostgresServer

TOPIC = "igwn.gwalert"
TOPICS = (TOPIC, "mma.photometry")


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

    A tenth of them repeat an earlier message byte for byte, as Kafka producers may, and a twentieth is malformed. A
    fifth is about an event of before. Real and mock events are mixed. The maps of all events are alike: this is about delivery, not about maps.
    """
    template = [lvk.to_record(n) for n in simulate_event("MS230101a", time=day, seed=7, max_order=6)]
    sent: list[tuple[bytes, tuple[str, ...]]] = []
    events: list[str] = []
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
        new = f"{chance.choice(('S', 'MS'))}{day:%y%m%d}{letters}"
        record["superevent_id"] = chance.choice(events) if events and chance.random() < 0.2 else new
        events.append(record["superevent_id"])
        record["time_created"] = f"{day + timedelta(seconds=number):%Y-%m-%dT%H:%M:%SZ}"
        body = json.dumps(record).encode()
        keys = tuple(version.partition_key for version in lvk.versions_of(lvk.parse_json(body)))
        sent.append((body, keys))
        yield body, keys


class Storm:
    """Send, break, wait, compare."""

    def __init__(
        self, stack: Stack, kafka: KafkaBroker, postgres: PostgresServer, seed: int, site: GwtmStandIn | None = None
    ) -> None:
        """Everything that is random comes from `seed`. `site`: where the stack publishes, beside the topic DERIVED."""
        self.stack, self.kafka, self.postgres, self.site = stack, kafka, postgres, site
        self.chance = random.Random(seed)
        self.sent = Sent()
        self.faults: Counter[str] = Counter()
        self._bodies = bodies(self.chance, datetime(2023, 5, 18, tzinfo=UTC) + timedelta(days=seed % 300))
        self._producer = Producer(
            kafka.client(
                **{"enable.idempotence": True, "linger.ms": 0, "message.max.bytes": 10_000_000, "log_level": 0}
            )
        )
        self._down_until: float | None = None
        self._blows: dict[str, Callable[[], object]] = {
            "daemon killed": lambda: stack.kill("daemon"),
            "code server killed": lambda: stack.kill("code-server"),
            "run killed": stack.kill_run,
            "connections cut": lambda: postgres.cut_connections(stack.database),
            "database killed": lambda: postgres.restart(kill=True),
            "broker killed": self._kill_broker,
            "power cut": self._cut_power,
        }
        if stack.warm:
            self._blows["worker killed"] = lambda: stack.kill("worker")
            self._blows["worker killed with its pool"] = lambda: stack.kill_whole("worker")
            self._blows["queue killed"] = lambda: stack.kill("queue")
        else:
            self._blows["code server killed with its runs"] = lambda: stack.kill_whole("code-server")

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

    def _cut_power(self) -> None:
        self.stack.power_cut()
        self.stack.start()

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
            if self.site is not None and not problems:
                problems = compare_published(self.stack, self.sent, self.site, self.kafka)
        return problems


def publishing(folder: Path, site: GwtmStandIn, kafka: KafkaBroker) -> dict[str, str]:
    """Environment of a stack that publishes everything to the stand-in and to the topic DERIVED."""
    kafka.create_topic(DERIVED)
    config = folder / "publication.toml"
    rule = 'rule = { roles = ["observation", "test"] }'
    config.write_text(
        f'[destinations.gwtm]\nkind = "gwtm"\nsettle_s = 5\n{rule}\n'
        f'[destinations.hopskotch]\nkind = "hopskotch"\nurl = "kafka://{kafka.bootstrap}/{DERIVED}"\n'
        f"anonymous = true\nsettle_s = 5\n{rule}\n"
    )
    return {"MMA_PUBLICATION_CONFIG": str(config), "API_BASE": site.base, "API_TOKEN": ADMIN}


def main() -> None:
    """Storm after storm until the time is up; exit code 1 at the first difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--notices", type=int, default=200, help="per storm")
    parser.add_argument("--blows", type=int, default=50, help="least number of faults per storm")
    parser.add_argument("--seed", type=int, default=int(time.time()) % 100_000)
    parser.add_argument("--lane", choices=["warm", "laptop"], help="both by turns, if it is not given")
    options = parser.parse_args()
    end = time.monotonic() + options.minutes * 60
    seed = options.seed
    lanes = itertools.cycle([options.lane] if options.lane else ["warm", "laptop"])
    total: Counter[str] = Counter()
    while time.monotonic() < end:
        warm = next(lanes) == "warm"
        # The laptop's settings take five times as long for a run.
        notices = options.notices if warm else max(1, options.notices // 5)
        folder = Path(tempfile.mkdtemp(prefix=f"mma-storm-{seed}-"))
        with KafkaBroker.running() as kafka, PostgresServer.running() as postgres, GwtmStandIn() as site:
            for topic in TOPICS:
                kafka.create_topic(topic)
            stack = Stack(folder / "stack", kafka, postgres, warm=warm, env=publishing(folder, site, kafka))
            with stack.running():
                report = Storm(stack, kafka, postgres, seed, site).rage(
                    notices, blows=options.blows, every_s=(3, 12), settle_s=3600
                )
        sys.stdout.write(f"{datetime.now(UTC):%H:%M:%S} {'warm' if warm else 'laptop'}, seed {seed}: {report}\n")
        sys.stdout.flush()
        if report.problems:
            sys.exit(f"kept for you to look at: {folder}")
        total += Counter(messages=report.sent.messages, versions=len(report.sent.keys), storms=1)
        total += Counter(faults=sum(report.faults.values()))
        seed += 1
    sys.stdout.write(f"all well: {', '.join(f'{count} {what}' for what, count in total.items())}\n")


if __name__ == "__main__":
    main()
