"""What 50,000 partitions cost: the sensors' part of a tick, health, the lists, retention.

Versions came at an even pace until an hour ago, so every window of days holds some, all with their products but a few,
all decided upon but the newest. Each figure stands beside the same with 1,000 partitions, measured in the same run: the
ratio says how it grows. One JSON line per figure; archive and Dagster on SQLite.

    PYTHONPATH=. python benchmarks/scale.py [--partitions 50000]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import sqlalchemy as sa

from mma_pipeline.adapters.archive import Archive, schema, writing
from mma_pipeline.adapters.archive.alerts import version_record
from mma_pipeline.adapters.archive.recent import recent_versions
from mma_pipeline.adapters.store import Store
from mma_pipeline.cli.status import describe
from mma_pipeline.defs.alerts.unfinished import LOOK_BACK, unfinished_versions_sensor
from mma_pipeline.defs.all_products import expected_files
from mma_pipeline.defs.events.sensors import event_page_sensor
from mma_pipeline.defs.operations.health import health
from mma_pipeline.defs.operations.retention import remove_expired
from mma_pipeline.defs.partitions import alert_versions
from mma_pipeline.defs.publication.sensors import publication_sensor
from mma_pipeline.defs.resources import ArchiveResource, PublicationResource, SettingsResource, StoreResource
from mma_pipeline.settings import current

SMALL = 1000
REMOVED = 100
#: Seconds between two versions: 90 a day.
PACE_S = 960
#: The newest versions, of which nothing was decided yet.
UNDECIDED = 20
#: Every so many-th version lacks a product.
LACKS = 30
NOW = datetime.now(UTC)
DIGEST = "0" * 64
DESTINATION = "people"


def event(number: int) -> str:
    """A mock event."""
    return f"MS230518{letters(number)}"


def letters(number: int) -> str:
    """Four letters for a number."""
    return "".join(chr(97 + number // 26**power % 26) for power in (3, 2, 1, 0))


def came(number: int, count: int, pace: float = PACE_S) -> datetime:
    """When a version of so many came; the newest an hour ago."""
    return NOW - timedelta(hours=1, seconds=pace * (count - 1 - number))


def fill(
    archive: Archive,
    instance: dg.DagsterInstance,
    count: int,
    *,
    event: Callable[[int], str] = event,
    label: str = "Preliminary",
    facts: Callable[[int], dict[str, Any]] = lambda _: {},
    pace: float = PACE_S,
) -> None:
    """Versions of mock events with products and decisions, `pace` seconds apart; their partitions in Dagster.

    `event` and `facts` give the event of a version and what its notice says beside the time and the map.
    """

    def key(number: int) -> str:
        return key_of(event(number), number, label)

    common = {"time": NOW.isoformat(), "skymap_sha256": DIGEST}
    names: list[str] = []
    with writing(archive.engine) as connection:
        connection.execute(sa.insert(schema.body).values(sha256=DIGEST, data=b"{}"))
        for first in range(0, count, 1000):
            numbers = range(first, min(count, first + 1000))
            place = {"stream": "s", "topic": "t", "partition": 0, "headers": [], "sha256": DIGEST}
            at = {n: came(n, count, pace) for n in numbers}
            rows = [{**place, "id": n + 1, "offset": n, "received": at[n], "event_id": event(n)} for n in numbers]
            connection.execute(sa.insert(schema.message), rows)
            like = {"label": label, "number": 0, "role": "test"}
            rows = [
                {
                    **like,
                    "partition_key": key(n),
                    "event_id": event(n),
                    "created": at[n],
                    "message_id": n + 1,
                    "facts": common | facts(n),
                }
                for n in numbers
            ]
            connection.execute(sa.insert(schema.version), rows)
            if not names:
                (row,) = connection.execute(sa.select(schema.version).limit(1))
                names = sorted(expected_files(version_record(row), current()))
            file = {
                "sha256": DIGEST, "size": 1, "content_type": "text/plain", "code_version": "1", "address": DIGEST,
                "statistics": {"area_90_deg2": 100.0, "peak_ra_deg": 150.0, "pairs": [], "event": event(first)},
            }  # fmt: skip
            rows = [
                {
                    **file,
                    "partition_key": key(n),
                    "name": name,
                    "asset": name,
                    "store_key": f"mma/{key(n)}/{name}",
                    "written": at[n],
                }
                for n in numbers
                for name in (names[1:] if n % LACKS == 0 else names)
            ]
            connection.execute(sa.insert(schema.product), rows)
            made = {"destination": DESTINATION, "accepted": True, "reasons": [], "bare": False}
            rows = [
                {**made, "partition_key": key(n), "event_id": event(n), "decided": at[n]}
                for n in numbers
                if n < count - UNDECIDED
            ]
            connection.execute(sa.insert(schema.decision), rows)
    for first in range(0, count, 1000):
        instance.add_dynamic_partitions(
            alert_versions.name or "", [key(n) for n in range(first, min(count, first + 1000))]
        )


def key_of(event_id: str, number: int, label: str) -> str:
    """The partition key of a version."""
    return f"{event_id}-{label}-20230518T133818-{number:010x}"


def key(number: int) -> str:
    """The partition key of a mock event's version."""
    return key_of(event(number), number, "Preliminary")


