"""A figure measured in a process of its own, and the ratios of two such figures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
Figures = dict[str, float]


def peak_mb() -> float:
    """Peak of this program's own memory, MB: what getrusage says is never less than the parent's was."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def in_a_process(script: str, *options: str, limit_s: float) -> Figures | str:
    """Run a script on one thread; the figures of the JSON line that it prints last, or why there are none."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            [sys.executable, script, *options], capture_output=True, text=True, timeout=limit_s, check=True, env=environ
        )
    except subprocess.TimeoutExpired:
        return f"no end within {limit_s:g} s"
    except subprocess.CalledProcessError as error:
        return (error.stderr.strip().splitlines() or ["killed"])[-1][:200]
    return dict(json.loads(done.stdout.splitlines()[-1]))


def ratios(ours: Figures | str, other: Figures | str) -> Mapping[str, Any]:
    """How many times the CPU seconds and the memory of ours the other way takes; nothing where either has no figures."""
    if isinstance(ours, str) or isinstance(other, str):
        return {}
    return {
        "cpu_ratio": round(other["cpu_s"] / max(ours["cpu_s"], 1e-4), 1),
        "memory_ratio": round(other["peak_mb"] / ours["peak_mb"], 1),
    }
