"""What Dagster's UI costs with 50,000 partitions that have their real histories: seconds of each request that its pages send.

A few versions are made by the real job, through the instance. Their histories are then copied in SQL for all other partitions,
each with its own partition key, event, and run: the rows of `runs` and `run_tags`, the events of materialisation, of checks and of
the run (log lines and the steps' own events are left out, because these pages do not ask for them), the tags of events and the
executions of checks with the new events' numbers. Partitions are added by the instance. A last real run then leaves the newest
events and each asset's row as Dagster writes them. What is inside an event keeps the original's times.

Chromium opens the pages of Dagster's own web server, and each GraphQL request that they send is timed, on the first visit (which
fills Dagster's cache of partition states) and on the second; with 1,000 partitions, then with all. PostgreSQL;
pictures are links to a portal, as in production, not part of the events. One JSON line per figure, with the machine's load.

    PYTHONPATH=. python -m benchmarks.ui_history [--partitions 50000] [--shots FOLDER]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dagster as dg
import httpx
import psutil

from benchmarks.scale import event, key_of
from mma_pipeline.adapters.archive import Archive
from mma_pipeline.adapters.kafka.message import StreamMessage
from mma_pipeline.cli.materialise import materialise
from mma_pipeline.defs.partitions import alert_versions
from mma_pipeline.notices import lvk
from mma_pipeline.products.ingest import Quarantined, ingest, parse_alert
from mma_pipeline.science.simulation.alerts import simulate_event
from tests.services.postgres import PostgresServer
from tests.services.process import Child, free_ports

ROOT = Path(__file__).resolve().parents[1]
SMALL = 1000
#: Versions that the real job makes; the others are copies of them in turn.
ORIGINALS = 4
#: Partitions copied by one statement.
CHUNK = 500
#: A page is complete when no request was under way for so long, seconds; and the longest that it may take.
QUIET_S, PATIENCE_S = 2.5, 600.0
#: A request that begins so soon after the last answer belongs to the page's opening, seconds.
FOLLOWS_S = 0.5
#: Events that are not copied: these pages ask for none of them.
LEFT_OUT = (
    *("STEP_START", "STEP_SUCCESS", "STEP_OUTPUT", "STEP_INPUT", "HANDLED_OUTPUT", "LOADED_INPUT", "LOGS_CAPTURED"),
    *("ENGINE_EVENT", "RESOURCE_INIT_STARTED", "RESOURCE_INIT_SUCCESS", "RESOURCE_INIT_FAILURE", "STEP_WORKER_STARTED"),
)
LOCATION = "mma_pipeline.definitions"
#: Pages by what a person wants there.
PAGES = {
    "asset graph": "/asset-groups",
    "partitions of an asset": "/assets/skymap?view=partitions",
    "graph of a group": f"/locations/__repository__@{LOCATION}/asset-groups/skymap",
    "run list": "/runs",
}
#: The page on which the dialog is opened, by its button.
DIALOG, BUTTON = "graph of a group", "Materialize all"


@dataclass
class Visit:
    """What opening a page cost."""

    complete_s: float
    """Until the last request had its answer."""
    requests: dict[str, float] = field(default_factory=dict)
    """Longest seconds of each GraphQL operation."""
    sizes: dict[str, int] = field(default_factory=dict)
    """Largest answer of each, bytes."""


def line(figure: str, **values: object) -> None:
    """Print one figure."""
    found = {"benchmark": "UI with history", "figure": figure, **values, "load": round(os.getloadavg()[0], 1)}
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()


@contextlib.contextmanager
def deployment(folder: Path, server: PostgresServer) -> Iterator[tuple[dg.DagsterInstance, Archive, str]]:
    """A home with the warm lane's settings on an empty database; the environment points to it from then on."""
    url = server.create_database()
    home = folder / "home"
    home.mkdir(parents=True)
    shutil.copy(ROOT / "dagster_home" / "warm" / "dagster.yaml", home)
    os.environ |= {
        "DAGSTER_HOME": str(home),
        "DAGSTER_PG_URL": url.replace("+psycopg2", ""),
        "MMA_ARCHIVE_URL": url,
        "MMA_CELERY_BROKER": "filesystem://",
        "MMA_CELERY_BACKEND": f"db+{url}",
        "MMA_STORE_URL": (folder / "products").as_uri(),
        "MMA_PORTAL_URL": "http://127.0.0.1:1",
        "PYTHONPATH": str(ROOT),
    }
    with dg.DagsterInstance.from_config(str(home)) as instance:
        instance.upgrade()
        yield instance, Archive(url, create=True), url.rpartition("/")[2]


