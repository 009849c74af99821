"""Takes publications from the outbox and sends them; any number of publishers may run at once.

Each publication goes through these steps: claim (committed), prepare (committed), send, record the answer (committed). A
publisher that dies in between leaves a claim that another takes over, and every destination checks before it sends again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from mma_pipeline.adapters.archive import Connection, Engine, outbox, reading, writing
from mma_pipeline.adapters.archive.publications import Answer, Draft, Publication
from mma_pipeline.adapters.errors import AdapterError, PermanentError, TransientError, UncertainError, WaitingError
from mma_pipeline.adapters.publishing.config import DestinationConfig
from mma_pipeline.adapters.publishing.model import Destination
from mma_pipeline.adapters.publishing.webhook import FAILURE
from mma_pipeline.notices.errors import NoticeError

_log = logging.getLogger(__name__)
Clock = Callable[[], datetime]
#: Longer than any attempt can last: the slowest has a query, a post and a few removals of 30 s each.
LEASE_S = 300.0


@dataclass(frozen=True, slots=True)
class Backoff:
    """When a failed attempt is repeated: first after `first_s` seconds, then doubled up to `longest_s`."""

    first_s: float = 15.0
    longest_s: float = 1800.0
    attempts: int = 12
    """Attempts before giving up: with the defaults about four hours."""
    waiting_s: float = 5.0
    """First pause if something else must be published first, doubled each time."""
    waiting_longest_s: float = 600.0
    """Longest such pause; it also ends when the other publication is sent."""
    waiting_limit_s: float = 86_400.0
    """Seconds after which to give up waiting for another publication."""

    def pause(self, attempts: int) -> timedelta:
        """Pause after this number of attempts."""
        return timedelta(seconds=min(self.first_s * 2.0 ** max(attempts - 1, 0), self.longest_s))

    def waiting(self, waits: int) -> timedelta:
        """Pause after this number of checks that found that something else must go first."""
        return timedelta(seconds=min(self.waiting_s * 2.0 ** min(waits, 16), self.waiting_longest_s))


class Publisher:
    """Sends what is in the outbox of one archive.

    Args:
        engine: the archive's database.
        destinations: by name.
        failure_webhooks: destinations (webhooks) that get a message when a publication fails for good.
        clock: now, UTC.
    """

    def __init__(
        self,
        engine: Engine,
        destinations: Mapping[str, Destination],
        *,
        failure_webhooks: Sequence[DestinationConfig] = (),
        backoff: Backoff | None = None,
        lease_s: float = LEASE_S,
        clock: Clock = lambda: datetime.now(UTC),
    ) -> None:
        self._engine = engine
        self._destinations = destinations
        self._told = tuple(config.name for config in failure_webhooks)
        self._backoff = backoff or Backoff()
        self._lease_s = lease_s
        self._clock = clock

    def run(
        self, destination: str, *, event_id: str | None = None, limit: int = 100, seconds: float = 120.0
    ) -> list[Publication]:
        """Send what is due at one destination, at most `limit` publications and about `seconds` long.

        Returns the attempted ones in their new state. Receivers' failures are recorded, not raised.
        """
        tried: list[Publication] = []
        end = time.monotonic() + seconds
        while len(tried) < limit and time.monotonic() < end:
            step = self._step(destination, event_id)
            if step is None:
                break
            tried.append(step)
        return tried

    def _step(self, name: str, event_id: str | None) -> Publication | None:
        target, now = self._destinations[name], self._clock()
        if self._over_rate(target, now):
            return None
        with writing(self._engine) as connection:
            claimed = outbox.claim(
                connection, name, now, lease_s=self._lease_s, settle_s=target.settle_s, event_id=event_id
            )
        if claimed is None:
            return None
        item, token = claimed
        try:
            self._attempt(item, token, target)
        except outbox.LostClaimError as error:
            _log.warning("%s", error)
        return self._reread(item)

    def _attempt(self, item: Publication, token: str, target: Destination) -> None:
        try:
            if item.attempts > self._backoff.attempts:
                raise PermanentError(
                    f"given up after {item.attempts - 1} attempts: {item.error or 'each ended in a crash'}"
                )

            def note(progress: Mapping[str, Any]) -> None:
                with writing(self._engine) as connection:
                    outbox.note_progress(connection, item, token, progress)

            if not item.progress:
                progress = target.prepare(item)
                if progress:
                    note(progress)
            self._note_answer(item, token, target.send(item, note))
        except NoticeError as error:
            self._note_failure(item, token, PermanentError(f"the payload cannot be read: {error}"), target)
        except outbox.LostClaimError:
            raise
        except AdapterError as error:
            self._note_failure(item, token, error, target)

    def _note_answer(self, item: Publication, token: str, answer: Answer) -> None:
        with writing(self._engine) as connection:
            now = self._clock()
            outbox.finish(connection, item, token, answer, now)
            if answer.warning:
                self._notify(connection, item, answer.warning, now)
        _log.info("published %s %s of %s: %s", item.destination, item.kind, item.event_id, answer.reference)

    def _note_failure(self, item: Publication, token: str, error: AdapterError, target: Destination) -> None:
        now = self._clock()
        text = str(error)
        if isinstance(error, WaitingError) and now - item.created < timedelta(seconds=self._backoff.waiting_limit_s):
            until = now + self._backoff.waiting(item.progress.get(outbox.WAITS, 0))
            with writing(self._engine) as connection:
                outbox.postpone(connection, item, token, text, until, counts=False)
            return
        if isinstance(error, TransientError) and item.attempts < self._backoff.attempts:
            pause = self._backoff.pause(item.attempts)
            if isinstance(error, UncertainError):
                pause = max(pause, timedelta(seconds=target.settle_s))
            with writing(self._engine) as connection:
                outbox.postpone(connection, item, token, text, now + pause)
            _log.warning("%s will be tried again: %s", item.destination, text)
            return
        with writing(self._engine) as connection:
            outbox.fail(connection, item, token, text, now)
            self._notify(connection, item, text, now)
        _log.error("publication %s to %s of %s failed: %s", item.id, item.destination, item.event_id, text)

    def _notify(self, connection: Connection, item: Publication, text: str, now: datetime) -> None:
        if item.kind == FAILURE or item.destination in self._told:
            return  # a webhook that fails cannot report it
        failure = {"destination": item.destination, "event_id": item.event_id, "kind": item.kind, "error": text}
        for name in self._told:
            key = f"failure-{item.destination}-{item.id}"
            draft = Draft(name, FAILURE, key, item.event_id, {"failure": failure}, item.partition_key)
            outbox.enqueue(connection, draft, now)

    def _over_rate(self, target: Destination, now: datetime) -> bool:
        if target.per_minute is None:
            return False
        with reading(self._engine) as connection:
            sent = outbox.finished_since(connection, target.name, now - timedelta(minutes=1))
        return sent >= target.per_minute

    def _reread(self, item: Publication) -> Publication:
        with reading(self._engine) as connection:
            found = outbox.publications(connection, event_id=item.event_id, destination=item.destination)
        return next(row for row in found if row.id == item.id)
