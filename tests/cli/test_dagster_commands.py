"""Dagster's own commands for a backfill, word by word as docs/reliability.md has them."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from mma_pipeline.defs.partitions import alert_versions
from tests.defs.malformed import good
from tests.homes import Home

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "reliability.md").read_text()
COMMANDS = [line for line in DOCUMENT.splitlines() if line.startswith(("dagster asset", "dagster job", "dg launch"))]
pytestmark = pytest.mark.timeout(900)


def version(home: Home) -> str:
    """Partition key of an archived alert, known to Dagster as its sensor makes it known."""
    (record,) = home.receive(good("S240301a"))
    with dg.DagsterInstance.get() as instance:
        instance.add_dynamic_partitions(alert_versions.name or "", [record.partition_key])
    return record.partition_key


@pytest.mark.parametrize("line", COMMANDS, ids=lambda line: " ".join(line.split()[:3]))
def test_documented_commands_work(home: Home, line: str) -> None:
    """Each command ends well; the products are there, or a run of that partition waits for the daemon."""
    key = version(home)
    command = shlex.split(line.replace("KEY", key))
    command[0] = str(Path(sys.executable).parent / command[0])
    env = {**os.environ, "PYTHONPATH": str(ROOT), "VIRTUAL_ENV": str(Path(sys.executable).parents[1])}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    if command[1] == "job":
        with dg.DagsterInstance.get() as instance:
            runs = instance.get_runs(dg.RunsFilter(job_name="alert_products"))
            partitions = {run.tags.get("dagster/partition") for run in runs}
            backfills = {name for one in instance.get_backfills() for name in one.partition_names or ()}
        assert key in partitions | backfills
    else:
        assert {"skymap", "contours"} <= {product.name for product in home.archive.products(key)}


def test_every_way_is_documented() -> None:
    """Materialise in a process, launch a run, launch a backfill, and dg."""
    assert len(COMMANDS) == 4