def real_run(instance: dg.DagsterInstance, archive: Archive, number: int) -> tuple[str, str, str]:
    """One version's products by the real job; its partition key, event and run."""
    name = f"MS231101{chr(97 + number)}"
    notice = simulate_event(name, time=datetime(2023, 11, 1, 12, tzinfo=UTC), seed=number, max_order=7)[1]
    body = json.dumps(lvk.to_record(notice)).encode()
    outcome = ingest(archive, StreamMessage("s", "t", 0, number, body, None, (), None, datetime.now(UTC)), parse_alert)
    if isinstance(outcome, Quarantined):
        raise TypeError(f"{name} is in quarantine: {outcome}")
    (record,) = outcome.versions
    if not materialise(instance, record):
        raise RuntimeError(f"the products of {name} could not be made")
    (run,) = instance.get_runs(dg.RunsFilter(tags={"dagster/partition": record.partition_key}))
    return record.partition_key, record.version.event_id, run.run_id


def fill(instance: dg.DagsterInstance, archive: Archive, server: PostgresServer, database: str, count: int) -> None:
    """Partitions with their histories: `ORIGINALS` real ones, copies of them, and one more real one at the end."""
    originals = [real_run(instance, archive, number) for number in range(ORIGINALS)]
    copies = count - ORIGINALS - 1
    keys = [key_of(event(n), n, "Preliminary") for n in range(copies)]
    for first in range(0, copies, 1000):
        instance.add_dynamic_partitions(alert_versions.name or "", keys[first : first + 1000])

    def run(statement: str) -> list[tuple[object, ...]]:
        return server.execute(statement, database)

    run("CREATE TABLE bench_original (source int, key text, event text, run_id text)")
    values = ", ".join(f"({n}, '{key}', '{name}', '{run_id}')" for n, (key, name, run_id) in enumerate(originals))
    run(f"INSERT INTO bench_original VALUES {values}")
    run("CREATE TABLE bench_copy (n int, source int, key text, event text, run_id text)")
    for first in range(0, copies, 1000):
        values = ", ".join(
            f"({n}, {n % ORIGINALS}, '{keys[n]}', '{event(n)}', md5('run {n}')::uuid::text)"
            for n in range(first, min(copies, first + 1000))
        )
        run(f"INSERT INTO bench_copy VALUES {values}")
    left_out = ", ".join(f"'{kind}'" for kind in LEFT_OUT)
    run(
        "CREATE TABLE bench_kept AS SELECT o.source, e.id, row_number() OVER (PARTITION BY o.source ORDER BY e.id) AS rank"
        " FROM bench_original o JOIN event_logs e ON e.run_id = o.run_id"
        f" WHERE e.dagster_event_type IS NOT NULL AND e.dagster_event_type NOT IN ({left_out})"
    )
    run("CREATE INDEX ON bench_copy (n)")
    ((newest, most),) = run("SELECT (SELECT max(id) FROM event_logs), (SELECT max(rank) FROM bench_kept)")
    # Each copy's events have numbers of their own, in the order of the original's.
    number = f"{newest} + c.n::bigint * {most} + k.rank"
    for first in range(0, copies, CHUNK):
        for statement in _copying(number, f"c.n >= {first} AND c.n < {first + CHUNK}"):
            run(statement)
    run("SELECT setval(pg_get_serial_sequence('event_logs', 'id'), (SELECT max(id) FROM event_logs))")
    for table in ("bench_original", "bench_copy", "bench_kept"):
        run(f"DROP TABLE {table}")
    real_run(instance, archive, ORIGINALS)
    run("VACUUM ANALYZE")


