"""`mma alive`, the liveness probe for Kubernetes, and `mma metrics` for Prometheus."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mma_pipeline.cli.app import Exit, clear_errors, console, fail, open_archive

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from mma_pipeline.defs.operations.health import Health

#: Daemons without which no alert is processed.
DAEMONS = ["SENSOR", "QUEUED_RUN_COORDINATOR"]


def alive(
    daemons: Annotated[
        list[str] | None, typer.Argument(help="Daemons to check.", show_default=" ".join(DAEMONS))
    ] = None,
    within: Annotated[float, typer.Option(help="Greatest age of the last heartbeat, seconds.", min=1)] = 180.0,
) -> None:
    """Liveness probe: exit code 0 if the daemons' heartbeats are recent, else 1."""
    import dagster as dg

    now = datetime.now(UTC).timestamp()
    with dg.DagsterInstance.get() as instance:
        beats = {name: now - beat.timestamp for name, beat in instance.get_daemon_heartbeats().items()}
    dead = [name for name in daemons or DAEMONS if beats.get(name, float("inf")) > within]
    if dead:
        ages = ", ".join(f"{name}: {f'{beats[name]:.0f} s ago' if name in beats else 'never'}" for name in dead)
        raise fail(f"no heartbeat within {within:.0f} s ({ages})")
    console.print(", ".join(f"{name}: {beats[name]:.0f} s" for name in daemons or DAEMONS))


def metrics(
    textfile: Annotated[
        Path | None,
        typer.Option(help="Write the metrics to this file atomically, for node_exporter's textfile collector."),
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="Serve the metrics to Prometheus on this port until stopped.", min=1, max=65535)
    ] = None,
    address: Annotated[str, typer.Option(help="Address to serve on.")] = "0.0.0.0",  # noqa: S104 - a pod's own address
) -> None:
    """Print or serve the pipeline's health as Prometheus metrics."""
    if port is not None and textfile is not None:
        raise fail("give --port or --textfile, not both", Exit.USAGE)
    from prometheus_client import CollectorRegistry, generate_latest, start_http_server, write_to_textfile

    if port is not None:
        registry = CollectorRegistry()
        registry.register(_Live())  # type: ignore[arg-type]
        with clear_errors():
            _, thread = start_http_server(port, address, registry)
        thread.join()
        return
    registry = CollectorRegistry()
    with clear_errors():
        fill(registry, _read_health())
        if textfile is not None:
            write_to_textfile(str(textfile), registry)
    if textfile is None:
        typer.echo(generate_latest(registry).decode(), nl=False)


def fill(registry: CollectorRegistry, found: Health) -> None:
    """Fill a registry with the state at one moment; ages in seconds."""
    from prometheus_client import Gauge

    from mma_pipeline.defs.operations.problems import counted

    def gauge(name: str, help_: str, *labels: str) -> Gauge:
        return Gauge(f"mma_{name}", help_, labels, registry=registry)

    daemon = gauge("daemon_heartbeat_age_seconds", "Seconds since a Dagster daemon was last alive.", "daemon")
    for name, age in found.daemons.items():
        daemon.labels(name).set(age)
    message = gauge("stream_message_age_seconds", "Seconds since a message was last received.", "stream")
    tick = gauge("stream_look_age_seconds", "Seconds since a stream's broker was last polled.", "stream")
    count = gauge("stream_messages", "Messages in the archive.", "stream")
    bad = gauge("stream_quarantined", "Unsolved messages in quarantine.", "stream")
    lag = gauge("stream_lag_messages", "Messages that wait to be read at the broker.", "stream")
    first = gauge("credential_age_seconds", "Seconds since a stream's credential was first used here.", "stream")
    rate = gauge("stream_messages_per_second", "Messages that a survey's readers take per second.", "stream")
    idle = gauge("credential_idle_seconds", "Seconds since a stream's credential last worked.", "stream")
    for stream in found.streams:
        known = (
            (lag, stream.lag),
            (rate, stream.rate),
            (first, stream.credential_age_s),
            (idle, stream.credential_idle_s),
        )
        for metric, value in known:
            if value is not None:
                metric.labels(stream.name).set(value)
        count.labels(stream.name).set(stream.messages)
        bad.labels(stream.name).set(stream.quarantined)
        if stream.message_age_s is not None:
            message.labels(stream.name).set(stream.message_age_s)
        if stream.tick_age_s is not None:
            tick.labels(stream.name).set(stream.tick_age_s)
    if found.heartbeat_age_s is not None:
        gauge("gcn_heartbeat_age_seconds", "Seconds since GCN's last heartbeat.").set(found.heartbeat_age_s)
    gauge("versions_unfinished", "Versions that still lack products after the time allowed.").set(found.unfinished)
    gauge("runs_queued", "Queued runs.").set(found.queued)
    gauge("runs_running", "Runs in progress.").set(found.running)
    failed = gauge("runs_failed_day", "Runs that failed in the last 24 hours, retries included.")
    failed.set(sum(found.failed_day.values()))
    by_job = gauge("job_runs_failed_day", "Runs that failed in the last 24 hours, by job.", "job")
    for job, number in found.failed_day.items():
        by_job.labels(job).set(number)
    gauge("publications_failed", "Publications that failed for good.").set(found.publications_failed)
    gauge("problems", "Problems that need a person's attention.").set(len(found.problems))
    of_kind = gauge(
        "problems_of_kind", "Problems that need a person's attention, by kind (docs/reliability.md).", "kind"
    )
    for kind, number in counted(found.problems).items():
        of_kind.labels(kind.value).set(number)


class _Live:
    """A collector that reads the state at every scrape."""

    def collect(self) -> list[object]:
        from prometheus_client import CollectorRegistry

        registry = CollectorRegistry()
        fill(registry, _read_health())
        return list(registry.collect())

    def describe(self) -> list[object]:
        return []


def _read_health() -> Health:
    import dagster as dg

    from mma_pipeline.defs.operations.health import health
    from mma_pipeline.defs.resources import destination_names
    from mma_pipeline.settings import current

    settings = current()
    with dg.DagsterInstance.get() as instance:
        archive, names = open_archive(create=True), destination_names(settings)
        return health(instance, archive, datetime.now(UTC), destinations=names, settings=settings)
