"""What a publication waits for, versions that were published without their map, and versions that a check holds back."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add columns and table. Open alert rows get the order of their kind; what was tried is no draft any more."""
    op.add_column("publication", sa.Column("sequence", sa.String(80)))
    op.add_column("publication", sa.Column("after", sa.String(200)))
    op.add_column("publication_decision", sa.Column("bare", sa.Boolean, nullable=False, server_default=sa.false()))
    op.create_table(
        "publication_block",
        sa.Column("partition_key", sa.String(120), primary_key=True),
        sa.Column("event_id", sa.String(32), nullable=False),
        sa.Column("findings", sa.JSON, nullable=False),
        sa.Column("since", sa.DateTime, nullable=False),
        sa.Column("released", sa.DateTime),
        sa.Column("reason", sa.Text),
    )
    op.create_index("ix_publication_block_event_id", "publication_block", ["event_id"])
    table = sa.table(
        "publication",
        *(sa.column(name) for name in ("id", "kind", "state", "event_id", "partition_key", "sequence", "attempts")),
        sa.column("provisional", sa.Boolean),
    )
    connection, is_open = op.get_bind(), table.c.state.in_(("pending", "sending"))
    rows = sa.select(table.c.id, table.c.event_id, table.c.partition_key).where(is_open, table.c.kind == "alert")
    for row in connection.execute(rows).all():
        # event-Label-created-digest, and the label may hold a hyphen
        label = row.partition_key.removeprefix(f"{row.event_id}-").rsplit("-", 2)[0]
        connection.execute(sa.update(table).where(table.c.id == row.id).values(sequence=f"alert {label}"[:80]))
    connection.execute(sa.update(table).where(is_open, table.c.attempts > 0).values(provisional=False))


def downgrade() -> None:
    """Drop them; releases are lost."""
    op.drop_index("ix_publication_block_event_id", "publication_block")
    op.drop_table("publication_block")
    op.drop_column("publication_decision", "bare")
    op.drop_column("publication", "after")
    op.drop_column("publication", "sequence")
