"""Every name of a candidate, with its place on the sky: one object under several names is one candidate.

Candidates that are one object stay as they are here, and are merged when the next measurement of any of them comes.
"""

import sqlalchemy as sa
from alembic import op

from mma_pipeline.notices.photometry.same_object import cell_of, identity_of

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_ROWS = 5000


def upgrade() -> None:
    """Add the table, with a row for the name of every candidate."""
    table = op.create_table(
        "candidate_alias",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("identity", sa.String(64), nullable=False),
        sa.Column("slug", sa.String(80), nullable=False),
        sa.Column("candidate", sa.String(64), nullable=False),
        sa.Column("ra", sa.Double, nullable=False),
        sa.Column("dec", sa.Double, nullable=False),
        sa.Column("cell", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_candidate_alias"),
        sa.UniqueConstraint("slug", name="uq_candidate_alias_slug"),
        sa.ForeignKeyConstraint(["candidate"], ["candidate.name"], name="fk_candidate_alias_candidate"),
    )
    for column in ("identity", "candidate", "cell"):
        op.create_index(f"ix_candidate_alias_{column}", "candidate_alias", [column])
    connection = op.get_bind()
    known = sa.table("candidate", *(sa.column(name) for name in ("name", "slug", "ra", "dec")))
    rows = [
        {
            "name": row.name, "identity": identity_of(row.name), "slug": row.slug, "candidate": row.name,
            "ra": row.ra, "dec": row.dec, "cell": cell_of(row.ra, row.dec),
        }
        for row in connection.execute(sa.select(known).order_by(known.c.name))
    ]  # fmt: skip
    for start in range(0, len(rows), _ROWS):
        op.bulk_insert(table, rows[start : start + _ROWS])


def downgrade() -> None:
    """Drop the table: names of candidates that were merged are lost."""
    op.drop_table("candidate_alias")
