"""The outbox and the decisions about what is published."""

import sqlalchemy as sa
from alembic import op

from mma_pipeline.adapters.archive.schema import RowId, UTCDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "publication",
        sa.Column("id", RowId, autoincrement=True, nullable=False),
        sa.Column("destination", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("dedupe_key", sa.String(200), nullable=False),
        sa.Column("event_id", sa.String(32), nullable=False),
        sa.Column("partition_key", sa.String(120)),
        sa.Column("payload", sa.JSON, nullable=False),
        sa.Column("provisional", sa.Boolean, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_attempt", UTCDateTime, nullable=False),
        sa.Column("claim", sa.String(32)),
        sa.Column("created", UTCDateTime, nullable=False),
        sa.Column("finished", UTCDateTime),
        sa.Column("progress", sa.JSON, nullable=False),
        sa.Column("answer", sa.JSON, nullable=False),
        sa.Column("error", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_publication"),
        sa.UniqueConstraint("destination", "dedupe_key", name="uq_publication_destination_dedupe_key"),
    )
    op.create_index("ix_publication_partition_key", "publication", ["partition_key"])
    op.create_index("ix_publication_state_next_attempt", "publication", ["state", "next_attempt"])
    op.create_index("ix_publication_event_id_destination", "publication", ["event_id", "destination"])
    op.create_table(
        "publication_decision",
        sa.Column("destination", sa.String(64), nullable=False),
        sa.Column("partition_key", sa.String(120), nullable=False),
        sa.Column("event_id", sa.String(32), nullable=False),
        sa.Column("accepted", sa.Boolean, nullable=False),
        sa.Column("reasons", sa.JSON, nullable=False),
        sa.Column("decided", UTCDateTime, nullable=False),
        sa.PrimaryKeyConstraint("destination", "partition_key", name="pk_publication_decision"),
    )
    op.create_index("ix_publication_decision_event_id", "publication_decision", ["event_id"])


def downgrade() -> None:
    """Drop the tables; what was published is forgotten."""
    op.drop_table("publication_decision")
    op.drop_table("publication")
