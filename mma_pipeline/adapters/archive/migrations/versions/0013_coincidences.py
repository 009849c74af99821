"""Pairs of events of different messengers within a search window, as last compared."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "coincidence",
        sa.Column("gw_event", sa.String(32), nullable=False),
        sa.Column("other_event", sa.String(32), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("gw_time", sa.DateTime, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("gw_partition", sa.String(120), nullable=False),
        sa.Column("other_partition", sa.String(120), nullable=False),
        sa.Column("identity", sa.String(64), nullable=False),
        sa.Column("figures", sa.JSON, nullable=False),
        sa.Column("changed", sa.DateTime, nullable=False),
        sa.PrimaryKeyConstraint("gw_event", "other_event", name="pk_coincidence"),
    )
    op.create_index("ix_coincidence_other_event", "coincidence", ["other_event"])
    op.create_index("ix_coincidence_changed", "coincidence", ["changed"])
    op.create_index("ix_coincidence_role_gw_time", "coincidence", ["role", "gw_time"])


def downgrade() -> None:
    """Drop the table: pairs are compared again with the next version of either event."""
    op.drop_table("coincidence")