def _copying(number: str, some: str) -> tuple[str, ...]:
    """The statements that copy the histories of some partitions; `number` is the number of a copied event."""

    def changed(column: str) -> str:
        once = f"replace(replace({column}, o.key, c.key), o.run_id, c.run_id)"
        return f"replace({once}, o.event, c.event)"

    pair = "bench_copy c JOIN bench_original o ON o.source = c.source"
    kept = "JOIN bench_kept k ON k.source = c.source"
    return (
        "INSERT INTO runs (run_id, snapshot_id, pipeline_name, mode, status, run_body, partition, partition_set,"
        " create_timestamp, update_timestamp, start_time, end_time, backfill_id)"
        f" SELECT c.run_id, r.snapshot_id, r.pipeline_name, r.mode, r.status, {changed('r.run_body')}, r.partition,"
        " r.partition_set, r.create_timestamp, r.update_timestamp, r.start_time, r.end_time, r.backfill_id"
        f" FROM {pair} JOIN runs r ON r.run_id = o.run_id WHERE {some} ORDER BY c.n",
        f"INSERT INTO run_tags (run_id, key, value) SELECT c.run_id, t.key, {changed('t.value')}"
        f" FROM {pair} JOIN run_tags t ON t.run_id = o.run_id WHERE {some}",
        "INSERT INTO event_logs (id, run_id, event, dagster_event_type, timestamp, step_key, asset_key, partition)"
        f" SELECT {number}, c.run_id, {changed('e.event')}, e.dagster_event_type, e.timestamp, e.step_key, e.asset_key,"
        f" {changed('e.partition')} FROM {pair} {kept} JOIN event_logs e ON e.id = k.id WHERE {some}",
        "INSERT INTO asset_event_tags (event_id, asset_key, key, value, event_timestamp)"
        f" SELECT {number}, t.asset_key, t.key, {changed('t.value')}, t.event_timestamp"
        f" FROM {pair} {kept} JOIN asset_event_tags t ON t.event_id = k.id WHERE {some}",
        "INSERT INTO asset_check_executions (asset_key, check_name, partition, run_id, execution_status, evaluation_event,"
        " evaluation_event_timestamp, evaluation_event_storage_id, materialization_event_storage_id)"
        f" SELECT a.asset_key, a.check_name, {changed('a.partition')}, c.run_id, a.execution_status,"
        f" {changed('a.evaluation_event')}, a.evaluation_event_timestamp, {number}, {number.replace('k.', 'm.')}"
        f" FROM {pair} {kept} JOIN asset_check_executions a ON a.evaluation_event_storage_id = k.id"
        " LEFT JOIN bench_kept m ON m.id = a.materialization_event_storage_id"
        f" WHERE {some}",
    )


@contextlib.contextmanager
def web_server(log: Path) -> Iterator[tuple[str, Child]]:
    """Dagster's web server on the deployment of the environment; its address."""
    (port,) = free_ports(1)
    options = ["-m", LOCATION, "-h", "127.0.0.1", "-p", str(port)]
    child = Child("web server", [sys.executable, "-m", "dagster_webserver", *options], log, cwd=ROOT)
    address = f"http://127.0.0.1:{port}"

    def ready() -> bool:
        with contextlib.suppress(httpx.HTTPError, KeyError):
            query = {"query": "{ assetNodes { assetKey { path } } }"}
            answer = httpx.post(f"{address}/graphql", json=query, timeout=300.0)
            return bool(answer.json()["data"]["assetNodes"])
        return False

    try:
        child.wait_ready(ready, timeout=600)
        yield address, child
    finally:
        child.end()


class Watcher:
    """Times the GraphQL requests of a browser's page."""

    def __init__(self, page: Any) -> None:
        """Begin to listen."""
        self.page = page
        self._begun: dict[Any, tuple[str, float]] = {}
        self._visit, self._last, self._since = Visit(0.0), 0.0, 0.0
        page.on("request", self._request)
        page.on("requestfinished", self._finished)
        page.on("requestfailed", lambda request: self._begun.pop(request, None))

    def visit(self, open_it: Callable[[], object]) -> Visit:
        """Open something and wait until it is complete."""
        self._begun.clear()
        self._visit = Visit(0.0)
        self._since = self._last = time.monotonic()
        open_it()
        while time.monotonic() - self._since < PATIENCE_S:
            self.page.wait_for_timeout(100)
            if self._visit.requests and not self._begun and time.monotonic() - self._last > QUIET_S:
                break
        else:
            raise TimeoutError(f"not complete within {PATIENCE_S:g} s: {[name for name, _ in self._begun.values()]}")
        if not self._visit.requests:
            raise RuntimeError("the page sent no request: nothing was measured")
        self._visit.complete_s = self._last - self._since
        return self._visit

    def _request(self, request: Any) -> None:
        if urlsplit(request.url).path.endswith("/graphql") and request.method == "POST":
            name = (request.post_data_json or {}).get("operationName") or "unnamed"
            self._begun[request] = (name, time.monotonic())

    def _finished(self, request: Any) -> None:
        if request not in self._begun:
            return
        name, begun = self._begun.pop(request)
        # What a page asks again and again while it is open does not make it incomplete.
        if name not in self._visit.requests or begun - self._last < FOLLOWS_S:
            self._last = time.monotonic()
        seconds = max(0.0, request.timing["responseEnd"] - request.timing["requestStart"]) / 1000
        self._visit.requests[name] = max(seconds, self._visit.requests.get(name, 0.0))
        self._visit.sizes[name] = max(request.sizes()["responseBodySize"], self._visit.sizes.get(name, 0))


