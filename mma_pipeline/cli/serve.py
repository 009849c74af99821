"""`mma serve`: the portal and its API."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from mma_pipeline.cli.app import clear_errors, console, errors, fail, open_archive

if TYPE_CHECKING:
    from mma_pipeline.adapters.archive import Archive
    from mma_pipeline.portal.context import HealthReport, Portal

#: Names of this machine for itself.
LOOPBACK = ("127.0.0.1", "localhost", "::1")
#: Seconds for which a reading of the health is shown again.
_HEALTH_S = 15.0
#: Seconds that a new installation's archive may take to be made.
_PATIENCE_S = 60.0
#: Requests that are answered at a time.
_AT_ONCE = 200


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on. The portal has no login of its own.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65535)] = 3001,
) -> None:
    """Serve the portal: pages of all events, their files and the API, read-only.

    It has no login: listen on this machine alone, or behind a proxy that has one.
    """
    import uvicorn

    from mma_pipeline.portal.app import create_app

    with clear_errors():
        portal = make_portal()
    local = host in LOOPBACK
    if not local:
        errors.print(
            f"[yellow]mma:[/yellow] everybody who reaches {host}:{port} can read everything: the portal has no login",
            highlight=False,
        )
    app = create_app(portal, hosts=LOOPBACK if local or portal.url else ())
    listening = _listen(host, port)
    console.print(f"portal: {portal.url or f'http://{host}:{port}'}", highlight=False, soft_wrap=True)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,  # nobody's word is taken for who asks, or how
        limit_concurrency=_AT_ONCE,
        timeout_graceful_shutdown=5,
    )
    uvicorn.Server(config).run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    """A socket that listens; ends the command if the address cannot be had."""
    try:
        ((family, *_), *_) = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise fail(f"{host}:{port} cannot be listened on: {error.strerror}; --port and --host name another") from error


def make_portal() -> Portal:
    """The portal of the configured archive and store, which it can only read."""
    from mma_pipeline.adapters.store import Store
    from mma_pipeline.portal.context import Portal
    from mma_pipeline.settings import current

    settings = current()
    store = Store.open(settings.store_url, environ=settings.store.credentials, writes=False)
    return Portal(
        _archive(),
        store,
        url=settings.portal.url,
        health=_kept(read_health),
        live_days=settings.surveys.days,
    )


def _archive() -> Archive:
    """The archive, which another process may just be making: the portal makes no tables."""
    import tenacity

    from mma_pipeline.adapters.errors import AdapterError

    waiting = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(AdapterError),
        stop=tenacity.stop_after_delay(_PATIENCE_S),
        wait=tenacity.wait_fixed(1),
        reraise=True,
    )
    found: Archive = waiting(open_archive)
    return found


def read_health() -> HealthReport:
    """The pipeline's health, as the metrics have it."""
    from mma_pipeline.cli.health import _read_health
    from mma_pipeline.defs.operations.health import statistics
    from mma_pipeline.portal.context import HealthReport

    found = _read_health()
    return HealthReport(tuple(problem.dated() for problem in found.problems), statistics(found))


def _kept(read: Callable[[], HealthReport]) -> Callable[[], HealthReport]:
    """The same, read at most every 15 s however many ask."""
    lock = threading.Lock()
    kept: list[tuple[float, HealthReport]] = []

    def health() -> HealthReport:
        with lock:
            if not kept or time.monotonic() - kept[0][0] > _HEALTH_S:
                kept[:] = [(time.monotonic(), read())]
            return kept[0][1]

    return health
