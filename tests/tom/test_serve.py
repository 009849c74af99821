"""`make tom` as a user starts it: one command, a simulated event, a retraction from a second terminal."""

from __future__ import annotations

import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import requests

ROOT = Path(__file__).parents[2]


def environment(folder: Path) -> dict[str, str]:
    """What the Makefile sets."""
    clean = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return clean | {
        "PYTHONPATH": str(ROOT),
        "DJANGO_SECRET_KEY": "x",
        "TOM_DATA_DIR": str(folder),
        "TOM_CACHE_DIR": str(folder / "cache"),
        "TOM_TEST_EVENTS": "true",
        "TOM_KAFKA_FROM_BEGINNING": "true",
        "LOG_LEVEL": "ERROR",
    }


def wait_for(database: Path, question: str, answer: object, seconds: float = 200.0) -> None:
    """Ask the database until it gives the answer."""
    deadline = time.monotonic() + seconds
    found: object = None
    while time.monotonic() < deadline:
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
            found = connection.execute(question).fetchone()[0]
        if found == answer:
            return
        time.sleep(0.2)
    raise AssertionError(f"{question}: {found!r}, not {answer!r}")


def test_demo_serves_and_retracts(tmp_path) -> None:
    """The demo serves a target of its event to the user it names, shows its retraction, and ends on a signal."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    run = [sys.executable, "-m", "mma_pipeline.tom"]
    env, database = environment(tmp_path), tmp_path / "tom.sqlite3"
    with subprocess.Popen(
        [*run, "mma_serve", "--demo", "--port", str(port)], env=env, stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            said = ""
            while "The TOM is at" not in said:
                line = server.stdout.readline()
                assert line, f"the TOM did not start: {said}"
                said += line
            wait_for(database, "SELECT count(*) FROM mma_tom_derivedalert", 7)
            wait_for(database, "SELECT count(*) FROM tom_targets_basetarget", 1)

            browser, base = requests.Session(), f"http://127.0.0.1:{port}"
            form = browser.get(f"{base}/accounts/login/", timeout=120).text
            token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', form)[1]
            password = re.search(r"as observer with the password (\S+)", said)[1]
            data = {"login": "observer", "password": password, "csrfmiddlewaretoken": token, "next": "/targets/"}
            targets = browser.post(f"{base}/accounts/login/", data, timeout=120)
            assert "AT2026mma" in targets.text
            assert "MS261121a" in targets.text
            assert browser.get(f"{base}/static/tom_common/css/main.css", timeout=120).status_code == 200

            subprocess.run([*run, "mma_demo_event", "--retract"], env=env, check=True, capture_output=True, timeout=120)
            wait_for(database, "SELECT count(*) FROM mma_tom_derivedalert WHERE retracted", 7)
            assert "retracted" in browser.get(f"{base}/targets/", timeout=120).text
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(timeout=120)
    assert server.returncode == 0
