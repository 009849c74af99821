"""A survey's stream on a real Kafka while its reader is killed again and again: nothing is lost, nothing is there twice."""

from __future__ import annotations

import io
import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import fastavro
import numpy as np
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from mma_pipeline.adapters.archive.quarantine import quarantined
from mma_pipeline.adapters.archive.surveys import SurveyArchive
from mma_pipeline.adapters.surveys.nights import RecentNights
from mma_pipeline.cli.survey_night import Region, packets
from mma_pipeline.notices import lvk
from mma_pipeline.notices.times import mjd_of_datetime
from mma_pipeline.science.simulation.alerts import simulate_event
from mma_pipeline.science.skymaps.model import decode_skymap
from tests.homes import Home

TOPIC, GROUP = "ztf_storm", "mma-survey-storm"
ALERTS, BURSTS, KILLS = 2000, 5, 3
BAD = (b"Obj\x01 cut short", b"\x00\x00\x00\x03\xe7unknown schema", b"no packet at all", b"")
#: What the reader may take to join its group, after a member that died without a word.
PATIENCE_S = 150.0


@pytest.mark.timeout(900)
def test_readers_that_die(kafka: Any, tmp_path: Path):
    """Every message is counted once, every alert kept once, every bad one quarantined once, each hit recorded once."""
    home, region = watching(tmp_path)
    found = list(packets(region, nights_after=1, alerts=ALERTS, seed=3, images=False))
    chance = random.Random(5)
    # Kafka's producers may repeat: a tenth of the messages come twice.
    bodies = [(p.object_id, p.body) for p in found] + [("bad", bad) for bad in BAD]
    bodies += [bodies[chance.randrange(ALERTS)] for _ in range(ALERTS // 10)]
    chance.shuffle(bodies)
    kafka.create_topic(TOPIC, partitions=3)
    producer = Producer(kafka.client())
    env = {
        **home.env,
        "MMA_SURVEY_BROKER": kafka.bootstrap,
        "MMA_SURVEY_TOPICS": TOPIC,
        "MMA_SURVEY_GROUP": GROUP,
        "MMA_SURVEY_OFFSET_RESET": "earliest",
        "MMA_SURVEY_MOCKS": "true",
        "MMA_SURVEY_SCHEMA_REGISTRY": "",
    }
    archive, log = SurveyArchive(home.archive), tmp_path / "reader.log"
    reader, kills = started(env, log), 0
    for burst in range(BURSTS):
        for key, body in bodies[burst::BURSTS]:
            producer.produce(TOPIC, body, key=key)
        producer.flush()
        wait(lambda burst=burst: seen(archive) > burst * len(bodies) // BURSTS, reader, log)
        if kills < KILLS:
            time.sleep(chance.uniform(0, 1.5))
            reader.send_signal(signal.SIGKILL)
            reader.wait()
            kills += 1
            reader = started(env, log)
    wait(lambda: seen(archive) >= len(bodies), reader, log)
    reader.send_signal(signal.SIGTERM)
    assert reader.wait(60) == 0, log.read_text()[-3000:]

    counts = archive.partitions()
    written = {p: kafka.watermarks(TOPIC, p)[1] for p in range(3)}
    assert sum(written.values()) == len(bodies)
    assert {c.partition: (c.next_offset, c.seen) for c in counts} == {p: (n, n) for p, n in written.items()}
    assert committed(kafka) == written
    assert sum(c.quarantined for c in counts) == len(BAD) == len(quarantined(home.archive))

    sky = np.array([0]), np.array([12 << 58])
    night = int(region.merger_mjd) + 1
    rows = RecentNights(home.store).read(*sky, night, night + 1, ["alert_id", "object_id"])
    assert Counter(rows["alert_id"].to_pylist()) == Counter({str(p.candid): 1 for p in found})

    measured(home, found, archive)
    with home.active(), pytest.MonkeyPatch.context() as patch:
        for name, value in env.items():
            patch.setenv(name, value)
        looked_back(home, archive)


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
    assert [c.candidate for c in archive.candidates(name=name)] == [name]


def looked_back(home: Home, archive: SurveyArchive) -> None:
    """A second event with the same maps, whose notice comes only now: it finds at once what the first one found in time."""
    import dagster as dg

    from mma_pipeline.defs.resources import ArchiveResource, StoreResource
    from mma_pipeline.defs.surveys.sensors import survey_sensor

    (first,) = {one.event_id for one in archive.candidates()}
    second = f"{first[:-2]}zz"
    before = points_archived(home)
    for message in [home.archive.message(record.message_id) for record in home.archive.versions(first)]:
        home.receive(message.body.replace(first.encode(), second.encode()))
    survey_sensor(
        dg.build_sensor_context(instance=dg.DagsterInstance.ephemeral()),
        archive=ArchiveResource(),
        store=StoreResource(),
    )
    in_time = {(one.candidate, one.night) for one in archive.candidates(event_id=first)}
    assert in_time
    assert {(one.candidate, one.night) for one in archive.candidates(event_id=second)} == in_time
    assert points_archived(home) == before


def points_archived(home: Home) -> int:
    """How many measurements and messages the archive has."""
    from mma_pipeline.adapters.archive.photometry import PhotometryArchive

    photometry = PhotometryArchive(home.archive)
    names = [found.candidate.name for found in photometry.candidates()]
    brought = {m.message_id for some in photometry.measurements_of(names).values() for m in some}
    return sum(len(some) for some in photometry.measurements_of(names).values()) + len(brought)


def watching(folder: Path) -> tuple[Home, Region]:
    """A home whose archive has a mock event of the last days, and its region."""
    home = Home(folder / "home")
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
            pytest.fail(f"not within {PATIENCE_S:.0f} s:\n{log.read_text()[-3000:]}")
        time.sleep(0.2)


def committed(kafka: Any) -> dict[int, int]:
    """The group's offsets by partition."""
    consumer = Consumer(kafka.client(**{"group.id": GROUP}))
    try:
        answer = consumer.committed([TopicPartition(TOPIC, p) for p in range(3)], timeout=20)
        return {each.partition: each.offset for each in answer}
    finally:
        consumer.close()
