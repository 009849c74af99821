"""Record and find messages, versions and products.

Recording is one transaction and idempotent: recording a message twice changes nothing and gives the same result, so that
a process that dies at any moment can simply repeat it.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from mma_pipeline.adapters.archive import schema
from mma_pipeline.adapters.archive.database import batched, lock_event, open_engine, reading, writing
from mma_pipeline.adapters.archive.migrate import current_revision, migrate, require_current
from mma_pipeline.adapters.archive.same_trigger import joined
from mma_pipeline.adapters.errors import NotFoundError
from mma_pipeline.adapters.kafka.message import StreamMessage
from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.key import EventVersion, FileStem

#: Solution of a message in quarantine that its stream delivered again, to code that could read it.
RECEIVED_AGAIN = "received again"
#: Solution of a message that was retried with success.
RETRIED = "retried"


@dataclass(frozen=True, slots=True)
class VersionRecord:
    """A version as archived."""

    version: EventVersion
    number: int
    """Number of the GWTM file stem among the event's versions of this label, from zero."""
    message_id: int
    facts: Mapping[str, Any]
    """Content of the notice without maps (see `products.ingest.alert_summary`)."""

    @property
    def partition_key(self) -> str:
        """Dagster partition key."""
        return self.version.partition_key

    @property
    def has_map(self) -> bool:
        """Whether the notice has a usable sky map."""
        return bool(self.facts.get("skymap_sha256"))

    @property
    def stem(self) -> FileStem:
        """File stem that the Treasure Map (GWTM) reads."""
        return FileStem(self.version.event_id, self.version.label, self.number)


@dataclass(frozen=True, slots=True)
class Recorded:
    """Result of recording a message."""

    message_id: int
    versions: tuple[VersionRecord, ...]
    owned: tuple[VersionRecord, ...]
    """Versions that came first with this message: it must start their runs."""


@dataclass(frozen=True, slots=True)
class ProductRecord:
    """A file written for a version."""

    partition_key: str
    name: str
    asset: str
    store_key: str
    sha256: str
    size: int
    """Bytes."""
    content_type: str
    code_version: str
    address: str
    statistics: Mapping[str, Any]
    written: datetime


def _product_record(row: sa.Row[Any]) -> ProductRecord:
    """A row of the table of products; read by column, for a result is keyed by the columns' names in the database."""
    return ProductRecord(**{column.key: row._mapping[column] for column in schema.product.columns})


