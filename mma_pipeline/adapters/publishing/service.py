"""Decider, destinations and publisher put together, for the graph and the command line."""

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

#: A version is offered for publication by itself only so long after its message was received: what is older was
#: replayed or belongs to a destination that is new, and goes out on a person's word alone.
OFFERED_H = 24.0
#: Those of which nothing was decided anywhere are waited for as long as their products are asked for.
LATE_H = 72.0


class Standing(StrEnum):
    """How far the products of a version are."""

    WAITING = "waiting"
    """Some lack, and a run that makes them is under way or still to come."""
    READY = "ready"
    """All that apply are there."""
    GIVEN_UP = "given up"
    """Some lack and will not come by themselves: they failed for good."""


#: How far a version is, from its products by name.
StandingOf = Callable[[VersionRecord, Mapping[str, ProductRecord]], Standing]


@dataclass(frozen=True, slots=True)
class Offer:
    """A version that is to be decided upon for some destinations."""

    record: VersionRecord
    bare: bool
    """Whether it goes out without its map's values, because its products failed for good."""
    changed: datetime
    """When it, a product of it, or a person's word on it came last, UTC."""


class _Destinations(Mapping[str, Destination]):
    """Destinations by name, opened one by one, so that a wrong setting of one keeps no other from working."""

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
        access: where we may publish, and as whom.
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
        """Whether nothing is published and nothing called."""
        return self.access.dry_run

    def of_kind(self, kind: str) -> tuple[DestinationConfig, ...]:
        """The destinations of one kind."""
        return tuple(c for c in self.configs if c.kind == kind)

    @cached_property
    def destinations(self) -> Mapping[str, Destination]:
        """The destinations by name, each opened when it is first asked for; that raises ConfigurationError."""
        return _Destinations(self.configs, self.access)

    @property
    def publisher(self) -> Publisher:
        """The publisher for all configured destinations; one that cannot be opened stops no other."""
        told = [c for c in self.configs if c.kind == config.WEBHOOK and c.wants_failures]
        return Publisher(self.archive.engine, self.destinations, told_of_failures=told)

    def decide(
        self,
        record: VersionRecord,
        configs: Sequence[DestinationConfig],
        extras: Extras | None = None,
        fit: Fit | None = None,
    ) -> list[Decision]:
        """Decide about a version and write down what is to be sent; with DRY_RUN only say what would be."""
        decider = Decider(self.archive, self.url, configs, fit)
        now = datetime.now(UTC)
        return decider.preview(record, now, extras) if self.dry_run else decider.decide(record, now, extras)

    def explain(self, record: VersionRecord, fit: Fit | None = None) -> list[Decision]:
        """What would be decided about a version now; nothing is written or called."""
        return Decider(self.archive, self.url, self.configs, fit).preview(record, datetime.now(UTC))

    def preview(self, draft: Draft) -> Mapping[str, object]:
        """What a draft would send, without calling anything."""
        return self.destinations[draft.destination].preview(draft)

    def of_version(self, partition_key: str, names: Sequence[str]) -> list[Publication]:
        """Publications of a version at some destinations."""
        with reading(self.archive.engine) as connection:
            found = outbox.publications(connection, partition_key=partition_key)
        return [item for item in found if item.destination in names]

    def due(self) -> list[Publication]:
        """Publications of configured destinations whose time and turn have come."""
        names = {c.name for c in self.configs}
        with reading(self.archive.engine) as connection:
            return [item for item in outbox.due(connection) if item.destination in names]

    @property
    def told_of_failures(self) -> tuple[str, ...]:
        """The webhooks that want to hear of failures, by name; none with DRY_RUN."""
        if self.dry_run:
            return ()
        return tuple(c.name for c in self.configs if c.kind == config.WEBHOOK and c.wants_failures)

    def tell_failure(
        self, key: str, what: str, event_id: str, text: str, partition_key: str | None, *, kind: str = "run"
    ) -> int:
        """Write a message about a failure to the outbox of each webhook that wants it; returns how many are new.

        Args:
            key: unique for the failure.
            what: what failed, for people.
            event_id: event that it is about.
            text: the reason; secrets of the environment are taken out.
            partition_key: version that it is about, if any.
            kind: `run` for a run that failed, `problem` for what the watch over the pipeline found.
        """
        failure = {"destination": what, "event_id": event_id, "kind": kind, "error": redact(text)[:500]}
        told = self.told_of_failures
        with writing(self.archive.engine) as connection:
            drafts = [
                Draft(name, FAILURE, f"failure-{key}", event_id, {"failure": failure}, partition_key) for name in told
            ]
            return sum(outbox.enqueue(connection, draft, datetime.now(UTC)) for draft in drafts)

    def failed(self) -> list[Publication]:
        """Publications that were given up."""
        with reading(self.archive.engine) as connection:
            return outbox.publications(connection, state=State.FAILED)

    def block(self, partition_key: str) -> Block | None:
        """What keeps a version from being published, or kept it until a person let it pass; None if nothing does."""
        with reading(self.archive.engine) as connection:
            return next(iter(blocks.blocks(connection, partition_key=partition_key)), None)

    def undecided(self, standing: StandingOf, *, limit: int = 50) -> list[Offer]:
        """Versions to be decided upon, earliest received first.

        Those that came lately, that a person let pass, that went out bare, or for which a later version waits, as long
        as some destination has no decision; once their products are there, or have failed for good. A decision about a
        bare version is made again when its products come.
        """
        names = {c.name for c in self.configs}
        with reading(self.archive.engine) as connection:
            waiting = decisions.undecided(
                connection,
                names,
                datetime.now(UTC),
                offered=timedelta(hours=OFFERED_H),
                late=timedelta(hours=LATE_H),
            )
        found: list[Offer] = []
        for some in batched(waiting):
            keys = [one.partition_key for one in some]
            records, products = self.archive.versions_at(keys), self.archive.products_of(keys)
            for one in some:
                record = records.get(one.partition_key)
                offer = None if record is None else self._offer(one, record, products[one.partition_key], standing)
                found += [] if offer is None else [offer]
                if len(found) == limit:
                    return found
        return found

    def _offer(
        self, one: Undecided, record: VersionRecord, written: Sequence[ProductRecord], standing: StandingOf
    ) -> Offer | None:
        """The offer of a version that may have to be decided upon; None if nothing is to be decided now."""
        wanting = {c.name for c in self.configs if one.made.get(c.name, True)}  # none yet, or a bare one
        if not wanting:
            return None
        products = {product.name: product for product in written}
        state, bare = standing(record, products), is_bare(record, products)
        if one.released is not None and state is Standing.WAITING:
            state = Standing.GIVEN_UP
        if state is Standing.GIVEN_UP:
            takers = {c.name for c in self.configs if c.takes_bare or not bare}
            wanting = {name for name in wanting if name not in one.made and name in takers}
        if state is Standing.WAITING or not wanting:
            return None
        changes = [one.received, *(product.written for product in written)]
        return Offer(record, bare, max(changes if one.released is None else [*changes, one.released]))
