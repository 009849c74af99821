"""What came of a storm beside what was sent: archive, quarantine, partitions, runs, files, publications."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field

import dagster as dg
import sqlalchemy as sa
from confluent_kafka import Consumer, TopicPartition

from mma_pipeline.adapters.archive import reading
from mma_pipeline.adapters.archive.schema import message as message_table
from mma_pipeline.defs.all_products import expected_files
from mma_pipeline.settings import current
from tests.delivery.stack import Stack
from tests.services.gwtm_standin import GwtmStandIn
from tests.services.kafka import KafkaBroker

PARTITIONS = "alert_version"
#: Where the stack publishes derived alerts.
DERIVED = "mma.derived"


@dataclass
class Sent:
    """What was written to Kafka and what must come of it."""

    messages: int = 0
    keys: set[str] = field(default_factory=set)
    malformed: int = 0


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
        missing = expected_files(records[key], current()) - {product.name for product in archive.products(key)}
        if missing:
            problems.append(f"{key} lacks {', '.join(sorted(missing))}")
    with stack.instance() as instance:
        partitions = instance.get_dynamic_partitions(PARTITIONS)
        problems += _differences("partitions", set(partitions), sent.keys)
        if len(partitions) != len(set(partitions)):
            problems.append("a partition is there twice")
        runs = instance.get_runs()
    made = [run for run in runs if run.job_name == "alert_products" and run.status is dg.DagsterRunStatus.SUCCESS]
    succeeded = Counter(run.tags["dagster/partition"] for run in made)
    problems += _differences("successful runs", set(succeeded), sent.keys)
    problems += [f"{key} succeeded {count} times" for key, count in succeeded.items() if count > 1]
    unfinished = [run for run in runs if not run.is_finished]
    if unfinished:
        problems.append(f"{len(unfinished)} runs are not finished: {Counter(run.status.value for run in unfinished)}")
    return problems


def compare_published(stack: Stack, sent: Sent, site: GwtmStandIn, kafka: KafkaBroker) -> list[str]:
    """Rows of the site and messages of the topic beside the versions: each exactly once."""
    versions = {record.partition_key: record.version for record in stack.archive().versions()}
    wanted = {(v.event_id, v.label, v.created.replace(tzinfo=None)): key for key, v in versions.items()}
    rows = Counter((row["graceid"], row["alert_type"], row["timesent"]) for row in list(site.alerts))
    messages = Counter(json.loads(body)["version"]["partition_key"] for body in read_topic(kafka, DERIVED))
    problems = [f"{count} rows for {row}" for row, count in rows.items() if count > 1]
    problems += [f"{count} messages for {key}" for key, count in messages.items() if count > 1]
    problems += _differences("rows", {wanted.get(row, str(row)) for row in rows}, sent.keys)
    problems += _differences("messages", set(messages), sent.keys)
    return problems


def read_topic(kafka: KafkaBroker, topic: str) -> list[bytes]:
    """Every message of partition 0, from the first to where the topic ends now."""
    low, high = kafka.watermarks(topic)
    settings: dict[str, str | int | bool] = {"group.id": "storm", "enable.auto.commit": False}
    consumer = Consumer(kafka.client(**settings))
    try:
        consumer.assign([TopicPartition(topic, 0, low)])
        found: list[bytes] = []
        at = low
        while at < high:
            message = consumer.poll(10)
            if message is None:
                break
            if message.error() is None:
                found.append(message.value() or b"")
                at += 1
        return found
    finally:
        consumer.close()


def _differences(what: str, found: set[str], wanted: set[str]) -> list[str]:
    problems = []
    if wanted - found:
        problems.append(f"{len(wanted - found)} {what} missing, such as {min(wanted - found)}")
    if found - wanted:
        problems.append(f"{len(found - wanted)} {what} that nobody sent, such as {min(found - wanted)}")
    return problems