class Archive:
    """The archive behind one database URL; safe to share between threads."""

    def __init__(self, url: str, *, create: bool = False) -> None:
        """Open the archive.

        `create` makes the tables of a database that has none yet. A database with an older schema stays as it is, because
        running code still needs it; it raises PermanentError with the command to run.
        """
        self.engine = open_engine(url)
        if create and current_revision(self.engine) is None:
            migrate(self.engine)
        else:
            require_current(self.engine)

    def record(self, message: StreamMessage, versions: Sequence[tuple[EventVersion, Mapping[str, Any]]]) -> Recorded:
        """Archive a message and its versions, in one transaction.

        Each version comes with its facts (JSON values). A version that is new gets the number of its file stem here,
        which never changes.
        """
        with writing(self.engine) as connection:
            versions = joined(connection, versions)
            event_id = versions[0][0].event_id if versions else None
            if event_id is not None:
                lock_event(connection, event_id)
            message_id = _insert_message(connection, message, event_id=event_id, reason=None)
            records = insert_versions(connection, versions, message_id)
        return Recorded(message_id, records, tuple(r for r in records if r.message_id == message_id))

    def quarantine(
        self, message: StreamMessage, reason: str, *, event_id: str | None = None, rehearsal: bool = False
    ) -> int:
        """Archive a message that cannot be used, with the reason; returns its id.

        Args:
            message: as received.
            reason: for people.
            event_id: its superevent, if known.
            rehearsal: whether it is known to be a mock or a test.
        """
        with writing(self.engine) as connection:
            return _insert_message(connection, message, event_id=event_id, reason=reason, rehearsal=rehearsal)

    def version(self, partition_key: str) -> VersionRecord:
        """The version of a partition; raises NotFoundError if it was never archived."""
        with reading(self.engine) as connection:
            row = connection.execute(
                sa.select(schema.version).where(schema.version.c.partition_key == partition_key)
            ).one_or_none()
        if row is None:
            raise NotFoundError(
                f"no version {partition_key} is archived: replay its alert, or delete the partition if it was a mistake"
            )
        return version_record(row)

    def versions(
        self, event_id: str | None = None, *, label: str | None = None, limit: int | None = None
    ) -> list[VersionRecord]:
        """Versions of one event or of all, of one label or of all, newest creation time first."""
        query = sa.select(schema.version).order_by(schema.version.c.created.desc(), schema.version.c.partition_key)
        if event_id is not None:
            query = query.where(schema.version.c.event_id == event_id)
        if label is not None:
            query = query.where(schema.version.c.label == label)
        with reading(self.engine) as connection:
            return [version_record(row) for row in connection.execute(query.limit(limit))]

    def versions_named(self, text: str) -> list[VersionRecord]:
        """Versions of an event, newest creation time first, or that of a partition key or a file stem; empty if there is none.

        Where nothing is written as `text` is, upper and lower case count alike, as long as only one event is meant.
        """
        table = schema.version
        stem = _stem_or_none(text)
        exact = [table.c.event_id == text, table.c.partition_key == text]
        if stem is not None:
            exact.append(
                sa.and_(table.c.event_id == stem.event_id, table.c.label == stem.label, table.c.number == stem.number)
            )
        folded = sa.func.lower(table.c.event_id), sa.func.lower(table.c.partition_key), sa.func.lower(_stem_of(table))
        alike = [column == text.lower() for column in folded]
        with reading(self.engine) as connection:
            for wanted in (exact, alike):
                query = sa.select(table).where(sa.or_(*wanted))
                rows = connection.execute(query.order_by(table.c.created.desc(), table.c.partition_key))
                found = [version_record(row) for row in rows]
                if found:
                    return found if len({record.version.event_id for record in found}) == 1 else []
        return []

    def versions_at(self, partition_keys: Iterable[str]) -> dict[str, VersionRecord]:
        """The versions of several partitions; those that were never archived are absent."""
        table = schema.version
        with reading(self.engine) as connection:
            rows = [
                row
                for some in batched(partition_keys)
                for row in connection.execute(sa.select(table).where(table.c.partition_key.in_(some)))
            ]
        return {row.partition_key: version_record(row) for row in rows}

    def versions_of(self, event_ids: Iterable[str]) -> dict[str, list[VersionRecord]]:
        """Versions of several events, each newest creation time first; events without versions are absent."""
        table = schema.version
        found: dict[str, list[VersionRecord]] = {}
        with reading(self.engine) as connection:
            for some in batched(event_ids):
                query = sa.select(table).where(table.c.event_id.in_(some))
                for row in connection.execute(query.order_by(table.c.created.desc(), table.c.partition_key)):
                    found.setdefault(row.event_id, []).append(version_record(row))
        return found

    def brought_after(self, message_id: int) -> list[VersionRecord]:
        """Versions of messages archived after the given one, in order of arrival."""
        table = schema.version
        query = sa.select(table).where(table.c.message_id > message_id)
        with reading(self.engine) as connection:
            rows = connection.execute(query.order_by(table.c.message_id, table.c.partition_key))
            return [version_record(row) for row in rows]

    def message(self, message_id: int) -> StreamMessage:
        """A message as received; raises NotFoundError if there is none."""
        query = sa.select(schema.message, schema.body.c.data).join(schema.body).where(schema.message.c.id == message_id)
        with reading(self.engine) as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise NotFoundError(f"no message {message_id} is archived")
        return message_of(row)

    def origin(self, message_id: int) -> StreamMessage:
        """A message without its body, for lineage; raises NotFoundError if there is none."""
        query = sa.select(schema.message).where(schema.message.c.id == message_id)
        with reading(self.engine) as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise NotFoundError(f"no message {message_id} is archived")
        return message_of(row)

    def origins(self, message_ids: Iterable[int]) -> dict[int, StreamMessage]:
        """Several messages without their bodies, by id."""
        table = schema.message
        with reading(self.engine) as connection:
            rows = [
                row
                for some in batched(set(message_ids))
                for row in connection.execute(sa.select(table).where(table.c.id.in_(some)))
            ]
        return {row.id: message_of(row) for row in rows}

    def quarantined(self, *, limit: int | None = None) -> list[tuple[int, StreamMessage, str]]:
        """Messages in quarantine with their reasons, newest first."""
        query = (
            sa.select(schema.message, schema.body.c.data)
            .join(schema.body)
            .where(schema.message.c.quarantine_reason.is_not(None))
            .order_by(schema.message.c.id.desc())
            .limit(limit)
        )
        with reading(self.engine) as connection:
            return [(row.id, message_of(row), row.quarantine_reason) for row in connection.execute(query)]

    def counts(self) -> dict[str, int]:
        """Numbers of messages, unsolved messages in quarantine, versions and products."""
        with reading(self.engine) as connection:
            count = {
                name: connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
                for name, table in (
                    ("messages", schema.message),
                    ("versions", schema.version),
                    ("products", schema.product),
                )
            }
            count["quarantined"] = connection.execute(
                sa.select(sa.func.count()).where(
                    schema.message.c.quarantine_reason.is_not(None), schema.message.c.solved.is_(None)
                )
            ).scalar_one()
        return count

    def products(self, partition_key: str) -> list[ProductRecord]:
        """Files written for a version, by name."""
        query = (
            sa.select(schema.product)
            .where(schema.product.c.partition_key == partition_key)
            .order_by(schema.product.c.name)
        )
        with reading(self.engine) as connection:
            return [_product_record(row) for row in connection.execute(query)]

    def products_of(self, partition_keys: Iterable[str]) -> dict[str, list[ProductRecord]]:
        """Files written for several versions, by name; versions without files have an empty list."""
        table, keys = schema.product, list(partition_keys)
        found: dict[str, list[ProductRecord]] = {key: [] for key in keys}
        with reading(self.engine) as connection:
            for some in batched(keys):
                query = sa.select(table).where(table.c.partition_key.in_(some)).order_by(table.c.name)
                for row in connection.execute(query):
                    found[row.partition_key].append(_product_record(row))
        return found

    def product(self, partition_key: str, name: str) -> ProductRecord | None:
        """One file of a version; None if it was not written."""
        table = schema.product
        query = sa.select(table).where(table.c.partition_key == partition_key, table.c.name == name)
        with reading(self.engine) as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else _product_record(row)

    def products_at(self, address: str) -> list[ProductRecord]:
        """Files of any version made from the same content by the same code, in order of writing."""
        query = (
            sa.select(schema.product)
            .where(schema.product.c.address == address)
            .order_by(schema.product.c.written, schema.product.c.partition_key, schema.product.c.name)
        )
        with reading(self.engine) as connection:
            return [_product_record(row) for row in connection.execute(query)]

    def record_product(self, product: ProductRecord) -> None:
        """Record a written file, replacing an earlier record for the same version and name."""
        self._record_products([product], schema.product.c.name == product.name)

    def record_products(self, products: Sequence[ProductRecord]) -> None:
        """Record all files of one product of a version, in place of those that it had: what was not made now is none of it."""
        self._record_products(products, schema.product.c.asset == products[0].asset)

    def _record_products(self, products: Sequence[ProductRecord], gone: sa.ColumnElement[bool]) -> None:
        table, names = schema.product, [product.name for product in products]
        rows = [{field: getattr(product, field) for field in ProductRecord.__slots__} for product in products]
        former = sa.or_(gone, table.c.name.in_(names))
        with writing(self.engine) as connection:
            connection.execute(sa.delete(table).where(table.c.partition_key == products[0].partition_key, former))
            connection.execute(sa.insert(table), rows)


