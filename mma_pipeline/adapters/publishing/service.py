"""Decider, destinations and publisher put together from an environment, for the graph and the command line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property

import sqlalchemy as sa

from mma_pipeline.adapters.archive import Archive, VersionRecord, outbox, reading, schema, writing
from mma_pipeline.adapters.redact import redact

from . import config
from .config import DestinationConfig
from .decision import HOLD_S, Decider, Decision, Extras
from .model import Destination, Draft, Publication, State
from .publisher import Publisher
from .webhook import FAILURE

#: A version is offered for publication by itself only so long after its message was received: what is older was
#: replayed or belongs to a destination that is new, and goes out on a person's word alone.
OFFERED_H = 24.0


class _Destinations(Mapping[str, Destination]):
    """Destinations by name, opened one by one, so that a wrong setting of one keeps no other from working."""

    def __init__(self, configs: Sequence[DestinationConfig], env: Mapping[str, str]) -> None:
        self._configs = {c.name: c for c in configs}
        self._env = env
        self._opened: dict[str, Destination] = {}

    def __getitem__(self, name: str) -> Destination:
        if name not in self._opened:
            self._opened[name] = config.open_destination(self._configs[name], self._env)
        return self._opened[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._configs)

    def __len__(self) -> int:
        return len(self._configs)


@dataclass(frozen=True)
class Publications:
    """Everything that publishing needs, for one archive and one environment.

    Args:
        archive: versions, products and outbox.
        url: public address of a storage key, for links; None where it has none.
        env: configuration and secrets.
    """

    archive: Archive
    url: Callable[[str], str | None]
    env: Mapping[str, str]

    @cached_property
    def configs(self) -> tuple[DestinationConfig, ...]:
        """The configured destinations."""
        return config.load(self.env)

    @cached_property
    def dry_run(self) -> bool:
        """Whether nothing is published and nothing called."""
        return config.is_dry_run(self.env)

    def of_kind(self, kind: str) -> tuple[DestinationConfig, ...]:
        """The destinations of one kind."""
        return tuple(c for c in self.configs if c.kind == kind)

    @cached_property
    def destinations(self) -> Mapping[str, Destination]:
        """The destinations by name, each opened when it is first asked for; that raises ConfigurationError."""
        return _Destinations(self.configs, self.env)

    @property
    def publisher(self) -> Publisher:
        """The publisher for all configured destinations; one that cannot be opened stops no other."""
        told = [c for c in self.configs if c.kind == config.WEBHOOK and c.wants_failures]
        return Publisher(self.archive.engine, self.destinations, told_of_failures=told)

    def decide(
        self, record: VersionRecord, configs: Sequence[DestinationConfig], extras: Extras | None = None
    ) -> list[Decision]:
        """Decide about a version and write down what is to be sent; with DRY_RUN only say what would be."""
        decider = Decider(self.archive, self.url, configs)
        now = datetime.now(UTC)
        return decider.preview(record, now, extras) if self.dry_run else decider.decide(record, now, extras)

    def explain(self, record: VersionRecord) -> list[Decision]:
        """What would be decided about a version now; nothing is written or called."""
        return Decider(self.archive, self.url, self.configs).preview(record, datetime.now(UTC))

    def preview(self, draft: Draft) -> Mapping[str, object]:
        """What a draft would send, without calling anything."""
        return self.destinations[draft.destination].preview(draft)

    def of_version(self, partition_key: str, names: Sequence[str]) -> list[Publication]:
        """Publications of a version at some destinations."""
        with reading(self.archive.engine) as connection:
            found = outbox.publications(connection, partition_key=partition_key)
        return [item for item in found if item.destination in names]

    def due(self) -> list[Publication]:
        """Open publications of configured destinations whose time has come."""
        names = {c.name for c in self.configs}
        with reading(self.archive.engine) as connection:
            return [item for item in outbox.due(connection) if item.destination in names]

    def tell_failure(self, key: str, what: str, event_id: str, text: str, partition_key: str | None) -> int:
        """Write a message about a failure to the outbox of each webhook that wants it; returns how many are new.

        Args:
            key: unique for the failure.
            what: what failed, for people.
            event_id: event that it is about.
            text: the reason; secrets of the environment are taken out.
            partition_key: version that it is about, if any.
        """
        failure = {"destination": what, "event_id": event_id, "kind": "run", "error": redact(text)[:500]}
        told = [c.name for c in self.configs if c.kind == config.WEBHOOK and c.wants_failures]
        with writing(self.archive.engine) as connection:
            drafts = [
                Draft(name, FAILURE, f"failure-{key}", event_id, {"failure": failure}, partition_key) for name in told
            ]
            return sum(outbox.enqueue(connection, draft, datetime.now(UTC)) for draft in drafts)

    def failed(self) -> list[Publication]:
        """Publications that were given up."""
        with reading(self.archive.engine) as connection:
            return outbox.publications(connection, state=State.FAILED)

    def undecided(self, ready: Callable[[VersionRecord], bool], *, limit: int = 50) -> list[tuple[VersionRecord, int]]:
        """Versions to be decided upon: received lately, not decided for some destination, and ready.

        A version counts as ready, too, when its products have not come within the holding time. With each comes how
        often it should have been asked for by now: at once, and after 1, 2, 4, … minutes, for runs that died.
        """
        if not self.configs:
            return []
        now, version, message, decision = datetime.now(UTC), schema.version, schema.message, outbox.decision
        names = [c.name for c in self.configs]
        decided = (
            sa.select(sa.func.count())
            .where(decision.c.partition_key == version.c.partition_key, decision.c.destination.in_(names))
            .scalar_subquery()
        )
        query = (
            sa.select(version.c.partition_key, message.c.received)
            .join(message, message.c.id == version.c.message_id)
            .where(message.c.received > now - timedelta(hours=OFFERED_H), decided < len(names))
            .order_by(message.c.received)
        )
        with reading(self.archive.engine) as connection:
            rows = connection.execute(query).all()
        found = []
        for row in rows:
            record, age = self.archive.version(row.partition_key), now - row.received
            if ready(record) or age > timedelta(seconds=HOLD_S):
                found.append((record, max(int(age.total_seconds() // 60), 0).bit_length()))
            if len(found) == limit:
                break
        return found
