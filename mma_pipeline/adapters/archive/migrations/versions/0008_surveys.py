"""How far survey streams were read, with what became of their alerts, and candidates by event and night."""

import sqlalchemy as sa
from alembic import op

from mma_pipeline.adapters.archive.schema import RowId

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "survey_partition",
        sa.Column("stream", sa.String(100), nullable=False),
        sa.Column("topic", sa.String(255), nullable=False),
        sa.Column("partition", sa.Integer, nullable=False),
        sa.Column("next_offset", sa.BigInteger, nullable=False),
        sa.Column("seen", sa.BigInteger, nullable=False),
        sa.Column("inside", sa.BigInteger, nullable=False),
        sa.Column("kept", sa.BigInteger, nullable=False),
        sa.Column("quarantined", sa.BigInteger, nullable=False),
        sa.Column("dropped", sa.JSON, nullable=False),
        sa.Column("lag", sa.BigInteger),
        sa.Column("rate", sa.Double),
        sa.Column("member", sa.String(100), nullable=False),
        sa.Column("alive", sa.DateTime, nullable=False),
        sa.PrimaryKeyConstraint("stream", "topic", "partition", name="pk_survey_partition"),
    )
    op.create_table(
        "survey_candidate",
        sa.Column("event_id", sa.String(32), nullable=False),
        sa.Column("candidate", sa.String(64), nullable=False),
        sa.Column("night", sa.Integer, nullable=False),
        sa.Column("message_id", RowId, nullable=False),
        sa.Column("scored", sa.String(160)),
        sa.PrimaryKeyConstraint("event_id", "candidate", "night", name="pk_survey_candidate"),
        sa.ForeignKeyConstraint(["candidate"], ["candidate.name"], name="fk_survey_candidate_candidate"),
        sa.ForeignKeyConstraint(["message_id"], ["message.id"], name="fk_survey_candidate_message_id"),
    )
    op.create_index("ix_survey_candidate_candidate", "survey_candidate", ["candidate"])
    op.create_index("ix_survey_candidate_message_id", "survey_candidate", ["message_id"])


def downgrade() -> None:
    """Drop the tables; counters are lost, and streams are read on from the group's offsets."""
    op.drop_table("survey_candidate")
    op.drop_table("survey_partition")
