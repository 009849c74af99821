"""Pointings of telescopes for events, what became of them, and the footprints of instruments."""

import sqlalchemy as sa
from alembic import op

from mma_pipeline.adapters.archive.schema import RowId

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "footprint",
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("shape", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("sha256", name="pk_footprint"),
    )
    op.create_table(
        "instrument",
        sa.Column("source", sa.String(32), nullable=False),
        sa.Column("source_id", sa.String(100), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("footprint", sa.String(64)),
        sa.Column("fetched", sa.DateTime, nullable=False),
        sa.PrimaryKeyConstraint("source", "source_id", name="pk_instrument"),
        sa.ForeignKeyConstraint(["footprint"], ["footprint.sha256"], name="fk_instrument_footprint"),
    )
    op.create_table(
        "pointing",
        sa.Column("id", RowId, autoincrement=True, nullable=False),
        sa.Column("event_id", sa.String(32), nullable=False),
        sa.Column("source", sa.String(32), nullable=False),
        sa.Column("source_id", sa.String(100), nullable=False),
        sa.Column("instrument", sa.String(100), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("time", sa.DateTime),
        sa.Column("ra", sa.Double, nullable=False),
        sa.Column("dec", sa.Double, nullable=False),
        sa.Column("pos_angle", sa.Double, nullable=False),
        sa.Column("band", sa.String(100)),
        sa.Column("depth", sa.Double),
        sa.Column("depth_unit", sa.String(16)),
        sa.Column("footprint", sa.String(64)),
        sa.Column("noticed", sa.DateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_pointing"),
        sa.ForeignKeyConstraint(["footprint"], ["footprint.sha256"], name="fk_pointing_footprint"),
        sa.UniqueConstraint("event_id", "source", "source_id", name="uq_pointing_event_id_source_source_id"),
    )
    op.create_table(
        "pointing_change",
        sa.Column("id", RowId, autoincrement=True, nullable=False),
        sa.Column("pointing_id", RowId, nullable=False),
        sa.Column("event_id", sa.String(32), nullable=False),
        sa.Column("noticed", sa.DateTime, nullable=False),
        sa.Column("was", sa.JSON),
        sa.PrimaryKeyConstraint("id", name="pk_pointing_change"),
        sa.ForeignKeyConstraint(["pointing_id"], ["pointing.id"], name="fk_pointing_change_pointing_id"),
    )
    op.create_index("ix_pointing_change_pointing_id", "pointing_change", ["pointing_id"])
    op.create_index("ix_pointing_change_event_id", "pointing_change", ["event_id"])


def downgrade() -> None:
    """Drop the tables; what they hold is lost."""
    for table in ("pointing_change", "pointing", "instrument", "footprint"):
        op.drop_table(table)
