"""What the newest packet of a survey says of each candidate."""

import sqlalchemy as sa
from alembic import op

from mma_pipeline.adapters.archive.schema import CleanJSON, RowId

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table; candidates get a row with their next packet."""
    op.create_table(
        "candidate_facts",
        sa.Column("candidate", sa.String(64), nullable=False),
        sa.Column("message_id", RowId, nullable=False),
        sa.Column("facts", CleanJSON, nullable=False),
        sa.PrimaryKeyConstraint("candidate", name="pk_candidate_facts"),
        sa.ForeignKeyConstraint(["candidate"], ["candidate.name"], name="fk_candidate_facts_candidate"),
    )


def downgrade() -> None:
    """Drop the table; facts are known again with the next packets."""
    op.drop_table("candidate_facts")
