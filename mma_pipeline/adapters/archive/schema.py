"""Tables of the archive: messages as received, versions of events, products as written, publications, photometry.

One schema for SQLite and PostgreSQL; changes go through `migrations`. Times are UTC.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect

from mma_pipeline.notices.text import clean, clean_text

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class UTCDateTime(sa.TypeDecorator[datetime]):
    """A time that is always UTC: SQLite stores no time zone, so it is removed when writing and restored when reading."""

    impl = sa.DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Refuse a time without a time zone, which would be read as UTC by accident."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a time zone cannot be archived")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Restore the time zone."""
        return None if value is None else value.replace(tzinfo=UTC)


class CleanString(sa.TypeDecorator[str]):
    """Text from outside, cleaned when writing, and when reading for rows older than this rule."""

    impl = sa.String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Replace what no database or page can hold."""
        return None if value is None else clean_text(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """The same for older rows."""
        return None if value is None else clean_text(value)


class CleanText(CleanString):
    """The same without a limit to its length."""

    impl = sa.Text
    cache_ok = True


class CleanJSON(sa.TypeDecorator[Any]):
    """JSON values with text from outside, cleaned like `CleanString`."""

    impl = sa.JSON
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:  # noqa: ARG002
        """Replace what no database or page can hold."""
        return clean(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:  # noqa: ARG002
        """The same for older rows."""
        return clean(value)


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
    sa.Column("headers", CleanJSON, nullable=False),
    sa.Column("sha256", sa.String(64), sa.ForeignKey("body.sha256"), nullable=False),
    sa.Column("broker_time", UTCDateTime),
    sa.Column("received", UTCDateTime, nullable=False, index=True),
    sa.Column("event_id", sa.String(32), index=True),
    sa.Column("quarantine_reason", CleanText),
    # Of a message in quarantine: whether it is recognisably a mock or test, when it was solved, and how.
    sa.Column("rehearsal", sa.Boolean),
    sa.Column("solved", UTCDateTime, index=True),
    sa.Column("solution", CleanText),
    # Of a survey's packet in quarantine: the row of `survey_refusal` that counts it and those like it.
    sa.Column("refusal", sa.BigInteger),
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


def usable_from(since: datetime) -> sa.ColumnElement[bool]:
    """Messages whose versions could first be used from a time on, in a form that can use the indices, unlike `usable_since`."""
    return sa.and_(sa.or_(message.c.received >= since, message.c.solved >= since), usable_since >= since)


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
    sa.Column("facts", CleanJSON, nullable=False),
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
    sa.Column("figures", CleanJSON, nullable=False, key="statistics"),
    sa.Column("written", UTCDateTime, nullable=False),
)

#: The outbox: publications and their state.
publication = sa.Table(
    "publication",
    metadata,
    sa.Column("id", RowId, primary_key=True, autoincrement=True),
    sa.Column("destination", sa.String(64), nullable=False),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("dedupe_key", sa.String(200), nullable=False),
    sa.Column("event_id", sa.String(32), nullable=False),
    sa.Column("partition_key", sa.String(120), index=True),
    sa.Column("payload", CleanJSON, nullable=False),
    sa.Column("provisional", sa.Boolean, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("next_attempt", UTCDateTime, nullable=False),
    sa.Column("claim", sa.String(32)),
    sa.Column("created", UTCDateTime, nullable=False),
    sa.Column("finished", UTCDateTime),
    sa.Column("progress", sa.JSON, nullable=False),
    sa.Column("answer", CleanJSON, nullable=False),
    sa.Column("error", CleanText),
    sa.Column("sequence", sa.String(80)),
    sa.Column("after", sa.String(200)),
    sa.UniqueConstraint("destination", "dedupe_key"),
    sa.Index("ix_publication_state_next_attempt", "state", "next_attempt"),
    sa.Index("ix_publication_event_id_destination", "event_id", "destination"),
)

#: Why a version was accepted or not, per destination; the latest decision counts.
decision = sa.Table(
    "publication_decision",
    metadata,
    sa.Column("destination", sa.String(64), primary_key=True),
    sa.Column("partition_key", sa.String(120), primary_key=True),
    sa.Column("event_id", sa.String(32), nullable=False, index=True),
    sa.Column("accepted", sa.Boolean, nullable=False),
    sa.Column("reasons", CleanJSON, nullable=False),
    sa.Column("decided", UTCDateTime, nullable=False),
    # The products with the map's values were missing: decided again when they are made.
    sa.Column("bare", sa.Boolean, nullable=False, server_default=sa.false()),
)

#: Versions that a check keeps from being published, and releases by a person.
block = sa.Table(
    "publication_block",
    metadata,
    sa.Column("partition_key", sa.String(120), primary_key=True),
    sa.Column("event_id", sa.String(32), nullable=False, index=True),
    sa.Column("findings", sa.JSON, nullable=False),
    sa.Column("since", UTCDateTime, nullable=False),
    sa.Column("released", UTCDateTime),
    sa.Column("reason", sa.Text),
)

#: Pairs of events of different messengers within a search window, as last compared. `identity` digests what the comparison
#: was made from; `figures` are its results.
coincidence = sa.Table(
    "coincidence",
    metadata,
    sa.Column("gw_event", sa.String(32), primary_key=True),
    sa.Column("other_event", sa.String(32), primary_key=True, index=True),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("gw_time", UTCDateTime, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("gw_partition", sa.String(120), nullable=False),
    sa.Column("other_partition", sa.String(120), nullable=False),
    sa.Column("identity", sa.String(64), nullable=False),
    sa.Column("figures", CleanJSON, nullable=False),
    sa.Column("changed", UTCDateTime, nullable=False, index=True),
    sa.Index("ix_coincidence_role_gw_time", "role", "gw_time"),
)

#: A transient with photometry.
candidate = sa.Table(
    "candidate",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("slug", sa.String(80), nullable=False, unique=True),
    sa.Column("ra", sa.Double, nullable=False),
    sa.Column("dec", sa.Double, nullable=False),
    sa.Column("ebv", sa.Double),
    sa.Column("redshift", sa.Double),
    sa.Column("simulated", sa.Boolean, nullable=False),
)

#: Every name by which a candidate came, its own too, with the place that came with it. `identity` is what equal names
#: share, `cell` finds neighbours (`notices.photometry.same_object`).
candidate_alias = sa.Table(
    "candidate_alias",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("identity", sa.String(64), nullable=False, index=True),
    sa.Column("slug", sa.String(80), nullable=False, unique=True),
    sa.Column("candidate", sa.String(64), sa.ForeignKey("candidate.name"), nullable=False, index=True),
    sa.Column("ra", sa.Double, nullable=False),
    sa.Column("dec", sa.Double, nullable=False),
    sa.Column("cell", sa.BigInteger, nullable=False, index=True),
)

#: `message_id` is the first message with the measurement.
measurement = sa.Table(
    "measurement",
    metadata,
    sa.Column("id", RowId, primary_key=True, autoincrement=True),
    sa.Column("candidate", sa.String(64), sa.ForeignKey("candidate.name"), nullable=False),
    sa.Column("mjd", sa.Double, nullable=False),
    sa.Column("band", CleanString(32), nullable=False),
    sa.Column("magnitude", sa.Double, nullable=False),
    sa.Column("error", sa.Double),
    sa.Column("upper_limit", sa.Boolean, nullable=False),
    sa.Column("telescope", CleanString(100)),
    sa.Column("instrument", CleanString(100)),
    sa.Column("flux_njy", sa.Double),
    sa.Column("flux_error_njy", sa.Double),
    sa.Column("origin", CleanString(10)),
    sa.Column("message_id", RowId, sa.ForeignKey("message.id"), nullable=False, index=True),
    sa.UniqueConstraint("candidate", "mjd", "band", "magnitude", "upper_limit"),
)

#: The latest score of each candidate night; the result holds every published number.
candidate_score = sa.Table(
    "candidate_score",
    metadata,
    sa.Column("partition_key", sa.String(160), primary_key=True),
    sa.Column("event_id", sa.String(32), nullable=False, index=True),
    sa.Column("candidate", sa.String(64), sa.ForeignKey("candidate.name"), nullable=False),
    sa.Column("night", sa.Integer, nullable=False),
    sa.Column("result", CleanJSON, nullable=False),
)

#: What the newest packet of a survey says of a candidate beside the light curve; `message_id` is that packet's message.
candidate_facts = sa.Table(
    "candidate_facts",
    metadata,
    sa.Column("candidate", sa.String(64), sa.ForeignKey("candidate.name"), primary_key=True),
    sa.Column("message_id", RowId, nullable=False),
    sa.Column("facts", CleanJSON, nullable=False),
)

#: How far each partition of a survey's stream is durable, and what became of its alerts. The counts belong to exactly
#: the messages before `next_offset`.
survey_partition = sa.Table(
    "survey_partition",
    metadata,
    sa.Column("stream", sa.String(100), primary_key=True),
    sa.Column("topic", sa.String(255), primary_key=True),
    sa.Column("partition", sa.Integer, primary_key=True),
    sa.Column("next_offset", sa.BigInteger, nullable=False),
    sa.Column("seen", sa.BigInteger, nullable=False),
    sa.Column("inside", sa.BigInteger, nullable=False),
    sa.Column("kept", sa.BigInteger, nullable=False),
    sa.Column("quarantined", sa.BigInteger, nullable=False),
    sa.Column("dropped", sa.JSON, nullable=False),
    sa.Column("lag", sa.BigInteger),
    sa.Column("rate", sa.Double),
    # Which process reads it, and when that last said so.
    sa.Column("member", sa.String(100), nullable=False),
    sa.Column("alive", UTCDateTime, nullable=False),
    # Messages that the broker dropped before they were read, and when that was last noticed.
    sa.Column("lost", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("lost_at", UTCDateTime),
)

#: Messages of sensors' streams that a broker dropped before they were read: those from offset `wanted` to the one before
#: `resumed`. `anew`: the topic was created again, so that the offsets do not say how many.
message_gap = sa.Table(
    "message_gap",
    metadata,
    sa.Column("stream", sa.String(100), primary_key=True),
    sa.Column("topic", sa.String(255), primary_key=True),
    sa.Column("partition", sa.Integer, primary_key=True),
    sa.Column("wanted", sa.BigInteger, primary_key=True),
    sa.Column("resumed", sa.BigInteger, primary_key=True),
    sa.Column("anew", sa.Boolean, nullable=False),
    sa.Column("noticed", UTCDateTime, nullable=False, index=True),
)

#: Packets of surveys that could not be used, by cause and night. All are counted, the first of them are in quarantine;
#: `offsets` holds the least and the greatest offset of them by topic and partition.
survey_refusal = sa.Table(
    "survey_refusal",
    metadata,
    sa.Column("id", RowId, primary_key=True, autoincrement=True),
    sa.Column("stream", sa.String(100), nullable=False),
    sa.Column("night", sa.Integer, nullable=False),
    sa.Column("cause", sa.String(200), nullable=False),
    sa.Column("reason", CleanText, nullable=False),
    sa.Column("packets", sa.BigInteger, nullable=False),
    sa.Column("stored", sa.Integer, nullable=False),
    sa.Column("offsets", CleanJSON, nullable=False),
    sa.Column("first", UTCDateTime, nullable=False),
    sa.Column("last", UTCDateTime, nullable=False),
    sa.UniqueConstraint("stream", "night", "cause"),
)

#: Candidates that surveys' alerts brought to an event, by night. `message_id` is the newest message that changed one;
#: `scored` says what it was last scored with, and differs from what there is where it is to be scored.
survey_candidate = sa.Table(
    "survey_candidate",
    metadata,
    sa.Column("event_id", sa.String(32), primary_key=True),
    sa.Column("candidate", sa.String(64), sa.ForeignKey("candidate.name"), primary_key=True, index=True),
    sa.Column("night", sa.Integer, primary_key=True),
    sa.Column("message_id", RowId, sa.ForeignKey("message.id"), nullable=False, index=True),
    sa.Column("scored", sa.String(160)),
)

#: Footprints of instruments, each once.
footprint = sa.Table(
    "footprint",
    metadata,
    sa.Column("sha256", sa.String(64), primary_key=True),
    sa.Column("shape", sa.JSON, nullable=False),
)

#: Instruments of a source with the footprint that it gives now.
instrument = sa.Table(
    "instrument",
    metadata,
    sa.Column("source", sa.String(32), primary_key=True),
    sa.Column("source_id", CleanString(100), primary_key=True),
    sa.Column("name", CleanString(100), nullable=False),
    sa.Column("footprint", sa.String(64), sa.ForeignKey("footprint.sha256")),
    sa.Column("fetched", UTCDateTime, nullable=False),
)

#: Pointings for an event as they are now.
pointing = sa.Table(
    "pointing",
    metadata,
    sa.Column("id", RowId, primary_key=True, autoincrement=True),
    sa.Column("event_id", sa.String(32), nullable=False),
    sa.Column("source", sa.String(32), nullable=False),
    sa.Column("source_id", CleanString(100), nullable=False),
    sa.Column("instrument", CleanString(100), nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("time", UTCDateTime),
    sa.Column("ra", sa.Double, nullable=False),
    sa.Column("dec", sa.Double, nullable=False),
    sa.Column("pos_angle", sa.Double, nullable=False),
    sa.Column("band", CleanString(100)),
    sa.Column("depth", sa.Double),
    sa.Column("depth_unit", CleanString(16)),
    sa.Column("footprint", sa.String(64), sa.ForeignKey("footprint.sha256")),
    sa.Column("noticed", UTCDateTime, nullable=False),
    sa.UniqueConstraint("event_id", "source", "source_id"),
)

#: Every change of a pointing in the order in which we noticed it; `was` holds what changed as it was, nothing for the first.
pointing_change = sa.Table(
    "pointing_change",
    metadata,
    sa.Column("id", RowId, primary_key=True, autoincrement=True),
    sa.Column("pointing_id", RowId, sa.ForeignKey("pointing.id"), nullable=False, index=True),
    sa.Column("event_id", sa.String(32), nullable=False, index=True),
    sa.Column("noticed", UTCDateTime, nullable=False),
    sa.Column("was", CleanJSON),
)
