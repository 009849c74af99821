"""Creates the resident workers' queue before anybody uses it.

Kombu's SQL transport makes its tables, and then the queue's row, when they are first asked for, and takes no account of
another process that does the same at that moment: whoever is second gets the database's refusal. A worker ends over it,
and a run that was just being handed over fails. So both come here first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa
import tenacity

if TYPE_CHECKING:
    from celery import Celery

#: Tables, then the row: each can be lost once to another process.
ATTEMPTS = 5


def declare_queue(app: Celery, name: str) -> None:
    """Make the queue `name` of the app's broker where it is missing; then no connection is open, so that one may fork.

    Raises what the broker raises where it cannot be reached, or still refuses after five attempts.
    """
    for attempt in tenacity.Retrying(
        retry=tenacity.retry_if_exception_type((sa.exc.IntegrityError, sa.exc.ProgrammingError)),
        stop=tenacity.stop_after_attempt(ATTEMPTS),
        wait=tenacity.wait_random(0, 0.2),
        reraise=True,
    ):
        with attempt, app.connection_for_write() as connection:
            channel = connection.default_channel
            app.amqp.queues[name].bind(channel).declare()
            # The SQL transport alone has sessions. It keeps an engine per process, whose connections a fork would share.
            session = getattr(channel, "session", None)
            if session is not None:
                session.close()
                session.get_bind().dispose()
