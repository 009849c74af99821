"""Redshifts of candidates."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; candidates archived before have no redshift until a message brings one."""
    op.add_column("candidate", sa.Column("redshift", sa.Double))


def downgrade() -> None:
    """Drop the column; the redshifts are lost here and stay in the archived messages."""
    op.drop_column("candidate", "redshift")
