"""A backfill from the UI, by the daemon: one version whose product cannot be made does not hold up the others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
import yaml

from mma_pipeline.defs.operations.batches import stretches
from mma_pipeline.defs.partitions import alert_versions
from tests.alerts import body
from tests.delivery.batch_definitions import BAD, NAMES
from tests.homes import Home
from tests.services.process import Child, wait_until

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
MUTATION = """mutation($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) { __typename ... on PythonError { message } }
}"""
FAILURE, SUCCESS = dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS


def test_parts_of_a_batch() -> None:
    """Neighbours without a failure stay together, each with one is alone, and the order is kept."""
    assert stretches("abcdef", {"c"}) == [["a", "b"], ["c"], ["d", "e", "f"]]
    assert stretches("abc", {"a", "b"}) == [["a"], ["b"], ["c"]]


@pytest.mark.timeout(900)
def test_the_others_of_a_batch_are_finished(home: Home, tmp_path: Path) -> None:
    """Of five versions backfilled as the UI does, one cannot have a product: the others have all, it has what it can have.

    Its failure is a run's of its own, for people to read; nothing is made twice, and nothing is requested without end.
    """
    keys = [home.receive(body(f"S240301{letter}"))[0].partition_key for letter in "abcde"]
    (bad,) = [key for key in keys if key.startswith(BAD)]
    workspace = tmp_path / "workspace.yaml"
    module = {"python_module": {"module_name": "tests.delivery.batch_definitions", "location_name": "batches"}}
    workspace.write_text(yaml.safe_dump({"load_from": [module]}))
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{BIN}:{os.environ['PATH']}"}
    params = {
        "assetSelection": [{"path": ["raw_alert"]}, *({"path": [name]} for name in NAMES)],
        "partitionNames": keys,
    }
    ask = [str(BIN / "dagster-graphql"), "-w", str(workspace), "-t", MUTATION, "-v", json.dumps({"params": params})]
    with dg.DagsterInstance.get() as instance:
        instance.add_dynamic_partitions(alert_versions.name or "", keys)
        answer = subprocess.run(ask, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300, check=False)
        assert "LaunchBackfillSuccess" in answer.stdout, answer.stdout + answer.stderr
        command = [str(BIN / "dagster-daemon"), "run", "-w", str(workspace)]
        daemon = Child("daemon", command, tmp_path / "daemon.log", env=env, cwd=ROOT)

        def runs(*statuses: dg.DagsterRunStatus) -> list[dg.DagsterRun]:
            return list(instance.get_runs(dg.RunsFilter(statuses=list(statuses) or None)))

        try:
            daemon.wait_ready(lambda: len(runs(SUCCESS)) == 2 and len(runs(FAILURE)) == 2, timeout=400)
            wait_until(lambda: not [b for b in instance.get_backfills() if not b.status.value.startswith("COMPLETED")],
                       "the backfill's end", timeout=120)  # fmt: skip
        finally:
            daemon.end()
        assert len(runs()) == 4, "the batch, two stretches, and the bad one alone"
        (alone,) = [run for run in runs(FAILURE) if "mma/rest_of" in run.tags]
        assert {alone.tags[f"dagster/asset_partition_range_{end}"] for end in ("start", "end")} == {bad}
    for key in keys:
        made = {product.asset for product in home.archive.products(key)}
        assert made == {"raw_alert", "beside"} | (set() if key == bad else {"fragile", "behind"}), key
