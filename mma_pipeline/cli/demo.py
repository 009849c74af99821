"""`mma demo`: runs everything on one machine, from a message on Kafka to products in the Dagster UI."""

from __future__ import annotations

import json
import shlex
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from posixpath import dirname, relpath
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import typer
from rich.live import Live
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from mma_pipeline.cli.app import MOST_SEED, Exit, clear_errors, console, fail
from mma_pipeline.cli.demo_nights import (
    ALERTS_TOPIC,
    DESTINATION,
    Night,
    follow_nights,
    nights_of,
    publication_settings,
)
from mma_pipeline.cli.demo_nights import TOPIC as PHOTOMETRY_TOPIC
from mma_pipeline.cli.demo_site import PUBLICATION as SITE
from mma_pipeline.cli.demo_site import DemoSite
from mma_pipeline.cli.demo_surroundings import (
    ADDRESS,
    ALONE,
    CATALOG,
    ELEMENTS,
    PUBLICATION,
    WebhookReceiver,
    galaxy_catalog,
    orbital_elements,
)
from mma_pipeline.cli.local_dagster import LocalDagster, LocalPortal, free_port, fresh_home
from mma_pipeline.notices.words import area, counted, share
from mma_pipeline.settings import Settings, current, environment_of_child

if TYPE_CHECKING:
    from mma_pipeline.adapters.archive import Archive, VersionRecord
    from mma_pipeline.notices.model import LvkNotice
    from mma_pipeline.notices.pointings import Pointing

TOPIC = "igwn.gwalert"
MALFORMED = b'{"alert_type": "PRELIMINARY", "superevent_id": "../../etc/passwd", "time_created": "yesterday"'
#: Seconds without any progress after which the demo gives up.
PATIENCE_S = 240.0
#: Streams of other observatories whose notices are simulated.
_OBSERVATORIES = ("fermi_gbm", "einstein_probe_wxt", "icecube_tracks")
#: Fields that the simulated camera takes in a night.
_FIELDS = 2


@dataclass
class Sent:
    """A message that was sent, and what has become of it."""

    title: str
    at: datetime
    keys: tuple[str, ...]
    """Partition keys that it must produce; none for the malformed one."""
    archived: float | None = None
    """Seconds from writing until the message was durable."""
    first: float | None = None
    """Seconds until the first product."""
    complete: float | None = None
    """Seconds until the last product."""
    made: int = 0
    expected: int = 0
    missing: dict[str, set[str]] = field(default_factory=dict)

    @property
    def outcome(self) -> str:
        """What became of a complete message, in words."""
        what = counted(self.made, "product") if self.keys else "in quarantine"
        return f"{what} after {_s(self.complete)} s"


