"""What a process of the worker's pool does before its first run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ALERT_AFTER_ALERT = """
import json, os, sys
from mma_pipeline.cli.warm_up import warm_up
from mma_pipeline.cli.worker import preload

preload()
if child := os.fork():
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
warm_up()
known = set(sys.modules)
warm_up()
os.write(1, json.dumps(sorted(set(sys.modules) - known)).encode())
os._exit(0)
"""
POOL = """
import json, time
from billiard.pool import Pool
from billiard.process import current_process
from mma_pipeline.cli.warm_up import warm_up_all_but_first
from mma_pipeline.cli.worker import preload
from mma_pipeline.products import materialize

def products_made(_):
    time.sleep(0.2)
    return current_process().index, materialize._linear_algebra.cache_info().currsize

preload()
pool = Pool(3, initializer=warm_up_all_but_first)
seen = {}
for _ in range(100):
    seen.update(pool.map(products_made, range(6), chunksize=1))
    if len(seen) == 3:
        break
print(json.dumps(sorted(seen.items())))
pool.terminate()
"""


def answer(script: str, folder: Path) -> Any:
    """What a script prints, as JSON; temporary files go to a folder of its own, in which none may be left."""
    temporary = folder / "temporary"
    temporary.mkdir()
    env = {**os.environ, "TMPDIR": str(temporary), "MMA_ARCHIVE_URL": f"sqlite:///{folder / 'archive.db'}"}
    command = [sys.executable, "-W", "ignore", "-c", script]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert [path.name for path in temporary.glob("mma-*")] == []
    assert not (folder / "archive.db").exists()
    return json.loads(done.stdout)


def test_nothing_is_left_to_load_after_the_warm_up(tmp_path: Path) -> None:
    """A second alert of a process imports no module, and neither the archive nor the folder of temporary files keeps the first."""
    assert answer(ALERT_AFTER_ALERT, tmp_path) == []


def test_the_first_process_of_the_pool_is_ready_at_once(tmp_path: Path) -> None:
    """All processes but the first have made products before their first task: a run after a restart does not wait for it."""
    assert answer(POOL, tmp_path) == [[0, 0], [1, 1], [2, 1]]
