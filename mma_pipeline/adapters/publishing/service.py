"""Combines decider, destinations and publisher for the Dagster definitions and the command line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cached_property

from mma_pipeline.adapters.archive import (
    Archive,
    ProductRecord,
    VersionRecord,
    blocks,
    decisions,
    outbox,
    reading,
    writing,
)
from mma_pipeline.adapters.archive.blocks import Block
from mma_pipeline.adapters.archive.database import batched
from mma_pipeline.adapters.archive.decisions import Undecided
from mma_pipeline.adapters.archive.publications import Draft, Publication, State
from mma_pipeline.adapters.publishing import config
from mma_pipeline.adapters.publishing.compose import is_bare
from mma_pipeline.adapters.publishing.config import Access, DestinationConfig
from mma_pipeline.adapters.publishing.decision import Decider, Decision, Extras, Fit
from mma_pipeline.adapters.publishing.model import Destination
from mma_pipeline.adapters.publishing.publisher import Publisher
from mma_pipeline.adapters.publishing.webhook import FAILURE
from mma_pipeline.adapters.redact import redact

#: How long after its message was received a version is published automatically. An older one was replayed, or belongs to a
#: new destination, and is published only if a person asks for it.
OFFERED_H = 24.0
#: The same for versions without any decision: as long as their products are requested.
LATE_H = 72.0


class Readiness(StrEnum):
    """Whether the products of a version are ready for publication."""

    WAITING = "waiting"
    """Some are missing, and a run that makes them is in progress or still to come."""
    READY = "ready"
    """All applicable ones exist."""
    GIVEN_UP = "given up"
    """Some are missing because they failed for good."""


#: Gives the readiness of a version from its products by name.
ReadinessOf = Callable[[VersionRecord, Mapping[str, ProductRecord]], Readiness]


@dataclass(frozen=True, slots=True)
class Offer:
    """A version to decide on for some destinations."""

    record: VersionRecord
    bare: bool
    """Whether it is published without its map's values, because its products failed for good."""
    changed: datetime
    """When it, one of its products, or its release last changed, UTC."""


class _Destinations(Mapping[str, Destination]):
    """Destinations by name, opened one by one, so that a wrong setting of one does not affect the others."""

    def __init__(self, configs: Sequence[DestinationConfig], access: Access) -> None:
        self._configs = {c.name: c for c in configs}
        self._access = access
        self._opened: dict[str, Destination] = {}

    def __getitem__(self, name: str) -> Destination:
        if name not in self._opened:
            self._opened[name] = config.open_destination(self._configs[name], self._access)
        return self._opened[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._configs)

    def __len__(self) -> int:
        return len(self._configs)