def demo(
    exit_when_done: Annotated[
        bool, typer.Option("--exit", help="Stop when done; exit code 0 only if every product was made.")
    ] = False,
    port: Annotated[int | None, typer.Option(help="Port of the UI; by default a free one.", min=1, max=65535)] = None,
    pace: Annotated[float, typer.Option(help="Seconds between notices.", min=0)] = 3.0,
    seed: Annotated[int, typer.Option(help="Seed of the simulated events.", min=0, max=MOST_SEED)] = 1,
    workspace: Annotated[Path, typer.Option(help="Dagster workspace to load.")] = Path("workspace.yaml"),
) -> None:
    """Run everything on this machine with a simulated event: embedded Kafka, Dagster, products, UI.

    The Kafka is librdkafka's mock cluster, for demonstrations only. Ctrl-C stops everything.
    """
    from mma_pipeline.adapters.archive import Archive
    from mma_pipeline.adapters.kafka.embedded import EmbeddedKafka
    from mma_pipeline.notices.gcn.streams import CORE_STREAMS, stream_named

    if not workspace.is_file():
        raise fail(
            f"{workspace} is missing: run this in the project's folder, or give its path with --workspace", Exit.USAGE
        )
    home = fresh_home(current().home)
    # Whoever ends the demo, by whatever signal, ends all that it started: a shell's background jobs ignore SIGINT by default.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    with clear_errors(), EmbeddedKafka() as kafka, WebhookReceiver() as people, DemoSite() as site:
        observatories = [topic for name in _OBSERVATORIES if (s := stream_named(name)) for topic in s.topics]
        for topic in (TOPIC, PHOTOMETRY_TOPIC, ALERTS_TOPIC, *observatories):
            kafka.create_topic(topic)
        portal_port = free_port()
        env = {
            "MMA_KAFKA_BOOTSTRAP": kafka.bootstrap,
            "MMA_ARCHIVE_URL": f"sqlite:///{home / 'archive.db'}",
            "MMA_STORE_URL": (home / "products").as_uri(),
            # Of the other observatories those that the simulation has.
            **{
                f"MMA_NOTICES_{stream.name.upper()}": str(stream.name in _OBSERVATORIES).lower()
                for stream in CORE_STREAMS
            },
            "MMA_PORTAL_URL": f"http://127.0.0.1:{portal_port}",
            "MMA_PUBLICATION_CONFIG": str(publication_settings(home, kafka.bootstrap, PUBLICATION, SITE)),
            ADDRESS: people.url,
            "API_BASE": site.base,
            "API_TOKEN": site.token,
            "MMA_GALAXY_CATALOG": str(home / CATALOG),
            "MMA_TLE_SOURCE": str(home / ELEMENTS),
            **ALONE,
        }
        Archive(env["MMA_ARCHIVE_URL"], create=True)  # before several processes would
        with (
            LocalDagster(home, workspace.absolute(), port or free_port(), env) as dagster,
            LocalPortal(home, portal_port, {"DAGSTER_HOME": str(home), **env}) as portal,
        ):
            settings = Settings(environment_of_child(DAGSTER_HOME=str(home), **env))
            complete = _run(dagster, portal, kafka.bootstrap, settings, home, pace, seed)
            _say_who_was_told(people, site)
            portal.wait_until_ready()
            if not exit_when_done:
                _say_where(portal.url, home, {"DAGSTER_HOME": str(home), **env})
                console.print("Ctrl-C stops everything.")
                _wait_for_interrupt()
    if not complete:
        raise typer.Exit(Exit.FAILED)


def _run(
    dagster: LocalDagster, portal: LocalPortal, bootstrap: str, settings: Settings, home: Path, pace: float, seed: int
) -> bool:
    from mma_pipeline.adapters.archive import Archive
    from mma_pipeline.adapters.kafka.producer import ConfirmedProducer
    from mma_pipeline.defs.alerts.streams import topic_of

    with _spinner("starting Dagster (web server, daemon, code server)"):
        plan, nights, pointings = _plan(home, seed)
        dagster.wait_until_ready()
    up = datetime.now(UTC)
    console.print(f"UI: {dagster.url}", highlight=False)
    console.print(f"portal: {_events(portal.url)}", highlight=False)
    archive = Archive(settings.archive_url, create=True)
    sent: list[Sent] = []
    last_change = time.monotonic()
    done_before = -1
    with ConfirmedProducer({"bootstrap.servers": bootstrap}) as producer, Live(console=console) as live:
        next_at = time.monotonic()
        while True:
            if plan and time.monotonic() >= next_at:
                title, body, keys = plan.pop(0)
                _observe(archive, pointings.pop(keys, None))
                _, _, at = producer.send(topic_of(body), body)
                sent.append(Sent(title, at, keys))
                next_at = time.monotonic() + pace
            for entry in _update(archive, sent, settings):
                if not console.is_terminal:
                    # A table that is drawn again and again shows nothing in a file before its end.
                    console.print(f"{entry.title}: {entry.outcome}", highlight=False)
            live.update(_progress_table(sent))
            done = sum(entry.made for entry in sent) + len(sent)
            if done != done_before:
                done_before, last_change = done, time.monotonic()
            finished = not plan and all(entry.complete is not None for entry in sent)
            if finished or time.monotonic() - last_change > PATIENCE_S:
                break
            time.sleep(0.25)
    with ConfirmedProducer({"bootstrap.servers": bootstrap}) as producer:
        scored = finished and follow_nights(archive, producer, nights, PATIENCE_S)
    complete = _summary(archive, sent, home, dagster)
    _say_first_picture(archive, sent, up)
    with _spinner("waiting for the pages of the events"):
        absent = absent_from_pages(archive, home, sent, PATIENCE_S)
    for line in absent:
        console.print(f"[red]missing[/] on the page of {line}", highlight=False)
    return complete and scored and not absent


