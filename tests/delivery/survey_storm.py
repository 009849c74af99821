"""The kill test of a survey's stream: alerts pass while readers, broker and database die at seeded random moments.

Afterwards every message must be counted once, every alert be among the kept rows once, every packet that cannot be used be
counted once under its cause, and candidates and measurements be those of the same packets without any fault.
`make soak-surveys` runs it with 100,000 alerts and 30 deaths: `python -m tests.delivery.survey_storm`.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import fastavro
import numpy as np
import sqlalchemy as sa
from confluent_kafka import Consumer, Producer, TopicPartition

from mma_pipeline.adapters.archive import Archive
from mma_pipeline.adapters.archive.database import reading
from mma_pipeline.adapters.archive.refusals import KEPT, unsolved
from mma_pipeline.adapters.archive.schema import measurement, survey_candidate
from mma_pipeline.adapters.archive.surveys import Beat, SurveyArchive
from mma_pipeline.adapters.errors import TransientError
from mma_pipeline.adapters.kafka.message import StreamMessage
from mma_pipeline.adapters.surveys.nights import RecentNights
from mma_pipeline.adapters.surveys.packets import Formats
from mma_pipeline.cli.survey_night import Packet, Region, packets
from mma_pipeline.notices import lvk
from mma_pipeline.notices.times import mjd_of_datetime
from mma_pipeline.products.survey_regions import LiveRegions
from mma_pipeline.products.surveys.judging import judge
from mma_pipeline.science.simulation.alerts import simulate_event
from mma_pipeline.science.skymaps.model import decode_skymap
from mma_pipeline.science.surveys.vetting import Thresholds
from tests.homes import Home
from tests.services.kafka import KafkaBroker
from tests.services.postgres import PostgresServer

TOPIC, GROUP = "ztf_storm", "mma-survey-storm"
PARTITIONS = 3
BAD = (b"Obj\x01 cut short", b"\x00\x00\x00\x03\xe7unknown schema", b"no packet at all", b"")
#: What the reader may take to join its group, after a member that died without a word.
PATIENCE_S = 150.0
#: Seconds that the whole rest may take when nothing dies any more.
SETTLE_S = 3600.0
SEED, NIGHTS = 3, (1, 2)
_SKY = np.array([0]), np.array([12 << 58])


def environment(home: Home, kafka: Any) -> dict[str, str]:
    """What a reader is told."""
    return {
        **home.env,
        "MMA_SURVEY_BROKER": kafka.bootstrap,
        "MMA_SURVEY_TOPICS": TOPIC,
        "MMA_SURVEY_GROUP": GROUP,
        "MMA_SURVEY_OFFSET_RESET": "earliest",
        "MMA_SURVEY_MOCKS": "true",
        "MMA_SURVEY_SCHEMA_REGISTRY": "",
    }


def measured(home: Home, found: list[Any], archive: SurveyArchive) -> None:
    """The hidden kilonova's detections are exactly those of its packets, as fastavro alone reads them."""
    hidden = [p for p in found if "zzzz" in p.object_id]
    assert hidden
    expected = set()
    for packet in hidden:
        record = next(fastavro.reader(io.BytesIO(packet.body)))
        for one in [record["candidate"], *record["prv_candidates"]]:
            if one["magpsf"] is not None:
                expected.add(("ztf" + "gri"[one["fid"] - 1], round(one["magpsf"], 4)))
    from mma_pipeline.adapters.archive.photometry import PhotometryArchive

    name = hidden[0].object_id
    points = [m.measurement for m in PhotometryArchive(home.archive).measurements(name)]
    detected = [(m.band, round(m.magnitude, 4)) for m in points if m.detected and m.error and m.error < 0.2171]
    assert set(detected) >= expected
    exposures = Counter((m.band, round(m.mjd, 3)) for m in points)
    assert set(exposures.values()) == {1}, "a point is there twice"
    assert {c.candidate for c in archive.candidates(name=name)} == {name}


