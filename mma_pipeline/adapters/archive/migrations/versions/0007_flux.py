"""Difference fluxes of surveys beside the magnitudes, and where a point comes from."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; what is archived has none of them."""
    op.add_column("measurement", sa.Column("flux_njy", sa.Double))
    op.add_column("measurement", sa.Column("flux_error_njy", sa.Double))
    op.add_column("measurement", sa.Column("origin", sa.String(10)))


def downgrade() -> None:
    """Drop them; fluxes are lost, their magnitudes and limits stay."""
    op.drop_column("measurement", "origin")
    op.drop_column("measurement", "flux_error_njy")
    op.drop_column("measurement", "flux_njy")