def _insert_message(
    connection: sa.Connection,
    message: StreamMessage,
    *,
    event_id: str | None,
    reason: str | None,
    rehearsal: bool | None = None,
) -> int:
    table = schema.message
    same = sa.and_(
        table.c.stream == message.stream,
        table.c.topic == message.topic,
        table.c.partition == message.partition,
        table.c.offset == message.offset,
        table.c.sha256 == message.sha256,
    )
    known = connection.execute(sa.select(table.c.id).where(same)).scalar()
    if known is not None:
        if reason is None:
            mark_solved(connection, known, RECEIVED_AGAIN, message.received, event_id=event_id)
        return int(known)
    insert = _insert_for(connection)
    connection.execute(insert(schema.body).values(sha256=message.sha256, data=message.body).on_conflict_do_nothing())
    row = {
        "stream": message.stream,
        "topic": message.topic,
        "partition": message.partition,
        "offset": message.offset,
        "key": message.key,
        "headers": [[name, base64.b64encode(value).decode()] for name, value in message.headers],
        "sha256": message.sha256,
        "broker_time": message.broker_time,
        "received": message.received,
        "event_id": event_id,
        "quarantine_reason": reason,
        "rehearsal": rehearsal,
    }
    connection.execute(insert(table).values(row).on_conflict_do_nothing())
    return int(connection.execute(sa.select(table.c.id).where(same)).scalar_one())


