"""Messages of sensors' streams that a broker dropped before they were read."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "message_gap",
        sa.Column("stream", sa.String(100), nullable=False),
        sa.Column("topic", sa.String(255), nullable=False),
        sa.Column("partition", sa.Integer, nullable=False),
        sa.Column("wanted", sa.BigInteger, nullable=False),
        sa.Column("resumed", sa.BigInteger, nullable=False),
        sa.Column("anew", sa.Boolean, nullable=False),
        sa.Column("noticed", sa.DateTime, nullable=False),
        sa.PrimaryKeyConstraint("stream", "topic", "partition", "wanted", "resumed", name="pk_message_gap"),
    )
    op.create_index("ix_message_gap_noticed", "message_gap", ["noticed"])


def downgrade() -> None:
    """Drop the table: what was lost is forgotten."""
    op.drop_table("message_gap")