def ticker(instance: dg.DagsterInstance, url: str) -> Callable[..., Any]:
    """What runs one tick of a sensor, with a cursor if there is one, on the archive at an address."""
    resources = {
        "archive": ArchiveResource(url=url),
        "store": StoreResource(),
        "publication": PublicationResource(),
        "settings": SettingsResource(),
    }

    def tick(sensor: dg.SensorDefinition, cursor: str | None = None) -> Any:
        return sensor(dg.build_sensor_context(instance=instance, resources=resources, cursor=cursor))

    return tick


def measure(count: int, folder: Path) -> dict[str, float]:
    """Seconds of each operation with so many partitions, and how many versions the windows hold."""
    url = f"sqlite:///{folder / 'archive.db'}"
    config = folder / "publication.toml"
    config.write_text(f"[destinations.{DESTINATION}]\nkind = 'webhook'\nurl_env = 'MMA_SCALE_HOOK'\n")
    os.environ |= {
        "MMA_ARCHIVE_URL": url,
        "MMA_STORE_URL": (folder / "products").as_uri(),
        "MMA_PUBLICATION_CONFIG": str(config),
        "MMA_SCALE_HOOK": "http://127.0.0.1:1/never-called",
    }
    archive = Archive(url, create=True)
    store = Store.open((folder / "products").as_uri())
    with dg.instance_for_test(temp_dir=str(folder / "home")) as instance:
        fill(archive, instance, count)
        window = len(recent_versions(archive, NOW - LOOK_BACK, NOW))
        if not window:
            raise RuntimeError("the window holds no version: nothing would be measured")
        name = alert_versions.name or ""
        tick = ticker(instance, url)
        pages = tick(event_page_sensor).cursor
        if not getattr(tick(publication_sensor), "run_requests", None):
            raise RuntimeError("the publication sensor asks for no run: its tick would not be measured")
        oldest = came(REMOVED, count)
        return {
            "versions of the last three days": window,
            "add a partition, as each tick does": timed(lambda: instance.add_dynamic_partitions(name, ["new"])),
            "is a partition there": timed(lambda: instance.has_dynamic_partition(name, key(count // 2))),
            "all partition keys, as the UI and a backfill ask": timed(lambda: instance.get_dynamic_partitions(name)),
            "tick of the unfinished-versions sensor": timed(lambda: tick(unfinished_versions_sensor)),
            "tick of the page sensor": timed(lambda: tick(event_page_sensor, pages)),
            "tick of the publication sensor": timed(lambda: tick(publication_sensor)),
            "health": timed(lambda: health(instance, archive, NOW, destinations=(DESTINATION,), settings=current())),
            "the 50 newest versions, as `mma status` shows": timed(
                lambda: describe(archive, archive.versions(limit=50))
            ),
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
    for name, measured in large.items():
        unit = "count" if isinstance(measured, int) else "s"
        line = {
            "benchmark": f"scale, {options.partitions} partitions",
            "figure": name,
            unit: round(measured, 4),
            f"{unit}_with_{SMALL}": round(small[name], 4),
            "ratio": round(measured / small[name], 2),
        }
        sys.stdout.write(json.dumps(line) + "\n")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(json.dumps({"benchmark": "scale", "figure": "peak memory", "MiB": round(peak)}) + "\n")


if __name__ == "__main__":
    main()