def _plan(
    home: Path, seed: int
) -> tuple[
    list[tuple[str, bytes, tuple[str, ...]]], list[Night], dict[tuple[str, ...], tuple[str, Sequence[Pointing]]]
]:
    """The messages in the order of a live stream (title, bytes, expected partition keys), the nights, and what telescopes do.

    The last are the event and the pointings of a night by the keys of the message before which they are archived.

    The merger lies so far back that the photometry of the nights after it is not in the future.
    """
    from mma_pipeline.cli.simulate import triggers_of
    from mma_pipeline.defs.alerts.streams import parser_for
    from mma_pipeline.notices import lvk
    from mma_pipeline.science.simulation.alerts import simulate_event, simulate_retracted

    merger = datetime.now(UTC).replace(microsecond=0) - timedelta(days=5)
    event_id = f"MS{merger:%y%m%d}a"
    notices = simulate_event(event_id, time=merger, seed=seed)
    # Another time, so that nobody takes both for one event, nor the first one's burst for a partner of the second.
    second = merger - timedelta(hours=7)
    galaxy_catalog(home, notices, seed)
    orbital_elements(home, merger, seed)
    plan = []
    for notice in (*notices, *simulate_retracted(f"MS{second:%y%m%d}b", time=second, seed=seed + 1)):
        body = json.dumps(lvk.to_record(notice)).encode()
        keys = tuple(version.partition_key for version in lvk.versions_of(notice))
        external = " with external coincidence" if notice.external is not None else ""
        plan.append((f"{notice.superevent_id} {notice.alert_type.value}{external}", body, keys))
    plan.insert(len(plan) - 1, ("malformed message", MALFORMED, ()))
    triggers = []
    for record in triggers_of(notices, merger, seed):
        body = json.dumps(record).encode()
        ((version, facts),) = parser_for(body)(body)
        triggers.append(
            (f"{version.event_id} {version.label}, {facts['instruments'][0]}", body, (version.partition_key,))
        )
    # They come while the first alerts of the event do.
    plan[2:2] = triggers
    return (
        plan,
        nights_of(notices, event_id, seed),
        _pointings(notices, event_id, merger, [keys for *_, keys in plan]),
    )


def _pointings(
    notices: Sequence[LvkNotice], event_id: str, merger: datetime, sent: Sequence[tuple[str, ...]]
) -> dict[tuple[str, ...], tuple[str, Sequence[Pointing]]]:
    """Pointings at the event's last map, a night before each of its messages but the first."""
    from mma_pipeline.notices.key import event_of_key
    from mma_pipeline.science.simulation.pointings import simulate_pointings
    from mma_pipeline.science.skymaps.model import decode_skymap

    maps = [n.event.skymap for n in notices if n.event is not None and n.event.skymap is not None]
    later = [keys for keys in sent if any(event_of_key(key) == event_id for key in keys)][1:]
    if not maps:
        return {}
    nights = simulate_pointings(decode_skymap(maps[-1]), merger, nights=len(later), fields=_FIELDS)
    return {keys: (event_id, night) for keys, night in zip(later, nights, strict=True)}


def _observe(archive: Archive, done: tuple[str, Sequence[Pointing]] | None) -> None:
    """Archive the pointings of a night."""
    from mma_pipeline.adapters.archive.pointings import PointingArchive

    if done is not None:
        PointingArchive(archive).record(*done, datetime.now(UTC))


def _update(archive: Archive, sent: list[Sent], settings: Settings) -> list[Sent]:
    """Update the state of each message that was sent; returns those that are complete now, and were not before."""
    from mma_pipeline.adapters.errors import NotFoundError
    from mma_pipeline.defs.all_products import expected_files

    waiting = [entry for entry in sent if entry.complete is None]
    for entry in waiting:
        if not entry.keys:
            quarantined = archive.quarantined(limit=1)
            if quarantined:
                entry.archived = entry.complete = _since(entry, quarantined[0][1].received)
            continue
        try:
            records = [archive.version(key) for key in entry.keys]
        except NotFoundError:
            continue
        entry.archived = _since(entry, archive.origin(records[0].message_id).received)
        written: list[datetime] = []
        entry.expected = entry.made = 0
        for record in records:
            expected = expected_files(record, settings)
            products = archive.products(record.partition_key)
            entry.expected += len(expected)
            entry.made += len(expected & {product.name for product in products})
            entry.missing[record.partition_key] = expected - {product.name for product in products}
            written += [product.written for product in products]
        if written:
            entry.first = _since(entry, min(written))
        if entry.made == entry.expected:
            entry.complete = _since(entry, max(written))
    return [entry for entry in waiting if entry.complete is not None]