def mark_solved(
    connection: sa.Connection, message_id: int, solution: str, now: datetime, *, event_id: str | None = None
) -> None:
    """Mark a message in quarantine as solved, in the caller's transaction; any other stays as it is."""
    table = schema.message
    unsolved = sa.and_(table.c.id == message_id, table.c.quarantine_reason.is_not(None), table.c.solved.is_(None))
    values: dict[str, Any] = {"solved": now, "solution": solution}
    if event_id is not None:
        values["event_id"] = event_id
    connection.execute(sa.update(table).where(unsolved).values(values))


def insert_versions(
    connection: sa.Connection, versions: Sequence[tuple[EventVersion, Mapping[str, Any]]], message_id: int
) -> tuple[VersionRecord, ...]:
    """Record the versions of a message, in the caller's transaction."""
    if versions:
        lock_event(connection, versions[0][0].event_id)
    return tuple(_insert_version(connection, version, facts, message_id) for version, facts in versions)


def _insert_version(
    connection: sa.Connection, version: EventVersion, facts: Mapping[str, Any], message_id: int
) -> VersionRecord:
    table = schema.version
    # An archive of an earlier release holds the version under its former key, which it keeps.
    query = (
        sa.select(table).where(table.c.partition_key.in_(version.possible_keys)).order_by(table.c.message_id).limit(1)
    )
    known = connection.execute(query).one_or_none()
    if known is not None:
        return version_record(known)
    version = replace(version, former_key=False)
    number = connection.execute(
        sa.select(sa.func.coalesce(sa.func.max(table.c.number) + 1, 0)).where(
            table.c.event_id == version.event_id, table.c.label == version.label
        )
    ).scalar_one()
    connection.execute(
        sa.insert(table).values(
            partition_key=version.partition_key,
            event_id=version.event_id,
            label=version.label,
            number=number,
            created=version.created,
            role=version.role.value,
            message_id=message_id,
            facts=dict(facts),
        )
    )
    return version_record(connection.execute(query).one())


def _insert_for(connection: sa.Connection) -> Any:
    """The dialect's INSERT, which supports ON CONFLICT."""
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as postgresql_insert

        return postgresql_insert
    from sqlalchemy.dialects.sqlite import insert as sqlite_insert

    return sqlite_insert


def version_record(row: sa.Row[Any]) -> VersionRecord:
    """The version of a row of the table `version`."""
    version = EventVersion.from_partition_key(row.partition_key)
    return VersionRecord(version, row.number, row.message_id, row.facts)


def message_of(row: sa.Row[Any]) -> StreamMessage:
    """The message of a row of the table `message`, with its body if the row has the column `data`."""
    return StreamMessage(
        stream=row.stream,
        topic=row.topic,
        partition=row.partition,
        offset=row.offset,
        body=row._mapping.get("data", b""),
        key=row.key,
        headers=tuple((name, base64.b64decode(value)) for name, value in row.headers),
        broker_time=row.broker_time,
        received=row.received,
        digest=row.sha256,
    )


def _stem_or_none(text: str) -> FileStem | None:
    try:
        return FileStem.parse(text)
    except NoticeError:
        return None


def _stem_of(table: sa.Table) -> sa.ColumnElement[str]:
    """The file stem of a version, as `FileStem` spells it."""
    number = sa.case((table.c.number == 0, ""), else_=sa.cast(table.c.number, sa.String))
    return table.c.event_id + "-" + table.c.label + number
