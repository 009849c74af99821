"""Candidates, measurements and scores."""

import sqlalchemy as sa
from alembic import op

from mma_pipeline.adapters.archive.schema import RowId

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "candidate",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("slug", sa.String(80), nullable=False),
        sa.Column("ra", sa.Double, nullable=False),
        sa.Column("dec", sa.Double, nullable=False),
        sa.Column("ebv", sa.Double),
        sa.Column("simulated", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_candidate"),
        sa.UniqueConstraint("slug", name="uq_candidate_slug"),
    )
    op.create_table(
        "measurement",
        sa.Column("id", RowId, autoincrement=True, nullable=False),
        sa.Column("candidate", sa.String(64), nullable=False),
        sa.Column("mjd", sa.Double, nullable=False),
        sa.Column("band", sa.String(32), nullable=False),
        sa.Column("magnitude", sa.Double, nullable=False),
        sa.Column("error", sa.Double),
        sa.Column("upper_limit", sa.Boolean, nullable=False),
        sa.Column("telescope", sa.String(100)),
        sa.Column("instrument", sa.String(100)),
        sa.Column("message_id", RowId, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_measurement"),
        sa.ForeignKeyConstraint(["candidate"], ["candidate.name"], name="fk_measurement_candidate"),
        sa.ForeignKeyConstraint(["message_id"], ["message.id"], name="fk_measurement_message_id"),
        sa.UniqueConstraint(
            "candidate", "mjd", "band", "magnitude", "upper_limit",
            name="uq_measurement_candidate_mjd_band_magnitude_upper_limit",
        ),
    )  # fmt: skip
    op.create_index("ix_measurement_message_id", "measurement", ["message_id"])
    op.create_table(
        "candidate_score",
        sa.Column("partition_key", sa.String(160), nullable=False),
        sa.Column("event_id", sa.String(32), nullable=False),
        sa.Column("candidate", sa.String(64), nullable=False),
        sa.Column("night", sa.Integer, nullable=False),
        sa.Column("result", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("partition_key", name="pk_candidate_score"),
        sa.ForeignKeyConstraint(["candidate"], ["candidate.name"], name="fk_candidate_score_candidate"),
    )
    op.create_index("ix_candidate_score_event_id", "candidate_score", ["event_id"])


def downgrade() -> None:
    """Drop the tables; what they hold is lost."""
    for table in ("candidate_score", "measurement", "candidate"):
        op.drop_table(table)
