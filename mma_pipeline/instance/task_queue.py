"""Creates the resident workers' queue before its first use.

Kombu's SQL transport creates its tables, and then the queue's row, on first use, without regard for another process that
does the same at that moment: the second one gets an error from the database. It would end a worker, or fail a run that is
being launched. So both call this module first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa
import tenacity

if TYPE_CHECKING:
    from celery import Celery

#: Attempts: tables, then the row, each of which another process may create first.
ATTEMPTS = 5


def declare_queue(app: Celery, name: str) -> None:
    """Create the queue `name` at the app's broker if it is missing; leaves no connection open, so that the caller may fork.

    Raises the broker's error if it cannot be reached, or still refuses after five attempts.
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
            # Only the SQL transport has sessions. It keeps an engine per process, whose connections a fork would share.
            session = getattr(channel, "session", None)
            if session is not None:
                session.close()
                session.get_bind().dispose()
