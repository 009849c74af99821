"""Packets of surveys that could not be used, counted by cause and night, and messages that brokers dropped unread."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from mma_pipeline.adapters.archive.schema import CleanJSON, CleanText, RowId, UTCDateTime
from mma_pipeline.notices.refusals import cause_of, night_of

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add table and columns, and count what surveys have in quarantine."""
    op.create_table(
        "survey_refusal",
        sa.Column("id", RowId, autoincrement=True, nullable=False),
        sa.Column("stream", sa.String(100), nullable=False),
        sa.Column("night", sa.Integer, nullable=False),
        sa.Column("cause", sa.String(200), nullable=False),
        sa.Column("reason", CleanText, nullable=False),
        sa.Column("packets", sa.BigInteger, nullable=False),
        sa.Column("stored", sa.Integer, nullable=False),
        sa.Column("offsets", CleanJSON, nullable=False),
        sa.Column("first", UTCDateTime, nullable=False),
        sa.Column("last", UTCDateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_survey_refusal"),
        sa.UniqueConstraint("stream", "night", "cause", name="uq_survey_refusal_stream_night_cause"),
    )
    op.add_column("message", sa.Column("refusal", sa.BigInteger))
    op.add_column("survey_partition", sa.Column("lost", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("survey_partition", sa.Column("lost_at", UTCDateTime))
    _count(op.get_bind())


def downgrade() -> None:
    """Drop them: messages stay in quarantine, what was only counted is forgotten."""
    for table, column in (("survey_partition", "lost_at"), ("survey_partition", "lost"), ("message", "refusal")):
        op.drop_column(table, column)
    op.drop_table("survey_refusal")


def _count(connection: sa.Connection) -> None:
    message = sa.table(
        "message",
        *(sa.column(name) for name in ("id", "stream", "topic", "partition", "offset", "quarantine_reason", "refusal")),
        sa.column("received", UTCDateTime),
    )
    partition = sa.table("survey_partition", sa.column("stream"))
    refusal = sa.table(
        "survey_refusal",
        *(sa.column(name) for name in ("id", "stream", "night", "cause", "reason", "packets", "stored")),
        sa.column("offsets", CleanJSON), sa.column("first", UTCDateTime), sa.column("last", UTCDateTime),
    )  # fmt: skip
    streams = sa.select(partition.c.stream).distinct()
    aside = message.c.quarantine_reason.is_not(None), message.c.stream.in_(streams)
    found: dict[tuple[str, int, str], list[sa.Row[tuple[object, ...]]]] = {}
    for row in connection.execute(sa.select(message).where(*aside).order_by(message.c.id)):
        found.setdefault((row.stream, night_of(row.received), cause_of(row.quarantine_reason)), []).append(row)
    for number, ((stream, night, cause), rows) in enumerate(sorted(found.items()), start=1):
        places: dict[str, list[int]] = {}
        for row in rows:
            places.setdefault(f"{row.topic}/{row.partition}", []).append(row.offset)
        values = {
            "id": number, "stream": stream, "night": night, "cause": cause, "reason": rows[0].quarantine_reason,
            "packets": len(rows), "stored": len(rows),
            "offsets": {place: [min(some), max(some)] for place, some in places.items()},
            "first": min(row.received for row in rows), "last": max(row.received for row in rows),
        }  # fmt: skip
        connection.execute(sa.insert(refusal).values(values))
        for row in rows:
            connection.execute(sa.update(message).where(message.c.id == row.id).values(refusal=number))