@dataclass(frozen=True)
class Publications:
    """Everything that publishing needs, for one archive.

    Args:
        archive: versions, products and outbox.
        url: public address of a storage key, for links; None if it has none.
        access: addresses to publish to, and credentials.
    """

    archive: Archive
    url: Callable[[str], str | None]
    access: Access

    @cached_property
    def configs(self) -> tuple[DestinationConfig, ...]:
        """The configured destinations."""
        return config.load(self.access)

    @property
    def dry_run(self) -> bool:
        """Whether DRY_RUN is set: nothing is published, no server called."""
        return self.access.dry_run

    def of_kind(self, kind: str) -> tuple[DestinationConfig, ...]:
        """The destinations of one kind."""
        return tuple(c for c in self.configs if c.kind == kind)

    @cached_property
    def destinations(self) -> Mapping[str, Destination]:
        """The destinations by name, each opened on first use, which may raise ConfigurationError."""
        return _Destinations(self.configs, self.access)

    @property
    def publisher(self) -> Publisher:
        """The publisher for all configured destinations; one that cannot be opened does not stop the others."""
        told = [c for c in self.configs if c.kind == config.WEBHOOK and c.wants_failures]
        return Publisher(self.archive.engine, self.destinations, failure_webhooks=told)

    def decide(
        self,
        record: VersionRecord,
        configs: Sequence[DestinationConfig],
        extras: Extras | None = None,
        fit: Fit | None = None,
    ) -> list[Decision]:
        """Decide about a version and enqueue its publications; with DRY_RUN only return the decisions."""
        decider = Decider(self.archive, self.url, configs, fit)
        now = datetime.now(UTC)
        return decider.preview(record, now, extras) if self.dry_run else decider.decide(record, now, extras)

    def explain(self, record: VersionRecord, fit: Fit | None = None) -> list[Decision]:
        """The decisions about a version as of now; writes nothing and calls no server."""
        return Decider(self.archive, self.url, self.configs, fit).preview(record, datetime.now(UTC))

    def preview(self, draft: Draft) -> Mapping[str, object]:
        """What a draft would send; calls no server."""
        return self.destinations[draft.destination].preview(draft)

    def of_version(self, partition_key: str, names: Sequence[str]) -> list[Publication]:
        """Publications of a version at some destinations."""
        with reading(self.archive.engine) as connection:
            found = outbox.publications(connection, partition_key=partition_key)
        return [item for item in found if item.destination in names]

    def due(self) -> list[Publication]:
        """Publications of configured destinations that are due."""
        names = {c.name for c in self.configs}
        with reading(self.archive.engine) as connection:
            return [item for item in outbox.due(connection) if item.destination in names]

    @property
    def failure_webhooks(self) -> tuple[str, ...]:
        """The webhooks with failures = true, by name; none with DRY_RUN."""
        if self.dry_run:
            return ()
        return tuple(c.name for c in self.configs if c.kind == config.WEBHOOK and c.wants_failures)

    def notify_failure(
        self, key: str, what: str, event_id: str, text: str, partition_key: str | None, *, kind: str = "run"
    ) -> int:
        """Write a message about a failure to the outbox of each such webhook; returns how many are new.

        Args:
            key: unique for the failure.
            what: what failed, for people.
            event_id: event concerned.
            text: the reason; secrets of the environment are removed.
            partition_key: version concerned, if any.
            kind: `run` for a failed run, `problem` for a problem that the health sensor found.
        """
        failure = {"destination": what, "event_id": event_id, "kind": kind, "error": redact(text)[:500]}
        told = self.failure_webhooks
        with writing(self.archive.engine) as connection:
            drafts = [
                Draft(name, FAILURE, f"failure-{key}", event_id, {"failure": failure}, partition_key) for name in told
            ]
            return sum(outbox.enqueue(connection, draft, datetime.now(UTC)) for draft in drafts)

    def failed(self) -> list[Publication]:
        """Publications that failed for good."""
        with reading(self.archive.engine) as connection:
            return outbox.publications(connection, state=State.FAILED)

    def block(self, partition_key: str) -> Block | None:
        """The block of a version, including one that a person released; None if there is none."""
        with reading(self.archive.engine) as connection:
            return next(iter(blocks.blocks(connection, partition_key=partition_key)), None)

    def is_away(self, name: str) -> bool:
        """Whether the last that was sent to a destination failed and is to be tried again."""
        with reading(self.archive.engine) as connection:
            return outbox.is_away(connection, name)

    def undecided(self, readiness: ReadinessOf, *, partition_key: str | None = None, limit: int = 50) -> list[Offer]:
        """Versions to decide on, earliest received first; with `partition_key` that one alone.

        These are recent versions, versions that a person released, bare ones, and those for which a later version waits, as
        long as some destination has no decision, and once their products exist or have failed for good. A decision about a
        bare version is made again when its products are made.
        """
        names = {c.name for c in self.configs}
        with reading(self.archive.engine) as connection:
            waiting = decisions.undecided(
                connection,
                names,
                datetime.now(UTC),
                offered=timedelta(hours=OFFERED_H),
                late=timedelta(hours=LATE_H),
                partition_key=partition_key,
            )
        found: list[Offer] = []
        for some in batched(waiting):
            keys = [one.partition_key for one in some]
            records, products = self.archive.versions_at(keys), self.archive.products_of(keys)
            for one in some:
                record = records.get(one.partition_key)
                offer = None if record is None else self._offer(one, record, products[one.partition_key], readiness)
                found += [] if offer is None else [offer]
                if len(found) == limit:
                    return found
        return found

    def _offer(
        self, one: Undecided, record: VersionRecord, written: Sequence[ProductRecord], readiness: ReadinessOf
    ) -> Offer | None:
        """The offer of a version that may need a decision; None if none can be made now."""
        wanting = {c.name for c in self.configs if one.made.get(c.name, True)}  # none yet, or a bare one
        if not wanting:
            return None
        products = {product.name: product for product in written}
        state, bare = readiness(record, products), is_bare(record, products)
        if one.released is not None and state is Readiness.WAITING:
            state = Readiness.GIVEN_UP
        if state is Readiness.GIVEN_UP:
            takers = {c.name for c in self.configs if c.takes_bare or not bare}
            wanting = {name for name in wanting if name not in one.made and name in takers}
        if state is Readiness.WAITING or not wanting:
            return None
        changes = [one.received, *(product.written for product in written)]
        return Offer(record, bare, max(changes if one.released is None else [*changes, one.released]))
