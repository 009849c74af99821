"""What 50,000 partitions cost: the sensor's part of a tick, the look for unfinished versions, retention, health.

Each figure stands beside the same with 1,000 partitions, measured in the same run: the ratio says how it grows. One
JSON line per figure; archive and Dagster on SQLite.

    PYTHONPATH=. python benchmarks/scale.py [--partitions 50000]
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import sqlalchemy as sa

from mma_pipeline.adapters.archive import Archive, schema, writing
from mma_pipeline.adapters.store import Store
from mma_pipeline.defs.alerts.unfinished import unfinished_versions_sensor
from mma_pipeline.defs.operations.health import health
from mma_pipeline.defs.operations.retention import remove_expired
from mma_pipeline.defs.partitions import alert_versions
from mma_pipeline.defs.resources import ArchiveResource

SMALL = 1000
REMOVED = 100
NOW = datetime.now(UTC)


def fill(archive: Archive, instance: dg.DagsterInstance, count: int) -> None:
    """Versions of mock events, 90 a day, the newest from four days ago; their partitions in Dagster."""
    digest = "0" * 64
    with writing(archive.engine) as connection:
        connection.execute(sa.insert(schema.body).values(sha256=digest, data=b"{}"))
        for first in range(0, count, 5000):
            numbers = range(first, min(count, first + 5000))
            at = {n: NOW - timedelta(days=4, seconds=960 * (count - n)) for n in numbers}
            connection.execute(
                sa.insert(schema.message),
                [
                    {
                        "id": n + 1,
                        "stream": "s",
                        "topic": "t",
                        "partition": 0,
                        "offset": n,
                        "headers": [],
                        "sha256": digest,
                        "received": at[n],
                        "event_id": event(n),
                    }
                    for n in numbers
                ],
            )
            connection.execute(
                sa.insert(schema.version),
                [
                    {
                        "partition_key": key(n),
                        "event_id": event(n),
                        "label": "Preliminary",
                        "number": 0,
                        "created": at[n],
                        "role": "test",
                        "message_id": n + 1,
                        "facts": {},
                    }
                    for n in numbers
                ],
            )
    for first in range(0, count, 1000):
        instance.add_dynamic_partitions(
            alert_versions.name or "", [key(n) for n in range(first, min(count, first + 1000))]
        )


def event(number: int) -> str:
    """A mock event."""
    return f"MS230518{''.join(chr(97 + number // 26**power % 26) for power in (3, 2, 1, 0))}"


def key(number: int) -> str:
    """Its version's partition key."""
    return f"{event(number)}-Preliminary-20230518T133818-{number:010x}"


def measure(count: int, folder: Path) -> dict[str, float]:
    """Seconds of each operation with so many partitions."""
    url = f"sqlite:///{folder / 'archive.db'}"
    archive = Archive(url, create=True)
    store = Store.open((folder / "products").as_uri())
    with dg.instance_for_test(temp_dir=str(folder / "home")) as instance:
        fill(archive, instance, count)
        name = alert_versions.name or ""
        context = dg.build_sensor_context(instance=instance, resources={"archive": ArchiveResource(url=url)})
        oldest = NOW - timedelta(days=4, seconds=960 * (count - REMOVED))
        return {
            "add a partition, as each tick does": timed(lambda: instance.add_dynamic_partitions(name, ["new"])),
            "is a partition there": timed(lambda: instance.has_dynamic_partition(name, key(count // 2))),
            "all partition keys, as the UI and a backfill ask": timed(lambda: instance.get_dynamic_partitions(name)),
            "tick of the unfinished-versions sensor": timed(lambda: unfinished_versions_sensor(context)),
            "health": timed(lambda: health(instance, archive, NOW)),
            f"retention of {REMOVED} versions": timed(lambda: remove_expired(instance, archive, store, oldest)),
        }


def timed(operation: Callable[[], object]) -> float:
    """Seconds."""
    began = time.perf_counter()
    operation()
    return time.perf_counter() - began


def main() -> None:
    """Measure both sizes and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--partitions", type=int, default=50_000)
    options = parser.parse_args()
    found = []
    for count in (SMALL, options.partitions):
        with tempfile.TemporaryDirectory(prefix="mma-scale-") as folder:
            (Path(folder) / "home").mkdir()
            found.append(measure(count, Path(folder)))
    small, large = found
    for name, seconds in large.items():
        line = {
            "benchmark": f"scale, {options.partitions} partitions",
            "figure": name,
            "s": round(seconds, 4),
            f"s_with_{SMALL}": round(small[name], 4),
            "ratio": round(seconds / small[name], 2),
        }
        sys.stdout.write(json.dumps(line) + "\n")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(json.dumps({"benchmark": "scale", "figure": "peak memory", "MiB": round(peak)}) + "\n")


if __name__ == "__main__":
    main()