def _say_first_picture(archive: Archive, sent: Sequence[Sent], up: datetime) -> None:
    """How long somebody who looked at the UI from its start waited for the first picture."""
    made = [product for entry in sent for key in entry.keys for product in archive.products(key)]
    pictures = [product.written for product in made if product.content_type.startswith("image/")]
    if pictures:
        seconds = (min(pictures) - up).total_seconds()
        console.print(f"first picture: {seconds:.1f} s after the UI was up", highlight=False)


def _say_who_was_told(people: WebhookReceiver, site: DemoSite) -> None:
    """What the receiver of webhooks and the site got."""
    last = f", the last: {people.texts[-1].strip()}" if people.texts else ""
    console.print(f"messages to people (webhook): {len(people.texts)}{last}", highlight=False, markup=False)
    console.print(f"stand-in of the Treasure Map: {site.words}", highlight=False)


def _since(entry: Sent, moment: datetime) -> float:
    return max(0.0, (moment - entry.at).total_seconds())


def _progress_table(sent: list[Sent]) -> Table:
    table = Table(title="seconds since the message was written to Kafka")
    table.add_column("notice")
    for column in ("received", "first product", "products", "all products"):
        table.add_column(column, justify="right")
    for entry in sent:
        products = f"{entry.made}/{entry.expected}" if entry.keys else "quarantine"
        table.add_row(entry.title, _s(entry.archived), _s(entry.first), products, _s(entry.complete))
    return table


def _summary(archive: Archive, sent: list[Sent], home: Path, dagster: LocalDagster) -> bool:
    table = Table(title="products: number of files, areas of the 50 and 90 % regions (deg²), seconds until complete")
    table.add_column("partition", no_wrap=True)
    for column in ("files", "50 %", "90 %", "s"):
        table.add_column(column, justify="right")
    complete = True
    for entry in sent:
        for key in entry.keys:
            if key not in entry.missing:
                complete = False
                table.add_row(key, "[red]none[/]", "", "", "")
                continue
            record = archive.version(key)
            table.add_row(key, *_statistics(archive, record), _s(entry.complete))
            if entry.missing[key]:
                complete = False
                console.print(f"[red]missing[/] from {key}: {', '.join(sorted(entry.missing[key]))}")
        if not entry.keys and entry.complete is None:
            complete = False
            console.print("[red]missing[/]: the malformed message is not in quarantine")
    console.print(table)
    for line in (*_left(archive, sent), *_coincidences(archive, sent)):
        console.print(line, highlight=False)
    for _, message, reason in archive.quarantined():
        console.print(f"quarantine: {message.coordinates}: {reason}", highlight=False)
    console.print(f"derived alerts on {ALERTS_TOPIC}: {_published(archive)}", highlight=False)
    console.print(f"files: {home / 'products'}", highlight=False, soft_wrap=True)
    console.print(f"UI:    {dagster.url}/assets/pipeline_health (the place to begin)", highlight=False)
    if not complete:
        console.print(f"log:   {dagster.log}", highlight=False, soft_wrap=True)
    return complete


def absent_from_pages(archive: Archive, home: Path, sent: Sequence[Sent], patience_s: float) -> list[str]:
    """What the pages of the events lack when they have had their time: products and candidates, by event."""
    from mma_pipeline.adapters.archive.photometry import PhotometryArchive
    from mma_pipeline.adapters.errors import NotFoundError
    from mma_pipeline.adapters.store import Store
    from mma_pipeline.defs.events.page.state import event_state
    from mma_pipeline.defs.events.page.write import page_key, shows
    from mma_pipeline.notices.key import EventVersion

    store, until = Store.open((home / "products").as_uri()), time.monotonic() + patience_s
    events = {EventVersion.from_partition_key(key).event_id for entry in sent for key in entry.keys}
    while True:
        absent = []
        for event_id in sorted(events):
            try:
                page = store.get(page_key(event_id)).decode()
            except NotFoundError:
                absent.append(f"{event_id}: the page itself")
                continue
            products = archive.products_of(record.partition_key for record in archive.versions(event_id))
            links = {
                p.store_key: quote(relpath(p.store_key, dirname(page_key(event_id))))
                for made in products.values()
                for p in made
            }
            absent += [f"{event_id}: {key}" for key, link in links.items() if link not in page]
            scores = PhotometryArchive(archive).latest_scores(event_id)
            absent += [f"{event_id}: {score['candidate']}" for score in scores if str(score["candidate"]) not in page]
            if not shows(store, event_id, event_state(archive, event_id).digest):
                absent.append(f"{event_id}: what came last")
        if not absent or time.monotonic() > until:
            return absent
        time.sleep(1)