def watching(folder: Path, archive_url: str | None = None) -> tuple[Home, Region]:
    """A home whose archive has a mock event of the last days, and its region."""
    home = Home(folder / "home")
    if archive_url is not None:
        home.env["MMA_ARCHIVE_URL"] = archive_url
    merger = (datetime.now(UTC) - timedelta(days=2)).replace(hour=2, minute=0, second=0, microsecond=0)
    notices = simulate_event(f"MS{merger:%y%m%d}aa", time=merger, seed=3, max_order=7)
    for notice in notices:
        if notice.external is None:
            home.receive(json.dumps(lvk.to_record(notice)).encode())
    skymap = [n.event.skymap for n in notices if n.event is not None and n.external is None and n.event.skymap][-1]
    return home, Region(notices[0].superevent_id, mjd_of_datetime(merger), decode_skymap(skymap), 120.0)


def started(env: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    """A reader in a process of its own."""
    from mma_pipeline.settings import environment_of_child

    line = [sys.executable, "-c", "from mma_pipeline.cli import app; app()", "survey", "read"]
    with log.open("ab") as out:
        return subprocess.Popen(line, env=environment_of_child(**env), stdout=out, stderr=subprocess.STDOUT)


def seen(archive: SurveyArchive) -> int:
    """Messages counted so far."""
    return sum(one.seen for one in archive.partitions())


def wait(ready: Any, reader: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until something is so; fails with what the reader said."""
    deadline = time.monotonic() + PATIENCE_S
    while not ready():
        if time.monotonic() > deadline or reader.poll() is not None:
            raise AssertionError(f"not within {PATIENCE_S:.0f} s:\n{log.read_text()[-3000:]}")
        time.sleep(0.2)


def committed(kafka: Any) -> dict[int, int]:
    """The group's offsets by partition."""
    consumer = Consumer(kafka.client(**{"group.id": GROUP}))
    try:
        answer = consumer.committed([TopicPartition(TOPIC, p) for p in range(3)], timeout=20)
        return {each.partition: each.offset for each in answer}
    finally:
        consumer.close()


class Storm:
    """Readers, broker and database, and what happens to them."""

    def __init__(self, folder: Path, kafka: KafkaBroker, postgres: PostgresServer, seed: int) -> None:
        """Make the event, the topic and two readers."""
        self.kafka, self.postgres, self.chance = kafka, postgres, random.Random(seed)
        self.home, self.region = watching(folder, postgres.create_database())
        self.env, self.log = environment(self.home, kafka), folder / "reader.log"
        kafka.create_topic(TOPIC, partitions=PARTITIONS)
        self.archive = SurveyArchive(self.home.archive)
        self.readers = [started(self.env, self.log) for _ in range(2)]
        self.deaths: Counter[str] = Counter()

    def keep_up(self) -> None:
        """Start readers that ended anew, as Kubernetes does."""
        for place, reader in enumerate(self.readers):
            if reader.poll() is not None:
                self.readers[place] = started(self.env, self.log)

    def blow(self) -> None:
        """Something dies."""
        name = self.chance.choice(("reader", "both readers", "broker", "database", "connections"))
        self.deaths[name] += 1
        if name in {"reader", "both readers"}:
            for reader in self.readers[: 1 if name == "reader" else 2]:
                reader.send_signal(signal.SIGKILL)
                reader.wait()
        elif name == "connections":
            self.postgres.cut_connections()
        else:
            server = self.kafka if name == "broker" else self.postgres
            server.kill()
            time.sleep(self.chance.uniform(0, 8))
            server.start()
        self.keep_up()

    def rage(self, alerts: int, deaths: int) -> int:
        """Send packets of some nights while things die; returns the number of messages."""
        # A broker that dies is waited for; what it may have taken already is sent again.
        producer = Producer(self.kafka.client(**{"message.timeout.ms": 600_000, "linger.ms": 20, "acks": "all"}))
        bad, blows = 0, sorted(self.chance.uniform(0.02, 0.98) * alerts for _ in range(deaths))
        for sent, packet in enumerate(every_packet(self.region, alerts), start=1):
            again = self.chance.random() < 0.1
            for _ in range(2 if again else 1):
                self._send(producer, packet.object_id, packet.body)
            if sent % 250 == 0:
                self._send(producer, "bad", BAD[bad % len(BAD)])
                bad += 1
            while blows and sent > blows[0]:
                blows.pop(0)
                self._wait(lambda sent=sent: self._seen() >= sent - 20_000)
                time.sleep(self.chance.uniform(0, 2))
                self.blow()
        left = producer.flush(300)
        assert left == 0, f"{left} messages were not taken by the broker"
        return sum(self.kafka.watermarks(TOPIC, p)[1] for p in range(PARTITIONS))

    def _send(self, producer: Producer, key: str, body: bytes) -> None:
        while True:
            try:
                producer.produce(TOPIC, body, key=key)
                break
            except BufferError:
                producer.poll(1)
        producer.poll(0)

    def _seen(self) -> int:
        with contextlib.suppress(TransientError):
            return seen(self.archive)
        return -1

    def _wait(self, ready: Any) -> None:
        deadline = time.monotonic() + SETTLE_S
        while not ready():
            assert time.monotonic() < deadline, f"nothing moves any more: see {self.log}"
            self.keep_up()
            time.sleep(0.5)

    def differences(self, messages: int, alerts: int) -> list[str]:
        """Wait until all is read, end the readers, and compare with the packets; empty if all is well."""
        self._wait(lambda: self._seen() >= messages)
        time.sleep(20)
        for reader in self.readers:
            reader.send_signal(signal.SIGTERM)
        found = [f"a reader ended with {code}" for reader in self.readers if (code := reader.wait(120))]
        written = {p: self.kafka.watermarks(TOPIC, p)[1] for p in range(PARTITIONS)}
        counted = {c.partition: (c.next_offset, c.seen) for c in self.archive.partitions()}
        found += _differ("counted", counted, {p: (n, n) for p, n in written.items()})
        found += _differ("committed", committed(self.kafka), written)
        found += _differ("lost", sum(c.lost for c in self.archive.partitions()), 0)
        refused = unsolved(self.home.archive)
        bad = _bad_messages(self.kafka)
        found += _differ("refused", sum(one.packets for one in refused), bad)
        found += [f"{one.kept} packets kept of {one.reason}" for one in refused if one.kept > KEPT * 2]
        span = int(self.region.merger_mjd), int(self.region.merger_mjd) + 5
        rows = Counter(RecentNights(self.home.store).read(*_SKY, *span, ["alert_id"])["alert_id"].to_pylist())
        calm = Archive(f"sqlite:///{self.log.parent / 'calm.db'}", create=True)
        expected, hidden = without_faults(self.home, calm, self.region, alerts)
        found += _differ("kept rows", rows, expected)
        found += _differ("candidates", hits(self.home.archive), hits(calm))
        found += _differ("measurements", points(self.home.archive), points(calm))
        measured(self.home, hidden, self.archive)
        return found


def every_packet(region: Region, alerts: int) -> Iterator[Packet]:
    """The same packets each time: some nights of as many."""
    for night in NIGHTS:
        yield from packets(region, nights_after=night, alerts=alerts // len(NIGHTS), seed=SEED, images=False)


def without_faults(home: Home, calm: Archive, region: Region, alerts: int) -> tuple[Counter[str], list[Packet]]:
    """Take every packet once into an archive of its own; returns the alerts' names, and the packets of the hidden kilonova."""
    index = LiveRegions(home.archive, days=14.0, level=0.99, mocks=True).index(mjd_of_datetime(datetime.now(UTC)))
    surveys, formats, names = SurveyArchive(calm), Formats(), Counter[str]()
    now, batch, hidden = datetime.now(UTC), list[StreamMessage](), list[Packet]()
    for offset, packet in enumerate(every_packet(region, alerts)):
        names[str(packet.candid)] += 1
        if "zzzz" in packet.object_id:
            hidden.append(packet)
        batch.append(StreamMessage("survey", TOPIC, 0, offset, packet.body, packet.object_id.encode(), (), None, now))
        if len(batch) == 500:
            _record(surveys, batch, formats, index)
            batch = []
    _record(surveys, batch, formats, index)
    return names, hidden


def _record(surveys: SurveyArchive, batch: list[StreamMessage], formats: Formats, index: Any) -> None:
    judged = judge(batch, formats, index, Thresholds())
    surveys.record("survey", judged.kept, judged.unusable, judged.outcomes, Beat("calm", datetime.now(UTC)))


def hits(archive: Archive) -> Counter[tuple[str, str, int]]:
    """Event, candidate and night of everything that was kept."""
    t = survey_candidate.c
    with reading(archive.engine) as connection:
        return Counter((r[0], r[1], r[2]) for r in connection.execute(sa.select(t.event_id, t.candidate, t.night)))


def points(archive: Archive) -> Counter[tuple[str, float, str, float, bool]]:
    """Every measurement."""
    t = measurement.c
    query = sa.select(t.candidate, t.mjd, t.band, t.magnitude, t.upper_limit)
    with reading(archive.engine) as connection:
        return Counter((r[0], round(r[1], 7), r[2], round(r[3], 6), bool(r[4])) for r in connection.execute(query))


def _bad_messages(kafka: KafkaBroker) -> int:
    """Messages on the topic that hold no packet: the broker may have one twice."""
    consumer = Consumer(kafka.client(**{"group.id": "look", "enable.auto.commit": False}))
    consumer.assign([TopicPartition(TOPIC, p, 0) for p in range(PARTITIONS)])
    left = sum(kafka.watermarks(TOPIC, p)[1] for p in range(PARTITIONS))
    found = 0
    while left > 0:
        some = consumer.consume(1000, 5)
        found += sum((message.value() or b"") in BAD for message in some)
        left -= len(some)
    consumer.close()
    return found


def _differ(name: str, found: Any, expected: Any) -> list[str]:
    if found == expected:
        return []
    if isinstance(found, Counter):
        return [
            f"{name}: {list((found - expected).items())[:5]} too many, {list((expected - found).items())[:5]} missing"
        ]
    return [f"{name}: {found} in place of {expected}"]


def main() -> None:
    """One storm; exit code 1 where anything differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--alerts", type=int, default=100_000)
    parser.add_argument("--deaths", type=int, default=30)
    parser.add_argument("--seed", type=int, default=int(time.time()) % 100_000)
    options = parser.parse_args()
    folder, started_at = Path(tempfile.mkdtemp(prefix=f"mma-survey-storm-{options.seed}-")), time.monotonic()
    with KafkaBroker.running() as kafka, PostgresServer.running() as postgres:
        storm = Storm(folder, kafka, postgres, options.seed)
        messages = storm.rage(options.alerts, options.deaths)
        problems = storm.differences(messages, options.alerts)
        candidates = sum(hits(storm.home.archive).values())
    deaths = ", ".join(f"{count} x {name}" for name, count in sorted(storm.deaths.items()))
    sys.stdout.write(
        f"seed {options.seed}: {messages} messages of {options.alerts} alerts, {candidates} candidates, "
        f"{sum(storm.deaths.values())} deaths ({deaths}) in {time.monotonic() - started_at:.0f} s: "
        f"{'; '.join(problems) or 'nothing missing, nothing twice'}\n"
    )
    if problems:
        sys.exit(f"kept for you to look at: {folder}")


if __name__ == "__main__":
    main()
