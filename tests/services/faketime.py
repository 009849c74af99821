"""Another clock for one process and its children: Debian's faketime, which puts libfaketime before the C library.

What cannot run under it: librdkafka, because libfaketime (0.9.10) does not know the waits of C11 threads, which then last
as long as the clock was moved; and programs that ask the kernel themselves (Go).
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.services.installed import program

ROOT = Path(__file__).resolve().parents[2]


def run_at(clock: str, command: list[str], env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, for 10 minutes at most, with its wall clock at `clock`; the monotonic one runs as always.

    `clock` as faketime has it: `+730d`, or `@2017-08-17 12:45:00` (UTC), from which it runs on. ServiceUnavailableError
    without faketime.
    """
    env = {**os.environ, **(env or {})}
    folders = [str(ROOT), str(Path(__file__).parent / "shifted_clock")]
    env |= {"PYTHONPATH": os.pathsep.join(folders), "FAKETIME_DONT_FAKE_MONOTONIC": "1", "TZ": "UTC"}
    faked = [program("faketime", "faketime"), "-f", clock, *command]
    return subprocess.run(faked, env=env, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
