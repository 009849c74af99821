"""The queue between Dagster and the resident workers, seen through Celery: does it answer, who serves it, what do they have.

Everything is asked with Celery's own means (its connection and its remote control), so the answers are the same for every
broker. Celery supports Redis (and Valkey, which speaks the same protocol) and RabbitMQ as stable. `filesystem://` needs no
server and is experimental. Kombu's SQLAlchemy transport is refused: workers behind it cannot be asked or told anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mma_pipeline.adapters.errors import ConfigurationError, TransientError
from mma_pipeline.adapters.redact import redact
from mma_pipeline.adapters.retry import attempts

if TYPE_CHECKING:
    from celery import Celery

#: Seconds for connecting to the broker.
CONNECT_S = 4.0
#: Seconds for each answer of the broker. Above the second that a worker's waiting request lasts.
ANSWER_S = 15.0
#: Seconds that a worker may take to answer a question.
ASK_S = 2.0
#: Brokers that Celery supports as stable, by the scheme of their address.
STABLE = frozenset({"redis", "rediss", "sentinel", "amqp", "amqps", "pyamqp"})
#: A broker for one machine without any server; experimental by Celery's documentation.
EXPERIMENTAL = frozenset({"filesystem"})


@dataclass(frozen=True, slots=True)
class QueueState:
    """The queue at one moment."""

    waiting: int
    """Tasks that no worker has taken."""
    workers: Mapping[str, str]
    """What each worker that answered has in hand (taken or running), by its name: Celery's description as text."""


def scheme(broker: str | None) -> str:
    """The scheme of a broker's address; raises ConfigurationError if it is no broker that can be used here."""
    found = (broker or "").partition("://")[0].lower()
    if found in STABLE | EXPERIMENTAL:
        return found
    why = "no queue for the resident workers is named" if not broker else f"{found}:// is no queue for resident workers"
    raise ConfigurationError(
        f"{why}: set MMA_CELERY_BROKER to redis://… or amqp://…, or to filesystem:// on one machine without a server"
    )


def is_experimental(broker: str | None) -> bool:
    """Whether Celery calls the broker experimental; raises ConfigurationError like `scheme`."""
    return scheme(broker) in EXPERIMENTAL


def transport_options(broker: str | None, home: Path) -> dict[str, Any]:
    """What a broker's transport needs: time limits, or a folder below `home`, which is created; raises like `scheme`."""
    kind = scheme(broker)
    if kind in EXPERIMENTAL:
        folder, control = home / "queue", home / "queue" / "control"
        control.mkdir(parents=True, exist_ok=True)
        places = {"data_folder_in": str(folder), "data_folder_out": str(folder), "control_folder": control}
        return {**places, "polling_interval": 0.05}
    if kind in {"redis", "rediss", "sentinel"}:
        return {"socket_connect_timeout": CONNECT_S, "socket_timeout": ANSWER_S, "socket_keepalive": True}
    return {"connect_timeout": CONNECT_S}


def look(app: Celery, queue: str) -> QueueState:
    """Ask the broker and all workers; takes `ASK_S`. Raises TransientError if the broker cannot be asked.

    The broker is asked first: a task that it no longer has is in a worker's hands by the time the workers are asked.
    """
    waiting = _waiting(app, queue)
    # The broker has just answered. Celery's kept connection may be one to a server that was there before it: that fails once.
    active, reserved = attempts(2, first_s=0.1)(_in_hand, app)
    return QueueState(
        waiting, {name: f"{active.get(name, [])}{reserved.get(name, [])}" for name in {*active, *reserved}}
    )


def _in_hand(app: Celery) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """What each worker that answers runs, and what it has taken."""
    with _reported(app):
        inspect = app.control.inspect(timeout=ASK_S)
        return inspect.active() or {}, inspect.reserved() or {}


def has_task(app: Celery, worker: str, task_id: str) -> bool | None:
    """Whether a worker has a task in hand; None if it does not answer. Raises TransientError if the broker cannot be asked.

    Also if the server was restarted since the last question: who asks has to know, because workers connect again later.
    """
    with _reported(app):
        answers = app.control.inspect(destination=[worker], timeout=ASK_S, limit=1).query_task(task_id)
    if not answers or worker not in answers:
        return None
    return task_id in answers[worker]


def _waiting(app: Celery, queue: str) -> int:
    """Tasks in the queue; a queue that does not exist yet is empty."""
    with _reported(app), app.connection_for_read() as connection:
        connection.ensure_connection(max_retries=1, timeout=CONNECT_S)
        try:
            return int(connection.default_channel.queue_declare(queue=queue, passive=True).message_count)
        except connection.channel_errors:
            return 0


@contextmanager
def _reported(app: Celery) -> Iterator[None]:
    """Turn what a transport raises into TransientError, without the password."""
    from kombu.exceptions import OperationalError

    connection = app.connection_for_read()
    try:
        yield
    except (OperationalError, *connection.connection_errors, *connection.channel_errors, OSError) as error:
        secrets = [connection.password] if isinstance(connection.password, str) and connection.password else []
        said = redact(redact(str(error) or type(error).__name__), secrets)
        raise TransientError(f"the queue {connection.as_uri()} cannot be used: {said}") from None
