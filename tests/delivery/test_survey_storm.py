"""A survey's stream on a real Kafka while its reader is killed again and again: nothing is lost, nothing is there twice."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from confluent_kafka import Producer

from mma_pipeline.adapters.archive.quarantine import quarantined
from mma_pipeline.adapters.archive.surveys import SurveyArchive
from mma_pipeline.adapters.surveys.nights import RecentNights
from mma_pipeline.cli.survey_night import packets
from tests.delivery.survey_storm import BAD, TOPIC, committed, environment, measured, seen, started, wait, watching
from tests.homes import Home

ALERTS, BURSTS, KILLS = 2000, 5, 3


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
    env = environment(home, kafka)
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


def looked_back(home: Home, archive: SurveyArchive) -> None:
    """A second event with the same maps, whose notice comes only now: it finds at once what the first one found in time."""
    import dagster as dg

    from mma_pipeline.defs.resources import ArchiveResource, SettingsResource, StoreResource
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
        settings=SettingsResource(),
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