def _say_where(portal: str, home: Path, env: dict[str, str]) -> None:
    """The portal's address, and how `mma` in another terminal talks to the demonstration."""
    lines = [f"export {name}={shlex.quote(value)}" if value else f"unset {name}" for name, value in env.items()]
    script = home / "demo.env"
    script.touch(mode=0o600)
    script.write_text("\n".join(lines) + "\n")
    console.print("for mma in another terminal:", highlight=False)
    for line in lines:
        console.print(f"  {line}", highlight=False, soft_wrap=True, markup=False)
    console.print(f"the same in one line: source {shlex.quote(str(script))}", highlight=False, soft_wrap=True)
    console.print(f"portal: {_events(portal)}", highlight=False)


def _events(portal: str) -> str:
    """The portal's page that lists the demonstration's events, which are mocks: the first page lists real ones."""
    return f"{portal}/?test=true"


def _left(archive: Archive, sent: list[Sent]) -> Iterator[str]:
    """What simulated pointings had left of the map of each version."""
    for key in (key for entry in sent for key in entry.keys):
        product = archive.product(key, "coverage_ledger")
        if product is not None and product.statistics["visits_completed"]:
            s = product.statistics
            yield (
                f"coverage of {key}: {share(s['probability_covered'])} by {counted(s['visits_completed'], 'pointing')}, left of the 90 % "
                f"region {share(s['probability_left_in_90'])} on {area(s['area_left_in_90_deg2'])} deg²"
            )


def _coincidences(archive: Archive, sent: list[Sent]) -> Iterator[str]:
    """Pairs of events of different messengers, and the bursts, neutrinos and X-ray transients that make none."""
    from mma_pipeline.adapters.archive.coincidences import PairState, pairs_of_events
    from mma_pipeline.notices.words import false_alarm

    found: dict[tuple[str, str], float] = {}
    events: dict[str, None] = {}
    for entry in sent:
        for key in entry.keys:
            product = archive.product(key, "coincidences")
            if product is None:
                continue
            events[str(product.statistics["event"])] = None
            for pair in product.statistics["pairs"]:
                names = (pair["gw_event"], pair["other_event"])
                found[names] = min(found.get(names, float("inf")), _since(entry, product.written))
    pairs = pairs_of_events(archive, events)
    for pair in {(p.gw_event, p.other_event): p for some in pairs.values() for p in some}.values():
        figures, seconds = pair.figures, found.get((pair.gw_event, pair.other_event))
        words = f", {false_alarm(figures['far_hz'])} by chance" if pair.state is PairState.CLAIMED else ""
        if figures["area_90_combined_deg2"] is not None:
            areas = (figures[f"area_90_{name}_deg2"] for name in ("gw", "other", "combined"))
            words += ", 90 % regions {:.0f} and {:.0f}, of both {:.0f} deg²".format(*areas)
        when = "" if seconds is None else f", found {seconds:.1f} s after a notice"
        yield f"coincidence of {pair.gw_event} with {pair.other_event}: {pair.state}{words}{when}"
    alone = [event for event in events if "_" in event and not pairs[event]]
    if alone:
        yield f"in no coincidence: {', '.join(alone)}"


def _published(archive: Archive) -> int:
    """How many derived alerts the embedded Kafka has."""
    from mma_pipeline.adapters.archive import outbox, reading

    with reading(archive.engine) as connection:
        return outbox.finished_since(connection, DESTINATION, datetime(1970, 1, 1, tzinfo=UTC))


def _statistics(archive: Archive, record: VersionRecord) -> tuple[str, str, str]:
    products = archive.products(record.partition_key)
    statistics = next((product.statistics for product in products if product.asset == "skymap_statistics"), {})
    return str(len(products)), area(statistics.get("area_50_deg2")), area(statistics.get("area_90_deg2"))


def _s(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.1f}"


@contextmanager
def _spinner(text: str) -> Iterator[None]:
    with Progress(
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=console
    ) as progress:
        progress.add_task(text, total=None)
        yield


def _wait_for_interrupt() -> None:
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        console.print("stopping: this may take half a minute")
