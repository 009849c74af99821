"""Tables of the archive: messages as received, versions of events, products as written.

One schema for SQLite and PostgreSQL; changes go through `migrations`. Times are UTC.
"""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.engine import Dialect

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class UTCDateTime(sa.TypeDecorator[datetime]):
    """A time that is always UTC: SQLite keeps no zone, so it is removed on the way in and put back on the way out."""

    impl = sa.DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Refuse a time without zone, which would be read as UTC by accident."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without zone cannot be archived")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Give the zone back."""
        return None if value is None else value.replace(tzinfo=UTC)


#: SQLite counts up only in a plain INTEGER primary key.
RowId = sa.BigInteger().with_variant(sa.Integer, "sqlite")

#: Contents by digest, so that the same bytes sent twice are kept once.
body = sa.Table(
    "body",
    metadata,
    sa.Column("sha256", sa.String(64), primary_key=True),
    sa.Column("data", sa.LargeBinary, nullable=False),
)

#: Every message as received. The digest is part of the identity because a topic that is created anew counts from zero.
message = sa.Table(
    "message",
    metadata,
    sa.Column("id", RowId, primary_key=True, autoincrement=True),
    sa.Column("stream", sa.String(100), nullable=False),
    sa.Column("topic", sa.String(255), nullable=False),
    sa.Column("partition", sa.Integer, nullable=False),
    sa.Column("offset", sa.BigInteger, nullable=False),
    sa.Column("key", sa.LargeBinary),
    sa.Column("headers", sa.JSON, nullable=False),
    sa.Column("sha256", sa.String(64), sa.ForeignKey("body.sha256"), nullable=False),
    sa.Column("broker_time", UTCDateTime),
    sa.Column("received", UTCDateTime, nullable=False, index=True),
    sa.Column("event_id", sa.String(32), index=True),
    sa.Column("quarantine_reason", sa.Text),
    # Of a message in quarantine: whether it is recognisably a mock or test, when it was solved, and how.
    sa.Column("rehearsal", sa.Boolean),
    sa.Column("solved", UTCDateTime),
    sa.Column("solution", sa.Text),
    sa.UniqueConstraint("stream", "topic", "partition", "offset", "sha256"),
    sa.Index(
        "ix_message_quarantined",
        "id",
        sqlite_where=sa.text("quarantine_reason IS NOT NULL"),
        postgresql_where=sa.text("quarantine_reason IS NOT NULL"),
    ),
)

#: When a message's versions could first be used: when it came, or when it was read again with success.
usable_since = sa.func.coalesce(message.c.solved, message.c.received, type_=UTCDateTime())

#: One row per event and version; `message_id` is the message that first brought it.
version = sa.Table(
    "version",
    metadata,
    sa.Column("partition_key", sa.String(120), primary_key=True),
    sa.Column("event_id", sa.String(32), nullable=False, index=True),
    sa.Column("label", sa.String(32), nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("created", UTCDateTime, nullable=False, index=True),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("message_id", RowId, sa.ForeignKey("message.id"), nullable=False, index=True),
    sa.Column("facts", sa.JSON, nullable=False),
    sa.UniqueConstraint("event_id", "label", "number"),
)

#: Files written for a version. `address` digests everything a file depends on; equal addresses mean equal bytes.
product = sa.Table(
    "product",
    metadata,
    sa.Column("partition_key", sa.String(120), sa.ForeignKey("version.partition_key"), primary_key=True),
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("asset", sa.String(64), nullable=False),
    sa.Column("store_key", sa.String(400), nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("content_type", sa.String(100), nullable=False),
    sa.Column("code_version", sa.String(64), nullable=False),
    sa.Column("address", sa.String(64), nullable=False, index=True),
    sa.Column("figures", sa.JSON, nullable=False),
    sa.Column("written", UTCDateTime, nullable=False),
)
