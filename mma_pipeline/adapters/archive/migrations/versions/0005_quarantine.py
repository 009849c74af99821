"""What quarantined messages are about, and what became of them."""

import sqlalchemy as sa
from alembic import op

from mma_pipeline.adapters.archive.schema import UTCDateTime
from mma_pipeline.notices.salvage import event_named, is_rehearsal

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns, and fill in what the messages in quarantine still tell."""
    op.add_column("message", sa.Column("rehearsal", sa.Boolean))
    op.add_column("message", sa.Column("solved", UTCDateTime))
    op.add_column("message", sa.Column("solution", sa.Text))
    aside = sa.text("quarantine_reason IS NOT NULL")
    op.create_index("ix_message_quarantined", "message", ["id"], sqlite_where=aside, postgresql_where=aside)
    connection = op.get_bind()
    message = sa.table("message", *map(sa.column, ("id", "sha256", "event_id", "rehearsal", "quarantine_reason")))
    body = sa.table("body", sa.column("sha256"), sa.column("data"))
    known = connection.execute(
        sa.select(message.c.id, message.c.sha256).where(message.c.quarantine_reason.is_not(None))
    ).all()
    for row in known:
        # One body at a time: each may hold a map.
        data = bytes(connection.execute(sa.select(body.c.data).where(body.c.sha256 == row.sha256)).scalar_one())
        event_id = event_named(data)
        values = {"event_id": event_id, "rehearsal": is_rehearsal(data, event_id)}
        connection.execute(sa.update(message).where(message.c.id == row.id).values(values))


def downgrade() -> None:
    """Drop the columns; what was solved counts as unsolved again."""
    op.drop_index("ix_message_quarantined", "message")
    for column in ("solution", "solved", "rehearsal"):
        op.drop_column("message", column)
