"""A backfill of many versions: seconds and CPU seconds per version and memory, batch by batch, beside a run for each.

As a backfill from the UI does it: runs of `BATCH` partitions, here one after the other in one warm process, on SQLite,
and, what a user would do without batches, one process with one run per version. The maps are alike, as those of mock
events are, so the figures are those of the machinery. One JSON line per figure.

    PYTHONPATH=. python benchmarks/backfill.py [--versions 1000]
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg

from mma_pipeline.adapters.archive import Archive
from mma_pipeline.adapters.kafka.message import StreamMessage
from mma_pipeline.defs.partitions import alert_versions
from mma_pipeline.defs.product_asset import BATCH
from mma_pipeline.notices import lvk
from mma_pipeline.products.ingest import ingest, parse_alert
from mma_pipeline.science.simulation.alerts import simulate_event

#: Versions made one by one, each in a process of its own, for comparison.
SINGLE = 2
DAY = datetime(2023, 5, 18, 12, tzinfo=UTC)


def fill(archive: Archive, count: int) -> list[str]:
    """Archive initial alerts of so many events; returns their partition keys in the order of a backfill."""
    template = lvk.to_record(simulate_event("MS230518a", time=DAY, seed=7, max_order=8)[3])
    keys = []
    for number in range(count):
        letters = "".join(chr(97 + number // 26**power % 26) for power in (2, 1, 0))
        created = f"{DAY + timedelta(seconds=number):%Y-%m-%dT%H:%M:%SZ}"
        body = json.dumps({**template, "superevent_id": f"MS230518{letters}", "time_created": created}).encode()
        message = StreamMessage("s", "t", 0, number, body, None, (), None, datetime.now(UTC))
        ingest(archive, message, parse_alert)
        (version,) = lvk.versions_of(lvk.parse_json(body))
        keys.append(version.partition_key)
    return keys


def run_batch(instance: dg.DagsterInstance, keys: list[str]) -> bool:
    """One run over a range of partitions, as a backfill starts it."""
    from mma_pipeline.definitions import defs

    tags = {"dagster/asset_partition_range_start": keys[0], "dagster/asset_partition_range_end": keys[-1]}
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    job = defs.resolve_job_def("alert_products")
    return job.execute_in_process(instance=instance, tags=tags, run_config=quiet, raise_on_error=False).success


def single(key: str) -> float:
    """Seconds of one version with a process of its own, as `mma backfill KEY` and the plain launcher have it."""
    began = time.perf_counter()
    command = [sys.executable, "-c", "from mma_pipeline.cli import app; app()", "backfill", key, "--json"]
    subprocess.run(command, check=True, capture_output=True, timeout=600)
    return time.perf_counter() - began


def line(figure: str, **values: object) -> None:
    """Print one figure."""
    sys.stdout.write(
        json.dumps({"benchmark": "backfill", "figure": figure, **values, "load": os.getloadavg()[0]}) + "\n"
    )
    sys.stdout.flush()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--versions", type=int, default=1000)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="mma-backfill-") as name:
        folder = Path(name)
        (folder / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
        os.environ |= {
            "DAGSTER_HOME": name,
            "MMA_ARCHIVE_URL": f"sqlite:///{folder / 'archive.db'}",
            "MMA_STORE_URL": (folder / "products").as_uri(),
        }
        archive = Archive(os.environ["MMA_ARCHIVE_URL"], create=True)
        keys = fill(archive, options.versions + SINGLE)
        apart, keys = keys[:SINGLE], keys[SINGLE:]
        alone = sum(single(key) for key in apart) / SINGLE
        with dg.DagsterInstance.get() as instance:
            instance.add_dynamic_partitions(alert_versions.name or "", keys)
            # A range follows the order in which Dagster keeps the partitions.
            ordered = [key for key in instance.get_dynamic_partitions(alert_versions.name or "") if key in set(keys)]
            spent, began, used = [], time.perf_counter(), time.process_time()
            for first in range(0, len(ordered), BATCH):
                batch = ordered[first : first + BATCH]
                start = time.perf_counter()
                if not run_batch(instance, batch):
                    raise SystemExit(f"the batch from {batch[0]} failed")
                spent.append((time.perf_counter() - start) / len(batch))
                peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
                if first == 0:
                    after_first = peak
            total, cpu = time.perf_counter() - began, time.process_time() - used
        made = sum(len(archive.products(key)) > 0 for key in keys)
    each = total / len(keys)
    line(
        f"{len(keys)} versions in batches of {BATCH}, per version",
        s=round(each, 3), cpu_s=round(cpu / len(keys), 3), made=made, total_s=round(total, 1),
        a_process_each_s=round(alone, 3), ratio=round(alone / each, 1),
    )  # fmt: skip
    line("last batch beside the first, per version", s=round(spent[-1], 3), first_s=round(spent[0], 3),
         ratio=round(spent[-1] / spent[0], 2))  # fmt: skip
    line("peak memory", MiB=round(peak), after_first_batch_MiB=round(after_first), ratio=round(peak / after_first, 2))


if __name__ == "__main__":
    main()