def visits(address: str, shots: Path | None) -> dict[str, tuple[Visit, Visit]]:
    """Open each page twice, and the dialog; the first visit and the second."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        raise RuntimeError("no chromium: install it from the distribution's packages")
    found: dict[str, tuple[Visit, Visit]] = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])

        def once(path: str, button: str | None = None) -> Visit:
            # A context of its own: what the browser keeps is gone with it.
            context = browser.new_context(viewport={"width": 1500, "height": 1300})
            page = context.new_page()
            page.set_default_timeout(PATIENCE_S * 1000)
            watcher = Watcher(page)
            visit = watcher.visit(lambda: page.goto(f"{address}{path}", wait_until="commit"))
            if button is not None:
                visit = watcher.visit(lambda: page.get_by_role("button", name=button).first.click())
            if shots is not None:
                page.screenshot(path=str(shots / f"{(button or path).strip('/').replace('/', '-')[:40]}.png"))
            context.close()
            return visit

        for name, path in PAGES.items():
            found[name] = (once(path), once(path))
        found[f"dialog {BUTTON}"] = (once(PAGES[DIALOG], BUTTON), once(PAGES[DIALOG], BUTTON))
        browser.close()
    return found


def measure(count: int, folder: Path, shots: Path | None) -> tuple[dict[str, tuple[Visit, Visit]], dict[str, float]]:
    """The visits with so many partitions, and other figures."""
    with PostgresServer.running() as server, deployment(folder, server) as (instance, archive, database):
        began = time.monotonic()
        fill(instance, archive, server, database, count)
        filled = time.monotonic() - began
        rows: dict[str, float] = {
            f"rows of {table}": float(str(server.execute(f"SELECT count(*) FROM {table}", database)[0][0]))
            for table in ("event_logs", "runs", "asset_check_executions", "dynamic_partitions")
        }
        size = float(str(server.execute(f"SELECT pg_database_size('{database}')", database)[0][0]))
        with web_server(folder / "web.log") as (address, child):
            seen = visits(address, shots)
            top = psutil.Process(child.process.pid)
            memory = sum(process.memory_info().rss for process in (top, *top.children(recursive=True)))
    return seen, {
        **rows,
        "database, MB": size / 1e6,
        "filling, s": filled,
        "memory of web server and code, MB": memory / 1e6,
    }


def tell(count: int, seen: Mapping[str, tuple[Visit, Visit]], others: Mapping[str, float]) -> None:
    """Print what was measured with so many partitions."""
    for figure, value in others.items():
        line(figure, partitions=count, value=round(value))
    for page, (first, second) in seen.items():
        whole = {"first_s": round(first.complete_s, 2), "second_s": round(second.complete_s, 2)}
        line(f"{page}: complete", partitions=count, **whole)
        for name in sorted(first.requests, key=lambda n: -first.requests[n]):
            each = {"first_s": round(first.requests[name], 3), "second_s": round(second.requests.get(name, 0.0), 3)}
            line(f"{page}: {name}", partitions=count, **each, kB=round(first.sizes[name] / 1e3))


def main() -> None:
    """Measure both sizes and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--partitions", type=int, default=50_000)
    parser.add_argument("--shots", type=Path, help="folder for screenshots")
    options = parser.parse_args()
    logging.disable(logging.INFO)
    for count in (SMALL, options.partitions):
        with tempfile.TemporaryDirectory(prefix="mma-ui-") as folder:
            tell(count, *measure(count, Path(folder), options.shots))


if __name__ == "__main__":
    main()
