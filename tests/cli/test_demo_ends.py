"""Whoever ends the demonstration ends everything that it started."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 120.0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_nothing_stays_behind(tmp_path: Path, number: signal.Signals) -> None:
    """A signal to the demo alone, started in the background as a script does, ends its servers too."""
    shutil.copy(ROOT / "dagster_home" / "dagster.yaml", tmp_path)
    with (tmp_path / "out").open("wb") as out:
        demo = subprocess.Popen(
            [sys.executable, "-c", "from mma_pipeline.cli import app; app()", "demo"],
            cwd=ROOT,
            env=os.environ | {"DAGSTER_HOME": str(tmp_path)},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),  # as a shell's & does
        )
    process, started = psutil.Process(demo.pid), []
    try:
        deadline = time.monotonic() + PATIENCE_S
        # Web server or daemon, and the portal.
        while len(started) < 4:
            assert demo.poll() is None, (tmp_path / "out").read_text()
            assert time.monotonic() < deadline, (tmp_path / "out").read_text()
            time.sleep(0.2)
            started = process.children(recursive=True)
        demo.send_signal(number)
        demo.wait(PATIENCE_S)
        gone, alive = psutil.wait_procs(started, timeout=PATIENCE_S)
        assert not alive
        assert gone
    finally:
        for one in [process, *started]:
            if one.is_running():
                one.kill()
